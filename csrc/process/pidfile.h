/* pidfile.h - the file that tells others our process id. */
#ifndef SPRIG_PIDFILE_H
#define SPRIG_PIDFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sprig_pidfile {
    char *path; /* owned, absolute; NULL: there is none */
    int fd;     /* owned, close-on-exec; locked (flock) as long as the owner lives */
    pid_t owner;
};

/* Creates or takes over the file and writes our process id and a newline into it. Follows no links,
 * and writes only to a regular file of ours that has a single name. SPRIG_E_STATE if the file is
 * locked, because it then belongs to a living process. Otherwise 0, SPRIG_E_SYS, SPRIG_E_INVALID or
 * SPRIG_E_NOMEM; `why` (n bytes) has the path and the reason. */
int sprig_pidfile_open(struct sprig_pidfile *p, const char *path, char *why, size_t n);

/* The same, but replaces the file of a living process (by rename, in one step): for the successor
 * of that process. If it may not do that, it writes through given_fd, which sprig_pidfile_inherit
 * has returned (or -1), provided that the path leads there; p then owns it. If all fails, the file
 * says what it said before. */
int sprig_pidfile_take_over(struct sprig_pidfile *p, const char *path, int given_fd, char *why,
                            size_t n);

/* Before origin_execute, in the new process: lets the program have the descriptor, even if there is
 * none. */
void sprig_pidfile_pass(const struct sprig_pidfile *p);

/* That descriptor, for the caller to own, close-on-exec; or -1. The second call returns -1. */
int sprig_pidfile_inherit(void);

/* True if Server::Starter started this process in place of another one of its own, which lives
 * until this one serves (SERVER_STARTER_GENERATION is 2 or more): its file may then be taken over.
 */
bool sprig_pidfile_may_replace(void);

/* Does what sprig_pidfile_close does to the file. Async-signal-safe. */
void sprig_pidfile_remove(const struct sprig_pidfile *p);

/* Removes the file if this process owns it, the path is still the same file, and it names no other
 * process; if the folder does not allow that (root was given up), empties it. Closes the
 * descriptor. A forked child only closes. */
void sprig_pidfile_close(struct sprig_pidfile *p);

#endif

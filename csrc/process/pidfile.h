/* pidfile.h - the file that tells others the number of our process. */
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

/* Creates or takes over the file and writes this process's number and a newline into it. Links are
 * not followed, and what is no regular file of ours with one name is not written to. A file that is
 * locked belongs to a living process: SPRIG_E_STATE. Otherwise 0, SPRIG_E_SYS, SPRIG_E_INVALID,
 * SPRIG_E_NOMEM, and `why` (n bytes) names the path and the reason. */
int sprig_pidfile_open(struct sprig_pidfile *p, const char *path, char *why, size_t n);

/* The same, but the file of a living process is replaced (by rename, in one step): for the
 * successor of that process. */
int sprig_pidfile_take_over(struct sprig_pidfile *p, const char *path, char *why, size_t n);

/* Server::Starter has started this process in place of another one of its own, which lives until
 * this one serves (SERVER_STARTER_GENERATION is 2 or more): its file may be taken over then. */
bool sprig_pidfile_may_replace(void);

/* What sprig_pidfile_close does to the file. Async-signal-safe. */
void sprig_pidfile_remove(const struct sprig_pidfile *p);

/* Removes the file if this process is its owner and the path is still the same file; where the
 * folder does not allow that (root was given up), empties it. Closes the descriptor. In a forked
 * child: only closes. */
void sprig_pidfile_close(struct sprig_pidfile *p);

#endif

/* log_target.h - what lines are written to: a file, a pipe, a terminal, a socket. Writing to it
 * never waits for whoever reads there.
 *
 * A descriptor that was there before us (standard output, say) is shared with other processes, and
 * O_NONBLOCK would be theirs, too. So a pipe or a terminal is opened once more by way of
 * /proc/self/fd, which gives a description with flags of its own; a socket, which cannot be opened,
 * is written to with MSG_DONTWAIT. Where the system refuses to open a pipe again (it belongs to
 * another user), poll tells whether there is room, and at most PIPE_BUF bytes are written: that
 * much a pipe takes at once if it takes anything. */
#ifndef SPRIG_LOG_TARGET_H
#define SPRIG_LOG_TARGET_H

#include "base/log_syslog.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_target {
    int fd;            /* owned, close-on-exec; -1: closed */
    bool is_inherited; /* a descriptor of the process: reopening it means nothing */
    bool is_socket;
    bool is_pipe;             /* or a terminal: takes whole lines of up to PIPE_BUF bytes each */
    bool may_block;           /* flags are shared with others: poll first */
    struct log_syslog syslog; /* where lines become messages */
};

/* The descriptor that the path is only a name for: "-" and /dev/stdout are 1, /dev/stderr is 2,
 * /dev/fd/N and /proc/self/fd/N are N. -1: it is a path like others. */
int log_target_number(const char *path);

/* Whether it is a path of the file system, and not a descriptor or syslog. */
bool log_target_is_path(const char *path);

/* Opens syslog (see log_syslog.h), or the file for appending, mode 0666 less the umask; as root, a
 * link is not followed. A FIFO need not have a reader: what fits waits in it for one. If the path
 * names a descriptor, that is used (EBADF: it is not open, or not inherited). 0, or -1 and errno.
 */
int log_target_open(struct log_target *t, const char *path);

/* It is a terminal, and nobody has set NO_COLOR (https://no-color.org). */
bool log_target_has_colours(const struct log_target *t);

/* Writes what can be written now. Returns how many of the bytes were; fewer than n: errno says why,
 * EAGAIN that nobody reads. Raises no SIGPIPE. */
size_t log_target_write(const struct log_target *t, const char *bytes, size_t n);

/* How many lines end in these bytes. */
uint64_t log_target_lines(const char *bytes, size_t n);

/* Waits until there may be room, at most that long. */
void log_target_wait(const struct log_target *t, int timeout_ms);

void log_target_close(struct log_target *t);

/* Writes to the descriptor as it is now, in the same manner. */
size_t log_target_write_to(int fd, const char *bytes, size_t n);

#endif

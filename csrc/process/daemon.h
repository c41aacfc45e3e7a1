/* daemon.h - leaving the terminal, or its keyboard. */
#ifndef SPRIG_DAEMON_H
#define SPRIG_DAEMON_H

#include <stddef.h>
#include <sys/types.h>

/* Opens /dev/null on those of the descriptors 0, 1 and 2 that are closed. Otherwise the next file
 * or socket gets such a number, and messages go into it, or a child closes it. First thing in a
 * process, before anything else is opened. */
void sprig_open_standard(void);

/* Goes on in a process of its own session, without a terminal; the folder stays. The calling
 * process waits until the new one says how it went, and ends: status 0 once sprig_daemon_ready was
 * called, 1 if the new process ended before. Until then standard output and error are the caller's,
 * so that it sees why. Returns, in the new process only, 0 and *status_fd (close-on-exec), or on
 * failure SPRIG_E_SYS, in the old process. Call it before there are threads, an event loop or an
 * interpreter, and flush stdio first. Inherited sockets (inherited.h) may be asked for before and
 * after. */
int sprig_daemonize(int *status_fd, char *why, size_t n);

/* What systemd has meant for the old process is meant for this one, see inherited.h. */
void daemon_keep_listen_pid(pid_t old);

/* Tells the waiting process that all is well, and closes status_fd. -1: nothing to do. */
void sprig_daemon_ready(int status_fd);

/* Standard input becomes /dev/null, output and error as well unless they are regular files. In each
 * process that has started serving. */
void sprig_daemon_detach(void);

/* Standard input becomes /dev/null: of several processes that read the same one, each would get a
 * part, and a terminal would stop them. */
void sprig_daemon_drop_input(void);

#endif

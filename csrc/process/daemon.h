/* daemon.h - leaving the terminal, or its keyboard. */
#ifndef SPRIG_DAEMON_H
#define SPRIG_DAEMON_H

#include <stddef.h>
#include <sys/types.h>

/* Opens /dev/null on whichever of the descriptors 0, 1 and 2 is closed. Otherwise the next file or
 * socket would get that number, and messages would go into it, or a child would close it. Call it
 * first in a process, before anything else is opened. */
void sprig_open_standard(void);

/* Continues in a process with a session of its own and no terminal; the folder stays. The calling
 * process waits until the new one reports, and then ends: with status 0 once sprig_daemon_ready was
 * called, with 1 if the new process ended before. Until then standard output and error are the
 * caller's, who can see what goes wrong. Returns, only in the new process, 0 and *status_fd
 * (close-on-exec); on failure SPRIG_E_SYS, in the old process. Call it before there are threads, an
 * event loop or an interpreter, and flush stdio first. Inherited sockets (inherited.h) may be asked
 * for before or after. */
int sprig_daemonize(int *status_fd, char *why, size_t n);

/* Whatever systemd meant for the old process is meant for this one, see inherited.h. */
void daemon_keep_listen_pid(pid_t old);

/* Tells the waiting process that all is well, and closes status_fd. -1 does nothing. */
void sprig_daemon_ready(int status_fd);

/* Makes standard input /dev/null, and output and error as well unless they are regular files. For
 * each process that has started to serve. */
void sprig_daemon_detach(void);

/* Makes standard input /dev/null: if several processes read the same input, each gets a part of it,
 * and a terminal stops them. */
void sprig_daemon_drop_input(void);

#endif

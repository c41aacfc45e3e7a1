/* master_signals.h - the signals of a master: handlers that note what has come, and a wait that
 * they end. */
#ifndef SPRIG_MASTER_SIGNALS_H
#define SPRIG_MASTER_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>

struct pollfd;

/* Installs handlers for the master's signals, and blocks those signals but while it waits. A HUP
 * that was ignored when the process began (nohup) stays ignored, unless `is_daemon`: then there is
 * no terminal any more that could send it. One master a process. 0 or SPRIG_E_SYS. */
int master_signals_open(bool is_daemon);

/* Gives handlers and mask back as they were. In a worker all of these signals are let in; HUP, USR1
 * and USR2 get a handler that does nothing (and that a program of the app does not inherit), TTIN
 * and TTOU are ignored. */
void master_signals_close(bool is_worker);

/* Waits until a signal comes or one of the descriptors is readable, at most `timeout_ms` (-1: for
 * ever). Then all signals that have come are noted; TTIN and TTOU only if a process has sent them,
 * and not the terminal. */
void master_signals_wait(struct pollfd *fds, size_t n, int timeout_ms);

/* The signal has come since it was asked for last. */
bool master_signals_take(int signo);

#endif

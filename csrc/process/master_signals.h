/* master_signals.h - the signals of a master: handlers that note which have arrived, and a wait
 * that they end. */
#ifndef SPRIG_MASTER_SIGNALS_H
#define SPRIG_MASTER_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>

struct pollfd;

/* Installs handlers for the master's signals, and blocks them except while it waits. A HUP that was
 * ignored when the process began (nohup) stays ignored, unless `is_daemon`: then there is no
 * terminal that could send it. One master per process. Returns 0 or SPRIG_E_SYS. */
int master_signals_open(bool is_daemon);

/* Restores handlers and mask. A worker lets all of these signals in: HUP, USR1 and USR2 get a
 * handler that does nothing (and that the app's programs do not inherit), TTIN and TTOU are
 * ignored. */
void master_signals_close(bool is_worker);

/* Waits until a signal arrives or one of the descriptors is readable, at most `timeout_ms` (-1: for
 * ever). Afterwards all arrived signals are noted; TTIN and TTOU only if a process sent them, and
 * not the terminal. */
void master_signals_wait(struct pollfd *fds, size_t n, int timeout_ms);

/* True if the signal has arrived since the last call. */
bool master_signals_take(int signo);

#endif

/* process.h - this process: a worker, the master of workers, or a single one. */
#ifndef SPRIG_PSGI_PROCESS_H
#define SPRIG_PSGI_PROCESS_H

#include "bridge.h"

/* What this process is as a worker: number, generation, control_fd, is_daemon; NULL: it is not a
 * worker. Owned by the caller. */
HV *psgi_worker_info(pTHX);
/* The worker's listening sockets, as { fd, proxy_protocol, tls, redirect }; the caller takes the
 * descriptors. */
AV *psgi_worker_take_sockets(pTHX);

/* The worker's number; 0: not a worker. */
uint32_t psgi_worker_number(void);

/* Makes this server the one that accepts for the worker. */
void psgi_worker_share(pTHX_ struct psgi_server *server);
/* For tests that play the master: makes this process a worker. Takes the descriptors. */
void psgi_worker_play(pTHX_ UV number, int control_fd, AV *fds);
/* The daemon and the pid file. psgi_daemonize goes to the background (see daemon.h) unless that has
 * happened; psgi_daemon_ready then tells the waiting process that all is well. The file is that of
 * the option pid. They croak. */
void psgi_daemonize(pTHX);
void psgi_daemon_ready(pTHX);
void psgi_pidfile_open(pTHX_ const char *path);
void psgi_pidfile_close(pTHX);
void psgi_pidfile_clean(void); /* removes the file only; async-signal-safe */
/* status_fd from sprig_daemonize, for the caller to report to and close; -1: nobody waits. */
int psgi_daemon_take_status(void);

/* This process's master: create it, give it sockets (see master.h), run it. These croak, and then
 * there is no master any more. `argv`: the words with which the program was started. _run returns
 * true in each worker, and false in the master when everything is over; `on_ready` (code ref or
 * undef) is called when the first worker serves. */
void psgi_master_open(pTHX_ HV *options, AV *argv);
void psgi_master_listen(pTHX_ const char *text);
void psgi_master_adopt(pTHX_ int fd, bool is_tls);
void psgi_master_settle(pTHX);
AV *psgi_master_addresses(pTHX);
/* Becomes the user and group in the options, before an app is loaded in the master. */
void psgi_master_drop_privileges(pTHX_ HV *options);
bool psgi_master_run(pTHX_ SV *on_ready);
void psgi_master_close(pTHX);
void psgi_quit_open(void); /* sprig_quit_open, and removes this process's files at the end */

#endif

/* embed.h - a perl interpreter inside the program. Includes no header of perl. */
#ifndef SPRIG_EMBED_H
#define SPRIG_EMBED_H

#include <stdbool.h>

/* Prepares the process for interpreters. Call it once, before anything else in main();
 * psgi_embed_end() undoes it after the last one. argv and env are borrowed until then. */
void psgi_embed_begin(int *argc, char ***argv, char ***env);
void psgi_embed_end(void);

/* Creates an interpreter, runs it with the command line of a perl ({"sprig", "-e", "..."}, ends
 * with NULL; borrowed) and destroys it, including END blocks and destructors. Returns its exit
 * status. Its module Sprig is the one linked into the program. */
int psgi_embed_run(int argc, char **argv);

struct sprig_worker;

/* Declares this process a worker; call it before psgi_embed_run. Takes what *worker holds. */
void psgi_worker_set(struct sprig_worker *worker);

/* Tells the master, in one line, why this worker cannot start. False: this process is not a worker.
 * In an interpreter of the program, Sprig::_report($text) does this before any module is loaded. */
bool psgi_worker_report(const char *text);

/* This process has become a daemon through sprig_daemonize, which returned status_fd (taken):
 * whoever waits there is told when the server serves. For a process that is neither master nor
 * worker. */
void psgi_daemon_set(int status_fd);

/* "5.36.0" */
const char *psgi_embed_version(void);

#endif

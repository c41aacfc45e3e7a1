/* embed.h - a perl interpreter inside the program. Includes nothing of perl's. */
#ifndef SPRIG_EMBED_H
#define SPRIG_EMBED_H

#include <stdbool.h>

/* Prepares the process for interpreters. Once, before anything else in main(), and undone by
 * psgi_embed_end() after the last one. argv and env are borrowed until then. */
void psgi_embed_begin(int *argc, char ***argv, char ***env);
void psgi_embed_end(void);

/* Makes an interpreter, runs it with the command line of a perl ({"sprig", "-e", "..."}, ends with
 * NULL; borrowed) and destroys it, END blocks and destructors included. Returns its exit status.
 * The module Sprig inside is the one linked into the program. */
int psgi_embed_run(int argc, char **argv);

struct sprig_worker;

/* This process is a worker: to be told before psgi_embed_run. What *worker holds is taken. */
void psgi_worker_set(struct sprig_worker *worker);

/* Tells the master, in one line, why this worker cannot start. False: this process is none. In an
 * interpreter of the program Sprig::_report($text) does it before any module is loaded. */
bool psgi_worker_report(const char *text);

/* This process has become a daemon by sprig_daemonize, which gave status_fd (taken): who waits
 * there is told when the server serves. For a process that is neither master nor worker. */
void psgi_daemon_set(int status_fd);

/* "5.36.0" */
const char *psgi_embed_version(void);

#endif

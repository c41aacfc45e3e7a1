/* title.h - what ps shows instead of the command line of a master and its workers. */
#ifndef SPRIG_TITLE_H
#define SPRIG_TITLE_H

#include <stddef.h>

/* Call this first in a program: titles overwrite its arguments and its environment, and both are
 * copied before. Returns the arguments, NULL-terminated, which stay; `argv` itself if memory is
 * short (there are no titles then). */
char **sprig_title_open(int argc, char **argv);

/* In a program that somebody else started, such as perl: finds the place of its arguments, if it is
 * ours to write to. */
void sprig_title_use(char *at, size_t n);

/* The text after each title, such as the file of the application. Copied. */
void sprig_title_name(const char *name);

/* "sprig: master, 4 workers (app.psgi)". Does nothing if there is no place. */
void sprig_title_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Sets the short name of the process (comm), which assigning to perl's $0 changes as well. Only in
 * a program that has called sprig_title_open. */
void sprig_title_keep_name(void);

#endif

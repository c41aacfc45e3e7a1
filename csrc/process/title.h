/* title.h - what ps shows in place of the command line of a master and of its workers. */
#ifndef SPRIG_TITLE_H
#define SPRIG_TITLE_H

#include <stddef.h>

/* First thing in a program: titles are written over its arguments and its environment, both of
 * which are copied before. Returns the arguments, which end with NULL and stay; `argv` itself where
 * there is no memory (then there are no titles). */
char **sprig_title_open(int argc, char **argv);

/* In a program that somebody else has started, such as perl: the place of its arguments, if it is
 * ours to write to. */
void sprig_title_use(char *at, size_t n);

/* What stands behind each title, such as the file of the application. Copied. */
void sprig_title_name(const char *name);

/* "sprig: master, 4 workers (app.psgi)". Without a place nothing happens. */
void sprig_title_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The short name of the process (comm), which assigning to perl's $0 changes as well. Only in a
 * program that has called sprig_title_open. */
void sprig_title_keep_name(void);

#endif

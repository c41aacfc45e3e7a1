/* ctl.h - "sprig ctl": inspects or controls a running server. */
#ifndef SPRIG_CTL_H
#define SPRIG_CTL_H

#include <stddef.h>

/* argv[0] is "ctl". Returns the exit status: 0, one of these, or EXIT_FAILURE if the server
 * refuses. */
enum {
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3, /* no server answers there */
    CTL_WARNING = 4,     /* status: it is not ready; stuck: a worker is blocked */
    CTL_PARTLY = 5       /* reload --wait: done, except for what is printed */
};
int ctl_main(int argc, char **argv);

/* The names of the verbs, i from 0; NULL after the last. */
const char *ctl_verb(size_t i);

#endif

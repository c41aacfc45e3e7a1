/* ctl.h - "sprig ctl": asks a running server, or tells it to do something. */
#ifndef SPRIG_CTL_H
#define SPRIG_CTL_H

#include <stddef.h>

/* argv[0] is "ctl". Returns the exit status: 0, or one of these, or EXIT_FAILURE where the server
 * says no. */
enum {
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3, /* no server answers there */
    CTL_WARNING = 4,     /* status: it is not ready; stuck: a worker is blocked */
    CTL_PARTLY = 5       /* reload --wait: done, but for what is printed */
};
int ctl_main(int argc, char **argv);

/* The names of the verbs, i from 0; NULL behind the last. */
const char *ctl_verb(size_t i);

#endif

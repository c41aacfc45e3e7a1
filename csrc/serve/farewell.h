/* farewell.h - the end of what would go on for ever (event streams, WebSockets) when its server
 * drains: some at a time, so that not all clients come back in one moment. */
#ifndef SPRIG_FAREWELL_H
#define SPRIG_FAREWELL_H

#include "loop/loop.h"

/* One of them; embedded, and to be taken out by list_remove before it is freed. */
struct farewell {
    struct list_link link;
    /* Called in phase 2 when its turn has come, and once more a turn later unless it has been taken
     * out: is_told is true then. May enter Perl, and free it. */
    void (*say)(struct farewell *f);
    bool is_told;
};

struct farewells {
    struct list_link waiting, told; /* struct farewell.link */
    struct sprig_loop *loop;
    struct timer timer;
    uint32_t n_waiting; /* when it began */
    double seconds;
    bool has_begun;
};

/* 0 or SPRIG_E_NOMEM. */
int farewells_init(struct farewells *all, struct sprig_loop *loop);
void farewells_clear(struct farewells *all);

/* Its turn comes when the server drains: at once if it does. */
void farewell_wait(struct farewells *all, struct farewell *f, void (*say)(struct farewell *f));

/* Begins: a hundredth of a second for each, but all of them within `seconds`. */
void farewells_begin(struct farewells *all, double seconds);

#endif

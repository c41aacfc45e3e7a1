/* farewell.h - ends what would otherwise go on for ever (event streams, WebSockets) when the server
 * drains: a few at a time, so that the clients do not all come back at the same moment. */
#ifndef SPRIG_FAREWELL_H
#define SPRIG_FAREWELL_H

#include "loop/loop.h"

/* One of them; embedded. Remove it by list_remove before you free it. */
struct farewell {
    struct list_link link;
    /* Called in phase 2 when its turn has come, and again a turn later unless it has been removed;
     * is_told is then true. May enter Perl, and free it. */
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

/* Registers it for the time when the server drains; if it already does, its turn comes at once. */
void farewell_wait(struct farewells *all, struct farewell *f, void (*say)(struct farewell *f));

/* Begins: one per hundredth of a second, but all within `seconds`. */
void farewells_begin(struct farewells *all, double seconds);

#endif

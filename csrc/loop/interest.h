/* interest.h - tells a foreign loop which descriptors and times matter. This is the portable way to
 * run inside another loop if the backend has no descriptor to poll. */
#ifndef SPRIG_INTEREST_H
#define SPRIG_INTEREST_H

#include "sprig.h"
#include <event2/event.h>

/* How many events want to read from and write to one descriptor. */
struct interest_count {
    uint16_t n_read, n_write;
};

struct interest {
    struct sprig_loop_interest host; /* host.on_interest NULL: nobody asked */
    struct interest_count *counts;   /* owned, by descriptor */
    size_t n_counts;
};

/* Starts telling the host, beginning with every event that is registered in the base now. */
void interest_set(struct interest *in, const struct sprig_loop_interest *host,
                  struct event_base *base);
void interest_clear(struct interest *in);

/* An event on fd for EV_READ and/or EV_WRITE was added (delta 1) or deleted (delta -1). */
void interest_change(struct interest *in, int fd, short events, int delta);

/* The earliest timer is due in that many seconds (< 0: none). */
void interest_timeout(struct interest *in, double seconds);

#endif

/* feed.h - for exchanges whose response goes on and on, such as event streams: the heartbeat, and
 * whoever writes to them from elsewhere and must hear of their end.
 *
 * Every event stream has a feed, and other exchanges get one when they need it. */
#ifndef SPRIG_FEED_H
#define SPRIG_FEED_H

#include "serve/farewell.h"
#include "serve/server.h"

/* Somebody who writes to an exchange; embedded. list_remove(&watch->link) ends it. */
struct feed_watch {
    struct list_link link;
    /* The exchange is over, and this is unlinked already. Must not enter Perl. */
    void (*on_end)(struct feed_watch *watch);
};

/* Owned by its exchange; freed with its end. */
struct feed {
    struct sprig_exchange *ex;
    struct list_link watches; /* struct feed_watch.link */
    struct deadline beat;
    struct pulse *pulse;      /* counted: in whose list `beat` stands; NULL: none */
    struct farewell farewell; /* when the server drains, the app is told, and then it ends */
};

/* A response has begun that may go on for ever. */
void feed_begin(struct sprig_exchange *ex);

/* Watches an exchange whose head is out. Returns 0, SPRIG_E_CLOSED or SPRIG_E_NOMEM. */
int feed_watch(struct sprig_exchange *ex, struct feed_watch *watch);

/* Somebody does. */
bool feed_is_watched(const struct sprig_exchange *ex);

/* Nothing more is written to the exchange: tells the watchers, and stops the heartbeat. */
void feed_free(struct sprig_exchange *ex);

#endif

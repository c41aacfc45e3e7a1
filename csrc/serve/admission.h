/* admission.h - who gets in when there is not room for all: connections, connections per address,
 * requests in progress. Belongs to a server. */
#ifndef SPRIG_ADMISSION_H
#define SPRIG_ADMISSION_H

#include "base/list.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct sprig_server;
struct sprig_conn;
struct sprig_exchange;
struct client_count;

struct admission {
    uint32_t max_connections; /* max_connections, or what the limit of descriptors leaves */
    uint32_t n_open;          /* admitted connections whose descriptor is ours */
    uint32_t n_turned_away;   /* connections that linger behind a 503 */
    uint32_t n_in_flight;     /* requests that have a slot: the app's call and its response */
    struct list_link waiting; /* struct sprig_exchange.wait: requests without one, oldest first */
    struct client_count *
        *clients;        /* owned: hash of addresses; NULL without max_connections_per_ip */
    uint64_t seed;       /* of the hash */
    int spare_fd;        /* owned: given up to answer when there is no descriptor left */
    uint64_t told_ns;    /* when the log last heard of connections turned away */
    uint32_t n_untold;   /* ... and how many there were since */
    uint64_t crowded_ns; /* when it last heard that idle ones were closed for them */
};

/* Descriptors of the process that are held back: for the app, for temporary files, and for
 * ADMISSION_AWAY connections that get their 503. */
enum { ADMISSION_RESERVE = 16, ADMISSION_AWAY = 16 };

/* The soft limit of descriptors is raised to the hard limit, but not beyond this. */
enum { ADMISSION_MAX_FILES = 65536 };

/* A client that was turned away may try again after this many seconds, if nothing better is known.
 */
#define ADMISSION_RETRY_AFTER "5"

void admission_init(struct sprig_server *server);

/* Applies the limits in server->config to connections that come from now on. */
void admission_configure(struct sprig_server *server);
void admission_clear(struct sprig_server *server);
/* In a forked child: the connections and requests were the parent's. */
void admission_forget(struct sprig_server *server);

/* From 7/8 of max_connections on, responses say "Connection: close". Otherwise a proxy that keeps
 * more connections than that would find those closed that it has just chosen. A limit below 8
 * leaves nothing to hold back. */
static inline bool admission_is_crowded(const struct admission *a)
{
    return a->n_open > a->max_connections - a->max_connections / 8;
}

/* What to do with a connection that was just accepted. */
struct admission_answer {
    enum { ADMISSION_ENTER, ADMISSION_TURN_AWAY /* with 503, behind which it lingers */ } what;
    struct sprig_conn *to_close; /* an older one that has to make room; or NULL */
};

/* Counts a connection that was just accepted, and says what to do with it; takes no action. */
struct admission_answer admission_enter(struct sprig_conn *c, const struct sockaddr *peer);
/* Its descriptor no longer belongs to us. Call this once for each connection. */
void admission_leave(struct sprig_conn *c);

/* A connection that can be closed without harm: the one that has been idle longest. NULL if there
 * is none. */
struct sprig_conn *admission_idle(struct sprig_server *server);

/* accept failed because there are no descriptors left, and no connection is idle. Uses the spare
 * descriptor to answer the waiting clients, at most `max`, with 503; those that speak TLS are only
 * closed. */
void admission_answer_busy(struct sprig_server *server, int listener_fd, bool is_tls, int max);

/* Gives the request a slot, or queues it and returns false; when a slot becomes free, the request
 * is resumed. With a slot, the app may be called. */
bool admission_take_slot(struct sprig_exchange *ex);
/* Call this at the end of an exchange: the next request gets the slot. Harmless without one. */
void admission_leave_slot(struct sprig_exchange *ex);
/* When a client that was turned away should try again, in seconds as text: when those that wait now
 * have been served, judging by the requests so far. */
struct retry_after {
    char text[8];
};
struct retry_after admission_retry_after(const struct sprig_server *server);

/* True if the request has waited longer than queue_timeout since it was complete. */
bool admission_is_stale(struct sprig_exchange *ex);

#endif

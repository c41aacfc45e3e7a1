/* server.h - listeners, connections and counters of one Sprig::Server. */
#ifndef SPRIG_SERVER_H
#define SPRIG_SERVER_H

#include "base/cidr.h"
#include "http/parser.h"
#include "loop/loop.h"
#include "net/outq.h"
#include "serve/admission.h"
#include "serve/farewell.h"
#include "serve/refusals.h"
#include "serve/retire.h"

struct sprig_conn;
struct sprig_exchange;
struct access_log;
struct tls_context;
struct tls_io;

/* A deadline of one exchange, where a connection has many, in the lists stream_*_deadlines; or one
 * of a connection beside its usual one, in rest_deadlines. */
struct stream_deadline {
    struct deadline deadline;
    void (*expire)(struct stream_deadline *d); /* phase 2 */
};

struct protocols;

struct sprig_server {
    struct sprig_loop *loop;           /* borrowed */
    const struct protocols *protocols; /* borrowed for ever */
    struct sprig_config config;
    struct parser_limits limits; /* of config, as the parser wants them */
    struct sprig_handler handler;
    void *arg;
    struct list_link listeners;            /* struct sprig_listener.link */
    struct list_link closed_listeners;     /* kept while connections may name their address */
    struct list_link conns;                /* struct sprig_conn.link */
    bool (*reap_conn)(struct reapable *r); /* for struct sprig_conn.reap */
    struct parser_scratch scratch;         /* of the head that is being read */
    struct outq_pool outq_pool;
    struct deadline_list header_deadlines, body_deadlines, write_deadlines, keepalive_deadlines,
        linger_deadlines, leave_deadlines, first_deadlines, queue_deadlines, handshake_deadlines;
    struct deadline_list stream_body_deadlines, stream_write_deadlines, stream_queue_deadlines;
    struct deadline_list goaway_deadlines, rest_deadlines;
    struct list_link pulses;    /* heartbeats, see feed.c */
    struct farewells farewells; /* of what would go on for ever */
    struct admission admission;
    struct list_link parked; /* struct sprig_exchange.wait: complete requests that wait until no app
                              call is on the stack */
    struct ready unparked;   /* resumes them */
    struct refusals refusals;
    struct cidr_list trusted_proxies;
    struct access_log *access_log; /* owned; NULL: none */
    struct tls_context *tls;       /* counted; NULL: no listener has asked for it */
    struct tls_io *tls_io;         /* owned; the same */
    uint64_t tls_looked_ns;        /* when its files were looked at last */
    uint64_t handshakes_ns;        /* the pass that these belong to: */
    uint32_t n_handshakes;
    struct sprig_signal *alone[3];         /* owned; see alone.c */
    struct sprig_exchange *free_exchanges; /* owned pool */
    uint32_t n_free_exchanges;
    struct sprig_counters counters;
    struct sprig_board *board; /* borrowed; NULL: no other process */
    uint32_t slot;             /* on the board */
    struct retire retire;
    struct fork_hook fork_hook;
    struct look_hook look_hook;
    struct ready left;    /* tells on_left */
    struct timer leaving; /* runs while the server is leaving: looks for clients that are gone */
    bool is_leaving;
    bool is_replaced; /* by another server: nobody waits for the end of this one */
    bool had_tunnels; /* the app has accepted a WebSocket */
    bool is_alone;    /* see alone.c */
    bool is_freed;    /* its memory goes with the last connection */
    bool has_strays;  /* a forked child: connections of the parent were abandoned */
};

/* How often a blocked write is checked within write_timeout: the time counts from the last
 * progress, and the peer may take bytes from the kernel's buffer without our noticing. */
enum { WRITE_TICKS = 4 };

/* A connection on which nothing has happened for so long gives back memory that it does not need at
 * rest. */
#define REST_SECONDS 1.0

/* A server that is leaving does not wait for clients that nobody can answer any more. A client that
 * has closed its sending side may still read, so it is checked twice, this far apart. */
enum { LEAVING_MS = 500 };

/* A connection lingers for so long without a byte, and for so long altogether, before it is closed
 * all the same; and it discards at most so much, or LINGER_BODIES times max_body_bytes if that is
 * more: some clients send all of a body that was refused before they look for the answer. */
enum { LINGER_SECONDS = 5, LINGER_MAX_SECONDS = 60 };
enum { LINGER_MAX_BYTES = 64 * 1024 * 1024, LINGER_BODIES = 8 };

/* How much is read from a client that has to wait for windows, in case it closes its side. The rest
 * stays where it is, which stops a hostile client at no cost. */
enum { LINGER_LITTLE_BYTES = 16 * 1024 * 1024 };

static inline void server_count_request(struct sprig_server *server)
{
    if (++server->counters.n_requests == server->retire.at_request)
        retire_now(server, "max_requests");
}

/* A connection that was just made is one of this server's from now on; `peer` NULL: of the server
 * with itself, it enters without being asked whether there is room. */
void server_enter(struct sprig_conn *c, const struct sockaddr *peer);

/* Derives everything again that depends on server->config. */
void server_configure(struct sprig_server *server);

/* Opens the access log that the configuration asks for, or returns NULL if it asks for none. On
 * failure < 0 and `why`. */
int server_open_log(struct sprig_loop *loop, const struct sprig_config *config,
                    struct access_log **log, char *why, size_t n);

/* Prepares TLS for a listener that wants it. Returns 0, or < 0 and `why` (n bytes). */
int server_open_tls(struct sprig_server *server, char *why, size_t n);

/* Reads certificates and keys again; existing connections keep the old ones. SPRIG_E_STATE if no
 * listener wants any; otherwise < 0 and `why`, and the old ones stay. */
int server_renew_tls(struct sprig_server *server, const struct sprig_config *config, char *why,
                     size_t n);

/* Does so if the files have changed, which is checked once per tls_reload_interval. Call it before
 * a handshake. */
void server_look_at_certificates(struct sprig_server *server);

/* sprig_server_new, for code that knows the protocols. */
struct sprig_server *server_new(struct sprig_loop *loop, const struct sprig_config *config,
                                const struct protocols *protocols,
                                const struct sprig_handler *handler, void *arg);

/* Makes the request wait until no app call is on the stack, and then resumes it. */
void server_park(struct sprig_exchange *ex);

#endif

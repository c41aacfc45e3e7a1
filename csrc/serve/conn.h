/* conn.h - one connection, whatever it speaks: its life, its events, its output, its end. Knows no
 * Perl and no protocol: protocol.h drives what is spoken on it.
 *
 *   state    from      to
 *            OPEN      LINGER: our side is complete; DETACHED: the socket is the app's; CLOSED
 *            LINGER    CLOSED
 *            DETACHED  CLOSED: in a forked child
 *
 *   reading  FIRST     ON, OFF: the pass in which it was accepted is over, or nobody wants to read
 *            ON        OFF
 *            OFF       ON
 *
 *   output   FREE      BLOCKED: the socket takes no more for now; BROKEN
 *            BLOCKED   FREE; BROKEN: writing failed, or there is nothing that may follow
 *
 *   origin   PEER      for good: the address is that of the socket
 *            AWAITED   TOLD, HIDDEN: the PROXY header has come
 *
 * conn_set_state() is the only place that changes the state, and refuses all else. The states of
 * what is spoken are the protocol's: see h1.h. */
#ifndef SPRIG_CONN_H
#define SPRIG_CONN_H

#include "base/hot.h"
#include "base/stats.h"
#include "http/body.h"
#include "http/chunk.h"
#include "http/parser.h"
#include "http/proxy.h"
#include "http/response.h"
#include "loop/loop.h"
#include "net/outq.h"
#include "net/transport.h"
#include "serve/protocol.h"
#include "serve/server.h"

enum conn_state {
    CONN_OPEN,     /* served by its protocol */
    CONN_LINGER,   /* our side is shut down; input is discarded so that no reset cuts the answer */
    CONN_DETACHED, /* the socket is the app's */
    CONN_CLOSED    /* waits for the reaper */
};

/* Whether what comes in is read. */
enum conn_reading {
    READING_OFF,
    READING_FIRST, /* just accepted: in its first pass it is read without an event */
    READING_ON     /* read_event is registered */
};

/* Whether what is queued goes out. */
enum conn_output {
    OUTPUT_FREE,
    OUTPUT_BLOCKED, /* write_event is registered */
    OUTPUT_BROKEN   /* nothing will ever go out again */
};

/* Whose address the connection has. */
enum conn_origin {
    ORIGIN_PEER,    /* the socket's */
    ORIGIN_AWAITED, /* a PROXY header has to come first */
    ORIGIN_TOLD,    /* it came: see proxied */
    ORIGIN_HIDDEN   /* it came, and does not name the client: nobody else is believed, either */
};

/* Whether requests are for the app at all. */
enum conn_aim {
    AIM_APP,
    AIM_NEEDS_TLS, /* spoke plain HTTP on an address with TLS: see tls_redirect */
    AIM_REDIRECTED /* on an address with ",redirect": everybody is sent to the one with TLS */
};

/* Reasons in conn.ready.what. */
enum {
    CONN_EV_READABLE = 1, /* bytes, or end of file */
    CONN_EV_WRITABLE = 2, /* room in the socket buffer, or another slice is due */
    CONN_EV_RESUME = 4,   /* go on with input that was kept, or with a parked request */
    CONN_EV_DRAIN = 8,    /* the output queue is low enough for more */
    CONN_EV_NOTIFY = 16,  /* sprig_exchange_notify */
    CONN_EV_TIMEOUT = 32, /* the deadline passed */
    CONN_EV_BROKEN = 64,  /* writing failed: the peer is gone */
    CONN_EV_GONE = 128    /* report the end of file that came before the app was called */
};

struct access_record;

/* The longest id of a request. */
enum { REQUEST_ID_BYTES = 64 };

/* The request of an exchange, as far as it has arrived. */
struct incoming {
    struct sprig_request request;
    struct body body;
    struct trailers trailers;
    struct sprig_span
        body_mem; /* borrowed: a small body that lies completely in the input buffer */
    /* what follows is as it was left by an earlier one */
    struct chunk chunk;              /* HTTP/1: the coding of the body */
    char label[STATS_REQUEST_BYTES]; /* "GET /path", without a NUL */
    char request_id[REQUEST_ID_BYTES];
    char client[INET6_ADDRSTRLEN]; /* as a trusted proxy has told it; empty: none has */
};

/* One request and its response, whatever protocol carries it. The fields that each write to one of
 * thousands of clients uses come first, here and in the other structs: most of the time there goes
 * into fetching memory. */
struct sprig_exchange {
    struct sprig_conn *conn; /* owner; NULL while in the pool */
    struct outq *out;        /* where its bytes go: the queue of the connection, or its own */
    void *stream;            /* borrowed: what the protocol has for it; NULL in HTTP/1 */
    uint64_t first_ns;       /* when the first byte of the response had left; 0: not yet */
    bool is_started : 1;     /* on_request was called, so on_end will be */
    bool is_over : 1;        /* calls for it can no longer have an effect */
    bool want_drain : 1;
    bool was_high : 1;
    bool gone_told : 1;
    bool gone_early : 1; /* the client had closed its sending side before the head was out */
    bool notify : 1;
    bool is_counted : 1;   /* in the shared counters, as active */
    bool is_half_sent : 1; /* as streaming */
    bool end_after_flush : 1;
    bool has_slot : 1;     /* one of max_requests_in_flight */
    bool has_socket : 1;   /* the app uses the socket itself */
    bool is_tunnel : 1;    /* the input is not HTTP, see sprig_exchange_open_tunnel */
    bool keeps_input : 1;  /* sprig_exchange_keep_input */
    bool keeps_output : 1; /* its queue is not moved to a file */
    bool may_exceed : 1;   /* see sprig_response_may_exceed */
    bool streams : 1;      /* the body comes by on_body */
    bool body_open : 1;    /* streams: it is not complete */
    bool body_wanted : 1;  /* streams: the bridge wants it now */
    uint8_t loss;          /* enum sprig_loss */
    uint8_t n_label;       /* bytes of in->label; 0: the app was not called */
    uint8_t n_request_id;  /* 0: not asked for, or none; see request_id.h */
    struct response response;
    uint64_t body_left;           /* of Content-Length, still to come */
    uint64_t body_started_ns;     /* for min_body_rate */
    uint64_t complete_ns;         /* when the request was complete, for queue_timeout */
    uint64_t app_ns;              /* when its turn came; 0: not yet */
    uint64_t queued_ns;           /* how long it had waited before it came here */
    struct list_link wait;        /* in admission.waiting or server.parked */
    void *app;                    /* severable: the bridge's pointer */
    struct access_record *record; /* owned: for the access log; NULL without one */
    struct feed *feed;            /* owned: see feed.h; NULL mostly */
    const char *loss_detail;      /* static text: see exchange_lose; or NULL */
    uint64_t n_unsent;            /* bytes that were dropped when the connection broke */
    char *names;                  /* owned: label, id and client of a forgotten request */
    /* what follows is not zero at first */
    struct incoming *in; /* owned; an empty one that all share, once it was forgotten */
    struct sprig_exchange *next_free; /* in the pool */
};

/* What is known of its request even after that was forgotten: "GET /path"; its client as a proxy
 * has reported it, or empty. For its id see request_id.h. */
struct sprig_span exchange_label(const struct sprig_exchange *ex);
struct sprig_span exchange_client(const struct sprig_exchange *ex);

/* What is worth a way of its own to the socket: see conn_flush_piece. */
enum { CONN_PIECE_BYTES = 16 * 1024 };

/* Room in each connection for what its protocol must remember. */
enum { CONN_OWN_BYTES = 48 };

/* What few connections need. */
struct conn_rare {
    struct event *write_event;    /* owned; made when a write first blocks */
    struct proxy_header *proxied; /* owned: what the PROXY header told */
    uint64_t n_lingered_bytes;
    uint64_t linger_ns; /* when that began */
};

struct sprig_conn {
    struct flushable flush;
    struct sprig_server *server; /* borrowed: outlives its connections */
    const struct protocol *protocol;
    uint32_t n_requests;
    uint32_t generation;
    int n_unsent; /* bytes in the kernel at the last look; -1: not known */
    uint16_t pins;
    uint8_t state;          /* enum conn_state */
    uint8_t reading;        /* enum conn_reading */
    uint8_t output;         /* enum conn_output */
    uint8_t origin;         /* enum conn_origin */
    uint8_t aim;            /* enum conn_aim */
    uint8_t n_stalled;      /* looks in a row that saw no progress of a blocked write */
    uint8_t loss;           /* enum sprig_loss */
    uint8_t remote_port_at; /* offset of the port in remote_host */
    /* What is known of the other end? */
    bool peer_shut : 1;  /* the peer's end of file was seen */
    bool seems_gone : 1; /* half-closed at the last look of conn_close_gone */
    /* How does it end? */
    bool must_reset : 1;     /* it must not look orderly */
    bool must_linger : 1;    /* unread input may be on its way: do not simply close */
    bool lingers_little : 1; /* LINGER_LITTLE_BYTES: an honest client has no more to send */
    bool unread_byte : 1;    /* the last byte of the request is still in the socket: if the
                              * transport has no other reset, closing with it is one */
    bool input_is_apps : 1;  /* the app reads from the socket itself: the input is not ours */
    bool is_switched : 1;    /* nor is it any HTTP of ours: 101 was sent, or the like */
    bool is_turned_away : 1; /* was answered 503 as soon as it was accepted */
    bool is_relayed : 1;     /* its TLS goes on elsewhere: see conn_relay */
    _Alignas(8) char own[CONN_OWN_BYTES]; /* the protocol's; all zero at first */
    struct transport transport;           /* owner of the descriptor */
    struct outq out;
    struct deadline deadline;
    struct ready ready;
    struct event read_event;
    struct list_link link; /* in server->conns */
    struct reapable reap;
    struct conn_rare *rare;                /* owned; NULL mostly */
    const struct sprig_listener *listener; /* borrowed: outlives the connection, even if closed;
                                              NULL: sprig_server_adopt */
    const char *loss_detail;               /* static text: see conn_lose; or NULL */
    struct client_count *client_count;     /* shared count of its address; NULL: not counted */
    char remote_host[]; /* numeric, or "unix/"; behind its NUL the port, empty for unix */
};

/* The client's numeric address, or "unix/": that of the peer, unless a PROXY header named another.
 */
static inline const struct proxy_header *conn_proxied(const struct sprig_conn *c)
{
    return c->rare != NULL ? c->rare->proxied : NULL;
}
static inline const char *conn_client(const struct sprig_conn *c)
{
    return conn_proxied(c) != NULL ? c->rare->proxied->remote_host : c->remote_host;
}

/* The PROXY header has arrived: its addresses are now those of the connection. */
void conn_take_proxy_header(struct sprig_conn *c, const struct proxy_header *header);

/* Takes an accepted, non-blocking socket. Without a listener, it is a connection of this process
 * with itself (sprig_server_adopt). NULL if memory is short; fd is then closed. */
struct sprig_conn *conn_new(struct sprig_server *server, struct sprig_listener *listener, int fd,
                            const struct sockaddr *addr);

/* Ends the connection now: open exchanges end with `why`, the descriptor is closed, and the memory
 * is freed when no frame uses it. Harmless if it is closed. */
void conn_close(struct sprig_conn *c, enum sprig_end why);

/* The same with a reset, so that the peer cannot take what it has for complete. */
void conn_reset(struct sprig_conn *c, enum sprig_end why);

/* The client is being lost for this reason; what is noted first counts. Before what ends it. */
void conn_lose(struct sprig_conn *c, enum sprig_loss loss, const char *detail);
void exchange_lose(struct sprig_exchange *ex, enum sprig_loss loss, const char *detail);
/* The same for a request that is answered with this status, or would have been. */
void exchange_lose_by(struct sprig_exchange *ex, int status, const char *reason);

/* Called twice a second while the server is leaving: ends a request if its client is gone, or
 * closed its sending side before the last look and is not being sent anything. */
void conn_close_gone(struct sprig_conn *c);

/* Turns its transport with TLS into a plain one with another descriptor: see transport_tls_relay.
 * Returns 0, or < 0 and errno; nothing has changed then. */
int conn_relay(struct sprig_conn *c, struct sprig_span input);

/* Gives the descriptor to the caller and ends the exchanges with SPRIG_END_DETACHED. */
int conn_detach(struct sprig_conn *c);

/* In a forked child: forgets the parent's connection, without a byte, shutdown or callback. The
 * memory stays, because frames of the app may still point to it. */
void conn_abandon(struct sprig_conn *c);

/* Frees the memory of a closed connection that is not pinned. */
void conn_free(struct sprig_conn *c);

/* True if the connection can be closed without harm: its client has gone, or it is idle between
 * requests and none is on its way. */
bool conn_is_unused(const struct sprig_conn *c);

/* describe.c: writes the connections of this server to this process's entry on the board of
 * numbers. */
void server_describe(struct look_hook *h);

/* A deadline of its server's lists has passed. */
void conn_expire(struct deadline *d);

/* Reads the unread input after a 503, so that the close is not a reset, and closes: another
 * connection needs the room. */
void conn_make_room(struct sprig_conn *c);

/* ---- for protocols ---- */

/* A transition that the diagram lacks is a bug of ours: it is logged, and the connection is reset
 * in its next turn. */
void conn_set_state(struct sprig_conn *c, enum conn_state state);
void conn_pin(struct sprig_conn *c);
void conn_unpin(struct sprig_conn *c);

/* Another protocol takes over, starting with these bytes. Not while a frame of the old protocol on
 * the stack will look at conn.own again. */
void conn_speak(struct sprig_conn *c, const struct protocol *protocol, struct sprig_span input);

/* ---- reading: conn_io.c ---- */

void conn_set_reading(struct sprig_conn *c, bool on);
/* Registers the event of a connection that was just accepted, if it is still wanted. Such a
 * connection is read without an event first: usually the request is already there, and if the
 * connection closes after it, that saves two system calls. */
static inline void conn_register(struct sprig_conn *c)
{
    if (c->reading == READING_FIRST)
        conn_set_reading(c, true);
}
/* unread_byte has changed, and so have the events to wait for. */
void conn_read_anew(struct sprig_conn *c);
/* The end will be orderly, or the input belongs to somebody else: takes unread_byte out of the
 * socket. Whatever may follow it must not turn the end into a reset, either. */
void conn_take_unread(struct sprig_conn *c);
/* A new connection got its turn late because an app kept the loop busy before it. Its request would
 * seem to have waited since the beginning of the pass, so it takes the usual way. */
bool conn_is_overtaken(const struct sprig_conn *c);
void conn_on_event(evutil_socket_t fd, short what, void *arg); /* phase 1 */

/* Created when it is first needed; NULL if memory is short. */
struct conn_rare *conn_rare(struct sprig_conn *c);

/* ---- writing: conn_io.c ---- */

static inline bool conn_is_blocked(const struct sprig_conn *c)
{
    return c->output == OUTPUT_BLOCKED;
}
static inline bool conn_is_broken(const struct sprig_conn *c)
{
    return c->output == OUTPUT_BROKEN;
}
/* True if some queued output is not with the kernel yet: it is in the queue, or in the transport,
 * which then waits to become writable. */
static inline bool conn_has_output(const struct sprig_conn *c)
{
    return c->out.size > 0 || conn_is_blocked(c) || c->transport.has_unsent;
}
/* Writes the queue, as far as the socket takes it. Legal anywhere in phase 2. */
void conn_flush(struct sprig_conn *c);
/* The same for one short piece, without the work that follows a flush. False if it has not left. */
static inline bool conn_flush_piece(struct sprig_conn *c)
{
    return c->output == OUTPUT_FREE && transport_is_open(&c->transport) &&
           outq_flush_piece(&c->out, &c->transport, CONN_PIECE_BYTES);
}
/* Sends bytes that are not queued, now, if nothing is in their way. Returns how many have left. */
static inline size_t conn_send_past(struct sprig_conn *c, struct sprig_span bytes)
{
    bool is_free = c->output == OUTPUT_FREE && transport_is_open(&c->transport);
    return is_free ? outq_send_past(&c->out, &c->transport, bytes) : 0;
}
void conn_init_flush(struct sprig_conn *c);
/* A new connection takes its turn in this pass, or is at least registered at its end. */
void conn_begin(struct sprig_conn *c);
/* Something was queued: flush it at the end of the pass. */
static inline void conn_flush_later(struct sprig_conn *c)
{
    if (!conn_is_broken(c) && !list_linked(&c->flush.link))
        loop_flush_later(c->server->loop, &c->flush);
}
/* The deadline of a blocked write has passed. False if the peer has taken bytes meanwhile or has
 * time left; the deadline is then set again. */
bool conn_write_is_stalled(struct sprig_conn *c);
/* Restores the deadline of what is still being written; without any, there is none. */
void conn_rest_deadline(struct sprig_conn *c);
/* Sets the deadline of a connection that is idle and has sent everything: keepalive_timeout, or a
 * moment if the server is leaving. */
void conn_await_request(struct sprig_conn *c);
/* The server is leaving, and there was no request yet: it has some seconds, if it had longer. */
void conn_await_first(struct sprig_conn *c);
void conn_stop_writing(struct sprig_conn *c);
/* Our side is complete: ends it, and discards the input for a while. */
void conn_linger(struct sprig_conn *c);
/* Everything is written: says so within the stream, if the transport supports that. False if that
 * cannot leave yet, or never will; if it can later, this is called again. */
bool conn_end_output(struct sprig_conn *c);
/* The last byte of the last response is with the kernel: closes, or lingers if there may be unread
 * input. If the app uses the socket itself, the input is the app's. */
void conn_finish(struct sprig_conn *c);
/* Nothing more can be written: calls for its exchanges have no effect from now on. */
void conn_mark_broken(struct sprig_conn *c);
/* The same, but tells the bridge in a turn of its own, because the caller may be in the middle of a
 * call from Perl. Then the connection is reset. */
void conn_break(struct sprig_conn *c);
void conn_on_broken(struct sprig_conn *c);
/* The same for a read that has just failed. */
void conn_fail_reading(struct sprig_conn *c);

/* ---- conn_log.c: only for servers with an access log, unless they say otherwise ---- */

/* The request of the exchange is known, or these bytes are not a request. */
void conn_log_request(struct sprig_exchange *ex);
void conn_log_raw(struct sprig_exchange *ex, struct sprig_span bytes);
/* For exchanges with a record: the response's head, and the end, which adds the line. */
void conn_log_head(struct sprig_exchange *ex, const struct sprig_head *head);
void conn_log_end(struct sprig_exchange *ex, enum sprig_end why);
/* A request that is answered without the app; or a part of one, of which `bytes` have come (ex
 * NULL, or without a record). Also without an access log. */
void conn_log_refusal(struct sprig_conn *c, struct sprig_exchange *ex, struct sprig_span bytes,
                      int status, const char *reason, uint64_t n_body);

/* The client that a log message names: as trusted proxies report it if the head of the request is
 * still there, otherwise as the PROXY header or the socket does. Every message that names a client
 * gets the name here, before the exchange ends. */
enum { CLIENT_WHAT_BYTES = 120 };
struct client_name {
    char text[INET6_ADDRSTRLEN];
    char id[REQUEST_ID_BYTES]; /* of the request, if it is known to have one */
    uint8_t n_id;
    char what[CLIENT_WHAT_BYTES]; /* "GET /path", if it is known */
};
struct client_name conn_client_name(struct sprig_conn *c, struct sprig_exchange *ex);
/* Logs one line, within the limits of refusals.h: status (0: reset), client, reason (static text).
 */
void conn_tell(struct sprig_conn *c, struct sprig_exchange *ex, int status, const char *reason);
void conn_tell_of(struct sprig_conn *c, const struct client_name *client, int status,
                  const char *reason);

/* ---- exchange.c ---- */

/* Creates an exchange whose bytes go to `out`. NULL if memory is short. */
struct sprig_exchange *exchange_start(struct sprig_conn *c, struct outq *out);
/* Tells the bridge, if that knows the exchange, and returns it to the pool; its owner has forgotten
 * it. Enters Perl. */
void exchange_end(struct sprig_exchange *ex, enum sprig_end why);
void exchange_pool_clear(struct sprig_exchange *free_list);
/* True if a call on the exchange can no longer have an effect, also in a forked child. Whatever the
 * bridge calls checks this first. */
bool exchange_is_over(struct sprig_exchange *ex);
/* What the request waited for is there: its connection resumes it in its next turn. */
void exchange_resume(struct sprig_exchange *ex);
/* Adds it to this list, or removes it from its list. Harmless if that is already so. */
void exchange_wait(struct sprig_exchange *ex, struct list_link *list);
void exchange_stop_waiting(struct sprig_exchange *ex);

/* The head of the request is known: counts and logs it. */
void exchange_take_head(struct sprig_exchange *ex);
/* True if its body is to stream. */
bool exchange_must_stream(const struct sprig_exchange *ex);
/* Keeps a piece of the body. Returns 0, or the status to refuse the request with, for *reason. */
int exchange_store_body(struct sprig_exchange *ex, struct sprig_span piece, const char **reason);
/* True if the average since the head is below min_body_rate; the first seconds are free. */
bool exchange_body_is_slow(const struct sprig_exchange *ex);

/* The request is complete. Either its app may be called now; or it waits, until no app call is on
 * the stack or for one of max_requests_in_flight, and exchange_resume follows; or it has waited too
 * long. */
enum exchange_turn { TURN_NOW, TURN_LATER, TURN_STALE };
enum exchange_turn exchange_take_turn(struct sprig_exchange *ex);
/* Whatever waits must survive the shared buffer: like exchange_store_body. */
int exchange_park(struct sprig_exchange *ex, const char **reason);
/* Enters the bridge. From here on, nothing may depend on the shared buffer. */
void exchange_call_app(struct sprig_exchange *ex);
/* The request is complete, or as complete as the app needs it, and waits for its turn. */
static inline bool exchange_waits(const struct sprig_exchange *ex)
{
    return ex != NULL && !ex->is_started && ex->complete_ns != 0;
}
static inline bool exchange_is_streaming(const struct sprig_exchange *ex)
{
    return ex != NULL && ex->body_open;
}
/* It has an end, and a deadline. */
static inline bool exchange_awaits_body(const struct sprig_exchange *ex)
{
    return exchange_is_streaming(ex) && !ex->is_tunnel;
}

/* What the exchange was waiting for has happened (CONN_EV_DRAIN, CONN_EV_NOTIFY): tells the bridge,
 * unless that has changed. */
void exchange_tell_body(struct sprig_exchange *ex, struct sprig_span bytes, bool is_last);
void exchange_tell_drained(struct sprig_exchange *ex);
void exchange_tell_notified(struct sprig_exchange *ex);
/* Like sprig_response_write_shared, for bytes whose chunk was made before: response_body_chunk. */
int exchange_write_chunk(struct sprig_exchange *ex, struct sprig_span chunk,
                         struct sprig_span bytes, outq_release_cb *release, void *arg);
/* The same for a short chunk, at once rather than at the end of the pass, where nothing waits to be
 * sent before it and nothing waits for it to leave. False: it is to take the usual way. */
bool exchange_send_chunk(struct sprig_exchange *ex, struct sprig_span chunk,
                         struct sprig_span bytes);
/* Fetches what that looks at, in two steps: the exchange, its connection. */
static FETCHING void exchange_fetch(const struct sprig_exchange *ex)
{
    FETCH(ex);
    FETCH(&ex->response.n_body);
}
static FETCHING void exchange_fetch_conn(const struct sprig_exchange *ex)
{
    const struct sprig_conn *c = ex->conn;
    FETCH(c);
    FETCH(&c->own);
    FETCH(&c->transport);
    FETCH(&c->out);
    FETCH(&c->deadline);
}
/* The response is no longer wanted: tells the bridge once. */
void exchange_tell_gone(struct sprig_exchange *ex);
/* The peer closed its sending side or is gone: the same. */
void exchange_peer_gone(struct sprig_exchange *ex);
/* Bytes of its queue have left: has it fallen to low_water_bytes? */
void exchange_check_low_water(struct sprig_exchange *ex);
/* Its queue is about to be dropped: calls for it no longer have an effect. */
static inline void exchange_sever(struct sprig_exchange *ex)
{
    ex->is_over = true;
    if (ex->out->size > 0)
        ex->n_unsent = ex->out->size;
}

#endif

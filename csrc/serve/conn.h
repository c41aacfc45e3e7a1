/* conn.h - one connection: its state machine, its input and output, its end. Knows no Perl.
 *
 *   IDLE -> HEAD -> BODY -> APP -> REPLY -> IDLE or LINGER -> CLOSED        DETACHED: the app's
 *
 *   from    to
 *   IDLE    HEAD; BODY, APP where head or body came at once; REPLY: refused, or closing
 *   HEAD    BODY, APP; REPLY: refused
 *   BODY    APP; REPLY: refused
 *   APP     REPLY; DETACHED
 *   REPLY   IDLE, LINGER; DETACHED: the app took the socket behind its head
 *   any     CLOSED
 *
 * conn_set_state() is the only place that changes the state, and refuses all else. */
#ifndef SPRIG_CONN_H
#define SPRIG_CONN_H

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
    CONN_IDLE,     /* between requests: no byte of the next one has come */
    CONN_HEAD,     /* part of a head has come */
    CONN_BODY,     /* the head is complete, the body is not */
    CONN_APP,      /* the request waits for the app, or the app for its answer; no head is out */
    CONN_REPLY,    /* the head of the response is out, or its last bytes are being written */
    CONN_LINGER,   /* our side is shut down; input is discarded so that no reset cuts the answer */
    CONN_DETACHED, /* the socket is the app's */
    CONN_CLOSED    /* waits for the reaper */
};

/* Reasons in conn.ready.what. */
enum {
    CONN_EV_READABLE = 1, /* bytes, or end of file */
    CONN_EV_WRITABLE = 2, /* room in the socket buffer, or another slice is due */
    CONN_EV_RESUME = 4,   /* go on with input that was kept, or with a held request */
    CONN_EV_DRAIN = 8,    /* the output queue is low enough for more */
    CONN_EV_NOTIFY = 16,  /* sprig_exchange_notify */
    CONN_EV_TIMEOUT = 32, /* the deadline passed */
    CONN_EV_BROKEN = 64,  /* writing failed: the peer is gone */
    CONN_EV_GONE = 128    /* the end of file that came before the app was called is to be told */
};

/* While a request is being answered, at most about this much of what is pipelined behind it is
 * read; the rest stays in the kernel and pushes back on the client. */
enum { CONN_PIPELINE_BYTES = 64 * 1024 };

struct access_record;

struct sprig_exchange {
    struct sprig_conn *conn; /* owner; NULL while in the pool */
    struct outq *out;        /* where its bytes go: the queue of the connection */
    struct sprig_request request;
    struct response response;
    struct body body;
    struct sprig_span body_mem; /* borrowed: a small body that lies in the input buffer whole */
    struct chunk chunk;
    uint64_t body_left;           /* of Content-Length, still to come */
    uint64_t body_started_ns;     /* for min_body_rate */
    uint64_t complete_ns;         /* when the request was complete, for queue_timeout */
    struct list_link wait;        /* in admission.waiting or server.held */
    void *app;                    /* severable: the bridge's pointer */
    struct access_record *record; /* owned: for the access log; NULL without one */
    struct feed *feed;            /* owned: see feed.h; NULL mostly */
    uint64_t n_unsent;            /* bytes that were dropped when the connection broke */
    bool is_started : 1;          /* on_request was called, so on_end will be */
    bool is_over : 1;             /* nothing of what is asked of it can have an effect any more */
    bool want_drain : 1;
    bool was_high : 1;
    bool gone_told : 1;
    bool left_early : 1; /* the client had closed its sending side before the head was out */
    bool notify : 1;
    bool end_after_flush : 1;
    bool has_slot : 1;                /* one of max_requests_in_flight */
    bool streams : 1;                 /* the body comes by on_body */
    bool body_open : 1;               /* streams: it is not complete */
    bool body_wanted : 1;             /* streams: the bridge wants it now */
    struct sprig_exchange *next_free; /* in the pool */
};

struct sprig_conn {
    struct sprig_server *server; /* borrowed: outlives its connections */
    struct list_link link;       /* in server->conns */
    struct ready ready;
    struct flushable flush;
    struct reapable reap;
    struct deadline deadline;
    struct sprig_exchange *ex;      /* owned; NULL between requests */
    char *in;                       /* owned: input that could not be used yet; NULL mostly */
    uint32_t in_at, in_len, in_cap; /* unused bytes are in[in_at .. in_len) */
    struct parser parser;
    struct outq out;
    struct event *write_event;             /* owned; made when a write first blocks */
    const struct sprig_listener *listener; /* borrowed: outlives the connection, even if closed;
                                              NULL: sprig_server_adopt */
    struct transport transport;            /* owner of the descriptor */
    const struct protocol *protocol;
    struct proxy_header *proxied; /* owned: what the PROXY header told; NULL mostly */
    struct peer *peer;            /* shared count of its address; NULL: not counted */
    uint32_t n_requests;
    uint32_t n_turn; /* requests in this turn */
    uint32_t generation;
    uint64_t n_lingered_bytes;
    uint64_t linger_ns; /* when that began */
    int n_unsent;       /* bytes in the kernel at the last look; -1: not known */
    uint16_t pins;
    uint8_t state;     /* enum conn_state */
    uint8_t n_stalled; /* looks in a row that saw no progress of a blocked write */
    /* Is it read, is it written? To be read without an event: a new one, in its first pass. */
    bool is_reading : 1;    /* what comes is read */
    bool is_registered : 1; /* read_event is */
    bool is_writing : 1;    /* write_event is registered */
    /* What is known of the other end? */
    bool peer_shut : 1;  /* the peer's end of file was seen */
    bool is_leaving : 1; /* half-closed at the last look of conn_close_left */
    /* How does it end? is_broken goes before the rest; must_linger matters with must_close only. */
    bool is_broken : 1;   /* a write failed */
    bool must_reset : 1;  /* the end must not look orderly */
    bool must_close : 1;  /* no further request after this one */
    bool must_linger : 1; /* unread input may be on its way: do not just close */
    bool unread_byte : 1; /* the last byte of the request still lies in the socket: where the
                             transport has no other reset, a close with it is one */
    /* Whose is what comes in? */
    bool reading_is_over : 1; /* the app reads from the socket itself; implies must_close */
    bool is_switched : 1;     /* 101 was sent: what follows is no HTTP of ours */
    /* How did it begin? is_anonymous comes after awaits_proxy. */
    bool awaits_proxy : 1;   /* the PROXY header has not come yet */
    bool is_anonymous : 1;   /* it has, and does not name the client: nobody else is believed */
    bool is_turned_away : 1; /* was answered 503 as soon as it was accepted */
    /* Who is at work? */
    bool is_running : 1;    /* a frame of conn_run: it settles the exchange */
    uint8_t remote_port_at; /* offset of the port in remote_host */
    struct event read_event;
    char remote_host[]; /* numeric, or "unix/"; behind its NUL the port, empty for unix */
};

/* The client's numeric address, or "unix/": the peer's, unless a PROXY header told another. */
static inline const char *conn_client(const struct sprig_conn *c)
{
    return c->proxied != NULL ? c->proxied->remote_host : c->remote_host;
}

/* Takes an accepted, non-blocking socket. Without a listener it is a connection of this process
 * with itself (sprig_server_adopt). NULL: no memory; fd is closed. */
struct sprig_conn *conn_new(struct sprig_server *server, struct sprig_listener *listener, int fd,
                            const struct sockaddr *addr);

/* Ends the connection now: an open exchange ends with `why`, the descriptor is closed, the memory
 * goes when no frame uses it. Harmless if closed. */
void conn_close(struct sprig_conn *c, enum sprig_end why);

/* The same with a reset, so that the peer cannot take what it got for complete. */
void conn_reset(struct sprig_conn *c, enum sprig_end why);

/* For a draining server, twice a second: ends a request whose client has left, or has closed its
 * sending side before the last look and is not being sent anything. */
void conn_close_left(struct sprig_conn *c);

/* Gives the descriptor to the caller, and ends the exchange with SPRIG_END_DETACHED. */
int conn_detach(struct sprig_conn *c);

/* In a forked child: forgets the parent's connection. No byte, no shutdown, no callback; its memory
 * stays, since frames of the app may still point to it. */
void conn_abandon(struct sprig_conn *c);

/* Frees the memory of a closed connection that nobody has pinned. */
void conn_free(struct sprig_conn *c);

/* Whether the connection can be closed without harm: its client has gone, or it is idle between
 * requests, and none is on its way already. */
bool conn_is_unused(const struct sprig_conn *c);

/* The deadline of its server's lists passed. */
void conn_expire(struct deadline *d);

/* ---- between conn.c, conn_input.c, conn_output.c and exchange.c ---- */

/* A move that the diagram does not have is a mistake of ours: it is logged, and the connection is
 * reset in its next turn. */
void conn_set_state(struct sprig_conn *c, enum conn_state state);
void conn_pin(struct sprig_conn *c);
void conn_unpin(struct sprig_conn *c);

/* conn_input.c */
void conn_set_reading(struct sprig_conn *c, bool on);
/* A connection that was just accepted is read from before its event is registered: the request is
 * mostly there, and where the connection closes after it, that spares two system calls. This
 * registers the event if it is still wanted. */
static inline void conn_register(struct sprig_conn *c)
{
    if (c->is_reading && !c->is_registered)
        conn_set_reading(c, true);
}
/* The end will be orderly, or the input somebody else's: takes unread_byte out of the socket. What
 * may lie behind it must not make a reset of the end, either. */
void conn_take_unread(struct sprig_conn *c);
void conn_on_event(evutil_socket_t fd, short what, void *arg); /* phase 1 */
void conn_read(struct sprig_conn *c);                          /* on readable */
void conn_resume(struct sprig_conn *c); /* goes on with kept input or a held request */
/* conn_stream.c */
/* True if the body of this request is to stream. */
bool conn_must_stream(const struct sprig_conn *c);
/* The body is open: receives some of it; goes on with what is kept; its deadline, unless a write
 * has one. */
void conn_stream_receive(struct sprig_conn *c);
void conn_stream_resume(struct sprig_conn *c);
void conn_stream_set_deadline(struct sprig_conn *c);
void conn_stream_fail(struct sprig_conn *c, int status, const char *reason);
/* Makes input survive the shared buffer; *rest lies in the connection then. False: no memory. */
bool conn_keep(struct sprig_conn *c, struct sprig_span *rest);
void conn_drop_input(struct sprig_conn *c); /* forgets it, and its memory */
/* The request is complete, or as far as the app needs it, and waits for its turn. */
static inline bool conn_waits_for_app(const struct sprig_conn *c)
{
    return c->state == CONN_APP && c->ex != NULL && !c->ex->is_started;
}
static inline bool conn_is_streaming(const struct sprig_conn *c)
{
    return c->ex != NULL && c->ex->body_open;
}

/* The input kept in the connection. */
struct sprig_span conn_kept_input(const struct sprig_conn *c);

/* conn_output.c */
/* Something of what was queued is not with the kernel yet: in the queue, or in the transport, which
 * then waits to be writable. */
static inline bool conn_has_output(const struct sprig_conn *c)
{
    return c->out.size > 0 || c->is_writing;
}
/* Writes what is queued, as far as the socket takes it. Legal from anywhere in phase 2. */
void conn_flush(struct sprig_conn *c);
void conn_init_flush(struct sprig_conn *c);
/* A new connection takes its turn in this pass, or at least is registered at its end. */
void conn_begin(struct sprig_conn *c);
/* Queues the flush for the end of the pass, or writes now if there is much. */
void conn_output_added(struct sprig_conn *c);
/* A write is blocked, and it is what the deadline is about: while a head or body is coming, that
 * has one of its own. */
static inline bool conn_awaits_writable(const struct sprig_conn *c)
{
    return c->is_writing && c->state != CONN_HEAD && c->state != CONN_BODY;
}
/* The deadline of a blocked write passed. False: the peer has taken bytes meanwhile, or has time
 * left; the deadline is set anew. */
bool conn_write_is_stalled(struct sprig_conn *c);
/* If the response is complete and its bytes are out (enough): ends the exchange and goes to IDLE,
 * or closes. True: the connection is IDLE and may take the next request. */
bool conn_settle(struct sprig_conn *c);
/* The same outside of conn_resume: requests that were pipelined behind it come in the next turn. */
void conn_settle_later(struct sprig_conn *c);
/* Takes no further request and closes when what is queued is out: at once, if nothing is. No
 * request may be started. */
void conn_close_after_output(struct sprig_conn *c);
/* All that was queued is written: sets the deadline that is next. */
void conn_written(struct sprig_conn *c);
/* Sets the deadline of a connection that is idle and has sent everything: keepalive_timeout, or a
 * moment if the server is draining. */
void conn_await_request(struct sprig_conn *c);
/* The body of the request may come: an interim 100 if the client waits for one (RFC 9110 section
 * 10.1.1). Not where it has begun to come already. */
void conn_invite(struct sprig_conn *c);
/* Answers with an error status of ours, closes afterwards, logs the reason. */
void conn_refuse(struct sprig_conn *c, int status, const char *reason);
/* Closes one that does without harm, for another one. What lies unread behind a 503 would turn the
 * close into a reset. */
void conn_make_room(struct sprig_conn *c);
/* The same with 503 for a connection just accepted, without a line in the log. */
void conn_turn_away(struct sprig_conn *c);
/* Restores the deadline of what is still being written, if anything is; else there is none. */
void conn_rest_deadline(struct sprig_conn *c);
/* What is queued is about to be dropped. */
static inline void conn_count_unsent(struct sprig_conn *c)
{
    if (c->ex != NULL && c->out.size > 0)
        c->ex->n_unsent = c->out.size;
}
static inline void conn_mark_broken(struct sprig_conn *c)
{
    c->is_broken = true;
    if (c->ex != NULL)
        c->ex->is_over = true;
}
/* Nothing more can be written. Told to the bridge in a turn of its own, since whoever found out may
 * be in the middle of a call from Perl; then the connection is reset. */
void conn_break(struct sprig_conn *c);
void conn_on_broken(struct sprig_conn *c);

/* conn_log.c: only for servers with an access log, unless they say otherwise */
/* The request of the exchange is known; or these bytes are none. */
void conn_log_request(struct sprig_conn *c);
void conn_log_raw(struct sprig_conn *c, struct sprig_span bytes);
/* For exchanges with a record: the head of the response, and the end, which adds the line. */
void conn_log_head(struct sprig_exchange *ex, const struct sprig_head *head);
void conn_log_end(struct sprig_exchange *ex, enum sprig_end why);
/* A request that is answered without the app, or a part of one; also without an access log. */
void conn_log_refusal(struct sprig_conn *c, int status, uint64_t n_body);

/* Whom a message of the log is about: as trusted proxies tell it where the head of the request is
 * still there, else as the PROXY header or the socket does. Every message that names a client gets
 * the name here, before the exchange ends. */
struct client_name {
    char text[INET6_ADDRSTRLEN];
};
struct client_name conn_client_name(struct sprig_conn *c);
/* One line, within the limits of refusals.h: status (0: reset), client, reason (static text). */
void conn_tell(struct sprig_conn *c, int status, const char *reason);

/* exchange.c */
struct sprig_exchange *exchange_start(struct sprig_conn *c);
/* Tells the bridge if it knows the exchange, and gives it back to the pool. */
void exchange_end(struct sprig_conn *c, enum sprig_end why);
/* What the request waited for is there: its connection goes on with it in its next turn. */
void exchange_resume(struct sprig_exchange *ex);
void exchange_pool_clear(struct sprig_exchange *free_list);
/* The peer closed its sending side or is gone: told to the bridge once. */
void exchange_peer_gone(struct sprig_exchange *ex);

#endif

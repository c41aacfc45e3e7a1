/* h2.h - HTTP/2 on a connection (RFC 9113): many exchanges at a time, each on a stream of its own.
 *
 * nghttp2 carries the frames and HPACK; what a request may be, flow control, limits and turns are
 * ours.
 *
 * The callbacks of nghttp2 (session.c) obey the rule of those of libevent: they change what is
 * declared here, may call nghttp2_submit_*, and put a stream into the list of those that are due;
 * nothing else. No handler of the server runs inside, nothing is closed, nothing is logged but by
 * log_later. h2.c runs the streams that are due behind them, one at a time. nghttp2 is never
 * entered twice: the app may run a pass inside its own, but it never runs inside nghttp2.
 *
 *   request of a stream                     response
 *   HEAD     its head is coming             NONE     no final head yet
 *   BODY     its body is coming             SENDING  the head is submitted
 *   WHOLE    END_STREAM has come            ENDED    nothing is added any more
 *   REFUSED  is answered by us
 *
 * Each only moves down its column; what it leaves out may be left out. */
#ifndef SPRIG_H2_H
#define SPRIG_H2_H

#include "h2/budget.h"
#include "h2/memory.h"
#include "h2/nghttp2.h"
#include "serve/conn.h"

/* So much of what the streams have is put into frames ahead of what the socket takes: more would
 * only take the choice among them away from the time when there is room. */
enum { H2_AHEAD_BYTES = 64 * 1024 };

/* Why a stream is due, beside CONN_EV_RESUME, _DRAIN, _NOTIFY and _TIMEOUT. */
enum {
    H2_EV_REQUEST = 1 << 16, /* it is complete, or as far as the app needs it; or is refused */
    H2_EV_INVITE = 2 << 16,  /* its body may come */
    H2_EV_BODY = 4 << 16,    /* more of its body has come */
    H2_EV_SENT = 8 << 16,    /* something was put into frames: it may be over, or want more */
    H2_EV_CLOSED = 16 << 16  /* nghttp2 has forgotten it */
};

enum h2_request { H2_HEAD, H2_BODY, H2_WHOLE, H2_REFUSED };
enum h2_response { H2_NONE, H2_SENDING, H2_ENDED };

/* A head while it comes: bytes, and where in them the fields are. */
struct h2_field {
    uint32_t at, n_name, n_value; /* the value follows the name; n_name 0: not there */
};
struct h2_head {
    char *bytes;             /* owned */
    struct h2_field *fields; /* owned */
    uint32_t n_bytes, room_bytes, n_fields, room_fields;
    uint32_t n_counted;     /* fields, for max_headers */
    uint64_t bytes_counted; /* of them as lines of HTTP/1, for max_header_bytes */
    struct h2_field method, scheme, path, authority, protocol;
};

struct h2_stream {
    struct h2 *h2;         /* owner */
    int32_t id;            /* 0: nghttp2 has forgotten it */
    uint32_t what;         /* why it is due */
    struct list_link link; /* in h2.streams */
    struct list_link due;  /* in h2.due */
    uint16_t pins;
    uint8_t request, response; /* enum h2_request, h2_response */
    bool is_deferred : 1;      /* nghttp2 has asked for bytes when there were none */
    bool has_sent_end : 1;     /* END_STREAM is in the queue of the connection, see sent_at */
    bool is_reset : 1;         /* RST_STREAM is on its way */
    bool is_tunnel : 1;        /* it is to be a WebSocket: what comes has no end */
    bool is_cut : 1;  /* and was, from either side, before the stream had come to its end */
    uint16_t refusal; /* H2_REFUSED: the status, for `reason` (static) */
    const char *reason;
    struct sprig_exchange *ex; /* owned; NULL before its head is complete, and once it is over */
    struct h2_head head;       /* H2_HEAD */
    struct outq out;           /* of the response, not in frames yet */
    char *in;                  /* owned: of a body that streams, what the app has not taken */
    size_t n_in, room_in;
    nghttp2_nv *trailers; /* owned: what is sent behind the body, in one piece; NULL: nothing */
    size_t n_trailers;
    uint64_t sent_at; /* h2.n_queued when END_STREAM was queued */
    struct stream_deadline deadline;
};

/* What the deadline of the connection is about, where no write is blocked. */
enum h2_wait {
    H2_WAITS_NOT,
    H2_WAITS_FIRST, /* for one request, though the server leaves */
    H2_WAITS_BEGIN, /* for the first SETTINGS */
    H2_WAITS_HEAD,  /* for the rest of a head */
    H2_WAITS_ACK,   /* for the client to take note of our SETTINGS */
    H2_WAITS_LEAVE, /* for the second GOAWAY */
    H2_WAITS_IDLE   /* for a request */
};

/* How far the frames have come. */
struct h2_scan {
    uint32_t left;    /* bytes of the frame that is passing */
    uint8_t n_head;   /* of the next one so far */
    uint8_t head[13]; /* of PRIORITY the dependency as well */
};

/* Frames for streams that we have reset may be on their way: so many of those are remembered. */
enum { H2_RESETS_KNOWN = 64 };

struct h2 {
    struct sprig_conn *conn;
    nghttp2_session *session; /* owned; to be entered by h2_awake */
    struct h2_memory memory;  /* its */
    struct stream_deadline rest;
    uint32_t n_requests;       /* of the connection, when that was set */
    struct list_link streams;  /* owned: struct h2_stream.link */
    struct list_link due;      /* struct h2_stream.due, in the order of their turns */
    struct h2_stream *heading; /* the one whose head is coming */
    uint64_t n_queued;         /* bytes that were ever put into the queue of the connection */
    uint32_t n_streams;
    uint32_t n_open;         /* of these, those that nghttp2 knows: up to http2_max_streams */
    uint32_t n_turn;         /* requests in this turn */
    uint8_t wait;            /* enum h2_wait */
    struct h2_budget resets; /* streams that end before they are answered */
    struct h2_budget frames; /* those that get nothing done */
    struct h2_scan scan;
    int32_t last_id;                    /* the highest that a client has used */
    int32_t reset_ids[H2_RESETS_KNOWN]; /* a ring */
    uint32_t n_reset_ids;               /* ever */
    uint64_t block_bytes;               /* of the head, or trailers, whose frames are coming */
    const char *fault;   /* static: why GOAWAY is on its way, to be told in the log */
    bool is_inside : 1;  /* nghttp2 is on the stack */
    bool is_running : 1; /* a frame of h2_step */
    bool has_begun : 1;  /* SETTINGS has come */
    bool has_failed : 1; /* nghttp2 cannot be used any more */
    bool is_torn : 1;    /* what was sent ends within a frame, which h2_fill tells the connection */
    bool is_ending : 1;  /* GOAWAY is on its way that ends all: what comes is dropped */
    bool fault_is_told : 1;
    bool in_block : 1;   /* CONTINUATION has to follow */
    bool has_ack : 1;    /* and ours was acknowledged */
    bool must_leave : 1; /* max_keepalive_requests */
    bool is_leaving : 1; /* the first GOAWAY was sent: no new streams */
    bool has_left : 1;   /* the second, with the last stream that is served */
};

static inline struct h2 *h2_of(const struct sprig_conn *c)
{
    struct h2 *h2;
    memcpy(&h2, c->own, sizeof h2);
    return h2;
}

/* Before nghttp2 is entered where no stream is open: the connection may be resting. */
static inline nghttp2_session *h2_awake(struct h2 *h2)
{
    h2_memory_wake(&h2->memory);
    return h2->session;
}

static inline struct h2_stream *h2_stream_of(const struct sprig_exchange *ex)
{
    return ex->stream;
}

/* ---- session.c ---- */

/* A session for this connection, with SETTINGS queued. SPRIG_E_NOMEM. */
int h2_session_new(struct h2 *h2);
/* Gives it what was received. False: it has failed, and the connection ends behind GOAWAY. */
bool h2_session_receive(struct h2 *h2, struct sprig_span bytes);
/* Puts frames into the queue of the connection, up to H2_AHEAD_BYTES. False: it cannot go on. */
bool h2_session_fill(struct h2 *h2);
/* GOAWAY with this code: nothing that comes is looked at any more, and the connection ends when it
 * has been sent. Also in callbacks; static reason, NULL: none for the log. */
void h2_session_end(struct h2 *h2, uint32_t error, const char *reason);
/* As many clients are still served as have begun: a first GOAWAY; then, a round trip later, the one
 * that names the last stream. */
void h2_session_leave(struct h2 *h2);
void h2_session_leave_now(struct h2 *h2);
/* GOAWAY was sent, and all streams are over. */
bool h2_session_is_over(struct h2 *h2);
/* Submits a response with what the stream has, or will have, as its body. One that nghttp2 has
 * forgotten takes it as well: the app hears in the stream's turn that the client is gone. */
int h2_session_respond(struct h2_stream *s, const nghttp2_nv *fields, size_t n, bool has_body);
/* The same with an interim response. */
int h2_session_inform(struct h2_stream *s, const nghttp2_nv *fields, size_t n);

/* ---- frames.c ---- */

void h2_scan_init(struct h2_scan *scan);
/* Gives what was received to the session, frame by frame; returns as h2_session_receive. */
bool h2_receive(struct h2 *h2, struct sprig_span bytes);
/* We have reset a stream. */
void h2_remember_reset(struct h2 *h2, int32_t id);

/* ---- head.c: requests ---- */

/* Takes a field while the head comes; or refuses the stream. False: it was refused, and goes far
 * beyond the limits all the same. */
bool h2_head_add(struct h2_stream *s, struct sprig_span name, struct sprig_span value);
/* The same for what stands behind the body. */
bool h2_head_add_trailer(struct h2_stream *s, struct sprig_span name, struct sprig_span value);
/* The head is complete: makes the exchange with its request; or refuses the stream. is_whole: there
 * is no body. */
void h2_head_finish(struct h2_stream *s, bool is_whole);
void h2_head_clear(struct h2_head *head);

/* ---- stream.c ---- */

struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id);
/* Frees it if nobody needs it any more. */
void h2_stream_release(struct h2_stream *s);
void h2_stream_free(struct h2_stream *s);
/* It gets a turn. */
void h2_stream_wake(struct h2_stream *s, uint32_t what);
/* Its turn. Enters Perl. */
void h2_stream_run(struct h2_stream *s, uint32_t what);
/* Ends its exchange, if it has one. Enters Perl. */
void h2_stream_end_exchange(struct h2_stream *s, enum sprig_end why);
/* Nothing more of it is sent: RST_STREAM. */
void h2_stream_reset(struct h2_stream *s, uint32_t error);
/* It will be answered with this status, without the app; static reason. */
void h2_stream_refuse(struct h2_stream *s, int status, const char *reason);
/* Part of its body has come. False: the bytes are done with; else they are, when the app has taken
 * them. */
bool h2_stream_take_body(struct h2_stream *s, struct sprig_span bytes);
/* Sets the deadline of what it waits for. */
void h2_stream_set_deadline(struct h2_stream *s);

/* ---- response.c ---- */

int h2_response_head(struct sprig_exchange *ex, const struct sprig_head *head, char *why, size_t n);
int h2_response_interim(struct sprig_exchange *ex, const struct sprig_head *head, char *why,
                        size_t n);
/* Keeps them until the body is out. */
int h2_response_trailers(struct sprig_exchange *ex, const struct sprig_header *fields,
                         size_t n_fields, char *why, size_t n);
/* An interim 100. */
void h2_response_invite(struct h2_stream *s);
/* An answer of ours: status, and its reason phrase as a body. SPRIG_E_NOMEM or 0. */
int h2_response_error(struct h2_stream *s, int status, bool is_head);

#endif

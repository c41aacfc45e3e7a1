/* h2.h - HTTP/2 on a connection (RFC 9113): many exchanges at a time, each on a stream of its own.
 *
 * nghttp2 handles frames and HPACK; the validity of requests, flow control, limits and turns are
 * ours.
 *
 * The callbacks of nghttp2 (session.c) obey the same rule as those of libevent: they change what is
 * declared here, may call nghttp2_submit_*, and put a stream on the list of due streams; nothing
 * else. Inside them no handler of the server runs, nothing is closed, and messages are logged only
 * with log_later. Afterwards h2.c runs the due streams one at a time. nghttp2 is never entered
 * twice: the app may run a pass within its own, but it never runs inside nghttp2.
 *
 *   request of a stream                     response
 *   HEAD     its head is arriving           NONE     no final head yet
 *   BODY     its body is arriving           SENDING  the head is submitted
 *   WHOLE    END_STREAM has arrived         ENDED    nothing more will be added
 *   REFUSED  we answer it ourselves
 *
 * Each only moves down its column, and may skip steps. */
#ifndef SPRIG_H2_H
#define SPRIG_H2_H

#include "h2/budget.h"
#include "h2/memory.h"
#include "h2/nghttp2.h"
#include "serve/conn.h"

/* How much of the streams' output is put into frames ahead of what the socket takes. More would
 * only decide earlier than necessary which stream goes next. */
enum { H2_AHEAD_BYTES = 64 * 1024 };

/* Why a stream is due, besides CONN_EV_RESUME, _DRAIN, _NOTIFY and _TIMEOUT. */
enum {
    H2_EV_REQUEST = 1 << 16, /* the request is complete, or far enough for the app, or refused */
    H2_EV_INVITE = 2 << 16,  /* invite the body */
    H2_EV_BODY = 4 << 16,    /* more of the body has arrived */
    H2_EV_SENT = 8 << 16, /* something was put into frames: the stream may be over, or want more */
    H2_EV_CLOSED = 16 << 16 /* nghttp2 has forgotten it */
};

enum h2_request { H2_HEAD, H2_BODY, H2_WHOLE, H2_REFUSED };
enum h2_response { H2_NONE, H2_SENDING, H2_ENDED };

/* A head while it arrives: its bytes, and where the fields are in them. */
struct h2_field {
    uint32_t at, n_name, n_value; /* the value follows the name; n_name 0: not there */
};
struct h2_head {
    char *bytes;             /* owned */
    struct h2_field *fields; /* owned */
    uint32_t n_bytes, room_bytes, n_fields, room_fields;
    uint32_t n_counted;     /* number of fields, for max_headers */
    uint64_t bytes_counted; /* their length as lines of HTTP/1, for max_header_bytes */
    struct h2_field method, scheme, path, authority, protocol;
};

struct h2_stream {
    struct h2 *h2;         /* owner */
    int32_t id;            /* 0: nghttp2 has forgotten the stream */
    uint32_t what;         /* why the stream is due */
    struct list_link link; /* in h2.streams */
    struct list_link due;  /* in h2.due */
    uint16_t pins;
    uint8_t request, response; /* enum h2_request, h2_response */
    bool is_deferred : 1;      /* nghttp2 asked for bytes when there were none */
    bool has_sent_end : 1;     /* END_STREAM is in the connection's queue, see sent_at */
    bool is_reset : 1;         /* RST_STREAM is on its way */
    bool is_tunnel : 1;        /* it becomes a WebSocket: its input has no end */
    bool is_cut : 1;           /* it was reset, by either side, before its end */
    uint16_t refusal;          /* H2_REFUSED: the status, for `reason` (static) */
    const char *reason;
    struct sprig_exchange *ex; /* owned; NULL before the head is complete, and once it is over */
    struct h2_head head;       /* H2_HEAD */
    struct outq out;           /* the response's bytes not in frames yet */
    char *in;                  /* owned: input of a streaming body that the app has not taken */
    size_t n_in, room_in;
    nghttp2_nv *trailers; /* owned: trailers, in one piece; NULL: none */
    size_t n_trailers;
    uint64_t sent_at; /* h2.n_queued when END_STREAM was queued */
    struct stream_deadline deadline;
};

/* What the connection's deadline is for, if no write is blocked. */
enum h2_wait {
    H2_WAITS_NOT,
    H2_WAITS_FIRST, /* for one request, although the server leaves */
    H2_WAITS_BEGIN, /* for the first SETTINGS */
    H2_WAITS_HEAD,  /* for the rest of a head */
    H2_WAITS_ACK,   /* for the client to acknowledge our SETTINGS */
    H2_WAITS_LEAVE, /* for the second GOAWAY */
    H2_WAITS_IDLE   /* for a request */
};

/* The state of the frame scan. */
struct h2_scan {
    uint32_t left;    /* bytes left of the current frame */
    uint8_t n_head;   /* bytes of the next frame's head so far */
    uint8_t head[13]; /* for PRIORITY, includes the dependency */
};

/* How many of our resets are remembered: frames for those streams may still be on their way. */
enum { H2_RESETS_KNOWN = 64 };

struct h2 {
    struct sprig_conn *conn;
    nghttp2_session *session; /* owned; enter it through h2_awake */
    struct h2_memory memory;  /* the session's */
    struct stream_deadline rest;
    uint32_t n_requests;       /* requests of the connection when the wait was set */
    struct list_link streams;  /* owned: struct h2_stream.link */
    struct list_link due;      /* struct h2_stream.due, in order of their turns */
    struct h2_stream *heading; /* the stream whose head is arriving */
    uint64_t n_queued;         /* total bytes ever put into the connection's queue */
    uint32_t n_streams;
    uint32_t n_open;         /* of these, streams that nghttp2 knows: at most http2_max_streams */
    uint32_t n_turn;         /* requests in this turn */
    uint8_t wait;            /* enum h2_wait */
    struct h2_budget resets; /* streams that end before they are answered */
    struct h2_budget frames; /* frames without effect */
    struct h2_scan scan;
    int32_t last_id;                    /* the highest that the client has used */
    int32_t reset_ids[H2_RESETS_KNOWN]; /* a ring */
    uint32_t n_reset_ids;               /* ever */
    uint64_t block_bytes; /* bytes of the head or trailers whose frames are arriving */
    const char *fault;    /* static: why GOAWAY is on its way, for the log */
    bool is_inside : 1;   /* nghttp2 is on the stack */
    bool is_running : 1;  /* a frame of h2_step is on the stack */
    bool has_begun : 1;   /* SETTINGS has arrived */
    bool has_failed : 1;  /* nghttp2 is unusable */
    bool is_torn : 1;     /* the output ends within a frame; h2_fill tells the connection */
    bool is_ending : 1;   /* a final GOAWAY is on its way: input is dropped */
    bool fault_is_told : 1;
    bool in_block : 1;   /* CONTINUATION must follow */
    bool has_ack : 1;    /* our SETTINGS were acknowledged */
    bool must_leave : 1; /* max_keepalive_requests is reached */
    bool is_leaving : 1; /* the first GOAWAY was sent: no new streams */
    bool has_left : 1;   /* the second GOAWAY was sent, with the last stream that is served */
};

static inline struct h2 *h2_of(const struct sprig_conn *c)
{
    struct h2 *h2;
    memcpy(&h2, c->own, sizeof h2);
    return h2;
}

/* Enters nghttp2 when perhaps no stream is open, and the connection may be resting. */
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
/* Gives the session received bytes. False: it has failed, and the connection ends after GOAWAY. */
bool h2_session_receive(struct h2 *h2, struct sprig_span bytes);
/* Puts frames into the connection's queue, up to H2_AHEAD_BYTES. False: the session cannot go on.
 */
bool h2_session_fill(struct h2 *h2);
/* Sends GOAWAY with this code: later input is ignored, and the connection ends once it has been
 * sent. Also callable in callbacks; static reason, NULL: nothing for the log. */
void h2_session_end(struct h2 *h2, uint32_t error, const char *reason);
/* Serves all requests that have begun: sends a first GOAWAY and, a round trip later, the one that
 * names the last stream. */
void h2_session_leave(struct h2 *h2);
void h2_session_leave_now(struct h2 *h2);
/* True if GOAWAY was sent, and all streams are over. */
bool h2_session_is_over(struct h2 *h2);
/* Submits a response; its body is what the stream has, or will have. */
int h2_session_respond(struct h2_stream *s, const nghttp2_nv *fields, size_t n, bool has_body);
/* The same with an interim response. */
int h2_session_inform(struct h2_stream *s, const nghttp2_nv *fields, size_t n);

/* ---- frames.c ---- */

void h2_scan_init(struct h2_scan *scan);
/* Gives received bytes to the session, frame by frame; returns what h2_session_receive returns. */
bool h2_receive(struct h2 *h2, struct sprig_span bytes);
/* Notes that we have reset a stream. */
void h2_remember_reset(struct h2 *h2, int32_t id);

/* ---- head.c: requests ---- */

/* Takes a field of an arriving head, or refuses the stream. False: it was refused, and still goes
 * far beyond the limits. */
bool h2_head_add(struct h2_stream *s, struct sprig_span name, struct sprig_span value);
/* The same for fields after the body. */
bool h2_head_add_trailer(struct h2_stream *s, struct sprig_span name, struct sprig_span value);
/* The head is complete: creates the exchange with its request, or refuses the stream. is_whole:
 * there is no body. */
void h2_head_finish(struct h2_stream *s, bool is_whole);
void h2_head_clear(struct h2_head *head);

/* ---- stream.c ---- */

struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id);
/* Frees the stream if nobody needs it any more. */
void h2_stream_release(struct h2_stream *s);
void h2_stream_free(struct h2_stream *s);
/* Makes the stream due. */
void h2_stream_wake(struct h2_stream *s, uint32_t what);
/* Runs the stream's turn. Enters Perl. */
void h2_stream_run(struct h2_stream *s, uint32_t what);
/* Ends its exchange, if it has one. Enters Perl. */
void h2_stream_end_exchange(struct h2_stream *s, enum sprig_end why);
/* Sends RST_STREAM; nothing more of the stream is sent. */
void h2_stream_reset(struct h2_stream *s, uint32_t error);
/* Answers with this status, without the app; static reason. */
void h2_stream_refuse(struct h2_stream *s, int status, const char *reason);
/* Takes a part of its body. False: the bytes are done with; true: they will be, once the app has
 * taken them. */
bool h2_stream_take_body(struct h2_stream *s, struct sprig_span bytes);
/* Sets the deadline for what it waits for. */
void h2_stream_set_deadline(struct h2_stream *s);

/* ---- response.c ---- */

int h2_response_head(struct sprig_exchange *ex, const struct sprig_head *head, char *why, size_t n);
int h2_response_interim(struct sprig_exchange *ex, const struct sprig_head *head, char *why,
                        size_t n);
/* Keeps the trailers until the body has been sent. */
int h2_response_trailers(struct sprig_exchange *ex, const struct sprig_header *fields,
                         size_t n_fields, char *why, size_t n);
/* Sends an interim 100. */
void h2_response_invite(struct h2_stream *s);
/* Sends our own answer: the status, with its reason phrase as the body. SPRIG_E_NOMEM or 0. */
int h2_response_error(struct h2_stream *s, int status, bool is_head);

#endif

/* h1.h - HTTP/1 on a connection: one exchange at a time, in the order of the requests.
 *
 *   IDLE -> HEAD -> BODY -> APP -> REPLY -> IDLE, or the end of the connection
 *
 *   from    to
 *   IDLE    HEAD; BODY, APP where head or body came at once; REPLY: refused, or closing; PREFACE
 *   HEAD    BODY, APP; REPLY: refused; PREFACE
 *   BODY    APP; REPLY: refused
 *   APP     REPLY
 *   REPLY   IDLE
 *   any     OVER
 *
 * h1_set_phase() is the only place that changes the phase, and refuses all else. The phase is OVER
 * as soon as the connection is not open any more (conn.h). */
#ifndef SPRIG_H1_H
#define SPRIG_H1_H

#include "serve/conn.h"

enum h1_phase {
    H1_IDLE,    /* between requests: no byte of the next one has come */
    H1_HEAD,    /* part of a head has come */
    H1_BODY,    /* the head is complete, the body is not */
    H1_APP,     /* the request waits for the app, or the app for its answer; no head is out */
    H1_REPLY,   /* the head of the response is out, or its last bytes are being written */
    H1_PREFACE, /* the client speaks HTTP/2: that takes over behind this step */
    H1_OVER     /* nothing is read as HTTP any more */
};

/* While a request is being answered, at most about this much pipelined input is read. The rest
 * stays in the kernel and slows the client down. */
enum { H1_PIPELINE_BYTES = 64 * 1024 };

/* Input that cannot be used yet: bytes[at .. len). */
struct h1_input {
    uint32_t at, len, capacity;
    char bytes[];
};

/* What lies in conn.own. */
struct h1 {
    struct sprig_exchange *ex; /* owned; NULL between requests */
    struct h1_input *in;       /* owned; NULL mostly */
    struct parser parser;
    uint32_t n_turn;     /* requests in this turn */
    uint8_t phase;       /* enum h1_phase */
    bool must_close : 1; /* no further request after this one */
    bool is_running : 1; /* a frame of h1_step: it settles the exchange */
};

_Static_assert(sizeof(struct h1) <= CONN_OWN_BYTES, "struct h1 lies in the connection");

extern const struct protocol protocol_h1;

static inline struct h1 *h1_of(const struct sprig_conn *c)
{
    return (struct h1 *)c->own;
}

static inline bool h1_is_answering(const struct sprig_conn *c)
{
    return h1_of(c)->phase == H1_APP || h1_of(c)->phase == H1_REPLY;
}

/* Which phases may follow which, as bits. */
extern const uint8_t h1_legal_next[];

/* A transition that the diagram lacks is a bug of ours: it is logged, and the connection is reset
 * in its next turn. */
void h1_set_other_phase(struct sprig_conn *c, enum h1_phase phase);
static inline void h1_set_phase(struct sprig_conn *c, enum h1_phase phase)
{
    struct h1 *h = h1_of(c);
    if (h1_legal_next[h->phase] & 1 << phase)
        h->phase = (uint8_t)phase;
    else
        h1_set_other_phase(c, phase);
}

/* Ends the exchange, if there is one. Enters Perl. */
void h1_end_exchange(struct sprig_conn *c, enum sprig_end why);

/* ---- input.c ---- */

void h1_read(struct sprig_conn *c);   /* on readable */
void h1_resume(struct sprig_conn *c); /* goes on with kept input or a held request */
/* The input kept in the connection. */
static inline struct sprig_span h1_kept_input(const struct sprig_conn *c)
{
    const struct h1_input *in = h1_of(c)->in;
    return in != NULL ? span_make(in->bytes + in->at, in->len - in->at) : span_make(NULL, 0);
}
static inline bool h1_has_kept_input(const struct sprig_conn *c)
{
    const struct h1_input *in = h1_of(c)->in;
    return in != NULL && in->len > in->at;
}
/* Makes input survive the shared buffer: *rest is then in the connection. False if memory is short.
 */
bool h1_keep(struct sprig_conn *c, struct sprig_span *rest);
void h1_drop_input(struct sprig_conn *c); /* forgets it, and its memory */
/* Forgets it. The memory is freed later, because somebody may look at a request in it. */
static inline void h1_skip_input(struct sprig_conn *c)
{
    struct h1_input *in = h1_of(c)->in;
    if (in != NULL)
        in->at = in->len;
}

/* ---- stream.c: bodies that the app gets while they come ---- */

/* The body is open: receives some of it, continues with what is kept, and sets its deadline, unless
 * a write has one. */
void h1_stream_receive(struct sprig_conn *c);
void h1_stream_resume(struct sprig_conn *c);
void h1_stream_set_deadline(struct sprig_conn *c);
void h1_stream_fail(struct sprig_conn *c, int status, const char *reason);
/* As protocol.read_body. */
void h1_read_body(struct sprig_exchange *ex, bool on);

/* ---- output.c ---- */

/* A write is blocked, and it is what the deadline is about: while a head or body is coming, that
 * has one of its own. */
bool h1_awaits_writable(const struct sprig_conn *c);
/* If the response is complete and its bytes are out (enough): ends the exchange and goes to IDLE,
 * or closes. True: the connection is IDLE and may take the next request. */
bool h1_settle(struct sprig_conn *c);
/* The same outside of h1_resume: requests that were pipelined behind it come in the next turn. */
void h1_settle_later(struct sprig_conn *c);
/* As protocol.flushed. */
void h1_flushed(struct sprig_conn *c, bool is_drained);
/* Takes no further request, and closes when the queue is sent: at once if it is empty. No request
 * may be in progress. */
void h1_close_after_output(struct sprig_conn *c);
/* The body of the request may come: sends an interim 100 if the client waits for one (RFC 9110
 * section 10.1.1), but not if it has already begun to arrive. */
void h1_invite(struct sprig_conn *c);
/* Answers in place of the app, which hears that the exchange is over, and then closes. */
void h1_answer(struct sprig_conn *c, const struct sprig_head *head, struct sprig_span body);
/* Answers with an error status of ours, logs the reason, and closes. */
void h1_refuse(struct sprig_conn *c, int status, const char *reason);
/* The same with 503 for a connection just accepted, without a line in the log. */
void h1_turn_away(struct sprig_conn *c);

/* ---- guide.c ---- */

/* Answers a request that is not for the app (conn.aim), and closes. */
void h1_guide(struct sprig_conn *c);

/* Why a request whose body breaks off is refused. */
extern const char h1_body_broken[];

#endif

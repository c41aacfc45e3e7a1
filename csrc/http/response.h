/* response.h - one response as bytes: the checked head, the framing of the body, and its end.
 *
 * Writes into an output queue and knows neither sockets nor events. Follows RFC 9112 section 6 and
 * RFC 9110 sections 6.4.1, 7.6.1, 7.8 and 8.6. */
#ifndef SPRIG_RESPONSE_H
#define SPRIG_RESPONSE_H

#include "http/chunk.h"
#include "http/request.h"
#include "net/outq.h"
#include "sprig.h"
#include <stdbool.h>
#include <stdint.h>

/* How the client finds the end of the body (RFC 9112 section 6.3). */
enum framing {
    FRAMING_LENGTH,  /* Content-Length */
    FRAMING_CHUNKED, /* Transfer-Encoding: chunked */
    FRAMING_CLOSE,   /* the connection closes; also a tunnel (2xx to CONNECT) */
    FRAMING_FRAMES,  /* that of the frames it is in (HTTP/2) */
    FRAMING_NONE     /* there is no body */
};

/* So many bytes decide whether an unfinished first line may begin a chunk. */
enum { RESPONSE_UNSURE_BYTES = CHUNK_MAX_SIZE_DIGITS + 2 };

/* The response to one request; embedded in the exchange, owns nothing. Until the head is out, only
 * what follows from the request is set. */
struct response {
    int status;           /* 0 before the head */
    enum framing framing; /* valid once head_out */
    uint64_t n_body;      /* body bytes queued, without chunk framing of ours */
    uint8_t version;      /* of the request */
    bool is_head : 1;     /* the request was HEAD */
    bool is_connect : 1;  /* the request was CONNECT */
    bool may_upgrade : 1; /* the client offered an upgrade */
    bool no_chunks : 1;   /* a body of unknown length ends with the connection */
    bool keep_alive : 1;  /* the connection serves further requests after this response */
    bool head_out : 1;    /* the final head is queued */
    bool ended : 1;       /* response_end() has succeeded */
    bool bodyless : 1;    /* body bytes are dropped: HEAD, 1xx, 204, 304 */
    bool app_framed : 1;  /* the app chunks the body itself: passed through, never chunked twice, or
                             over HTTP/2 taken off. An app that only says so in its head gets chunks
                             of ours */
    bool app_unsure : 1;  /* app_framed: its bytes so far may be chunks or not; they are in `unsure`
                           */
    bool app_done : 1;    /* app_framed: its last chunk has passed */
    bool cut : 1;         /* the app gave more bytes than it announced: the rest was dropped */
    bool has_events : 1;  /* the body is a text/event-stream */
    bool has_trailers : 1; /* the last chunk is queued, with fields behind it */
    bool is_dropped : 1;   /* body bytes are dropped: the head is none of the app's */
    uint8_t n_unsure;
    char unsure[RESPONSE_UNSURE_BYTES];
    uint64_t announced; /* FRAMING_LENGTH: bytes of the body */
    uint64_t left;      /* FRAMING_LENGTH: of them, not queued yet */
    struct chunk check; /* app_framed: follows the app's chunks */
};

/* Starts the response to `req` (not kept). If req is NULL, the bytes were no request, and the
 * response is HTTP/1.1. may_keep_alive is the server's wish; the client's comes from the request.
 */
void response_init(struct response *r, const struct sprig_request *req, bool may_keep_alive);

/* True after response_end() has succeeded: nothing can be added. */
static inline bool response_is_ended(const struct response *r)
{
    return r->ended;
}

/* Checks the head, decides the framing and queues the head, all or nothing. Adds Date unless the
 * app sent one; Server if server_header is not NULL and the app sent none; Content-Length if
 * head->length is known and the app gave none; Transfer-Encoding and Connection as the framing
 * needs; Cache-Control and X-Accel-Buffering to a text/event-stream without them;
 * Sec-WebSocket-Version to a 426 for a client that wants to upgrade. The app's Content-Length wins
 * over head->length, its `Connection: close` is honoured, its Keep-Alive and `Connection:
 * keep-alive` are dropped; Upgrade passes with 101 and 426. SPRIG_E_INVALID: *r and the queue are
 * as before, and `why` (n bytes) says what is wrong. SPRIG_E_STATE: the head is already out.
 * SPRIG_E_NOMEM: nothing is queued. */
int response_head(struct response *r, struct outq *q, const struct sprig_head *head,
                  const char *server_header, char *why, size_t n);

/* An interim response, 102..199 except 101 (RFC 9110 section 15.2), before the head; codes as
 * above. Skipped, with 0, for HTTP/1.0. Fields of framing and connection are dropped from it. */
int response_interim(struct response *r, struct outq *q, const struct sprig_head *head, char *why,
                     size_t n);

/* Body bytes: framed, cut at the announced length (sets r->cut), or dropped if bodyless. Each call
 * makes one chunk at most (_pieces: one for each), an empty one none. SPRIG_E_STATE: no head yet,
 * or ended. After SPRIG_E_NOMEM, or SPRIG_E_INVALID (chunks made by the app are malformed), the
 * body can no longer be completed: abort. _ref, _shared and _file take the reference in every case,
 * see outq.h. */
int response_body(struct response *r, struct outq *q, struct sprig_span bytes);
int response_body_pieces(struct response *r, struct outq *q, const struct sprig_span *pieces,
                         size_t n);
int response_body_ref(struct response *r, struct outq *q, struct sprig_span bytes,
                      outq_release_cb *release, void *arg);
int response_body_shared(struct response *r, struct outq *q, struct sprig_span bytes,
                         outq_release_cb *release, void *arg);
int response_body_file(struct response *r, struct outq *q, int fd, uint64_t offset, uint64_t length,
                       outq_release_cb *release, void *arg);

/* Like _shared, for bytes that go to many responses: their chunk was made once, and `bytes` are
 * inside it. The framing around n bytes takes at most RESPONSE_CHUNK_BYTES.
 * response_put_chunk_start writes its start and returns the length; its end is CRLF. */
enum { RESPONSE_CHUNK_BYTES = 20 };
size_t response_put_chunk_start(char *at, uint64_t n);
int response_body_chunk(struct response *r, struct outq *q, struct sprig_span chunk,
                        struct sprig_span bytes, outq_release_cb *release, void *arg);

/* The body consists of such chunks, and may go on. */
static inline bool response_makes_chunks(const struct response *r)
{
    return r->head_out && !r->ended && r->framing == FRAMING_CHUNKED && !r->app_framed &&
           !r->bodyless && !r->is_dropped;
}

/* Completes the body. SPRIG_E_STATE: there was no head, or it has already ended; in any other case
 * the body is shorter than announced, and the connection must be aborted. SPRIG_E_NOMEM: abort,
 * too. */
int response_end(struct response *r, struct outq *q);

/* Ends the body with its last chunk and these trailers (RFC 9112 section 7.1.2); response_end()
 * follows. They are dropped if the response has no body. SPRIG_E_STATE: it has no chunks of ours.
 * SPRIG_E_INVALID: `why` (n bytes) says what is wrong with them, and nothing is queued. */
int response_trailers(struct response *r, struct outq *q, const struct sprig_header *fields,
                      size_t n_fields, char *why, size_t n);
/* The first half of it, for protocols that have other trailers: 0: they can be sent. 1: they are to
 * be dropped. */
int response_admit_trailers(const struct response *r, const struct sprig_header *fields,
                            size_t n_fields, char *why, size_t n);

#endif

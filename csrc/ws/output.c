/* output.c - from messages to frames: compressed if agreed and worthwhile, held back until the 101
 * is out, and limited if the peer does not keep up; one message for many sockets. */
#include "ws/socket.h"

enum {
    MAX_PONG_BYTES = 16 * 1024, /* queued for a peer that does not read them */
    RAW_MIN_BYTES = 16 * 1024,  /* from this size on a reference is cheaper than a copy */
    MAX_FRAME_HEAD = 10
};

/* ------------------------------------------------------------------- frames ---- */

uint64_t sprig_ws_buffered(const struct sprig_ws *ws)
{
    if (ws->ex == NULL)
        return 0;
    if (ws->state != WS_STATE_WAITING)
        return sprig_response_buffered(ws->ex);
    return ws->backlog != NULL ? ws->backlog->early.n : 0;
}

static int add_early(struct sprig_ws *ws, struct sprig_span head, struct sprig_span payload)
{
    struct ws_backlog *b = ws_backlog(ws);
    if (b == NULL || ws_buffer_reserve(&b->early, head.len + payload.len) != 0)
        return SPRIG_E_NOMEM;
    ws_buffer_add(&b->early, head);
    return ws_buffer_add(&b->early, payload);
}

/* Queues a frame; copied. */
static int write_frame(struct sprig_ws *ws, uint8_t first, struct sprig_span payload)
{
    char head[MAX_FRAME_HEAD];
    struct sprig_span pieces[] = {span_make(head, ws_write_head(head, first, payload.len)),
                                  payload};
    if (ws->ex == NULL)
        return SPRIG_E_CLOSED;
    if (ws->state == WS_STATE_WAITING)
        return add_early(ws, pieces[0], payload);
    int rc = sprig_response_write_pieces(ws->ex, pieces, 2);
    return rc < 0 ? rc : 0;
}

int ws_send_control(struct sprig_ws *ws, uint8_t opcode, struct sprig_span payload)
{
    return write_frame(ws, WS_FINAL | opcode, payload);
}

void ws_send_pong(struct sprig_ws *ws, struct sprig_span payload)
{
    if (sprig_ws_buffered(ws) == 0)
        ws->n_pong_bytes = 0;
    if (ws->n_pong_bytes > MAX_PONG_BYTES)
        return;
    ws->n_pong_bytes += (uint32_t)payload.len + 2;
    ws_send_control(ws, WS_PONG, payload);
}

int ws_send_close(struct sprig_ws *ws, uint16_t code, struct sprig_span reason)
{
    char payload[WS_MAX_CONTROL];
    size_t n = ws_write_close(payload, code, reason);
    return ws_send_control(ws, WS_CLOSE, span_make(payload, n));
}

int sprig_ws_ping(struct sprig_ws *ws, struct sprig_span payload)
{
    return sprig_ws_is_open(ws) ? ws_send_control(ws, WS_PING, payload) : SPRIG_E_CLOSED;
}

bool sprig_ws_code_is_valid(uint32_t code)
{
    return ws_close_is_valid(code);
}

/* ----------------------------------------------------------------- messages ---- */

/* Whether a message of n bytes may be queued; if not, the policy has been applied. */
static int admit(struct sprig_ws *ws, size_t n)
{
    const struct sprig_ws_options *o = &ws->settings->options;
    if (!sprig_ws_is_open(ws))
        return SPRIG_E_CLOSED;
    if (o->queue_bytes == 0 || o->queue_policy == SPRIG_WS_POLICY_SPILL)
        return SPRIG_WS_QUEUED;
    uint64_t waiting = sprig_ws_buffered(ws);
    if (waiting == 0 || waiting + n <= o->queue_bytes)
        return SPRIG_WS_QUEUED;
    if (o->queue_policy == SPRIG_WS_POLICY_CLOSE)
        sprig_ws_close(ws, WS_CLOSE_LATER, SPAN_LIT("websocket_queue_bytes: too slow"));
    return SPRIG_WS_DROPPED;
}

static bool is_worth_deflating(const struct sprig_ws *ws, size_t n)
{
    return ws->is_compressed && n >= ws->settings->options.deflate_min_bytes && n > 0;
}

static uint8_t first_byte(bool is_binary)
{
    return WS_FINAL | (is_binary ? WS_BINARY : WS_TEXT);
}

/* If the window is kept, a compressed message must be sent even if it got longer. */
static int send_deflated(struct sprig_ws *ws, struct sprig_span bytes, bool is_binary)
{
    struct ws_buffer out = {NULL, 0, 0, 0};
    struct ws_zlib *zlib = ws_zlib(ws);
    int rc = zlib == NULL ? SPRIG_E_NOMEM
                          : ws_deflate(zlib, &ws->deflate, &ws->terms,
                                       ws->settings->options.deflate_memory_level, bytes, &out);
    bool is_shorter = out.n < bytes.len || ws->terms.server_takeover;
    if (rc == 0 && is_shorter)
        rc = write_frame(ws, first_byte(is_binary) | WS_COMPRESSED, ws_buffer_span(&out));
    else if (rc == 0)
        rc = write_frame(ws, first_byte(is_binary), bytes);
    ws_buffer_clear(&out);
    return rc;
}

int sprig_ws_send(struct sprig_ws *ws, struct sprig_span bytes, bool is_binary)
{
    int rc = admit(ws, bytes.len);
    if (rc != SPRIG_WS_QUEUED)
        return rc;
    if (is_worth_deflating(ws, bytes.len))
        return send_deflated(ws, bytes, is_binary);
    return write_frame(ws, first_byte(is_binary), bytes);
}

int sprig_ws_send_raw(struct sprig_ws *ws, struct sprig_span bytes, bool is_binary, bool *raw)
{
    char head[MAX_FRAME_HEAD];
    *raw = ws->state == WS_STATE_OPEN && bytes.len >= RAW_MIN_BYTES &&
           !is_worth_deflating(ws, bytes.len);
    if (!*raw)
        return sprig_ws_send(ws, bytes, is_binary);
    int rc = admit(ws, bytes.len);
    *raw = rc == SPRIG_WS_QUEUED;
    if (!*raw)
        return rc;
    size_t n = ws_write_head(head, first_byte(is_binary), bytes.len);
    rc = sprig_response_write(ws->ex, span_make(head, n));
    return rc < 0 ? rc : 0;
}

/* ---------------------------------------------------- one message for many ---- */

/* A frame ready to send; counted by the message, and by each queue that refers to it. */
struct frame {
    uint32_t refs;
    size_t n;
    char bytes[];
};

struct sprig_ws_message {
    uint32_t refs;
    bool is_binary, is_incompressible;
    struct frame *plain, *deflated; /* owned; `deflated` is NULL until wanted */
    size_t n_head;                  /* length of the plain frame's head */
};

static struct frame *frame_new(uint8_t first, struct sprig_span payload, size_t *n_head)
{
    struct frame *f = malloc(sizeof *f + MAX_FRAME_HEAD + payload.len);
    if (f == NULL)
        return NULL;
    *n_head = ws_write_head(f->bytes, first, payload.len);
    if (payload.len > 0)
        memcpy(f->bytes + *n_head, payload.ptr, payload.len);
    f->refs = 1;
    f->n = *n_head + payload.len;
    return f;
}

static void frame_unref(void *arg)
{
    struct frame *f = arg;
    if (f != NULL && --f->refs == 0)
        free(f);
}

struct sprig_ws_message *sprig_ws_message_new(struct sprig_span bytes, bool is_binary)
{
    struct sprig_ws_message *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->refs = 1;
    m->is_binary = is_binary;
    m->plain = frame_new(first_byte(is_binary), bytes, &m->n_head);
    if (m->plain != NULL)
        return m;
    free(m);
    return NULL;
}

void sprig_ws_message_free(struct sprig_ws_message *m)
{
    if (--m->refs > 0)
        return;
    frame_unref(m->plain);
    frame_unref(m->deflated);
    free(m);
}

static struct sprig_span payload_of(const struct sprig_ws_message *m)
{
    return span_make(m->plain->bytes + m->n_head, m->plain->n - m->n_head);
}

/* Compressed without earlier messages and with the largest window, so that nearly every client
 * understands it; NULL: it does not get shorter, or out of memory. */
static struct frame *deflated(struct sprig_ws_message *m, struct ws_zlib *zlib)
{
    static const struct ws_deflate_terms terms = {false, false, 15, 15};
    struct ws_buffer out = {NULL, 0, 0, 0};
    struct ws_stream *none = NULL;
    size_t n_head;
    if (m->deflated != NULL || m->is_incompressible || zlib == NULL)
        return m->deflated;
    int rc = ws_deflate(zlib, &none, &terms, 8, payload_of(m), &out);
    if (rc == 0 && out.n < m->plain->n - m->n_head)
        m->deflated =
            frame_new(first_byte(m->is_binary) | WS_COMPRESSED, ws_buffer_span(&out), &n_head);
    m->is_incompressible = m->deflated == NULL;
    ws_buffer_clear(&out);
    return m->deflated;
}

/* The frame for this socket. If its window is kept, later messages must not refer to what was
 * compressed before this one. */
static struct frame *frame_for(struct sprig_ws *ws, struct sprig_ws_message *m)
{
    struct frame *f = NULL;
    if (ws->terms.server_bits == 15 && is_worth_deflating(ws, m->plain->n - m->n_head))
        f = deflated(m, ws_zlib(ws));
    if (f != NULL)
        ws_deflate_forget(ws->deflate);
    return f != NULL ? f : m->plain;
}

/* With an empty queue a reference is cheaper than a copy. */
int sprig_ws_send_message(struct sprig_ws *ws, struct sprig_ws_message *m)
{
    int rc = admit(ws, m->plain->n - m->n_head);
    if (rc != SPRIG_WS_QUEUED)
        return rc;
    struct frame *f = frame_for(ws, m);
    struct sprig_span bytes = span_make(f->bytes, f->n);
    if (ws->state == WS_STATE_WAITING)
        return add_early(ws, bytes, span_make(NULL, 0));
    if (f->n < RAW_MIN_BYTES && sprig_response_buffered(ws->ex) > 0) {
        rc = sprig_response_write(ws->ex, bytes);
    } else {
        f->refs++;
        rc = sprig_response_write_shared(ws->ex, bytes, frame_unref, f);
    }
    return rc < 0 ? rc : SPRIG_WS_QUEUED;
}

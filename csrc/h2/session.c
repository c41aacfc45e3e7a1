/* session.c - nghttp2: its callbacks, which only collect, and what is passed to it; see h2.h */
#include "h2/h2.h"

#include "base/invariant.h"
#include <arpa/inet.h>

static struct sprig_span span_of(const uint8_t *bytes, size_t n)
{
    return span_make((const char *)bytes, n);
}

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return id != 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

/* ------------------------------------------------------------------- its end ---- */

void h2_session_end(struct h2 *h2, uint32_t error, const char *reason)
{
    if (h2->fault == NULL)
        h2->fault = reason;
    if (reason != NULL)
        conn_lose(h2->conn, SPRIG_LOSS_PROTOCOL, reason);
    h2->is_ending = true;
    if (nghttp2_session_terminate_session(h2_awake(h2), error) != 0)
        conn_break(h2->conn);
    conn_flush_later(h2->conn);
}

static void be_calm(struct h2 *h2, const char *reason)
{
    h2_session_end(h2, NGHTTP2_ENHANCE_YOUR_CALM, reason);
}

void h2_session_leave(struct h2 *h2)
{
    static const uint8_t mark[8] = "goaway";
    if (h2->is_leaving)
        return;
    h2->is_leaving = true;
    if (nghttp2_submit_shutdown_notice(h2_awake(h2)) != 0 ||
        nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, mark) != 0)
        conn_break(h2->conn);
    conn_flush_later(h2->conn);
}

void h2_session_leave_now(struct h2 *h2)
{
    if (!h2->is_leaving || h2->has_left)
        return;
    h2->has_left = true;
    int32_t last = nghttp2_session_get_last_proc_stream_id(h2_awake(h2));
    if (nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0) != 0)
        conn_break(h2->conn);
    conn_flush_later(h2->conn);
}

static void count_reset(struct h2 *h2)
{
    if (!h2_budget_spend(&h2->resets, sprig_loop_now(h2->conn->server->loop)))
        be_calm(h2, "http2_max_resets: too many streams that end before they are answered");
}

/* Called also for a misused stream (its end is counted where we know the stream). */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user_data)
{
    (void)error;
    if (stream_of(session, frame->hd.stream_id) != NULL)
        return 0;
    h2_remember_reset(user_data, frame->hd.stream_id);
    count_reset(user_data);
    return 0;
}

/* ----------------------------------------------------------------------- heads ---- */

static bool is_request(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

/* One stream too many: its head is still read, because the HPACK table depends on it. */
static int refuse_stream(struct h2 *h2, int32_t id)
{
    count_reset(h2);
    int rc = nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return rc == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2 *h2 = user_data;
    int32_t id = frame->hd.stream_id;
    if (!is_request(frame))
        return 0;
    if (h2->n_open >= h2->conn->server->config.http2_max_streams)
        return refuse_stream(h2, id);
    struct h2_stream *s = h2_stream_new(h2, id);
    if (s == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    nghttp2_session_set_stream_user_data(session, id, s);
    h2->n_open++;
    h2->heading = s;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags,
                     void *user_data)
{
    (void)flags, (void)user_data;
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    struct sprig_span key = span_of(name, n_name), what = span_of(value, n_value);
    if (s != NULL &&
        !(is_request(frame) ? h2_head_add(s, key, what) : h2_head_add_trailer(s, key, what)))
        be_calm(s->h2, "max_headers, max_header_bytes: the headers do not end");
    return 0;
}

/* An invalid name or value, which nghttp2 would leave out. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t n_name, const uint8_t *value,
                             size_t n_value, uint8_t flags, void *user_data)
{
    (void)name, (void)n_name, (void)value, (void)n_value, (void)flags, (void)user_data;
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    if (s != NULL)
        h2_stream_refuse(s, 400, "invalid character in a header");
    return 0;
}

/* --------------------------------------------------------------- frames that came ---- */

static void end_request(struct h2_stream *s)
{
    if (s->request == H2_REFUSED)
        return;
    s->request = H2_WHOLE;
    h2_stream_wake(s, s->ex != NULL && s->ex->streams ? H2_EV_BODY : H2_EV_REQUEST);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2 *h2 = user_data;
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    bool is_ack = frame->hd.flags & NGHTTP2_FLAG_ACK;
    if (frame->hd.type == NGHTTP2_SETTINGS)
        is_ack ? (h2->has_ack = true) : (h2->has_begun = true);
    else if (frame->hd.type == NGHTTP2_PING && is_ack)
        h2_session_leave_now(h2);
    if (s == NULL)
        return 0;
    if (is_request(frame)) {
        h2->heading = NULL;
        h2->has_begun = true;
        h2_head_finish(s, (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
        if (s->request == H2_REFUSED)
            h2_stream_wake(s, H2_EV_REQUEST);
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        end_request(s);
    return 0;
}

/* The window is opened again once the bytes are stored or, for a streaming body, once the app has
 * taken them. */
static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t n, void *user_data)
{
    (void)flags, (void)user_data;
    struct h2_stream *s = stream_of(session, id);
    if (s == NULL || !h2_stream_take_body(s, span_of(data, n)))
        nghttp2_session_consume(session, id, n);
    return 0;
}

/* Why a stream was reset; NULL: it was not. */
static const char *reset_text(uint32_t error)
{
    switch (error) {
    case NGHTTP2_NO_ERROR:
        return NULL;
    case NGHTTP2_CANCEL:
        return "RST_STREAM: CANCEL";
    case NGHTTP2_PROTOCOL_ERROR:
        return "RST_STREAM: PROTOCOL_ERROR";
    case NGHTTP2_INTERNAL_ERROR:
        return "RST_STREAM: INTERNAL_ERROR";
    case NGHTTP2_FLOW_CONTROL_ERROR:
        return "RST_STREAM: FLOW_CONTROL_ERROR";
    default:
        return "RST_STREAM";
    }
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user_data)
{
    struct h2 *h2 = user_data;
    struct h2_stream *s = stream_of(session, id);
    if (s == NULL)
        return 0;
    h2->n_open--;
    s->is_cut = !s->has_sent_end || error != NGHTTP2_NO_ERROR;
    if (h2->heading == s)
        h2->heading = NULL;
    if (!s->has_sent_end)
        count_reset(h2);
    exchange_lose(s->ex, SPRIG_LOSS_CLOSED, reset_text(error));
    s->id = 0;
    h2_stream_wake(s, H2_EV_CLOSED);
    return 0;
}

/* ------------------------------------------------------------------ frames to send ---- */

enum { FRAME_HEAD_BYTES = 9, SETTING_ID_BYTES = 2, GREETING_BYTES = 64 };

/* The end of the body, unless trailers end the stream. */
static bool end_body(struct h2_stream *s, uint32_t *flags)
{
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->trailers == NULL)
        return true;
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    int rc = nghttp2_submit_trailer(s->h2->session, s->id, s->trailers, s->n_trailers);
    free(s->trailers);
    s->trailers = NULL;
    return rc == 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    (void)session, (void)id, (void)buf, (void)user_data;
    struct h2_stream *s = source->ptr;
    size_t n = s->out.size < length ? (size_t)s->out.size : length;
    bool has_ended = s->response == H2_ENDED;
    s->is_deferred = n == 0 && !has_ended;
    if (s->is_deferred)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (has_ended && n == s->out.size)
        return end_body(s, flags) ? (ssize_t)n : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t length, nghttp2_data_source *source, void *user_data)
{
    (void)session, (void)frame;
    struct h2 *h2 = user_data;
    struct h2_stream *s = source->ptr;
    struct outq *out = &h2->conn->out;
    if (outq_add(out, span_of(head, FRAME_HEAD_BYTES)) != 0 || outq_move(out, &s->out, length) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    h2->n_queued += FRAME_HEAD_BYTES + length;
    h2_budget_earn(&h2->frames, 2); /* the client may answer each with WINDOW_UPDATE */
    h2_stream_wake(s, H2_EV_SENT);
    return out->size >= H2_AHEAD_BYTES ? NGHTTP2_ERR_PAUSE : 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2 *h2 = user_data;
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        h2_remember_reset(h2, frame->hd.stream_id);
    if (s == NULL || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
        (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    s->has_sent_end = true;
    s->sent_at = h2->n_queued;
    h2_stream_wake(s, H2_EV_SENT);
    return 0;
}

static int on_error(nghttp2_session *session, int code, const char *text, size_t n, void *user_data)
{
    (void)session, (void)code;
    struct h2 *h2 = user_data;
    log_later(SPRIG_LOG_DEBUG, "HTTP/2 of %s: %.*s", conn_client(h2->conn), (int)n, text);
    return 0;
}

int h2_session_respond(struct h2_stream *s, const nghttp2_nv *fields, size_t n, bool has_body)
{
    nghttp2_data_provider body = {.source = {.ptr = s}, .read_callback = on_read};
    if (s->id == 0)
        return 0;
    return nghttp2_submit_response(s->h2->session, s->id, fields, n, has_body ? &body : NULL);
}

int h2_session_inform(struct h2_stream *s, const nghttp2_nv *fields, size_t n)
{
    if (s->id == 0)
        return 0;
    return nghttp2_submit_headers(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, fields, n, NULL);
}

/* ------------------------------------------------------------------- the session ---- */

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
    nghttp2_session_callbacks_set_error_callback2(cb, on_error);
    return cb;
}

/* The library's limits must not be tighter than ours, which are options and appear in the log. What
 * it counts as CONTINUATION frames are the calls that bring a part of a head; we count the bytes of
 * the head, and frames with next to nothing of it (frames.c). */
static void set_limits(nghttp2_option *option, const struct sprig_config *config)
{
#ifdef SPRIG_NGHTTP2_LIMITS
    enum { PLENTY = INT32_MAX };
    uint64_t resets = config->http2_max_resets != 0 ? config->http2_max_resets : PLENTY;
    nghttp2_option_set_stream_reset_rate_limit(option, 2 * resets, resets);
    nghttp2_option_set_max_continuations(option, PLENTY);
#else
    (void)option, (void)config;
#endif
}

/* An application may send as large a head as over HTTP/1, which knows no bound. */
enum { MOST_HEAD_BYTES = 1 << 30 };

static nghttp2_option *option_new(const struct sprig_config *config)
{
    nghttp2_option *option;
    if (nghttp2_option_new(&option) != 0)
        return NULL;
    set_limits(option, config);
    nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    /* It would leave out a larger head or trailers without a word. */
    nghttp2_option_set_max_send_header_block_length(option, MOST_HEAD_BYTES);
    /* As many as one read can cause: if a client takes none of them, no more is read from it. */
    nghttp2_option_set_max_outbound_ack(option, LOOP_READ_BUFFER_BYTES / 8);
    return option;
}

/* A client that may open WebSockets here would not use a connection of their own, and an
 * application that speaks WebSocket on the socket itself (psgix.io) would get none. */
static bool offers_websockets(const struct sprig_server *server)
{
    enum sprig_h2_websocket mode = server->config.http2_websocket;
    return mode == SPRIG_H2_WEBSOCKET_ON ||
           (mode == SPRIG_H2_WEBSOCKET_AUTO && server->had_tunnels);
}

static int submit_settings(struct h2 *h2)
{
    const struct sprig_config *config = &h2->conn->server->config;
    uint32_t most = config->max_header_bytes != 0 ? config->max_header_bytes : UINT32_MAX;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, INT32_MAX}, /* must be first: see put_frame */
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, config->http2_stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, most},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}, /* must be last: may be left out */
    };
    size_t n = sizeof settings / sizeof *settings - !offers_websockets(h2->conn->server);
    int rc = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, n);
    return rc != 0
               ? rc
               : nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                       (int32_t)config->http2_connection_window);
}

/* A tenth of each budget comes back every second. */
static void init_budgets(struct h2 *h2)
{
    const struct sprig_config *config = &h2->conn->server->config;
    uint64_t now = sprig_loop_now(h2->conn->server->loop);
    uint32_t resets = config->http2_max_resets, frames = config->http2_max_idle_frames;
    h2_budget_init(&h2->resets, resets, resets / 10 + 1, now);
    h2_budget_init(&h2->frames, frames, frames / 10 + 1, now);
}

int h2_session_new(struct h2 *h2)
{
    h2_scan_init(&h2->scan);
    init_budgets(h2);
    nghttp2_session_callbacks *callbacks = callbacks_new();
    nghttp2_option *option = option_new(&h2->conn->server->config);
    nghttp2_mem memory = h2_memory_functions(&h2->memory);
    bool ok = callbacks != NULL && option != NULL &&
              nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &memory) == 0;
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    return ok && submit_settings(h2) == 0 ? 0 : SPRIG_E_NOMEM;
}

/* The library cannot go on, mostly because of the client: it writes no GOAWAY then, so we do. */
static void fail(struct h2 *h2, int error)
{
    uint32_t code = error == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? NGHTTP2_PROTOCOL_ERROR
                    : error == NGHTTP2_ERR_NOMEM          ? NGHTTP2_INTERNAL_ERROR
                                                          : NGHTTP2_ENHANCE_YOUR_CALM;
    uint32_t last = (uint32_t)h2->last_id;
    const uint8_t goaway[] = {
        0,
        0,
        8,
        NGHTTP2_GOAWAY,
        0,
        0,
        0,
        0,
        0,
        (uint8_t)(last >> 24),
        (uint8_t)(last >> 16),
        (uint8_t)(last >> 8),
        (uint8_t)last,
        0,
        0,
        0,
        (uint8_t)code,
    };
    h2->has_failed = h2->is_ending = true;
    h2->fault = nghttp2_strerror(error);
    conn_lose(h2->conn, SPRIG_LOSS_PROTOCOL, h2->fault);
    if (outq_add(&h2->conn->out, span_of(goaway, sizeof goaway)) != 0)
        conn_break(h2->conn);
    conn_flush_later(h2->conn);
}

bool h2_session_receive(struct h2 *h2, struct sprig_span bytes)
{
    if (!INVARIANT(!h2->is_inside))
        return false;
    if (h2->is_ending || bytes.len == 0)
        return true;
    h2->is_inside = true;
    ssize_t n = nghttp2_session_mem_recv(h2_awake(h2), (const uint8_t *)bytes.ptr, bytes.len);
    h2->is_inside = false;
    if (n < 0)
        fail(h2, (int)n);
    return !h2->has_failed;
}

/* nghttp2 ends the connection of a client that opens one stream too many, although RFC 9113 section
 * 5.1.2 only has the stream refused. So it is told no limit, and its greeting, the first frame,
 * gets ours. */
static int put_frame(struct h2 *h2, const uint8_t *bytes, size_t n)
{
    uint8_t greeting[GREETING_BYTES];
    if (h2->n_queued == 0 && n > 0 && INVARIANT(n <= sizeof greeting)) {
        uint32_t most = htonl(h2->conn->server->config.http2_max_streams);
        memcpy(greeting, bytes, n);
        memcpy(greeting + FRAME_HEAD_BYTES + SETTING_ID_BYTES, &most, sizeof most);
        bytes = greeting;
    }
    h2->n_queued += n;
    return outq_add(&h2->conn->out, span_of(bytes, n));
}

bool h2_session_fill(struct h2 *h2)
{
    struct outq *out = &h2->conn->out;
    if (!INVARIANT(!h2->is_inside))
        return false;
    if (h2->has_failed)
        return true;
    h2->is_inside = true;
    bool ok = true;
    while (ok && out->size < H2_AHEAD_BYTES) {
        const uint8_t *bytes;
        uint64_t before = out->size;
        ssize_t n = nghttp2_session_mem_send(h2_awake(h2), &bytes);
        ok = n >= 0 && put_frame(h2, bytes, (size_t)n) == 0;
        if (out->size == before)
            break;
    }
    h2->is_inside = false;
    return ok;
}

bool h2_session_is_over(struct h2 *h2)
{
    if (h2->has_failed)
        return true;
    return !nghttp2_session_want_read(h2_awake(h2)) && !nghttp2_session_want_write(h2->session);
}

/* stream.c - request bodies that the app gets while they come (option streaming_input). */
#include "serve/conn.h"

#include <errno.h>

/* ------------------------------------------------------------------- which ---- */

/* "/up" covers /up, /up/ and /up/x, not /upper. */
static bool is_below(struct sprig_span path, struct sprig_span top)
{
    if (top.len > 0 && top.ptr[top.len - 1] == '/')
        top.len--;
    return path.len >= top.len && memcmp(path.ptr, top.ptr, top.len) == 0 &&
           (path.len == top.len || path.ptr[top.len] == '/');
}

bool conn_must_stream(const struct sprig_conn *c)
{
    const struct sprig_request *request = &c->ex->request;
    const char *top = c->server->config.streaming_input;
    return top != NULL && (request->chunked || request->content_length > 0) && !request->upgrade &&
           is_below(request->path, span_str(top));
}

/* ----------------------------------------------------------------- its end ---- */

void conn_stream_fail(struct sprig_conn *c, int status, const char *reason)
{
    if (c->ex->response.head_out)
        sprig_response_abort(c->ex, reason);
    else
        conn_refuse(c, status, reason);
}

/* The client broke its own request off. */
static void conn_stream_broken(struct sprig_conn *c)
{
    struct sprig_server *server = c->server;
    struct client_name client = conn_client_name(c);
    c->peer_shut = true;
    exchange_peer_gone(c->ex);
    conn_close(c, SPRIG_END_GONE);
    refusals_tell(&server->refusals, 400, client.text, "connection closed inside the body");
}

void conn_stream_set_deadline(struct sprig_conn *c)
{
    if (conn_awaits_writable(c))
        return;
    if (conn_waits_for_app(c))
        deadline_set(&c->server->queue_deadlines, &c->deadline);
    else if (conn_is_streaming(c) && c->ex->body_wanted)
        deadline_set(&c->server->body_deadlines, &c->deadline);
    else
        deadline_clear(&c->deadline);
}

/* ------------------------------------------------------------------ pieces ---- */

/* Decodes all chunks of the input in place, so that their data lie together. 0, or a status. */
static int decode_chunks(struct sprig_exchange *ex, struct sprig_span *input,
                         struct sprig_span *data)
{
    struct sprig_span piece;
    char *to = (char *)input->ptr; /* a receive buffer of ours */
    int rc;
    *data = span_make(to, 0);
    while ((rc = chunk_decode(&ex->chunk, input, &piece)) == CHUNK_DATA) {
        memmove(to + data->len, piece.ptr, piece.len);
        data->len += piece.len;
    }
    if (rc == CHUNK_END)
        ex->body_open = false;
    return rc < 0 ? -rc : 0;
}

static void take_length(struct sprig_exchange *ex, struct sprig_span *input,
                        struct sprig_span *data)
{
    size_t n = input->len < ex->body_left ? input->len : (size_t)ex->body_left;
    *data = span_make(input->ptr, n);
    *input = span_make(input->ptr + n, input->len - n);
    ex->body_left -= n;
    ex->body_open = ex->body_left > 0;
}

/* Gives the bridge what the input has of the body. What follows it is kept before, since Perl is
 * entered there. */
static void conn_stream_pass(struct sprig_conn *c, struct sprig_span input)
{
    struct sprig_exchange *ex = c->ex;
    uint64_t max = c->server->config.max_body_bytes;
    struct sprig_span data;
    int status = 0;
    if (ex->request.chunked)
        status = decode_chunks(ex, &input, &data);
    else
        take_length(ex, &input, &data);
    ex->body.size += data.len;
    if (status != 0) {
        conn_stream_fail(c, status, ex->chunk.reason);
    } else if (max != 0 && ex->body.size > max) {
        conn_stream_fail(c, 413, "max_body_bytes: the body is too large");
    } else if (!conn_keep(c, &input)) {
        conn_close(c, SPRIG_END_GONE);
    } else {
        conn_stream_set_deadline(c);
        if (data.len > 0 || !ex->body_open)
            c->server->handler.on_body(ex, data, !ex->body_open, c->server->arg);
        if (c->in_at == c->in_len)
            conn_drop_input(c);
    }
}

void conn_stream_resume(struct sprig_conn *c)
{
    if (c->ex->body_wanted && c->in_len > c->in_at)
        conn_stream_pass(c, conn_kept_input(c));
}

/* While the bridge does not want more, nothing is read, and TCP pushes back on the client. */
void conn_stream_receive(struct sprig_conn *c)
{
    if (!c->ex->body_wanted) {
        conn_set_reading(c, false);
        return;
    }
    if (c->in_len > c->in_at) {
        conn_stream_resume(c);
        return;
    }
    char *buffer = loop_read_buffer(c->server->loop);
    ssize_t n = c->transport.ops->recv(&c->transport, buffer, LOOP_READ_BUFFER_BYTES);
    if (n > 0)
        conn_stream_pass(c, span_make(buffer, (size_t)n));
    else if (n == 0)
        conn_stream_broken(c);
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        conn_on_broken(c);
}

/* ------------------------------------------------------------- the bridge's ---- */

bool sprig_exchange_is_streaming(const struct sprig_exchange *ex)
{
    return ex->streams;
}

void sprig_exchange_read_body(struct sprig_exchange *ex, bool on)
{
    struct sprig_conn *c = ex->conn;
    if (loop_guard(c->server->loop) != c->generation || c->state == CONN_CLOSED ||
        c->state == CONN_DETACHED || c->is_broken || !ex->body_open || ex->body_wanted == on)
        return;
    ex->body_wanted = on;
    conn_stream_set_deadline(c);
    if (!on)
        return;
    if (c->in_len == c->in_at)
        conn_invite(c); /* an app that refuses the body just answers */
    conn_set_reading(c, true);
    if (c->in_len > c->in_at)
        ready_add(c->server->loop, &c->ready, CONN_EV_RESUME);
}

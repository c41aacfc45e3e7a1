/* stream.c - request bodies that the app reads while they arrive (option streaming_input). */
#include "h1/h1.h"

#include <errno.h>

/* ----------------------------------------------------------------- its end ---- */

void h1_stream_fail(struct sprig_conn *c, int status, const char *reason)
{
    struct h1 *h = h1_of(c);
    exchange_lose_by(h->ex, status, reason);
    if (h->ex->response.head_out)
        sprig_response_abort(h->ex, reason);
    else
        h1_refuse(c, status, reason);
}

/* The client broke off its own request. */
static void h1_stream_broken(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    struct client_name client = conn_client_name(c, h->ex);
    c->peer_shut = true;
    conn_lose(c, SPRIG_LOSS_CLOSED, h1_body_broken);
    exchange_peer_gone(h->ex);
    conn_close(c, SPRIG_END_GONE);
    conn_tell_of(c, &client, 400, h1_body_broken);
}

/* In a tunnel, which is not HTTP, this is a normal end. */
static void h1_tunnel_ended(struct sprig_conn *c)
{
    struct sprig_exchange *ex = h1_of(c)->ex;
    c->peer_shut = true;
    conn_set_reading(c, false);
    ex->body_open = false;
    exchange_tell_body(ex, span_make(NULL, 0), true);
}

void h1_stream_set_deadline(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    if (h1_awaits_writable(c))
        return;
    if (exchange_waits(h->ex))
        deadline_set(&c->server->queue_deadlines, &c->deadline);
    else if (exchange_awaits_body(h->ex) && h->ex->body_wanted)
        deadline_set(&c->server->body_deadlines, &c->deadline);
    else
        deadline_clear(&c->deadline);
}

/* ------------------------------------------------------------------ pieces ---- */

/* Decodes all chunks of the input in place, so that their data is contiguous. Returns 0 or a
 * status. */
static int decode_chunks(struct sprig_exchange *ex, struct sprig_span *input,
                         struct sprig_span *data)
{
    struct sprig_span piece;
    char *to = (char *)input->ptr; /* a receive buffer of ours */
    int rc;
    *data = span_make(to, 0);
    while ((rc = chunk_decode(&ex->in->chunk, input, &piece)) == CHUNK_DATA) {
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

/* Gives the bridge the input's part of the body. What follows it is kept first, because the call
 * enters Perl. */
static void h1_stream_pass(struct sprig_conn *c, struct sprig_span input)
{
    struct h1 *h = h1_of(c);
    struct sprig_exchange *ex = h->ex;
    uint64_t max = c->server->config.max_body_bytes;
    struct sprig_span data;
    int status = 0;
    if (ex->in->request.chunked)
        status = decode_chunks(ex, &input, &data);
    else
        take_length(ex, &input, &data);
    if (!ex->is_tunnel)
        ex->in->body.size += data.len;
    if (status != 0) {
        h1_stream_fail(c, status, ex->in->chunk.reason);
    } else if (max != 0 && ex->in->body.size > max && !ex->is_tunnel) {
        h1_stream_fail(c, 413, "max_body_bytes: the body is too large");
    } else if (!h1_keep(c, &input)) {
        conn_close(c, SPRIG_END_GONE);
    } else {
        h1_stream_set_deadline(c);
        if (data.len > 0 || !ex->body_open)
            exchange_tell_body(ex, data, !ex->body_open);
        if (!h1_has_kept_input(c))
            h1_drop_input(c);
    }
}

void h1_stream_resume(struct sprig_conn *c)
{
    if (h1_of(c)->ex->body_wanted && h1_has_kept_input(c))
        h1_stream_pass(c, h1_kept_input(c));
}

/* If only unread_byte makes it possible to cut the response, the last byte of the body stays in the
 * socket. */
static ssize_t h1_stream_look(struct sprig_conn *c, char *buffer)
{
    ssize_t n = transport_look(&c->transport, buffer, LOOP_READ_BUFFER_BYTES);
    if (n <= 0)
        return n;
    c->unread_byte = (uint64_t)n >= h1_of(c)->ex->body_left;
    size_t n_taken = (size_t)n - c->unread_byte;
    if (n_taken > 0)
        (void)!c->transport.ops->recv(&c->transport, buffer, n_taken);
    if (c->unread_byte)
        conn_read_anew(c);
    return n;
}

/* While the bridge wants no more, nothing is read, and TCP slows the client down. */
void h1_stream_receive(struct sprig_conn *c)
{
    if (!h1_of(c)->ex->body_wanted) {
        conn_set_reading(c, false);
        return;
    }
    if (h1_has_kept_input(c)) {
        h1_stream_resume(c);
        return;
    }
    char *buffer = loop_read_buffer(c->server->loop);
    struct sprig_exchange *ex = h1_of(c)->ex;
    bool may_need_unread =
        c->transport.resets_by_input && ex->in->request.version == 10 && !ex->is_tunnel;
    ssize_t n = may_need_unread
                    ? h1_stream_look(c, buffer)
                    : c->transport.ops->recv(&c->transport, buffer, LOOP_READ_BUFFER_BYTES);
    if (n > 0)
        h1_stream_pass(c, span_make(buffer, (size_t)n));
    else if (n == 0 && h1_of(c)->ex->is_tunnel)
        h1_tunnel_ended(c);
    else if (n == 0)
        h1_stream_broken(c);
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        conn_fail_reading(c);
}

/* ------------------------------------------------------------- the bridge's ---- */

void h1_read_body(struct sprig_exchange *ex, bool on)
{
    struct sprig_conn *c = ex->conn;
    h1_stream_set_deadline(c);
    if (!on)
        return;
    if (!h1_has_kept_input(c))
        h1_invite(c); /* an app that refuses the body just answers */
    conn_set_reading(c, true);
    if (h1_has_kept_input(c))
        ready_add(c->server->loop, &c->ready, CONN_EV_RESUME);
}

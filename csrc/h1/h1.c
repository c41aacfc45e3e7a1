/* h1.c - HTTP/1 as the rest of the server sees it: one exchange at a time on each connection.
 */
#include "serve/conn.h"

/* What an aborted response may still write of what is queued. */
enum { EXCHANGE_LAST_BYTES = 256 * 1024 };

/* ------------------------------------------------------------------- steps ---- */

static void conn_tell_drained(struct sprig_conn *c)
{
    struct sprig_exchange *ex = c->ex;
    if (ex == NULL || !ex->is_started || ex->response.ended)
        return;
    if (c->out.size > c->server->config.low_water_bytes)
        return; /* more was written meanwhile: the flush that takes it comes back to this */
    ex->want_drain = ex->was_high = false;
    c->server->handler.on_drain(ex, c->server->arg);
}

static void conn_tell_notified(struct sprig_conn *c)
{
    struct sprig_exchange *ex = c->ex;
    if (ex == NULL || !ex->is_started || !ex->notify)
        return;
    ex->notify = false;
    c->server->handler.on_notify(ex, c->server->arg);
}

/* keepalive_timeout, or no byte ever came. */
static void conn_expire_idle(struct sprig_conn *c)
{
    sprig_log(SPRIG_LOG_DEBUG, "timeout: %s sent no request", conn_client(c));
    conn_close(c, SPRIG_END_GONE);
}

static void conn_on_timeout(struct sprig_conn *c)
{
    if (conn_awaits_writable(c) && !conn_write_is_stalled(c))
        return;
    switch ((enum conn_state)c->state) {
    case CONN_IDLE:
        if (conn_has_output(c))
            conn_reset(c, SPRIG_END_GONE); /* write_timeout */
        else
            conn_expire_idle(c);
        return;
    case CONN_HEAD:
        conn_refuse(c, 408, "header_timeout: the head was not complete in time");
        return;
    case CONN_BODY:
        conn_refuse(c, 408, "body_timeout: the body made no progress");
        return;
    case CONN_APP:
    case CONN_REPLY:
        if (conn_waits_for_app(c) && !c->is_writing) {
            conn_refuse(c, 503, "queue_timeout: the request waited too long for its turn");
            return;
        }
        if (!c->is_writing && conn_is_streaming(c)) {
            conn_stream_fail(c, 408, "body_timeout: the body made no progress");
            return;
        }
        conn_tell(c, 0, "write_timeout: it took no bytes");
        conn_mark_broken(c);
        conn_on_broken(c);
        return;
    case CONN_LINGER:
        conn_close(c, SPRIG_END_GONE);
        return;
    case CONN_DETACHED:
    case CONN_CLOSED:
        return;
    }
}

/* True if what the deadline was set for has still not happened. It is looked at last: where an app
 * kept the loop busy, the bytes that were missing may have come in the meantime. */
static bool conn_is_late(const struct sprig_conn *c, enum conn_state state, uint32_t n_requests)
{
    if (c->state != state || c->n_requests != n_requests || list_linked(&c->deadline.link))
        return false;
    if (conn_waits_for_app(c))
        return true;
    bool is_answering = state == CONN_APP || state == CONN_REPLY;
    return !is_answering || c->is_writing || conn_is_streaming(c);
}

static void h1_step(struct sprig_conn *c, uint32_t what)
{
    enum conn_state state = (enum conn_state)c->state;
    uint32_t n_requests = c->n_requests;
    if (what == CONN_EV_READABLE) { /* nearly always */
        conn_read(c);
        return;
    }
    if (what & CONN_EV_BROKEN)
        conn_on_broken(c);
    if (what & CONN_EV_WRITABLE)
        conn_flush(c);
    if ((what & CONN_EV_GONE) && c->ex != NULL && c->peer_shut)
        exchange_peer_gone(c->ex);
    if (what & CONN_EV_NOTIFY)
        conn_tell_notified(c);
    if (what & CONN_EV_DRAIN)
        conn_tell_drained(c);
    if (what & CONN_EV_RESUME)
        conn_resume(c);
    if (what & CONN_EV_READABLE)
        conn_read(c);
    if ((what & CONN_EV_TIMEOUT) && conn_is_late(c, state, n_requests))
        conn_on_timeout(c);
}

static void h1_drain(struct sprig_conn *c)
{
    if (c->state == CONN_IDLE && !conn_has_output(c))
        conn_await_request(c);
}

static bool h1_is_unused(const struct sprig_conn *c)
{
    return c->state == CONN_IDLE && c->in_len == c->in_at;
}

/* ---------------------------------------------------------------- exchange ---- */

static int h1_head(struct sprig_exchange *ex, const struct sprig_head *head, char *why, size_t n)
{
    struct sprig_conn *c = ex->conn;
    if (c->server->is_draining || c->must_close)
        ex->response.keep_alive = false;
    int rc = response_head(&ex->response, ex->out, head, c->server->config.server_header, why, n);
    if (rc != 0)
        return rc;
    c->is_switched = head->status == 101 || (ex->response.is_connect && head->status < 300);
    conn_set_state(c, CONN_REPLY);
    return 0;
}

static int h1_interim(struct sprig_exchange *ex, const struct sprig_head *head, char *why, size_t n)
{
    return response_interim(&ex->response, ex->out, head, why, n);
}

/* What the client got so far must not look whole. A missing last chunk or a short body shows that
 * by itself, and a plain close lets those bytes arrive; a body that ends by closing needs a reset.
 */
static void h1_abort(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    uint64_t n_written;
    outq_flush(ex->out, &c->transport, EXCHANGE_LAST_BYTES, &n_written);
    const struct response *r = &ex->response;
    bool looks_whole = r->head_out && r->framing != FRAMING_CHUNKED &&
                       (r->framing != FRAMING_LENGTH || r->left == 0);
    if (looks_whole)
        conn_reset(c, SPRIG_END_ABORTED);
    else
        conn_close(c, SPRIG_END_ABORTED);
}

static void h1_resume(struct sprig_exchange *ex)
{
    ready_add(ex->conn->server->loop, &ex->conn->ready, CONN_EV_RESUME);
}

/* Output queued so far is written if the kernel takes it: a 101 sent by the responder, mostly. */
static int h1_take_socket(struct sprig_exchange *ex, int *fd, struct sprig_span *unread)
{
    struct sprig_conn *c = ex->conn;
    uint64_t n_written;
    outq_flush(&c->out, &c->transport, 0, &n_written);
    *unread = conn_kept_input(c);
    *fd = conn_detach(c);
    return 0;
}

const struct protocol protocol_h1 = {
    .name = "HTTP/1",
    .step = h1_step,
    .settle = conn_settle_later,
    .written = conn_written,
    .drain = h1_drain,
    .is_unused = h1_is_unused,
    .leave = exchange_end,
    .head = h1_head,
    .interim = h1_interim,
    .abort = h1_abort,
    .resume = h1_resume,
    .take_socket = h1_take_socket,
};

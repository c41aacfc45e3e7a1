/* h1.c - HTTP/1 as the rest of the server sees it: phases, steps, its protocol table. */
#include "h1/h1.h"

#include "base/hot.h"
#include "base/invariant.h"
#include <stdlib.h>

/* How much queued output an aborted response may still write. */
enum { H1_LAST_BYTES = 256 * 1024 };

/* ------------------------------------------------------------------ phases ---- */

/* OVER may follow any phase. */
const uint8_t h1_legal_next[] = {
    [H1_IDLE] = 1 << H1_HEAD | 1 << H1_BODY | 1 << H1_APP | 1 << H1_REPLY | 1 << H1_PREFACE,
    [H1_HEAD] = 1 << H1_BODY | 1 << H1_APP | 1 << H1_REPLY | 1 << H1_PREFACE,
    [H1_BODY] = 1 << H1_APP | 1 << H1_REPLY,
    [H1_APP] = 1 << H1_REPLY,
    [H1_REPLY] = 1 << H1_IDLE,
    [H1_PREFACE] = 0,
    [H1_OVER] = 0,
};

void h1_set_other_phase(struct sprig_conn *c, enum h1_phase phase)
{
    struct h1 *h = h1_of(c);
    bool is_legal = phase == h->phase || phase == H1_OVER;
    if (INVARIANT(is_legal))
        h->phase = (uint8_t)phase;
    else
        conn_break(c);
}

void h1_end_exchange(struct sprig_conn *c, enum sprig_end why)
{
    struct h1 *h = h1_of(c);
    struct sprig_exchange *ex = h->ex;
    h->ex = NULL; /* clear it first: on_end may run Perl, which may run a nested pass */
    if (ex != NULL)
        exchange_end(ex, why);
}

/* ------------------------------------------------------------------- steps ---- */

/* Either keepalive_timeout, or no byte ever arrived. */
static void h1_expire_idle(struct sprig_conn *c)
{
    sprig_log(SPRIG_LOG_DEBUG, "timeout: %s sent no request", conn_client(c));
    conn_close(c, SPRIG_END_DONE);
}

/* The deadline passed while a request was being answered. */
static void h1_expire_answering(struct sprig_conn *c)
{
    struct sprig_exchange *ex = h1_of(c)->ex;
    if (exchange_waits(ex) && !conn_is_blocked(c)) {
        h1_refuse(c, 503, "queue_timeout: the request waited too long for its turn");
    } else if (exchange_awaits_body(ex) && !conn_is_blocked(c)) {
        h1_stream_fail(c, 408, "body_timeout: the body made no progress");
    } else {
        conn_lose(c, SPRIG_LOSS_WRITE_TIMEOUT, "write_timeout: the client took no bytes");
        conn_tell(c, ex, 0, "write_timeout: the client took no bytes");
        conn_mark_broken(c);
        conn_on_broken(c);
    }
}

static void h1_on_timeout(struct sprig_conn *c)
{
    if (h1_awaits_writable(c) && !conn_write_is_stalled(c))
        return;
    switch ((enum h1_phase)h1_of(c)->phase) {
    case H1_IDLE:
        if (conn_has_output(c))
            conn_reset(c, SPRIG_END_GONE); /* write_timeout */
        else
            h1_expire_idle(c);
        return;
    case H1_HEAD:
        h1_refuse(c, 408, "header_timeout: the head was not complete in time");
        return;
    case H1_BODY:
        h1_refuse(c, 408, "body_timeout: the body made no progress");
        return;
    case H1_APP:
    case H1_REPLY:
        h1_expire_answering(c);
        return;
    case H1_PREFACE:
    case H1_OVER:
        return;
    }
}

/* True if what the deadline waits for has still not happened. Checked last: while an app kept the
 * loop busy, the missing bytes may have arrived. */
static bool h1_is_late(const struct sprig_conn *c, enum h1_phase phase, uint32_t n_requests)
{
    struct h1 *h = h1_of(c);
    if (h->phase != phase || c->n_requests != n_requests || list_linked(&c->deadline.link))
        return false;
    return !h1_is_answering(c) || conn_is_blocked(c) || exchange_waits(h->ex) ||
           exchange_awaits_body(h->ex);
}

static void h1_react(struct sprig_conn *c, uint32_t what)
{
    struct h1 *h = h1_of(c);
    enum h1_phase phase = (enum h1_phase)h->phase;
    uint32_t n_requests = c->n_requests;
    if (what & CONN_EV_BROKEN)
        conn_on_broken(c);
    if (what & CONN_EV_WRITABLE)
        conn_flush(c);
    if ((what & CONN_EV_GONE) && h->ex != NULL && c->peer_shut)
        exchange_peer_gone(h->ex);
    if ((what & CONN_EV_NOTIFY) && h->ex != NULL)
        exchange_tell_notified(h->ex);
    if ((what & CONN_EV_DRAIN) && h->ex != NULL)
        exchange_tell_drained(h->ex);
    if (what & CONN_EV_RESUME)
        h1_resume(c);
    /* Also at a timeout: libevent does not report all arrived input at once. */
    if ((what & CONN_EV_READABLE) || ((what & CONN_EV_TIMEOUT) && h->phase < H1_APP))
        h1_read(c);
    if ((what & CONN_EV_TIMEOUT) && h1_is_late(c, phase, n_requests))
        h1_on_timeout(c);
}

static void h1_give_way(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    struct h1_input *in = h->in;
    struct sprig_span input = h1_kept_input(c);
    h->in = NULL;
    conn_take_unread(c); /* it is part of the input */
    conn_speak(c, c->server->protocols->http2, input);
    free(in);
}

/* Output is sent in one write at the end. A nested pass may step the same connection; only the
 * outermost frame settles it. */
static void h1_step(struct sprig_conn *c, uint32_t what)
{
    struct h1 *h = h1_of(c);
    bool was_running = h->is_running;
    h->n_turn = 0;
    h->is_running = true;
    if (what == CONN_EV_READABLE) /* nearly always */
        h1_read(c);
    else
        h1_react(c, what);
    h->is_running = was_running;
    if (h->phase == H1_PREFACE) {
        h1_give_way(c);
        return;
    }
    bool has_output = c->out.size > 0 || c->transport.has_unsent;
    if (has_output && !conn_is_blocked(c) && !(c->ready.what & CONN_EV_WRITABLE))
        conn_flush(c); /* unless the next slice of output already has its turn */
    if (!was_running)
        h1_settle_later(c);
}

HOT static bool h1_is_steady(const struct sprig_exchange *ex)
{
    return ex->first_ns != 0 && !ex->response.ended && !ex->want_drain && !ex->was_high &&
           (!ex->body_open || ex->is_tunnel) && h1_of(ex->conn)->phase == H1_REPLY &&
           !list_linked(&ex->conn->deadline.link);
}

HOT static void h1_flush(struct sprig_conn *c)
{
    const struct sprig_exchange *ex = h1_of(c)->ex;
    if (ex != NULL && h1_is_steady(ex) && conn_flush_piece(c))
        return;
    bool is_new = c->n_requests == 0 && c->out.size == 0;
    if (!conn_is_blocked(c) && !is_new)
        conn_flush(c);
    if (!h1_of(c)->is_running)
        h1_settle_later(c);
}

static void h1_server_leaves(struct sprig_conn *c)
{
    if (h1_of(c)->phase == H1_IDLE && !conn_has_output(c))
        conn_await_request(c);
}

static bool h1_is_unused(const struct sprig_conn *c)
{
    return h1_of(c)->phase == H1_IDLE && !h1_has_kept_input(c);
}

/* --------------------------------------------------------------------- end ---- */

static void h1_sever(struct sprig_conn *c)
{
    if (h1_of(c)->ex != NULL)
        exchange_sever(h1_of(c)->ex);
}

static void h1_peer_gone(struct sprig_conn *c)
{
    if (h1_of(c)->ex != NULL)
        exchange_peer_gone(h1_of(c)->ex);
}

static void h1_over(struct sprig_conn *c, enum sprig_end why)
{
    h1_set_phase(c, H1_OVER);
    h1_end_exchange(c, why);
}

static void h1_clear(struct sprig_conn *c)
{
    h1_drop_input(c);
}

/* ---------------------------------------------------------------- exchange ---- */

/* After a CONNECT that the server refused instead of the app, the input is no request. */
static void h1_end_tunnel(struct sprig_exchange *ex)
{
    ex->response.keep_alive = false;
    h1_of(ex->conn)->must_close = ex->conn->must_linger = true;
}

static int h1_head(struct sprig_exchange *ex, const struct sprig_head *head, char *why, size_t n)
{
    struct sprig_conn *c = ex->conn;
    if (ex->response.is_dropped)
        h1_end_tunnel(ex);
    if (c->server->is_leaving || h1_of(c)->must_close || c->input_is_apps)
        ex->response.keep_alive = false;
    int rc = response_head(&ex->response, ex->out, head, c->server->config.server_header, why, n);
    if (rc != 0)
        return rc;
    c->is_switched = head->status == 101 || (ex->response.is_connect && head->status < 300);
    h1_set_phase(c, H1_REPLY);
    return 0;
}

static int h1_interim(struct sprig_exchange *ex, const struct sprig_head *head, char *why, size_t n)
{
    return response_interim(&ex->response, ex->out, head, why, n);
}

/* What the client got so far must not look complete. A missing last chunk or a short body shows
 * that by itself, and a plain close lets those bytes arrive; a body that ends with the connection
 * needs a reset. */
static void h1_abort(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    uint64_t n_written;
    outq_flush(ex->out, &c->transport, H1_LAST_BYTES, &n_written);
    const struct response *r = &ex->response;
    bool looks_whole = r->head_out && r->framing != FRAMING_CHUNKED &&
                       (r->framing != FRAMING_LENGTH || r->left == 0);
    if (looks_whole)
        conn_reset(c, SPRIG_END_ABORTED);
    else
        conn_close(c, SPRIG_END_ABORTED);
}

static void h1_fail(struct sprig_exchange *ex)
{
    conn_break(ex->conn);
}

static void h1_wake(struct sprig_exchange *ex, uint32_t what)
{
    ready_add(ex->conn->server->loop, &ex->conn->ready, what);
}

static struct sprig_span h1_unread(const struct sprig_exchange *ex)
{
    return h1_kept_input(ex->conn);
}

/* Writes queued output, mostly the responder's 101, if the kernel takes it. */
static int h1_take_socket(struct sprig_exchange *ex, int *fd, struct sprig_span *unread)
{
    struct sprig_conn *c = ex->conn;
    uint64_t n_written;
    outq_flush(&c->out, &c->transport, 0, &n_written);
    *unread = h1_kept_input(c);
    *fd = conn_detach(c);
    return 0;
}

static const struct sprig_exchange *h1_at_work(const struct sprig_conn *c)
{
    return h1_of(c)->ex;
}

const struct protocol protocol_h1 = {
    .name = "HTTP/1",
    .step = h1_step,
    .flush = h1_flush,
    .flushed = h1_flushed,
    .awaits_writable = h1_awaits_writable,
    .is_steady = h1_is_steady,
    .server_leaves = h1_server_leaves,
    .is_unused = h1_is_unused,
    .is_answering = h1_is_answering,
    .at_work = h1_at_work,
    .turn_away = h1_turn_away,
    .sever = h1_sever,
    .peer_gone = h1_peer_gone,
    .over = h1_over,
    .clear = h1_clear,
    .head = h1_head,
    .interim = h1_interim,
    .added = NULL,
    .abort = h1_abort,
    .fail = h1_fail,
    .wake = h1_wake,
    .read_body = h1_read_body,
    .take_socket = h1_take_socket,
    .unread = h1_unread,
};

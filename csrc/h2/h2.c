/* h2.c - HTTP/2 as the rest of the server sees it: steps, the turns of the streams, its protocol
 * table; see h2.h */
#include "h2/h2.h"
#include "h2/protocol_h2.h"

#include <errno.h>
#include <stdlib.h>

/* -------------------------------------------------------------------- deadlines ---- */

/* A new connection may have at least one request, even from a server that leaves: its client may
 * send one before it hears of that, and would have to connect again. */
static bool awaits_first(const struct h2 *h2)
{
    const struct sprig_conn *c = h2->conn;
    return c->server->is_leaving && !h2->is_leaving && c->n_requests == 0;
}

static enum h2_wait wait_of(const struct h2 *h2)
{
    if (awaits_first(h2))
        return H2_WAITS_FIRST;
    if (!h2->has_begun)
        return H2_WAITS_BEGIN;
    if (h2->heading != NULL || h2->in_block)
        return H2_WAITS_HEAD;
    if (h2->is_leaving && !h2->has_left)
        return H2_WAITS_LEAVE;
    if (!h2->has_ack)
        return H2_WAITS_ACK;
    return h2->n_streams == 0 ? H2_WAITS_IDLE : H2_WAITS_NOT;
}

/* A blocked write has its own deadline. */
static void set_deadline(struct sprig_conn *c)
{
    struct h2 *h2 = h2_of(c);
    struct sprig_server *server = c->server;
    enum h2_wait wait = wait_of(h2);
    if (conn_is_blocked(c) || (wait == h2->wait && list_linked(&c->deadline.link)))
        return;
    bool is_first = wait == H2_WAITS_BEGIN && list_linked(&c->deadline.link); /* running since
                                                                               * accept */
    h2->wait = (uint8_t)wait;
    if (wait == H2_WAITS_NOT)
        deadline_clear(&c->deadline);
    else if (wait == H2_WAITS_IDLE || wait == H2_WAITS_FIRST)
        conn_await_request(c);
    else if (wait == H2_WAITS_LEAVE)
        deadline_set(&server->goaway_deadlines, &c->deadline);
    else if (!is_first)
        deadline_set(&server->header_deadlines, &c->deadline);
}

/* ---------------------------------------------------------------------------- rest ---- */

static bool may_rest(const struct h2 *h2)
{
    const struct sprig_conn *c = h2->conn;
    return h2->n_streams == 0 && h2->has_ack && c->state == CONN_OPEN && !conn_has_output(c);
}

static void rest_later(struct h2 *h2)
{
    if (!may_rest(h2) || h2->memory.is_resting || list_linked(&h2->rest.deadline.link))
        return;
    h2->n_requests = h2->conn->n_requests;
    deadline_set(&h2->conn->server->rest_deadlines, &h2->rest.deadline);
}

/* Nothing was requested meanwhile, and nothing is on its way. */
static void on_rest(struct stream_deadline *d)
{
    struct h2 *h2 = list_entry(d, struct h2, rest);
    if (h2->n_requests != h2->conn->n_requests)
        rest_later(h2);
    else if (may_rest(h2) && !h2->is_inside)
        h2_memory_rest(&h2->memory);
}

/* ------------------------------------------------------------------------ its end ---- */

static void h2_over(struct sprig_conn *c, enum sprig_end why);

static void close_if_over(struct sprig_conn *c)
{
    if (c->state != CONN_OPEN || conn_is_broken(c) || conn_has_output(c) ||
        !h2_session_is_over(h2_of(c)))
        return;
    h2_over(c, SPRIG_END_GONE); /* streams cut off by GOAWAY */
    c->must_linger = !c->peer_shut;
    c->lingers_little = true;
    if (c->state == CONN_OPEN)
        conn_finish(c);
}

static void on_write_timeout(struct sprig_conn *c)
{
    if (!conn_write_is_stalled(c))
        return;
    conn_lose(c, SPRIG_LOSS_WRITE_TIMEOUT, "write_timeout: the client took no bytes");
    conn_tell(c, NULL, 0, "write_timeout: the client took no bytes");
    conn_mark_broken(c);
    conn_on_broken(c);
}

/* True if what the deadline waits for has still not happened. */
static bool is_late(const struct sprig_conn *c, uint32_t n_requests)
{
    const struct h2 *h2 = h2_of(c);
    if (c->state != CONN_OPEN || list_linked(&c->deadline.link))
        return false;
    return conn_is_blocked(c) || (wait_of(h2) == h2->wait && c->n_requests == n_requests);
}

static void on_timeout(struct sprig_conn *c)
{
    struct h2 *h2 = h2_of(c);
    if (conn_is_blocked(c)) {
        on_write_timeout(c);
        return;
    }
    switch (wait_of(h2)) {
    case H2_WAITS_NOT:
        return;
    case H2_WAITS_FIRST:
        h2_session_leave(h2);
        return;
    case H2_WAITS_BEGIN:
    case H2_WAITS_IDLE:
        h2_session_end(h2, NGHTTP2_NO_ERROR, NULL);
        return;
    case H2_WAITS_HEAD:
        h2_session_end(h2, NGHTTP2_ENHANCE_YOUR_CALM,
                       "header_timeout: the head was not complete in time");
        return;
    case H2_WAITS_ACK:
        h2_session_end(h2, NGHTTP2_SETTINGS_TIMEOUT,
                       "header_timeout: SETTINGS was not acknowledged in time");
        return;
    case H2_WAITS_LEAVE:
        h2_session_leave_now(h2);
        return;
    }
}

/* --------------------------------------------------------------------------- steps ---- */

/* While the client takes nothing, nothing is read from it: our answers would pile up. */
static void decide_reading(struct sprig_conn *c)
{
    bool is_full = conn_is_blocked(c) && c->out.size >= H2_AHEAD_BYTES;
    if (c->state != CONN_OPEN || c->peer_shut || (c->reading != READING_OFF) == !is_full)
        return;
    conn_set_reading(c, !is_full);
}

static void receive(struct sprig_conn *c)
{
    char *buffer = loop_read_buffer(c->server->loop);
    ssize_t n = c->transport.ops->recv(&c->transport, buffer, LOOP_READ_BUFFER_BYTES);
    if (n > 0) {
        h2_receive(h2_of(c), span_make(buffer, (size_t)n));
    } else if (n == 0) {
        c->peer_shut = true;
        conn_on_broken(c);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        conn_fail_reading(c);
    }
}

static void h2_read(struct sprig_conn *c)
{
    if (c->reading != READING_OFF && !conn_is_overtaken(c))
        receive(c);
}

static void run_stream(struct h2_stream *s)
{
    uint32_t what = s->what;
    s->what = 0;
    list_remove(&s->due);
    s->pins++;
    h2_stream_run(s, what);
    s->pins--;
    h2_stream_release(s);
}

/* Each due stream gets its turn, and the others on the list theirs before it gets another. The app
 * may run a pass that runs streams of this connection, too, so none is remembered across a call. */
static void run_due(struct sprig_conn *c)
{
    struct h2 *h2 = h2_of(c);
    uint32_t max = c->server->config.max_requests_per_turn;
    struct list_link *first;
    while (c->state == CONN_OPEN && !conn_is_broken(c) && (max == 0 || h2->n_turn < max) &&
           (first = list_first(&h2->due)) != NULL)
        run_stream(list_entry(first, struct h2_stream, due));
}

/* Reports why the connection ends, if the client caused it. */
static void tell_fault(struct sprig_conn *c)
{
    struct h2 *h2 = h2_of(c);
    if (h2->fault == NULL || h2->fault_is_told)
        return;
    h2->fault_is_told = true;
    conn_tell(c, NULL, 0, h2->fault);
}

/* Sends what was written, and ends what is over afterwards. */
static void flush_and_settle(struct sprig_conn *c)
{
    struct h2 *h2 = h2_of(c);
    if (c->state == CONN_OPEN && !conn_is_broken(c))
        tell_fault(c);
    if (!conn_is_blocked(c) && !(c->ready.what & CONN_EV_WRITABLE))
        conn_flush(c);
    run_due(c);
    if (c->state != CONN_OPEN || conn_is_broken(c))
        return;
    if (!list_empty(&h2->due))
        ready_add(c->server->loop, &c->ready, CONN_EV_RESUME);
    if (h2->must_leave || (c->server->is_leaving && !awaits_first(h2)))
        h2_session_leave(h2);
    set_deadline(c);
    decide_reading(c);
    close_if_over(c);
    rest_later(h2);
}

static void h2_step(struct sprig_conn *c, uint32_t what)
{
    struct h2 *h2 = h2_of(c);
    bool was_running = h2->is_running;
    uint32_t n_requests = c->n_requests;
    h2->is_running = true;
    h2->n_turn = 0;
    if (what & CONN_EV_BROKEN)
        conn_on_broken(c);
    if (what & CONN_EV_WRITABLE)
        conn_flush(c);
    if (what & (CONN_EV_READABLE | CONN_EV_TIMEOUT)) /* what was missing may have arrived */
        h2_read(c);
    run_due(c);
    if ((what & CONN_EV_TIMEOUT) && is_late(c, n_requests))
        on_timeout(c);
    flush_and_settle(c);
    h2->is_running = was_running;
}

static void h2_flush(struct sprig_conn *c)
{
    struct h2 *h2 = h2_of(c);
    if (h2->is_running) { /* a nested pass: the outer frame continues with it */
        if (!conn_is_blocked(c))
            conn_flush(c);
        return;
    }
    h2->is_running = true;
    h2->n_turn = 0;
    flush_and_settle(c);
    h2->is_running = false;
}

static void h2_fill(struct sprig_conn *c)
{
    struct h2 *h2 = h2_of(c);
    if (h2->is_torn || !h2_session_fill(h2))
        conn_break(c);
}

/* Streams are woken for a turn that comes anyway, because the connection will be flushed. */
static void h2_carry(struct sprig_conn *c)
{
    struct h2 *h2 = h2_of(c);
    bool was_running = h2->is_running;
    h2->is_running = true;
    h2->is_torn = h2->is_torn || !h2_session_fill(h2);
    h2->is_running = was_running;
}

/* Settles the streams that end only once the kernel has their bytes. */
static void h2_flushed(struct sprig_conn *c, bool is_drained)
{
    (void)is_drained;
    list_foreach (it, &h2_of(c)->streams) {
        struct h2_stream *s = list_entry(it, struct h2_stream, link);
        if (s->ex != NULL && s->ex->end_after_flush && s->has_sent_end)
            h2_stream_wake(s, H2_EV_SENT);
    }
}

static bool h2_awaits_writable(const struct sprig_conn *c)
{
    (void)c;
    return true;
}

/* Requests already on their way are still served. */
static void h2_server_leaves(struct sprig_conn *c)
{
    if (awaits_first(h2_of(c)))
        set_deadline(c);
    else
        h2_session_leave(h2_of(c));
}

static bool h2_is_unused(const struct sprig_conn *c)
{
    return h2_of(c)->n_streams == 0;
}

static bool h2_is_answering(const struct sprig_conn *c)
{
    return h2_of(c)->n_streams > 0;
}

static void h2_turn_away(struct sprig_conn *c)
{
    conn_close(c, SPRIG_END_GONE);
}

static bool h2_begin(struct sprig_conn *c, struct sprig_span input)
{
    struct h2 *h2 = calloc(1, sizeof *h2);
    if (h2 == NULL)
        return false;
    h2->conn = c;
    h2->wait = H2_WAITS_BEGIN;
    list_init(&h2->streams);
    list_init(&h2->due);
    deadline_init(&h2->rest.deadline);
    h2->rest.expire = on_rest;
    memcpy(c->own, &h2, sizeof h2);
    if (h2_session_new(h2) != 0)
        return false;
    h2->is_running = true;
    h2_receive(h2, input);
    run_due(c);
    flush_and_settle(c);
    h2->is_running = false;
    return true;
}

/* ----------------------------------------------------------------------------- end ---- */

static void h2_sever(struct sprig_conn *c)
{
    list_foreach (it, &h2_of(c)->streams) {
        struct h2_stream *s = list_entry(it, struct h2_stream, link);
        if (s->ex != NULL)
            exchange_sever(s->ex);
    }
}

/* A stream that has not been told yet; the list may change with each call. */
static struct h2_stream *next_to_tell(struct h2 *h2)
{
    list_foreach (it, &h2->streams) {
        struct h2_stream *s = list_entry(it, struct h2_stream, link);
        if (s->ex != NULL && s->ex->is_started && !s->ex->gone_told && !s->ex->response.ended)
            return s;
    }
    return NULL;
}

static void h2_peer_gone(struct sprig_conn *c)
{
    struct h2_stream *s;
    while ((s = next_to_tell(h2_of(c))) != NULL) {
        s->pins++;
        exchange_peer_gone(s->ex);
        s->pins--;
    }
}

static struct h2_stream *next_to_end(struct h2 *h2)
{
    list_foreach (it, &h2->streams) {
        struct h2_stream *s = list_entry(it, struct h2_stream, link);
        if (s->ex != NULL)
            return s;
    }
    return NULL;
}

/* The streams stay allocated until no stack frame can know them. */
static void h2_over(struct sprig_conn *c, enum sprig_end why)
{
    struct h2_stream *s;
    while ((s = next_to_end(h2_of(c))) != NULL) {
        deadline_clear(&s->deadline.deadline);
        h2_stream_end_exchange(s, why);
    }
    list_foreach (it, &h2_of(c)->streams)
        deadline_clear(&list_entry(it, struct h2_stream, link)->deadline.deadline);
    deadline_clear(&h2_of(c)->rest.deadline);
}

static void h2_clear(struct sprig_conn *c)
{
    struct h2 *h2 = h2_of(c);
    struct list_link *first;
    if (h2 == NULL)
        return;
    while ((first = list_first(&h2->streams)) != NULL)
        h2_stream_free(list_entry(first, struct h2_stream, link));
    deadline_clear(&h2->rest.deadline);
    nghttp2_session_del(h2_awake(h2));
    free(h2);
}

/* ------------------------------------------------------------------------ exchange ---- */

static void h2_added(struct sprig_exchange *ex)
{
    struct h2_stream *s = h2_stream_of(ex);
    if (ex->response.ended && s->response != H2_ENDED) {
        s->response = H2_ENDED;
        h2_stream_wake(s, H2_EV_SENT);
    }
    if (s->out.size > 0 && !list_linked(&s->deadline.deadline.link))
        h2_stream_set_deadline(s);
    if (!s->is_deferred)
        return;
    s->is_deferred = false;
    if (s->id != 0)
        nghttp2_session_resume_data(s->h2->session, s->id);
}

/* In a tunnel CANCEL stands for the reset of TCP (RFC 8441 section 5). */
static void give_up(struct h2_stream *s)
{
    h2_stream_reset(s, s->is_tunnel ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR);
}

static void h2_abort(struct sprig_exchange *ex)
{
    struct h2_stream *s = h2_stream_of(ex);
    s->pins++;
    if (!conn_is_blocked(ex->conn)) /* RST_STREAM overtakes bytes that have no frame yet */
        conn_flush(ex->conn);
    ex->is_over = true;
    give_up(s);
    h2_stream_end_exchange(s, SPRIG_END_ABORTED);
    s->pins--;
}

static void h2_fail(struct sprig_exchange *ex)
{
    struct h2_stream *s = h2_stream_of(ex);
    exchange_sever(ex);
    give_up(s);
    h2_stream_wake(s, H2_EV_CLOSED);
}

static void h2_wake(struct sprig_exchange *ex, uint32_t what)
{
    h2_stream_wake(h2_stream_of(ex), what);
}

static void h2_read_body(struct sprig_exchange *ex, bool on)
{
    struct h2_stream *s = h2_stream_of(ex);
    h2_stream_set_deadline(s);
    if (!on)
        return;
    h2_response_invite(s);
    h2_stream_wake(s, H2_EV_BODY);
    conn_flush_later(ex->conn);
}

/* The oldest exchange stands for all. */
static const struct sprig_exchange *h2_at_work(const struct sprig_conn *c)
{
    const struct h2 *h = h2_of(c);
    list_foreach (it, &h->streams) {
        const struct h2_stream *s = list_entry(it, struct h2_stream, link);
        if (s->ex != NULL)
            return s->ex;
    }
    return NULL;
}

static const struct protocol table = {
    .name = "HTTP/2",
    .begin = h2_begin,
    .step = h2_step,
    .flush = h2_flush,
    .fill = h2_fill,
    .carry = h2_carry,
    .flushed = h2_flushed,
    .awaits_writable = h2_awaits_writable,
    .server_leaves = h2_server_leaves,
    .is_unused = h2_is_unused,
    .is_answering = h2_is_answering,
    .at_work = h2_at_work,
    .turn_away = h2_turn_away,
    .sever = h2_sever,
    .peer_gone = h2_peer_gone,
    .over = h2_over,
    .clear = h2_clear,
    .head = h2_response_head,
    .interim = h2_response_interim,
    .trailers = h2_response_trailers,
    .added = h2_added,
    .abort = h2_abort,
    .fail = h2_fail,
    .wake = h2_wake,
    .read_body = h2_read_body,
};

const struct protocol *const protocol_h2 = &table;

/* output.c - from finished bytes to the socket: flushing, back-pressure, settling, refusing.
 */
#include "serve/conn.h"

#include "base/tempfile.h"
#include "http/status.h"
#include <errno.h>
#include <stdio.h>

/* One connection writes at most this much in one turn; large files go in slices, fairly. */
enum { CONN_WRITE_SLICE_BYTES = 1024 * 1024 };

/* Memory beyond output_buffer_bytes moves to the file in portions of at least this size. */
enum { CONN_SPILL_BYTES = 64 * 1024 };

/* -------------------------------------------------------------- write event ---- */

static void conn_stop_writing(struct sprig_conn *c)
{
    if (!c->is_writing)
        return;
    loop_event_del(c->server->loop, c->write_event);
    c->is_writing = false;
}

static void conn_start_writing(struct sprig_conn *c)
{
    if (c->is_writing)
        return;
    if (c->write_event == NULL)
        c->write_event = event_new(loop_base(c->server->loop), c->transport.fd,
                                   EV_WRITE | EV_PERSIST, conn_on_event, c);
    if (c->write_event == NULL || loop_event_add(c->server->loop, c->write_event) != 0) {
        conn_break(c);
        return;
    }
    c->is_writing = true;
}

/* ------------------------------------------------------------------ settling ---- */

void conn_await_request(struct sprig_conn *c)
{
    struct sprig_server *server = c->server;
    deadline_set(server->is_draining ? &server->leave_deadlines : &server->keepalive_deadlines,
                 &c->deadline);
}

static void conn_become_idle(struct sprig_conn *c)
{
    conn_set_state(c, CONN_IDLE);
    conn_take_unread(c);
    c->must_linger = false;
    conn_set_reading(c, true);
    if (!conn_has_output(c))
        conn_await_request(c);
}

static void conn_linger(struct sprig_conn *c)
{
    conn_set_state(c, CONN_LINGER);
    c->linger_ns = sprig_loop_now(c->server->loop);
    c->transport.ops->finish(&c->transport);
    conn_stop_writing(c);
    conn_set_reading(c, true);
    deadline_set(&c->server->linger_deadlines, &c->deadline);
}

/* The last byte of the last response is with the kernel. Where the app uses the socket itself, what
 * comes in is the app's. */
static void conn_finish(struct sprig_conn *c)
{
    conn_take_unread(c);
    if (!c->reading_is_over && (c->must_linger || c->in_len > c->in_at))
        conn_linger(c);
    else
        conn_close(c, SPRIG_END_DONE);
}

void conn_close_after_output(struct sprig_conn *c)
{
    if (!conn_has_output(c)) {
        conn_close(c, SPRIG_END_GONE);
        return;
    }
    exchange_end(c, SPRIG_END_GONE); /* a part of a request; the app never heard of it */
    if (c->state == CONN_CLOSED)
        return;
    c->in_at = c->in_len;
    c->must_close = true;
    c->must_linger = !c->peer_shut;
    conn_set_reading(c, false);
    conn_set_state(c, CONN_REPLY);
    conn_rest_deadline(c);
}

/* A head that went out before the server began to drain has promised that the connection goes on:
 * then one more request may be on its way, and is answered with "Connection: close". */
static bool conn_may_persist(const struct sprig_conn *c, const struct sprig_exchange *ex)
{
    return ex->response.keep_alive && !ex->body_open && !c->must_close && !c->reading_is_over;
}

/* on_end may run a nested pass: that one must not settle the connection and begin with the next
 * request, for we go on with this one. */
static void conn_end_exchange(struct sprig_conn *c)
{
    bool was_running = c->is_running;
    c->is_running = true;
    exchange_end(c, SPRIG_END_DONE);
    c->is_running = was_running;
}

bool conn_settle(struct sprig_conn *c)
{
    struct sprig_exchange *ex = c->ex;
    if (c->state != CONN_REPLY || c->is_broken)
        return false;
    if (ex != NULL) {
        bool is_out = ex->end_after_flush ? !conn_has_output(c)
                                          : c->out.size <= c->server->config.high_water_bytes;
        if (!ex->response.ended || !is_out)
            return false;
        if (!conn_may_persist(c, ex))
            c->must_close = true;
        if (ex->body_open)
            c->must_linger = true; /* the client is still sending it */
        conn_end_exchange(c);
        if (c->state != CONN_REPLY)
            return false; /* ended from within on_end */
    }
    if (!c->must_close) {
        conn_become_idle(c);
        return true;
    }
    if (!conn_has_output(c))
        conn_finish(c);
    return false;
}

void conn_settle_later(struct sprig_conn *c)
{
    if (conn_settle(c) && c->in_len > c->in_at)
        ready_add(c->server->loop, &c->ready, CONN_EV_RESUME);
}

/* ------------------------------------------------------------------ flushing ---- */

static void conn_check_low_water(struct sprig_conn *c)
{
    struct sprig_exchange *ex = c->ex;
    if (ex == NULL || !(ex->want_drain || ex->was_high) || ex->response.ended)
        return;
    if (c->out.size <= c->server->config.low_water_bytes)
        ready_add(c->server->loop, &c->ready, CONN_EV_DRAIN);
}

/* Nothing more can be written. Told to the bridge in a turn of its own: the writer that found out
 * may be in the middle of a call from Perl. */
void conn_break(struct sprig_conn *c)
{
    if (c->is_broken || !transport_is_open(&c->transport))
        return;
    conn_mark_broken(c);
    conn_stop_writing(c);
    conn_count_unsent(c);
    outq_clear(&c->out);
    deadline_clear(&c->deadline);
    ready_add(c->server->loop, &c->ready, CONN_EV_BROKEN);
}

void conn_on_broken(struct sprig_conn *c)
{
    if (c->state == CONN_CLOSED || c->state == CONN_DETACHED)
        return;
    conn_pin(c);
    if (c->ex != NULL)
        exchange_peer_gone(c->ex);
    if (c->state != CONN_CLOSED)
        conn_reset(c, SPRIG_END_GONE);
    conn_unpin(c);
}

static void conn_wait_writable(struct sprig_conn *c, uint64_t n_written)
{
    bool is_first = !c->is_writing;
    conn_start_writing(c);
    if ((n_written == 0 && !is_first) || !conn_awaits_writable(c))
        return;
    c->n_stalled = 0;
    c->n_unsent = c->transport.ops->n_unsent(&c->transport);
    deadline_set(&c->server->write_deadlines, &c->deadline);
}

bool conn_write_is_stalled(struct sprig_conn *c)
{
    int n_unsent = c->transport.ops->n_unsent(&c->transport);
    bool moves = n_unsent >= 0 && n_unsent < c->n_unsent;
    c->n_unsent = n_unsent;
    c->n_stalled = moves ? 0 : c->n_stalled + 1;
    if (c->n_stalled >= WRITE_TICKS)
        return true;
    deadline_set(&c->server->write_deadlines, &c->deadline);
    return false;
}

void conn_written(struct sprig_conn *c)
{
    if (c->state == CONN_IDLE)
        conn_await_request(c);
    else if (c->state == CONN_APP || c->state == CONN_REPLY)
        conn_stream_set_deadline(c);
}

void conn_flush(struct sprig_conn *c)
{
    if (!transport_is_open(&c->transport) || c->is_broken)
        return;
    list_remove(&c->flush.link);
    uint64_t n_written = 0;
    enum outq_result result =
        outq_flush(&c->out, &c->transport, CONN_WRITE_SLICE_BYTES, &n_written);
    switch (result) {
    case OUTQ_DRAINED:
        conn_stop_writing(c);
        c->protocol->written(c);
        break;
    case OUTQ_BLOCKED:
        conn_wait_writable(c, n_written);
        break;
    case OUTQ_MORE:
        ready_add(c->server->loop, &c->ready, CONN_EV_WRITABLE);
        break;
    case OUTQ_GONE:
        conn_break(c);
        return;
    case OUTQ_SHORT:
        conn_break(c);
        log_later(SPRIG_LOG_ERROR, "a file body became shorter while it was sent: aborted");
        return;
    }
    conn_check_low_water(c);
}

static void conn_flush_late(struct flushable *f)
{
    struct sprig_conn *c = list_entry(f, struct sprig_conn, flush);
    bool is_new = c->n_requests == 0 && c->out.size == 0;
    conn_pin(c);
    conn_register(c);
    if (!c->is_writing && !is_new)
        conn_flush(c);
    if (!c->is_running)
        c->protocol->settle(c);
    conn_unpin(c);
}

static void conn_carry(struct flushable *f)
{
    struct sprig_conn *c = list_entry(f, struct sprig_conn, flush);
    if (transport_is_open(&c->transport) && !c->is_broken)
        outq_carry(&c->out, &c->transport);
}

static void conn_settle_carried(struct flushable *f)
{
    struct sprig_conn *c = list_entry(f, struct sprig_conn, flush);
    if (!outq_settle(&c->out))
        conn_break(c);
}

void conn_init_flush(struct sprig_conn *c)
{
    list_init(&c->flush.link);
    c->flush.flush = conn_flush_late;
    c->flush.carry = conn_carry;
    c->flush.settle = conn_settle_carried;
}

void conn_begin(struct sprig_conn *c)
{
    c->is_reading = true;
    loop_flush_later(c->server->loop, &c->flush);
    ready_add_now(c->server->loop, &c->ready, CONN_EV_READABLE);
}

static void conn_spill(struct sprig_conn *c)
{
    const struct sprig_config *config = &c->server->config;
    if (outq_spill(&c->out, config->output_buffer_bytes, config->temp_dir) == 0)
        return;
    int error = errno;
    conn_break(c);
    log_later(SPRIG_LOG_ERROR,
              "response aborted: cannot store output beyond output_buffer_bytes in temp_dir %s: %s",
              tempfile_dir(config->temp_dir), strerror(error));
}

/* An app that writes without looking, to a client that does not read: what the socket does not take
 * must not pile up in memory. */
static void conn_bound_memory(struct sprig_conn *c)
{
    const struct sprig_config *config = &c->server->config;
    uint64_t limit = config->output_buffer_bytes + CONN_SPILL_BYTES;
    while (c->out.held > limit && !c->is_writing && !c->is_broken)
        conn_flush(c);
    uint64_t waiting = c->out.held + c->out.spilled;
    if (config->max_output_bytes != 0 && waiting > config->max_output_bytes) {
        conn_break(c);
        conn_tell(c, 0, "max_output_bytes: there is more for it to read");
    } else if (c->out.held > limit) {
        conn_spill(c);
    }
}

void conn_output_added(struct sprig_conn *c)
{
    if (c->is_broken)
        return;
    if (c->out.size > c->server->config.high_water_bytes) {
        if (c->ex != NULL)
            c->ex->was_high = true;
        if (!c->is_writing)
            conn_flush(c);
        conn_bound_memory(c);
    }
    if (!c->is_broken)
        loop_flush_later(c->server->loop, &c->flush); /* also to settle */
}

void conn_invite(struct sprig_conn *c)
{
    struct sprig_exchange *ex = c->ex;
    if (!ex->request.expect_continue || ex->response.head_out)
        return;
    ex->request.expect_continue = false;
    if (outq_add(&c->out, SPAN_LIT("HTTP/1.1 100 Continue\r\n\r\n")) == 0)
        conn_output_added(c);
    else
        conn_break(c);
}

/* ------------------------------------------------------------------ refusing ---- */

/* Too much to do is the one error of ours that is over soon. */
static int conn_queue_error(struct sprig_conn *c, int status, bool is_head)
{
    char why[128];
    const char *reason = status_reason(status);
    struct sprig_header headers[] = {
        {SPAN_LIT("Content-Type"), SPAN_LIT("text/plain")},
        {SPAN_LIT("Connection"), SPAN_LIT("close")},
        {SPAN_LIT("Retry-After"), SPAN_LIT(ADMISSION_RETRY_AFTER)},
    };
    struct sprig_head head = {status, headers, status == 503 ? 3 : 2, strlen(reason)};
    struct response response;
    response_init(&response, NULL, false);
    response.is_head = is_head;
    int rc =
        response_head(&response, &c->out, &head, c->server->config.server_header, why, sizeof why);
    if (rc == 0)
        rc = response_body(&response, &c->out, span_str(reason));
    return rc;
}

void conn_rest_deadline(struct sprig_conn *c)
{
    if (c->is_writing)
        deadline_set(&c->server->write_deadlines, &c->deadline);
    else
        deadline_clear(&c->deadline);
}

static bool conn_asks_for_head(const struct sprig_conn *c)
{
    return c->ex != NULL ? c->ex->request.is_head : request_begins_as_head(conn_kept_input(c));
}

static void conn_answer_error(struct sprig_conn *c, int status)
{
    bool is_head = conn_asks_for_head(c);
    c->must_close = c->must_linger = true;
    c->in_at = c->in_len;
    exchange_end(c, SPRIG_END_GONE); /* of a body that streams the app hears: anything may follow */
    if (c->state == CONN_CLOSED || c->is_broken)
        return;
    if (conn_queue_error(c, status, is_head) != 0) {
        conn_close(c, SPRIG_END_GONE);
    } else {
        conn_set_state(c, CONN_REPLY);
        conn_set_reading(c, false);
        conn_rest_deadline(c);
        conn_output_added(c);
    }
}

void conn_refuse(struct sprig_conn *c, int status, const char *reason)
{
    struct sprig_server *server = c->server;
    struct client_name client = conn_client_name(c);
    server->counters.n_refused++;
    conn_log_refusal(c, status, conn_asks_for_head(c) ? 0 : strlen(status_reason(status)));
    conn_answer_error(c, status);
    refusals_tell(&server->refusals, status, client.text, reason);
}

void conn_make_room(struct sprig_conn *c)
{
    if (c->is_turned_away)
        conn_read(c);
    conn_close(c, SPRIG_END_GONE);
}

void conn_turn_away(struct sprig_conn *c)
{
    conn_pin(c);
    conn_answer_error(c, 503);
    conn_flush(c);
    conn_settle(c);
    conn_unpin(c);
}

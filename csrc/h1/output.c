/* output.c - writes everything but the app's responses, and decides what comes next: settling,
 * interim 100, refusing. */
#include "h1/h1.h"

#include "http/status.h"
#include "serve/counting.h"

/* ------------------------------------------------------------------ settling ---- */

static void h1_become_idle(struct sprig_conn *c)
{
    h1_set_phase(c, H1_IDLE);
    conn_take_unread(c);
    c->must_linger = false;
    conn_set_reading(c, true);
    if (!conn_has_output(c))
        conn_await_request(c);
}

static void h1_finish(struct sprig_conn *c)
{
    if (h1_has_kept_input(c))
        c->must_linger = true;
    h1_set_phase(c, H1_OVER);
    conn_finish(c);
}

void h1_close_after_output(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    if (!conn_has_output(c)) {
        conn_close(c, h->phase == H1_IDLE ? SPRIG_END_DONE : SPRIG_END_GONE);
        return;
    }
    h1_end_exchange(c, SPRIG_END_GONE); /* an incomplete request; the app never heard of it */
    if (h->phase == H1_OVER)
        return;
    h1_skip_input(c);
    h->must_close = true;
    c->must_linger = !c->peer_shut;
    conn_set_reading(c, false);
    h1_set_phase(c, H1_REPLY);
    conn_rest_deadline(c);
}

/* A head sent before the server began to leave has promised that the connection goes on. So one
 * more request may be on its way; it is answered with "Connection: close". */
static bool h1_may_persist(const struct sprig_conn *c, const struct sprig_exchange *ex)
{
    return ex->response.keep_alive && !ex->body_open && !h1_of(c)->must_close && !c->input_is_apps;
}

/* on_end may run a nested pass, which must not settle the connection and begin the next request,
 * because we are not done with this one. */
static void h1_end_answered(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    bool was_running = h->is_running;
    h->is_running = true;
    h1_end_exchange(c, SPRIG_END_DONE);
    h->is_running = was_running;
}

bool h1_settle(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    struct sprig_exchange *ex = h->ex;
    if (h->phase != H1_REPLY || conn_is_broken(c))
        return false;
    if (ex != NULL) {
        if (!ex->response.ended)
            return false;
        bool is_out = ex->end_after_flush ? !conn_has_output(c)
                                          : c->out.size <= c->server->config.high_water_bytes;
        if (!is_out)
            return false;
        if (!h1_may_persist(c, ex))
            h->must_close = true;
        if (ex->body_open)
            c->must_linger = true; /* the client is still sending the body */
        h1_end_answered(c);
        if (h->phase != H1_REPLY)
            return false; /* on_end ended the connection */
    }
    if (!h->must_close) {
        h1_become_idle(c);
        return true;
    }
    if (!conn_has_output(c) && conn_end_output(c))
        h1_finish(c);
    return false;
}

void h1_settle_later(struct sprig_conn *c)
{
    if (h1_settle(c) && h1_has_kept_input(c))
        ready_add(c->server->loop, &c->ready, CONN_EV_RESUME);
}

/* ------------------------------------------------------------------ written ---- */

bool h1_awaits_writable(const struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    return conn_is_blocked(c) && h->phase != H1_HEAD && h->phase != H1_BODY;
}

/* Whether a deadline runs now, or may once blocked output is written. */
static inline bool h1_may_have_deadline(const struct sprig_conn *c)
{
    const struct sprig_exchange *ex = h1_of(c)->ex;
    return list_linked(&c->deadline.link) || (ex != NULL && (!ex->is_started || ex->body_open));
}

void h1_flushed(struct sprig_conn *c, bool is_drained)
{
    struct h1 *h = h1_of(c);
    if (is_drained && h->phase == H1_IDLE)
        conn_await_request(c);
    else if (is_drained && h1_is_answering(c) && h1_may_have_deadline(c))
        h1_stream_set_deadline(c);
    if (h->ex != NULL)
        exchange_check_low_water(h->ex);
}

void h1_invite(struct sprig_conn *c)
{
    struct sprig_exchange *ex = h1_of(c)->ex;
    if (!ex->in->request.expect_continue || ex->response.head_out)
        return;
    ex->in->request.expect_continue = false;
    if (outq_add(&c->out, SPAN_LIT("HTTP/1.1 100 Continue\r\n\r\n")) == 0)
        conn_flush_later(c);
    else
        conn_break(c);
}

/* ------------------------------------------------------------------ refusing ---- */

const char h1_body_broken[] = "connection closed inside the body";

static int h1_queue_answer(struct sprig_conn *c, const struct sprig_head *head,
                           struct sprig_span body, bool is_head)
{
    char why[128];
    struct response response;
    response_init(&response, NULL, false);
    response.is_head = is_head;
    int rc =
        response_head(&response, &c->out, head, c->server->config.server_header, why, sizeof why);
    if (rc == 0)
        rc = response_body(&response, &c->out, body);
    return rc;
}

static bool h1_asks_for_head(const struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    return h->ex != NULL ? h->ex->in->request.is_head : request_begins_as_head(h1_kept_input(c));
}

void h1_answer(struct sprig_conn *c, const struct sprig_head *head, struct sprig_span body)
{
    struct h1 *h = h1_of(c);
    bool is_head = h1_asks_for_head(c);
    h->must_close = c->must_linger = true;
    h1_skip_input(c);
    /* for a streaming body the app is told, and may do anything */
    h1_end_exchange(c, SPRIG_END_GONE);
    if (h->phase == H1_OVER || conn_is_broken(c))
        return;
    if (h1_queue_answer(c, head, body, is_head) != 0) {
        conn_close(c, SPRIG_END_GONE);
    } else {
        h1_set_phase(c, H1_REPLY);
        conn_set_reading(c, false);
        conn_rest_deadline(c);
        conn_flush_later(c);
    }
}

/* 503 is the only error of ours that passes soon, so it gets Retry-After. */
static void h1_answer_error(struct sprig_conn *c, int status)
{
    struct sprig_span reason = span_str(status_reason(status));
    struct retry_after after = admission_retry_after(c->server);
    struct sprig_header headers[] = {
        {SPAN_LIT("Content-Type"), SPAN_LIT("text/plain")},
        {SPAN_LIT("Connection"), SPAN_LIT("close")},
        {SPAN_LIT("Retry-After"), span_str(after.text)},
    };
    struct sprig_head head = {status, headers, status == 503 ? 3 : 2, reason.len};
    h1_answer(c, &head, reason);
}

void h1_refuse(struct sprig_conn *c, int status, const char *reason)
{
    struct sprig_server *server = c->server;
    struct sprig_exchange *ex = h1_of(c)->ex;
    struct client_name client = conn_client_name(c, ex);
    exchange_lose_by(ex, status, reason);
    uint64_t n_body = h1_asks_for_head(c) ? 0 : strlen(status_reason(status));
    server->counters.n_refused++;
    counting_refuse(status);
    conn_log_refusal(c, ex, h1_kept_input(c), status, reason, n_body);
    h1_answer_error(c, status);
    conn_tell_of(c, &client, status, reason);
}

void h1_turn_away(struct sprig_conn *c)
{
    conn_pin(c);
    h1_answer_error(c, 503);
    conn_flush(c);
    h1_settle(c);
    conn_unpin(c);
}

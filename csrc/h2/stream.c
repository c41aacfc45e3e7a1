/* stream.c - one HTTP/2 stream: its request, its turns, its end; see h2.h */
#include "h2/h2.h"

#include "http/status.h"
#include "serve/counting.h"
#include <stdlib.h>

/* ------------------------------------------------------------------------ life ---- */

static void on_deadline(struct stream_deadline *d)
{
    h2_stream_wake(list_entry(d, struct h2_stream, deadline), CONN_EV_TIMEOUT);
}

struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id)
{
    struct h2_stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->h2 = h2;
    s->id = id;
    list_init(&s->due);
    list_init(&s->link);
    list_append(&h2->streams, &s->link);
    outq_init(&s->out, &h2->conn->server->outq_pool);
    deadline_init(&s->deadline.deadline);
    s->deadline.expire = on_deadline;
    h2->n_streams++;
    return s;
}

void h2_stream_free(struct h2_stream *s)
{
    s->h2->n_streams--;
    list_remove(&s->link);
    list_remove(&s->due);
    deadline_clear(&s->deadline.deadline);
    outq_clear(&s->out);
    h2_head_clear(&s->head);
    free(s->in);
    free(s->trailers);
    free(s);
}

void h2_stream_release(struct h2_stream *s)
{
    if (s->id == 0 && s->ex == NULL && s->pins == 0 && !list_linked(&s->due))
        h2_stream_free(s);
}

void h2_stream_wake(struct h2_stream *s, uint32_t what)
{
    struct h2 *h2 = s->h2;
    s->what |= what;
    if (!list_linked(&s->due))
        list_append(&h2->due, &s->due);
    if (!h2->is_running && h2->conn->state == CONN_OPEN)
        ready_add(h2->conn->server->loop, &h2->conn->ready, CONN_EV_RESUME);
}

void h2_stream_end_exchange(struct h2_stream *s, enum sprig_end why)
{
    struct sprig_exchange *ex = s->ex;
    s->ex = NULL; /* clear it first: on_end may run Perl, which may run a nested pass */
    if (ex != NULL)
        exchange_end(ex, why);
}

void h2_stream_reset(struct h2_stream *s, uint32_t error)
{
    outq_clear(&s->out);
    s->response = H2_ENDED;
    if (s->id == 0 || s->is_reset)
        return;
    s->is_reset = true;
    if (nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, error) != 0)
        conn_break(s->h2->conn);
    else
        conn_flush_later(s->h2->conn);
}

/* --------------------------------------------------------------------- refusing ---- */

void h2_stream_refuse(struct h2_stream *s, int status, const char *reason)
{
    if (s->request == H2_REFUSED)
        return;
    s->request = H2_REFUSED;
    exchange_lose_by(s->ex, status, reason);
    s->refusal = (uint16_t)status;
    s->reason = reason;
    h2_stream_wake(s, H2_EV_REQUEST);
}

/* If the app has begun to answer, it is told that its client is gone; otherwise we answer. */
static void answer_refused(struct h2_stream *s)
{
    struct sprig_conn *c = s->h2->conn;
    struct sprig_exchange *ex = s->ex;
    struct client_name client = conn_client_name(c, ex);
    bool is_head = ex != NULL && ex->in->request.is_head;
    c->server->counters.n_refused++;
    counting_refuse(s->refusal);
    conn_log_refusal(c, ex, span_make(NULL, 0), s->refusal, s->reason,
                     is_head ? 0 : strlen(status_reason(s->refusal)));
    bool is_answered = s->response != H2_NONE;
    h2_stream_end_exchange(s, SPRIG_END_GONE);
    if (c->state != CONN_OPEN)
        return;
    if (is_answered || h2_response_error(s, s->refusal, is_head) != 0)
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
    h2_stream_set_deadline(s);
    conn_tell_of(c, &client, s->refusal, s->reason);
}

/* ------------------------------------------------------------------------- body ---- */

static bool keep_input(struct h2_stream *s, struct sprig_span bytes)
{
    if (s->n_in + bytes.len > s->room_in) {
        size_t room = s->n_in + bytes.len + s->n_in / 2;
        char *in = realloc(s->in, room);
        if (in == NULL)
            return false;
        s->in = in;
        s->room_in = room;
    }
    memcpy(s->in + s->n_in, bytes.ptr, bytes.len);
    s->n_in += bytes.len;
    return true;
}

/* Kept until the app wants it, limited by the stream's window. */
static bool take_streamed(struct h2_stream *s, struct sprig_span bytes)
{
    struct sprig_exchange *ex = s->ex;
    uint64_t max = s->is_tunnel ? 0 : s->h2->conn->server->config.max_body_bytes;
    if (!s->is_tunnel)
        ex->in->body.size += bytes.len;
    if (max != 0 && ex->in->body.size > max)
        h2_stream_refuse(s, 413, "max_body_bytes: the body is too large");
    else if (!keep_input(s, bytes))
        h2_stream_refuse(s, 503, "there is no memory for the body");
    else
        h2_stream_wake(s, H2_EV_BODY);
    return s->request != H2_REFUSED;
}

bool h2_stream_take_body(struct h2_stream *s, struct sprig_span bytes)
{
    struct sprig_exchange *ex = s->ex;
    const char *reason;
    if (ex == NULL || s->request != H2_BODY)
        return false;
    if (ex->streams || s->is_tunnel)
        return take_streamed(s, bytes);
    int status = exchange_store_body(ex, bytes, &reason);
    if (status == 0 && exchange_body_is_slow(ex)) {
        status = 408;
        reason = "min_body_rate: the body comes too slowly";
    }
    if (status != 0)
        h2_stream_refuse(s, status, reason);
    else
        h2_stream_set_deadline(s);
    return false;
}

/* Gives the app what has arrived, and the client room for as much. */
static void pass_body(struct h2_stream *s)
{
    struct sprig_exchange *ex = s->ex;
    bool is_last = s->request == H2_WHOLE;
    if (!ex->is_started || !ex->body_open || !ex->body_wanted || (s->n_in == 0 && !is_last))
        return;
    char *in = s->in;
    size_t n = s->n_in;
    s->in = NULL;
    s->n_in = s->room_in = 0;
    ex->body_open = !is_last;
    if (s->id != 0 && n > 0)
        nghttp2_session_consume(s->h2->session, s->id, n);
    h2_stream_set_deadline(s);
    conn_flush_later(s->h2->conn);
    exchange_tell_body(ex, span_make(in, n), is_last);
    free(in);
}

/* -------------------------------------------------------------------- deadlines ---- */

void h2_stream_set_deadline(struct h2_stream *s)
{
    struct sprig_server *server = s->h2->conn->server;
    struct sprig_exchange *ex = s->ex;
    struct deadline *d = &s->deadline.deadline;
    bool awaits_body =
        s->request == H2_BODY && !s->is_tunnel && (ex == NULL || !ex->streams || ex->body_wanted);
    if (exchange_waits(ex) && !exchange_is_streaming(ex))
        deadline_set(&server->stream_queue_deadlines, d);
    else if (s->out.size > 0)
        deadline_set(&server->stream_write_deadlines, d);
    else if (awaits_body && ex != NULL)
        deadline_set(&server->stream_body_deadlines, d);
    else
        deadline_clear(d);
}

/* Otherwise it waits for the connection, whose own deadline tells whether that makes progress. */
static bool awaits_window(const struct h2_stream *s)
{
    nghttp2_session *session = s->h2->session;
    return s->id == 0 || nghttp2_session_get_stream_remote_window_size(session, s->id) <= 0 ||
           nghttp2_session_get_remote_window_size(session) <= 0;
}

static void expire(struct h2_stream *s)
{
    struct sprig_exchange *ex = s->ex;
    if (exchange_waits(ex) && !exchange_is_streaming(ex)) {
        h2_stream_refuse(s, 503, "queue_timeout: the request waited too long for its turn");
    } else if (s->out.size > 0 && !awaits_window(s)) {
        h2_stream_set_deadline(s);
    } else if (s->out.size > 0) {
        exchange_lose(ex, SPRIG_LOSS_WRITE_TIMEOUT, "write_timeout: the client took no bytes");
        conn_tell(s->h2->conn, ex, 0, "write_timeout: the client took no bytes");
        h2_stream_reset(s, NGHTTP2_CANCEL);
    } else if (s->request == H2_BODY && !s->is_tunnel) {
        h2_stream_refuse(s, 408, "body_timeout: the body made no progress");
    }
}

/* -------------------------------------------------------------------- its turns ---- */

static void try_app(struct h2_stream *s)
{
    struct sprig_exchange *ex = s->ex;
    const char *reason;
    int status = 0;
    if (ex->complete_ns == 0)
        ex->complete_ns = sprig_loop_now(s->h2->conn->server->loop);
    switch (exchange_take_turn(ex)) {
    case TURN_NOW:
        deadline_clear(&s->deadline.deadline);
        s->h2->n_turn++;
        exchange_call_app(ex);
        if (s->ex == ex)
            request_forget(&ex->in->request);
        return;
    case TURN_LATER:
        status = exchange_park(ex, &reason);
        break;
    case TURN_STALE:
        status = 503;
        reason = "queue_timeout: the request waited too long for its turn";
        break;
    }
    if (status != 0)
        h2_stream_refuse(s, status, reason);
    else
        h2_stream_set_deadline(s);
}

/* The client has reset the stream, or the connection has given it up. */
static void end_closed(struct h2_stream *s)
{
    outq_clear(&s->out);
    if (s->ex == NULL)
        return;
    s->ex->is_over = true;
    exchange_peer_gone(s->ex);
    h2_stream_end_exchange(s, SPRIG_END_GONE);
}

/* Whether enough of the response is on its way, see sprig_exchange_end_after_flush. */
static bool is_out(const struct h2_stream *s)
{
    const struct sprig_conn *c = s->h2->conn;
    if (!s->ex->end_after_flush)
        return s->out.size <= c->server->config.high_water_bytes;
    return s->has_sent_end && s->h2->n_queued - c->out.size >= s->sent_at;
}

/* Ends what is complete. A client that is still sending need not go on (RFC 9113 section 8.1). */
static void settle(struct h2_stream *s)
{
    if (s->ex != NULL && s->ex->response.ended && is_out(s))
        h2_stream_end_exchange(s, SPRIG_END_DONE);
    if (s->has_sent_end && s->ex == NULL && s->request != H2_WHOLE && s->id != 0)
        h2_stream_reset(s, NGHTTP2_NO_ERROR);
}

static void on_sent(struct h2_stream *s)
{
    if (s->ex != NULL)
        exchange_check_low_water(s->ex);
    h2_stream_set_deadline(s);
    settle(s);
}

void h2_stream_run(struct h2_stream *s, uint32_t what)
{
    if ((what & H2_EV_CLOSED) && (s->is_cut || s->ex == NULL || s->ex->is_over)) {
        end_closed(s);
        return;
    }
    if ((what & CONN_EV_TIMEOUT) && !list_linked(&s->deadline.deadline.link))
        expire(s);
    if ((what & CONN_EV_NOTIFY) && s->ex != NULL)
        exchange_tell_notified(s->ex);
    if ((what & CONN_EV_DRAIN) && s->ex != NULL)
        exchange_tell_drained(s->ex);
    if ((what & H2_EV_INVITE) && s->ex != NULL && s->request == H2_BODY)
        h2_response_invite(s);
    if (what & (H2_EV_REQUEST | CONN_EV_RESUME)) {
        bool is_coming = s->h2->heading == s; /* it is answered once its head has ended */
        if (s->request == H2_REFUSED && s->response == H2_NONE && !is_coming)
            answer_refused(s);
        else if (s->request == H2_REFUSED && s->ex != NULL)
            answer_refused(s);
        else if (s->ex != NULL && !s->ex->is_started && !s->ex->is_over)
            try_app(s);
    }
    if ((what & (H2_EV_BODY | CONN_EV_RESUME)) && s->ex != NULL && s->ex->streams)
        pass_body(s);
    if (what & (H2_EV_SENT | H2_EV_CLOSED))
        on_sent(s);
}

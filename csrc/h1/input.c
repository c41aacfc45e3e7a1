/* input.c - from readable socket to complete request: receiving, heads, bodies, pipelining. */
#include "serve/conn.h"

#include "base/tempfile.h"
#include "loop/timer.h"
#include <errno.h>
#include <stdlib.h>

/* A new connection is read from at once for so long after the beginning of the pass. */
enum { FIRST_READ_NS = 10 * 1000 * 1000 };

/* -------------------------------------------------------------- read event ---- */

void conn_on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct sprig_conn *c = arg;
    uint32_t ev = 0;
    if (what & (EV_READ | EV_CLOSED))
        ev |= CONN_EV_READABLE;
    if (what & EV_WRITE)
        ev |= CONN_EV_WRITABLE;
    ready_add(c->server->loop, &c->ready, ev);
}

/* With unread_byte the socket is always readable: then only its end is of interest, where the
 * kernel tells it apart. 0: it does not; writes will fail. */
static short conn_read_events(const struct sprig_conn *c)
{
    if (!c->unread_byte)
        return EV_READ;
    bool has_closed = event_base_get_features(loop_base(c->server->loop)) & EV_FEATURE_EARLY_CLOSE;
    return has_closed ? EV_CLOSED : 0;
}

void conn_set_reading(struct sprig_conn *c, bool on)
{
    short events = conn_read_events(c);
    on = on && events != 0;
    c->is_reading = on;
    if (c->is_registered == on)
        return;
    c->is_registered = on;
    if (!on) {
        loop_event_del(c->server->loop, &c->read_event);
        return;
    }
    event_assign(&c->read_event, loop_base(c->server->loop), c->transport.fd,
                 (short)(events | EV_PERSIST), conn_on_event, c);
    if (loop_event_add(c->server->loop, &c->read_event) == 0)
        return;
    c->is_registered = false;
    conn_break(c);
    log_later(SPRIG_LOG_ERROR, "cannot watch the connection of %s: %s", conn_client(c),
              strerror(errno));
}

/* unread_byte has changed: what is waited for has, too. */
static void conn_read_anew(struct sprig_conn *c)
{
    if (!c->is_registered)
        return;
    conn_set_reading(c, false);
    conn_set_reading(c, true);
}

void conn_take_unread(struct sprig_conn *c)
{
    char byte;
    if (!c->unread_byte)
        return;
    c->unread_byte = false;
    if (!transport_is_open(&c->transport))
        return;
    (void)!c->transport.ops->recv(&c->transport, &byte, 1);
    if (transport_peek(&c->transport) > 0)
        c->must_linger = true;
    conn_read_anew(c);
}

/* -------------------------------------------------------------- kept input ---- */

struct sprig_span conn_kept_input(const struct sprig_conn *c)
{
    return span_make(c->in ? c->in + c->in_at : NULL, c->in_len - c->in_at);
}

static bool conn_input_is_kept(const struct sprig_conn *c, struct sprig_span input)
{
    return c->in != NULL && input.ptr >= c->in && input.ptr <= c->in + c->in_len;
}

void conn_drop_input(struct sprig_conn *c)
{
    free(c->in);
    c->in = NULL;
    c->in_at = c->in_len = c->in_cap = 0;
}

/* Appends received bytes to what is kept; false: out of memory. */
static bool conn_append_input(struct sprig_conn *c, struct sprig_span bytes)
{
    size_t kept = c->in_len - c->in_at;
    if (c->in_at > 0 && kept > 0)
        memmove(c->in, c->in + c->in_at, kept);
    c->in_at = 0;
    c->in_len = (uint32_t)kept;
    if (kept + bytes.len > c->in_cap) {
        size_t cap = kept + bytes.len + (kept ? kept / 2 : 0);
        char *grown = realloc(c->in, cap);
        if (grown == NULL)
            return false;
        c->in = grown;
        c->in_cap = (uint32_t)cap;
    }
    memcpy(c->in + kept, bytes.ptr, bytes.len);
    c->in_len += (uint32_t)bytes.len;
    return true;
}

bool conn_keep(struct sprig_conn *c, struct sprig_span *rest)
{
    if (conn_input_is_kept(c, *rest)) {
        c->in_at = (uint32_t)(rest->ptr - c->in);
        return true;
    }
    c->in_at = c->in_len = 0;
    if (rest->len == 0)
        return true;
    if (!conn_append_input(c, *rest))
        return false;
    *rest = conn_kept_input(c);
    return true;
}

/* ----------------------------------------------------------------- a head ---- */

enum step { STEP_STOP, STEP_GO_ON };

static enum step conn_await_head(struct sprig_conn *c, struct sprig_span *input)
{
    if (input->len == 0) {
        conn_drop_input(c);
        return STEP_STOP;
    }
    if (!conn_keep(c, input)) {
        conn_close(c, SPRIG_END_GONE);
        return STEP_STOP;
    }
    if (c->state == CONN_IDLE) {
        if (c->n_requests > 0) /* the first head is timed from accept */
            deadline_set(&c->server->header_deadlines, &c->deadline);
        conn_set_state(c, CONN_HEAD);
    }
    return STEP_STOP;
}

static enum step conn_take_head(struct sprig_conn *c, struct sprig_span *input, size_t n)
{
    struct sprig_exchange *ex = c->ex;
    const struct sprig_config *config = &c->server->config;
    *input = span_make(input->ptr + n, input->len - n);
    parser_init(&c->parser);
    c->n_requests++;
    c->n_turn++;
    if (c->listener != NULL)
        server_count_request(c->server);
    if (c->server->access_log != NULL)
        conn_log_request(c);
    bool is_last =
        config->max_keepalive_requests != 0 && c->n_requests >= config->max_keepalive_requests;
    bool may_persist = config->keepalive && !is_last && !c->server->is_draining &&
                       !admission_is_crowded(&c->server->admission);
    response_init(&ex->response, &ex->request, may_persist);
    if (config->max_body_bytes != 0 && ex->request.content_length > config->max_body_bytes) {
        conn_refuse(c, 413, "max_body_bytes: the announced body is too large");
        return STEP_STOP;
    }
    ex->body_left = ex->request.content_length;
    if (ex->request.chunked)
        chunk_init(&ex->chunk, config->max_header_bytes);
    ex->streams = ex->body_open = conn_must_stream(c);
    return STEP_GO_ON;
}

/* The addresses of the connection are those that the proxy tells from now on. */
static void conn_take_proxy_header(struct sprig_conn *c, const struct proxy_header *header)
{
    c->awaits_proxy = false;
    c->is_anonymous = !header->is_told;
    if (header->is_told && (c->proxied = malloc(sizeof *header)) != NULL)
        *c->proxied = *header;
}

/* What stands before the first request where the listener speaks the PROXY protocol. */
static enum step conn_step_proxy(struct sprig_conn *c, struct sprig_span *input)
{
    struct proxy_header header;
    if (!cidr_list_has(&c->server->trusted_proxies, span_str(c->remote_host))) {
        conn_refuse(c, 400, "PROXY protocol: the peer is not one of trusted_proxies");
        return STEP_STOP;
    }
    const char *reason;
    long n = proxy_header_parse(*input, &header, &reason);
    if (n < 0) {
        conn_refuse(c, 400, reason);
        return STEP_STOP;
    }
    if (n == 0)
        return conn_await_head(c, input);
    conn_take_proxy_header(c, &header);
    *input = span_make(input->ptr + n, input->len - (size_t)n);
    return STEP_GO_ON;
}

static enum step conn_step_head(struct sprig_conn *c, struct sprig_span *input)
{
    struct parser_refusal why = {0, NULL};
    if (c->ex == NULL && input->len > 0 && exchange_start(c) == NULL) {
        conn_close(c, SPRIG_END_GONE);
        return STEP_STOP;
    }
    long n = input->len == 0 ? 0
                             : parser_head(&c->parser, *input, &c->server->limits,
                                           &c->server->scratch, &c->ex->request, &why);
    if (n < 0) {
        if (c->server->access_log != NULL)
            conn_log_raw(c, *input);
        request_clear(&c->ex->request); /* is not to be read */
        c->ex->request.is_head = request_begins_as_head(*input);
        conn_refuse(c, why.status, why.reason);
        return STEP_STOP;
    }
    if (n == 0) {
        exchange_end(c, SPRIG_END_GONE); /* back to the pool until the head is whole */
        return conn_await_head(c, input);
    }
    return conn_take_head(c, input, (size_t)n);
}

/* ----------------------------------------------------------------- a body ---- */

static enum step conn_store_body(struct sprig_conn *c, struct sprig_span piece)
{
    const struct sprig_config *config = &c->server->config;
    struct sprig_exchange *ex = c->ex;
    if (config->max_body_bytes != 0 && ex->body.size + piece.len > config->max_body_bytes) {
        conn_refuse(c, 413, "max_body_bytes: the body is too large");
        return STEP_STOP;
    }
    int rc = body_append(&ex->body, piece, config->body_buffer_bytes, ex->request.content_length,
                         config->temp_dir);
    if (rc == 0)
        return STEP_GO_ON;
    int error = rc == SPRIG_E_SYS ? errno : 0;
    bool is_full = error == ENOSPC || error == EDQUOT;
    conn_refuse(c, is_full ? 507 : 500, "the body cannot be stored");
    sprig_log(SPRIG_LOG_ERROR, "cannot store a request body in temp_dir %s: %s",
              tempfile_dir(config->temp_dir), error != 0 ? strerror(error) : sprig_err_text(rc));
    return STEP_STOP;
}

/* The whole body is not here yet: the head has to survive the shared buffer. */
static enum step conn_await_body(struct sprig_conn *c, struct sprig_span input)
{
    if (c->state != CONN_BODY) {
        if (request_own(&c->ex->request) != 0) {
            conn_close(c, SPRIG_END_GONE);
            return STEP_STOP;
        }
        c->ex->body_started_ns = sprig_loop_now(c->server->loop);
        if (input.len == 0)
            conn_invite(c);
        c->transport.ops->ack(&c->transport); /* who uses Nagle's algorithm waits for that */
        conn_set_state(c, CONN_BODY);
        conn_drop_input(c);
    }
    deadline_set(&c->server->body_deadlines, &c->deadline);
    return STEP_STOP;
}

/* True if the average since the head is below min_body_rate; the first seconds are free. */
static bool conn_body_is_slow(const struct sprig_conn *c)
{
    const struct sprig_config *config = &c->server->config;
    double elapsed = (double)(sprig_loop_now(c->server->loop) - c->ex->body_started_ns) / 1e9 - 10;
    return c->state == CONN_BODY && config->min_body_rate != 0 && elapsed > 0 &&
           (double)c->ex->body.size < elapsed * config->min_body_rate;
}

static enum step conn_step_length(struct sprig_conn *c, struct sprig_span *input)
{
    struct sprig_exchange *ex = c->ex;
    size_t n = input->len < ex->body_left ? input->len : (size_t)ex->body_left;
    struct sprig_span piece = span_make(input->ptr, n);
    *input = span_make(input->ptr + n, input->len - n);
    ex->body_left -= n;
    if (ex->body_left == 0 && ex->body.size == 0 && n <= c->server->config.body_buffer_bytes) {
        ex->body_mem = piece; /* all of it lies here: no copy */
        return STEP_GO_ON;
    }
    if (n > 0 && conn_store_body(c, piece) == STEP_STOP)
        return STEP_STOP;
    return ex->body_left == 0 ? STEP_GO_ON : conn_await_body(c, piece);
}

/* The size line of a chunk is complete and promises more than the body may have. */
static bool conn_announces_too_much(const struct sprig_conn *c)
{
    uint64_t max = c->server->config.max_body_bytes;
    uint64_t left = chunk_announced(&c->ex->chunk);
    return max != 0 && (left > max || c->ex->body.size > max - left);
}

static enum step conn_step_chunked(struct sprig_conn *c, struct sprig_span *input)
{
    struct sprig_span all = *input, piece;
    for (;;) {
        int rc = chunk_decode(&c->ex->chunk, input, &piece);
        if (rc == CHUNK_END)
            return STEP_GO_ON;
        if (rc == CHUNK_MORE && conn_announces_too_much(c)) {
            conn_refuse(c, 413, "max_body_bytes: the announced chunk is too large");
            return STEP_STOP;
        }
        if (rc == CHUNK_MORE)
            return conn_await_body(c, all);
        if (rc < 0) {
            conn_refuse(c, -rc, c->ex->chunk.reason);
            return STEP_STOP;
        }
        if (conn_store_body(c, piece) == STEP_STOP)
            return STEP_STOP;
    }
}

static enum step conn_step_body(struct sprig_conn *c, struct sprig_span *input)
{
    enum step step = STEP_GO_ON;
    if (c->ex->streams)
        return step;
    if (c->ex->request.chunked)
        step = conn_step_chunked(c, input);
    else if (c->ex->request.content_length > 0)
        step = conn_step_length(c, input);
    if (step == STEP_STOP && c->state == CONN_BODY && conn_body_is_slow(c))
        conn_refuse(c, 408, "min_body_rate: the body comes too slowly");
    return step;
}

/* ----------------------------------------------------------------- the app ---- */

/* A request that has to wait: it must survive the shared buffer. False: refused or closed. */
static bool conn_park(struct sprig_conn *c)
{
    struct sprig_exchange *ex = c->ex;
    struct sprig_span mem = ex->body_mem;
    ex->body_mem = span_make(NULL, 0);
    bool ok = request_own(&ex->request) == 0;
    if (ok && mem.len > 0)
        ok = conn_store_body(c, mem) == STEP_GO_ON;
    if (c->state != CONN_APP)
        return false; /* refused */
    if (!ok)
        conn_close(c, SPRIG_END_GONE);
    return ok;
}

static bool conn_must_hold(const struct sprig_conn *c)
{
    return loop_is_held(c->server->loop) && c->server->config.nested == SPRIG_NESTED_HOLD;
}

/* Enters the bridge. Nothing may depend on the shared buffer from here on: the rest of the input is
 * the connection's, and the bridge reads the request before it runs Perl. */
static enum step conn_call_app(struct sprig_conn *c)
{
    struct sprig_exchange *ex = c->ex;
    conn_rest_deadline(c);
    size_t n_head = ex->request.head.len;
    ex->is_started = true;
    if (c->peer_shut)
        ready_add(c->server->loop, &c->ready, CONN_EV_GONE);
    c->server->handler.on_request(ex, c->server->arg);
    /* not before: a message may enter Perl, and the request lies in the shared buffer */
    sprig_log(SPRIG_LOG_DEBUG, "parsed request from %s: head of %zu bytes", conn_client(c), n_head);
    if (c->state == CONN_CLOSED || c->state == CONN_DETACHED)
        return STEP_STOP;
    if (c->ex == ex)
        request_forget(&ex->request);
    if (c->in_at == c->in_len)
        conn_drop_input(c);
    return conn_settle(c) ? STEP_GO_ON : STEP_STOP;
}

/* A complete request: its app is called now, or it waits - until no app call is on the stack, or
 * for one of max_requests_in_flight - or it has waited for too long. */
static enum step conn_try_app(struct sprig_conn *c)
{
    bool must_hold = conn_must_hold(c);
    if (!must_hold && admission_is_stale(c->ex)) {
        conn_refuse(c, 503, "queue_timeout: the request waited too long for its turn");
        return STEP_STOP;
    }
    if (!must_hold && admission_take_slot(c->ex))
        return conn_call_app(c);
    if (!conn_park(c))
        return STEP_STOP;
    if (must_hold)
        server_hold(c->ex);
    conn_stream_set_deadline(c);
    return STEP_STOP;
}

/* A response to HTTP/1.0 may end with the connection, so that only a reset can tell that it was cut
 * (RFC 9112 section 8). A body that streams is still to be read. */
static void conn_decide_unread(struct sprig_conn *c)
{
    if (!c->unread_byte)
        return;
    if (c->ex->request.version == 10 && !c->ex->streams)
        conn_read_anew(c);
    else
        conn_take_unread(c);
}

static enum step conn_step_app(struct sprig_conn *c, struct sprig_span *input)
{
    if (!conn_keep(c, input)) {
        conn_close(c, SPRIG_END_GONE);
        return STEP_STOP;
    }
    conn_rest_deadline(c);
    conn_set_state(c, CONN_APP);
    c->ex->complete_ns = sprig_loop_now(c->server->loop);
    conn_decide_unread(c);
    return conn_try_app(c);
}

/* A request that was held, or the rest of a pipeline: what is the next step? */
static enum step conn_step(struct sprig_conn *c, struct sprig_span *input)
{
    enum step step = STEP_GO_ON;
    if (c->state == CONN_APP) {
        if (!conn_waits_for_app(c))
            return STEP_STOP;
        if (!c->transport.ops->is_hung_up(&c->transport))
            return conn_try_app(c);
        conn_on_broken(c); /* nobody would get the answer */
        return STEP_STOP;
    }
    if (c->state == CONN_REPLY)
        return STEP_STOP;
    if (c->awaits_proxy)
        step = conn_step_proxy(c, input);
    if (step == STEP_GO_ON && c->state != CONN_BODY)
        step = conn_step_head(c, input);
    if (step == STEP_GO_ON)
        step = conn_step_body(c, input);
    return step == STEP_GO_ON ? conn_step_app(c, input) : step;
}

/* Runs the steps that the input allows. */
static void conn_advance(struct sprig_conn *c, struct sprig_span input)
{
    while (conn_step(c, &input) == STEP_GO_ON) {
        input = conn_kept_input(c);
        uint32_t max = c->server->config.max_requests_per_turn;
        if (c->n_turn < max || max == 0 || input.len == 0)
            continue;
        ready_add(c->server->loop, &c->ready, CONN_EV_RESUME); /* others get their turn first */
        break;
    }
}

void conn_resume(struct sprig_conn *c)
{
    if (conn_is_streaming(c) && c->ex->is_started) {
        conn_stream_resume(c);
        return;
    }
    if (c->state < CONN_REPLY)
        conn_advance(c, conn_kept_input(c));
}

/* Input goes on where the kept part of it ends. */
static void conn_feed(struct sprig_conn *c, struct sprig_span bytes)
{
    if (c->in_len == c->in_at) {
        conn_advance(c, bytes);
        return;
    }
    if (conn_append_input(c, bytes))
        conn_advance(c, conn_kept_input(c));
    else
        conn_close(c, SPRIG_END_GONE);
}

/* --------------------------------------------------------------- receiving ---- */

static bool conn_has_lingered(const struct sprig_conn *c)
{
    uint64_t by_bodies = c->server->config.max_body_bytes * LINGER_BODIES;
    uint64_t max = by_bodies > LINGER_MAX_BYTES ? by_bodies : LINGER_MAX_BYTES;
    uint64_t elapsed = sprig_loop_now(c->server->loop) - c->linger_ns;
    return c->n_lingered_bytes > max || elapsed > LINGER_MAX_SECONDS * UINT64_C(1000000000);
}

static void conn_discard(struct sprig_conn *c)
{
    char *buffer = loop_read_buffer(c->server->loop);
    ssize_t n = c->transport.ops->discard(&c->transport, buffer, LOOP_READ_BUFFER_BYTES);
    if (n > 0)
        c->n_lingered_bytes += (uint64_t)n;
    if (n == 0 || (n == -1 && errno != EAGAIN) || conn_has_lingered(c))
        conn_close(c, SPRIG_END_GONE);
    else if (n > 0 && !c->is_turned_away)
        deadline_set(&c->server->linger_deadlines, &c->deadline);
}

/* End of input between requests or inside one. A body that was announced and broken off is the
 * client's error; the app never hears of it. */
static void conn_end_of_input(struct sprig_conn *c)
{
    bool in_body = c->state == CONN_BODY;
    struct client_name client;
    c->peer_shut = true;
    if (in_body)
        client = conn_client_name(c);
    if (in_body)
        conn_log_refusal(c, 400, 0);
    conn_close_after_output(c); /* answers may still be on their way to it */
    if (in_body)
        refusals_tell(&c->server->refusals, 400, client.text, "connection closed inside the body");
}

/* What comes may complete a request of HTTP/1.0 whose answer can be cut by unread_byte only. Later
 * requests of a connection come from clients that speak HTTP/1.1 or know keep-alive. */
static bool conn_may_need_unread(const struct sprig_conn *c)
{
    if (!c->transport.resets_by_input)
        return false;
    return c->state == CONN_BODY ? c->ex->request.version == 10 : c->n_requests == 0;
}

/* Receives all but the last byte, unless these are the beginning of a request of HTTP/1.1. */
static ssize_t conn_receive_but_one(struct sprig_conn *c, char *buffer)
{
    ssize_t n = transport_look(&c->transport, buffer, LOOP_READ_BUFFER_BYTES);
    if (n <= 0)
        return n;
    c->unread_byte = !request_begins_as_1_1(span_make(buffer, (size_t)n));
    size_t n_taken = (size_t)n - c->unread_byte;
    if (n_taken > 0)
        (void)!c->transport.ops->recv(&c->transport, buffer, n_taken);
    return n;
}

static void conn_receive(struct sprig_conn *c)
{
    char *buffer = loop_read_buffer(c->server->loop);
    ssize_t n = conn_may_need_unread(c)
                    ? conn_receive_but_one(c, buffer)
                    : c->transport.ops->recv(&c->transport, buffer, LOOP_READ_BUFFER_BYTES);
    if (n > 0) {
        conn_feed(c, span_make(buffer, (size_t)n));
        if (c->state < CONN_APP)
            conn_take_unread(c); /* not complete yet */
        else if (c->unread_byte)
            conn_read_anew(c); /* maybe refused before it was */
    } else if (n == 0) {
        conn_end_of_input(c);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        conn_close(c, SPRIG_END_GONE);
    }
}

/* Its client has ended its sending side, and may still read the answer. */
static void conn_note_shut(struct sprig_conn *c)
{
    conn_set_reading(c, false);
    c->peer_shut = true;
    if (c->ex != NULL)
        exchange_peer_gone(c->ex);
}

/* Nothing can be received, since it would come behind unread_byte. */
static void conn_notice_end(struct sprig_conn *c)
{
    enum transport_sides closed = c->transport.ops->closed(&c->transport);
    if (closed == SIDES_ONE)
        conn_note_shut(c);
    else if (closed == SIDES_BOTH)
        conn_on_broken(c);
}

/* A request is being answered. We still read, to hear that the client left, but little: what is
 * pipelined must push back on it; and nothing where the socket may become the app's. */
static void conn_receive_busy(struct sprig_conn *c)
{
    if (c->unread_byte) {
        conn_notice_end(c);
        return;
    }
    c->must_linger = true; /* if this was the last request, something may lie unread */
    if (c->in_len - c->in_at >= CONN_PIPELINE_BYTES || c->ex == NULL || c->ex->request.upgrade) {
        conn_set_reading(c, false);
        return;
    }
    char *buffer = loop_read_buffer(c->server->loop);
    ssize_t n = c->transport.ops->recv(&c->transport, buffer, LOOP_READ_BUFFER_BYTES);
    if (n > 0 && !conn_append_input(c, span_make(buffer, (size_t)n)))
        conn_close(c, SPRIG_END_GONE);
    else if (n == 0 && !c->transport.ops->is_hung_up(&c->transport))
        conn_note_shut(c);
    else if (n == 0 || (n == -1 && errno != EAGAIN && errno != EWOULDBLOCK))
        conn_on_broken(c);
}

/* A new connection whose turn came late, since an app before it kept the loop busy. Its request
 * would look as if it had waited since the beginning of the pass: it takes the usual way. */
static bool conn_is_overtaken(const struct sprig_conn *c)
{
    struct sprig_loop *loop = c->server->loop;
    return !c->is_registered && timer_clock() - sprig_loop_now(loop) > FIRST_READ_NS;
}

void conn_read(struct sprig_conn *c)
{
    if (!c->is_reading || conn_is_overtaken(c))
        return;
    switch ((enum conn_state)c->state) {
    case CONN_IDLE:
        if (c->in_len > c->in_at)
            return; /* kept input comes first, in a turn of its own */
        conn_receive(c);
        return;
    case CONN_HEAD:
    case CONN_BODY:
        conn_receive(c);
        return;
    case CONN_APP:
    case CONN_REPLY:
        if (conn_is_streaming(c))
            conn_stream_receive(c);
        else
            conn_receive_busy(c);
        return;
    case CONN_LINGER:
        conn_discard(c);
        return;
    case CONN_DETACHED:
    case CONN_CLOSED:
        return;
    }
}

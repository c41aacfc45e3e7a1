/* input.c - from readable socket to complete request: receiving, heads, bodies, pipelining. */
#include "h1/h1.h"

#include "serve/listener.h"
#include <errno.h>
#include <stdlib.h>

/* -------------------------------------------------------------- kept input ---- */

static bool h1_input_is_kept(const struct sprig_conn *c, struct sprig_span input)
{
    const struct h1_input *in = h1_of(c)->in;
    return in != NULL && input.ptr >= in->bytes && input.ptr <= in->bytes + in->len;
}

void h1_drop_input(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    free(h->in);
    h->in = NULL;
}

/* Appends received bytes to the kept input; false: out of memory. */
static bool h1_append_input(struct sprig_conn *c, struct sprig_span bytes)
{
    struct h1_input *in = h1_of(c)->in;
    size_t kept = in != NULL ? in->len - in->at : 0;
    if (kept > 0 && in->at > 0)
        memmove(in->bytes, in->bytes + in->at, kept);
    if (in == NULL || kept + bytes.len > in->capacity) {
        size_t capacity = kept + bytes.len + (kept ? kept / 2 : 0);
        struct h1_input *grown = realloc(in, sizeof *in + capacity);
        if (grown == NULL) {
            if (in != NULL)
                *in = (struct h1_input){.len = (uint32_t)kept, .capacity = in->capacity};
            return false;
        }
        in = h1_of(c)->in = grown;
        in->capacity = (uint32_t)capacity;
    }
    memcpy(in->bytes + kept, bytes.ptr, bytes.len);
    in->at = 0;
    in->len = (uint32_t)(kept + bytes.len);
    return true;
}

bool h1_keep(struct sprig_conn *c, struct sprig_span *rest)
{
    if (h1_input_is_kept(c, *rest)) {
        struct h1_input *in = h1_of(c)->in;
        in->at = (uint32_t)(rest->ptr - in->bytes);
        return true;
    }
    h1_skip_input(c);
    if (rest->len == 0)
        return true;
    if (!h1_append_input(c, *rest))
        return false;
    *rest = h1_kept_input(c);
    return true;
}

/* ----------------------------------------------------------------- a head ---- */

#define H1_HTTP2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

enum step { STEP_STOP, STEP_GO_ON };

static enum step h1_await_head(struct sprig_conn *c, struct sprig_span *input)
{
    if (input->len == 0) {
        h1_drop_input(c);
        return STEP_STOP;
    }
    if (!h1_keep(c, input)) {
        conn_close(c, SPRIG_END_GONE);
        return STEP_STOP;
    }
    if (h1_of(c)->phase == H1_IDLE) {
        /* The first head is timed from accept, unless that deadline was shortened when the server
         * began to leave. */
        if (c->n_requests > 0 || c->server->is_leaving || !list_linked(&c->deadline.link))
            deadline_set(&c->server->header_deadlines, &c->deadline);
        h1_set_phase(c, H1_HEAD);
    }
    return STEP_STOP;
}

static enum step h1_take_head(struct sprig_conn *c, struct sprig_span *input, size_t n)
{
    struct h1 *h = h1_of(c);
    struct sprig_exchange *ex = h->ex;
    const struct sprig_config *config = &c->server->config;
    *input = span_make(input->ptr + n, input->len - n);
    parser_init(&h->parser);
    h->n_turn++;
    exchange_take_head(ex);
    bool is_last =
        config->max_keepalive_requests != 0 && c->n_requests >= config->max_keepalive_requests;
    bool may_persist = config->keepalive && !is_last && !c->server->is_leaving &&
                       !admission_is_crowded(&c->server->admission);
    response_init(&ex->response, &ex->in->request, may_persist);
    if (c->aim != AIM_APP) {
        h1_guide(c);
        return STEP_STOP;
    }
    if (config->max_body_bytes != 0 && ex->in->request.content_length > config->max_body_bytes) {
        h1_refuse(c, 413, "max_body_bytes: the announced body is too large");
        return STEP_STOP;
    }
    ex->body_left = ex->in->request.content_length;
    if (ex->in->request.chunked) {
        chunk_init(&ex->in->chunk, config->max_header_bytes);
        chunk_keep_trailers(&ex->in->chunk, &ex->in->trailers, config->max_headers);
    }
    ex->streams = ex->body_open = exchange_must_stream(ex);
    return STEP_GO_ON;
}

/* Reads the PROXY header before the first request, if the listener speaks the PROXY protocol. */
static enum step h1_step_proxy(struct sprig_conn *c, struct sprig_span *input)
{
    struct proxy_header header;
    if (!cidr_list_has(&c->server->trusted_proxies, span_str(c->remote_host))) {
        stats_add(STAT_HANDSHAKES_FAILED, 1);
        h1_refuse(c, 400, "PROXY protocol: the peer is not one of trusted_proxies");
        return STEP_STOP;
    }
    const char *reason;
    long n = proxy_header_parse(*input, &header, &reason);
    if (n < 0) {
        stats_add(STAT_HANDSHAKES_FAILED, 1);
        h1_refuse(c, 400, reason);
        return STEP_STOP;
    }
    if (n == 0)
        return h1_await_head(c, input);
    conn_take_proxy_header(c, &header);
    *input = span_make(input->ptr + n, input->len - (size_t)n);
    return STEP_GO_ON;
}

/* Refuses bytes that are not a request. */
static enum step h1_refuse_head(struct sprig_conn *c, struct sprig_span input,
                                const struct parser_refusal *why)
{
    struct sprig_exchange *ex = h1_of(c)->ex;
    if (c->server->access_log != NULL)
        conn_log_raw(ex, input);
    request_clear(&ex->in->request); /* nobody may read it */
    ex->in->request.is_head = request_begins_as_head(input);
    h1_refuse(c, why->status, why->reason);
    return STEP_STOP;
}

/* Whether these bytes begin the HTTP/2 connection preface (RFC 9113 section 3.4), on a connection
 * where it may come instead of a request. */
static bool h1_may_be_preface(const struct sprig_conn *c, struct sprig_span input)
{
    static const char preface[] = H1_HTTP2_PREFACE;
    size_t n = input.len < sizeof preface - 1 ? input.len : sizeof preface - 1;
    return c->server->protocols->http2 != NULL && c->listener != NULL &&
           c->listener->socket.options.h2c && memcmp(input.ptr, preface, n) == 0;
}

static enum step h1_await_preface(struct sprig_conn *c, struct sprig_span *input)
{
    bool is_whole = input->len >= sizeof H1_HTTP2_PREFACE - 1;
    h1_await_head(c, input);
    if (is_whole && h1_of(c)->phase == H1_HEAD)
        h1_set_phase(c, H1_PREFACE);
    return STEP_STOP;
}

static enum step h1_step_head(struct sprig_conn *c, struct sprig_span *input)
{
    struct h1 *h = h1_of(c);
    struct parser_refusal why = {0, NULL};
    if (input->len == 0)
        return h1_await_head(c, input);
    if (c->n_requests == 0 && h1_may_be_preface(c, *input))
        return h1_await_preface(c, input);
    if (h->ex == NULL && (h->ex = exchange_start(c, &c->out)) == NULL) {
        conn_close(c, SPRIG_END_GONE);
        return STEP_STOP;
    }
    long n = parser_head(&h->parser, *input, &c->server->limits, &c->server->scratch,
                         &h->ex->in->request, &why);
    if (n < 0)
        return h1_refuse_head(c, *input, &why);
    if (n > 0)
        return h1_take_head(c, input, (size_t)n);
    h1_end_exchange(c, SPRIG_END_GONE); /* back to the pool until the head is complete */
    return h1_await_head(c, input);
}

/* ----------------------------------------------------------------- a body ---- */

static enum step h1_store_body(struct sprig_conn *c, struct sprig_span piece)
{
    const char *reason;
    int status = exchange_store_body(h1_of(c)->ex, piece, &reason);
    if (status == 0)
        return STEP_GO_ON;
    h1_refuse(c, status, reason);
    return STEP_STOP;
}

/* The body is not complete yet, so the head must survive the shared buffer. */
static enum step h1_await_body(struct sprig_conn *c, struct sprig_span input)
{
    struct h1 *h = h1_of(c);
    if (h->phase != H1_BODY) {
        if (request_own(&h->ex->in->request) != 0) {
            conn_close(c, SPRIG_END_GONE);
            return STEP_STOP;
        }
        h->ex->body_started_ns = sprig_loop_now(c->server->loop);
        if (input.len == 0)
            h1_invite(c);
        c->transport.ops->ack(&c->transport); /* clients with Nagle's algorithm wait for it */
        h1_set_phase(c, H1_BODY);
        h1_drop_input(c);
    }
    deadline_set(&c->server->body_deadlines, &c->deadline);
    return STEP_STOP;
}

static enum step h1_step_length(struct sprig_conn *c, struct sprig_span *input)
{
    struct sprig_exchange *ex = h1_of(c)->ex;
    size_t n = input->len < ex->body_left ? input->len : (size_t)ex->body_left;
    struct sprig_span piece = span_make(input->ptr, n);
    *input = span_make(input->ptr + n, input->len - n);
    ex->body_left -= n;
    if (ex->body_left == 0 && ex->in->body.size == 0 && n <= c->server->config.body_buffer_bytes) {
        ex->in->body_mem = piece; /* complete in this buffer: no copy */
        return STEP_GO_ON;
    }
    if (n > 0 && h1_store_body(c, piece) == STEP_STOP)
        return STEP_STOP;
    return ex->body_left == 0 ? STEP_GO_ON : h1_await_body(c, piece);
}

/* The size line of a chunk is complete and announces more than the body may have. */
static bool h1_announces_too_much(const struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    uint64_t max = c->server->config.max_body_bytes;
    uint64_t left = chunk_announced(&h->ex->in->chunk);
    return max != 0 && (left > max || h->ex->in->body.size > max - left);
}

static enum step h1_step_chunked(struct sprig_conn *c, struct sprig_span *input)
{
    struct h1 *h = h1_of(c);
    struct sprig_span all = *input, piece;
    for (;;) {
        int rc = chunk_decode(&h->ex->in->chunk, input, &piece);
        if (rc == CHUNK_END)
            return STEP_GO_ON;
        if (rc == CHUNK_MORE && h1_announces_too_much(c)) {
            h1_refuse(c, 413, "max_body_bytes: the announced chunk is too large");
            return STEP_STOP;
        }
        if (rc == CHUNK_MORE)
            return h1_await_body(c, all);
        if (rc < 0) {
            h1_refuse(c, -rc, h->ex->in->chunk.reason);
            return STEP_STOP;
        }
        if (h1_store_body(c, piece) == STEP_STOP)
            return STEP_STOP;
    }
}

static enum step h1_step_body(struct sprig_conn *c, struct sprig_span *input)
{
    struct h1 *h = h1_of(c);
    enum step step = STEP_GO_ON;
    if (h->ex->streams)
        return step;
    if (h->ex->in->request.chunked)
        step = h1_step_chunked(c, input);
    else if (h->ex->in->request.content_length > 0)
        step = h1_step_length(c, input);
    if (step == STEP_STOP && h->phase == H1_BODY && exchange_body_is_slow(h->ex))
        h1_refuse(c, 408, "min_body_rate: the body comes too slowly");
    return step;
}

/* ----------------------------------------------------------------- the app ---- */

/* From here on nothing may depend on the shared buffer: the connection keeps the rest of the input,
 * and the bridge reads the request before it runs Perl. */
static enum step h1_call_app(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    struct sprig_exchange *ex = h->ex;
    conn_rest_deadline(c);
    if (c->peer_shut)
        ready_add(c->server->loop, &c->ready, CONN_EV_GONE);
    exchange_call_app(ex);
    if (h->phase == H1_OVER)
        return STEP_STOP;
    if (h->ex == ex)
        request_forget(&ex->in->request);
    if (!h1_has_kept_input(c))
        h1_drop_input(c);
    return h1_settle(c) ? STEP_GO_ON : STEP_STOP;
}

/* A request that has to wait must survive the shared buffer. */
static void h1_park(struct sprig_conn *c)
{
    const char *reason;
    int status = exchange_park(h1_of(c)->ex, &reason);
    if (status != 0)
        h1_refuse(c, status, reason);
    else
        h1_stream_set_deadline(c);
}

/* The request is complete: run it, park it, or refuse it. */
static enum step h1_try_app(struct sprig_conn *c)
{
    switch (exchange_take_turn(h1_of(c)->ex)) {
    case TURN_NOW:
        return h1_call_app(c);
    case TURN_LATER:
        h1_park(c);
        return STEP_STOP;
    case TURN_STALE:
        h1_refuse(c, 503, "queue_timeout: the request waited too long for its turn");
        return STEP_STOP;
    }
    return STEP_STOP;
}

/* A response to HTTP/1.0 may end with the connection, so only a reset can show that it was cut (RFC
 * 9112 section 8). The rest of a streaming body still has to be read. */
static void h1_decide_unread(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    if (!c->unread_byte)
        return;
    bool is_whole = !h->ex->streams || h1_kept_input(c).len >= h->ex->body_left;
    if (h->ex->in->request.version == 10 && is_whole)
        conn_read_anew(c);
    else
        conn_take_unread(c);
}

static enum step h1_step_app(struct sprig_conn *c, struct sprig_span *input)
{
    if (!h1_keep(c, input)) {
        conn_close(c, SPRIG_END_GONE);
        return STEP_STOP;
    }
    conn_rest_deadline(c);
    h1_set_phase(c, H1_APP);
    h1_of(c)->ex->complete_ns = sprig_loop_now(c->server->loop);
    h1_decide_unread(c);
    return h1_try_app(c);
}

/* Takes the next step of a parked request, or of the rest of a pipeline. */
static enum step h1_step(struct sprig_conn *c, struct sprig_span *input)
{
    struct h1 *h = h1_of(c);
    enum step step = STEP_GO_ON;
    if (h->phase == H1_APP) {
        if (!exchange_waits(h->ex))
            return STEP_STOP;
        if (!c->transport.ops->is_hung_up(&c->transport))
            return h1_try_app(c);
        conn_on_broken(c); /* nobody would get the response */
        return STEP_STOP;
    }
    if (h->phase > H1_APP)
        return STEP_STOP;
    if (c->origin == ORIGIN_AWAITED)
        step = h1_step_proxy(c, input);
    if (step == STEP_GO_ON && h->phase != H1_BODY)
        step = h1_step_head(c, input);
    if (step == STEP_GO_ON)
        step = h1_step_body(c, input);
    return step == STEP_GO_ON ? h1_step_app(c, input) : step;
}

/* Runs as many steps as the input allows. */
static void h1_advance(struct sprig_conn *c, struct sprig_span input)
{
    while (h1_step(c, &input) == STEP_GO_ON) {
        input = h1_kept_input(c);
        uint32_t max = c->server->config.max_requests_per_turn;
        if (h1_of(c)->n_turn < max || max == 0 || input.len == 0)
            continue;
        ready_add(c->server->loop, &c->ready,
                  CONN_EV_RESUME); /* let others have their turn first */
        break;
    }
}

void h1_resume(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    if (exchange_is_streaming(h->ex) && h->ex->is_started) {
        h1_stream_resume(c);
        return;
    }
    if (h->phase < H1_REPLY)
        h1_advance(c, h1_kept_input(c));
}

/* New input continues where the kept part ends. */
static void h1_feed(struct sprig_conn *c, struct sprig_span bytes)
{
    if (!h1_has_kept_input(c)) {
        h1_advance(c, bytes);
        return;
    }
    if (h1_append_input(c, bytes))
        h1_advance(c, h1_kept_input(c));
    else
        conn_close(c, SPRIG_END_GONE);
}

/* --------------------------------------------------------------- receiving ---- */

/* The input ended between requests or inside one. A body that breaks off before its announced
 * length is the client's error; the app never hears of it. */
static void h1_end_of_input(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    bool in_body = h->phase == H1_BODY;
    struct client_name client;
    c->peer_shut = true;
    if (in_body)
        client = conn_client_name(c, h->ex);
    if (in_body)
        conn_log_refusal(c, h->ex, h1_kept_input(c), 400, h1_body_broken, 0);
    h1_close_after_output(c); /* responses may still be on their way */
    if (in_body)
        conn_tell_of(c, &client, 400, h1_body_broken);
}

/* The next input may complete an HTTP/1.0 request whose response can be cut only with the help of
 * unread_byte. Later requests of a connection come from clients that speak HTTP/1.1 or know
 * keep-alive. */
static bool h1_may_need_unread(const struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    if (!c->transport.resets_by_input)
        return false;
    return h->phase == H1_BODY ? h->ex->in->request.version == 10 : c->n_requests == 0;
}

/* Receives all but the last byte, unless this is the beginning of an HTTP/1.1 request. */
static ssize_t h1_receive_but_one(struct sprig_conn *c, char *buffer)
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

static void h1_receive(struct sprig_conn *c)
{
    char *buffer = loop_read_buffer(c->server->loop);
    ssize_t n = h1_may_need_unread(c)
                    ? h1_receive_but_one(c, buffer)
                    : c->transport.ops->recv(&c->transport, buffer, LOOP_READ_BUFFER_BYTES);
    if (n > 0) {
        h1_feed(c, span_make(buffer, (size_t)n));
        if (h1_of(c)->phase < H1_APP)
            conn_take_unread(c); /* the request is not complete yet */
        else if (c->unread_byte)
            conn_read_anew(c); /* complete, or refused early */
    } else if (n == 0) {
        h1_end_of_input(c);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        conn_close(c, SPRIG_END_GONE);
    }
}

/* The client has shut down its sending side, and may still read the response. */
static void h1_note_shut(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    conn_set_reading(c, false);
    c->peer_shut = true;
    if (h->ex != NULL)
        exchange_peer_gone(h->ex);
}

/* Nothing can be received, because it would come after unread_byte. */
static void h1_notice_end(struct sprig_conn *c)
{
    enum transport_sides closed = c->transport.ops->closed(&c->transport);
    if (closed == SIDES_ONE)
        h1_note_shut(c);
    else if (closed == SIDES_BOTH)
        conn_on_broken(c);
}

/* Whether the app may take over the socket. */
static bool h1_may_go(const struct sprig_exchange *ex)
{
    return ex->in->request.upgrade && !ex->keeps_input;
}

/* A request is being answered. We go on reading to notice when the client leaves, but only little,
 * so that a pipelining client is slowed down; and nothing if the app may take over the socket. */
static void h1_receive_busy(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    if (c->unread_byte) {
        h1_notice_end(c);
        return;
    }
    c->must_linger = true; /* if this was the last request, data may lie unread */
    if (h1_kept_input(c).len >= H1_PIPELINE_BYTES || h->ex == NULL || h1_may_go(h->ex)) {
        conn_set_reading(c, false);
        return;
    }
    char *buffer = loop_read_buffer(c->server->loop);
    ssize_t n = c->transport.ops->recv(&c->transport, buffer, LOOP_READ_BUFFER_BYTES);
    if (n > 0 && !h1_append_input(c, span_make(buffer, (size_t)n)))
        conn_close(c, SPRIG_END_GONE);
    else if (n == 0 && !c->transport.ops->is_hung_up(&c->transport))
        h1_note_shut(c);
    else if (n == 0)
        conn_on_broken(c);
    else if (n == -1 && errno != EAGAIN && errno != EWOULDBLOCK)
        conn_fail_reading(c);
}

void h1_read(struct sprig_conn *c)
{
    struct h1 *h = h1_of(c);
    if (c->reading == READING_OFF || conn_is_overtaken(c))
        return;
    switch ((enum h1_phase)h->phase) {
    case H1_IDLE:
        if (h1_has_kept_input(c))
            return; /* kept input goes first, in a turn of its own */
        h1_receive(c);
        return;
    case H1_HEAD:
    case H1_BODY:
        h1_receive(c);
        return;
    case H1_APP:
    case H1_REPLY:
        if (exchange_is_streaming(h->ex))
            h1_stream_receive(c);
        else
            h1_receive_busy(c);
        return;
    case H1_PREFACE:
    case H1_OVER:
        return;
    }
}

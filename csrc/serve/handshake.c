/* handshake.c - a TLS connection until its handshake is over. The handshake is a protocol of its
 * own, which then gives way to the one that the client asked for. */
#include "net/tls.h"
#include "serve/conn.h"

#include <errno.h>

/* Limits handshakes per pass: each costs everybody about a millisecond. False: go on in the next
 * pass. */
static bool handshake_may_go_on(struct sprig_server *server)
{
    uint32_t max = server->config.tls_handshakes_per_turn;
    uint64_t now = sprig_loop_now(server->loop);
    if (server->handshakes_ns != now) {
        server->handshakes_ns = now;
        server->n_handshakes = 0;
    }
    return max == 0 || server->n_handshakes < max;
}

/* The alert is on its way: input that the client has sent meanwhile must not turn the close into a
 * reset. */
static void handshake_fail(struct sprig_conn *c, const char *reason)
{
    c->server->counters.n_refused++;
    stats_add(STAT_HANDSHAKES_FAILED, 1);
    refusals_tell(&c->server->refusals, REFUSALS_HANDSHAKE, conn_client(c), reason, "");
    conn_linger(c);
}

/* Lets HTTP answer that this address expects TLS. */
static void handshake_give_up(struct sprig_conn *c)
{
    transport_tls_undo(&c->transport);
    c->aim = AIM_NEEDS_TLS;
    c->protocol = c->server->protocols->choose(c);
    deadline_set(&c->server->header_deadlines, &c->deadline);
    c->protocol->step(c, CONN_EV_READABLE);
}

/* What the client sends right after its handshake is mostly here already. */
static void handshake_complete(struct sprig_conn *c)
{
    const struct protocols *protocols = c->server->protocols;
    bool is_http2 = transport_tls_is_http2(&c->transport);
    deadline_set(&c->server->header_deadlines, &c->deadline);
    conn_speak(c, is_http2 ? protocols->http2 : protocols->choose(c), span_make(NULL, 0));
    if (c->state != CONN_OPEN)
        return;
    if (c->server->is_leaving)
        c->protocol->server_leaves(c);
    c->protocol->step(c, CONN_EV_READABLE);
}

/* A client that does not speak TLS yet cannot be told anything. */
static void handshake_refuse_proxy(struct sprig_conn *c, const char *reason)
{
    c->server->counters.n_refused++;
    stats_add(STAT_HANDSHAKES_FAILED, 1);
    refusals_tell(&c->server->refusals, REFUSALS_HANDSHAKE, c->remote_host, reason, "");
    conn_close(c, SPRIG_END_GONE);
}

/* Once a handshake has begun, a leaving server allows it the usual time. */
static void handshake_await_rest(struct sprig_conn *c, bool was_silent)
{
    if (was_silent && c->server->is_leaving && !transport_tls_is_silent(&c->transport))
        deadline_set(&c->server->handshake_deadlines, &c->deadline);
}

/* Reads the PROXY header, which comes before the handshake. False: it is not complete, or the
 * connection is closed. */
static bool handshake_read_proxy(struct sprig_conn *c)
{
    struct sprig_span input;
    struct proxy_header header;
    const char *reason = "PROXY protocol: the peer is not one of trusted_proxies";
    long n = -1;
    ssize_t got = transport_tls_receive(&c->transport, &input);
    if (got == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    if (got <= 0) {
        conn_close(c, SPRIG_END_GONE);
        return false;
    }
    if (cidr_list_has(&c->server->trusted_proxies, span_str(c->remote_host)))
        n = proxy_header_parse(input, &header, &reason);
    if (n < 0)
        handshake_refuse_proxy(c, reason);
    if (n <= 0)
        return false;
    conn_take_proxy_header(c, &header);
    transport_tls_skip(&c->transport, (size_t)n);
    return true;
}

static void handshake_go_on(struct sprig_conn *c)
{
    const char *reason;
    if (c->reading == READING_OFF || (c->origin == ORIGIN_AWAITED && !handshake_read_proxy(c)))
        return;
    if (!handshake_may_go_on(c->server)) {
        ready_add(c->server->loop, &c->ready, CONN_EV_READABLE);
        return;
    }
    bool was_silent = transport_tls_is_silent(&c->transport);
    if (was_silent)
        server_look_at_certificates(c->server);
    enum tls_progress progress = transport_tls_accept(&c->transport, &reason);
    c->server->n_handshakes += !transport_tls_is_silent(&c->transport);
    switch (progress) {
    case TLS_WAITS:
        handshake_await_rest(c, was_silent);
        return;
    case TLS_IS_OPEN:
        handshake_complete(c);
        return;
    case TLS_IS_MISSING:
        handshake_give_up(c);
        return;
    case TLS_HAS_ENDED:
        conn_close(c, SPRIG_END_GONE);
        return;
    case TLS_HAS_FAILED:
        handshake_fail(c, reason);
        return;
    }
}

/* A client that connects and says nothing is not worth a message. A client whose turn was put off
 * is not late. */
static void handshake_expire(struct sprig_conn *c)
{
    if (c->ready.what & CONN_EV_READABLE) {
        ready_add(c->server->loop, &c->ready, CONN_EV_TIMEOUT);
        return;
    }
    stats_add(STAT_HANDSHAKES_FAILED, 1);
    if (!transport_tls_is_silent(&c->transport))
        refusals_tell(&c->server->refusals, REFUSALS_HANDSHAKE, conn_client(c),
                      "tls_handshake_timeout: it was not complete in time", "");
    conn_close(c, SPRIG_END_GONE);
}

static void handshake_step(struct sprig_conn *c, uint32_t what)
{
    if (what & CONN_EV_BROKEN) {
        conn_on_broken(c);
        return;
    }
    if (what & CONN_EV_WRITABLE)
        conn_flush(c);
    if (what & (CONN_EV_READABLE | CONN_EV_TIMEOUT)) /* what was missing may have arrived */
        handshake_go_on(c);
    if (c->state != CONN_OPEN || c->protocol != &protocol_handshake)
        return;
    if ((what & CONN_EV_TIMEOUT) && !list_linked(&c->deadline.link))
        handshake_expire(c);
    else if (c->transport.has_unsent && !conn_is_blocked(c))
        conn_flush(c);
}

static void handshake_pass(struct sprig_conn *c)
{
    (void)c; /* nothing to do */
}

static void handshake_flushed(struct sprig_conn *c, bool is_drained)
{
    (void)c, (void)is_drained;
}

/* The handshake as a whole has a deadline of its own. */
static bool handshake_awaits_writable(const struct sprig_conn *c)
{
    (void)c;
    return false;
}

/* A client that has begun its handshake still gets its response. */
static void handshake_server_leaves(struct sprig_conn *c)
{
    if (transport_tls_is_silent(&c->transport))
        conn_await_first(c);
}

static bool handshake_is_unused(const struct sprig_conn *c)
{
    return transport_tls_is_silent(&c->transport);
}

static bool handshake_is_answering(const struct sprig_conn *c)
{
    (void)c;
    return false;
}

/* Nothing can be sent yet. */
static void handshake_turn_away(struct sprig_conn *c)
{
    conn_close(c, SPRIG_END_GONE);
}

static void handshake_over(struct sprig_conn *c, enum sprig_end why)
{
    (void)c, (void)why;
}

const struct protocol protocol_handshake = {
    .name = "TLS handshake",
    .step = handshake_step,
    .flush = handshake_pass,
    .flushed = handshake_flushed,
    .awaits_writable = handshake_awaits_writable,
    .server_leaves = handshake_server_leaves,
    .is_unused = handshake_is_unused,
    .is_answering = handshake_is_answering,
    .turn_away = handshake_turn_away,
    .sever = handshake_pass,
    .peer_gone = handshake_pass,
    .over = handshake_over,
    .clear = handshake_pass,
};

/* conn.c - one connection: birth, turns, deadlines, end; see conn.h */
#include "serve/conn.h"
#include "base/clock.h"
#include "base/hot.h"
#include "base/invariant.h"
#include "loop/watcher.h"
#include "net/tls.h"
#include "serve/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ------------------------------------------------------------------- state ---- */

/* Which states may follow which. */
static const uint8_t legal_next[] = {
    [CONN_OPEN] = 1 << CONN_LINGER | 1 << CONN_DETACHED | 1 << CONN_CLOSED,
    [CONN_LINGER] = 1 << CONN_CLOSED,
    [CONN_DETACHED] = 1 << CONN_CLOSED,
    [CONN_CLOSED] = 0,
};

void conn_set_state(struct sprig_conn *c, enum conn_state state)
{
    if (INVARIANT(legal_next[c->state] & 1 << state))
        c->state = (uint8_t)state;
    else
        conn_break(c);
}

HOT void conn_pin(struct sprig_conn *c)
{
    c->pins++;
}

HOT void conn_unpin(struct sprig_conn *c)
{
    if (INVARIANT(c->pins > 0))
        c->pins--;
}

/* ------------------------------------------------------------------- turns ---- */

static void conn_discard(struct sprig_conn *c);

/* What is left to do after the end of our side. */
static void conn_step_lingering(struct sprig_conn *c, uint32_t what)
{
    if (what & CONN_EV_BROKEN)
        conn_on_broken(c);
    if (what & CONN_EV_READABLE)
        conn_discard(c);
    if ((what & CONN_EV_TIMEOUT) && !list_linked(&c->deadline.link))
        conn_close(c, SPRIG_END_GONE);
}

/* One step of phase 2 for this connection. Its output is sent in one write at the end. */
static void conn_run(struct ready *r, uint32_t what)
{
    struct sprig_conn *c = list_entry(r, struct sprig_conn, ready);
    conn_pin(c);
    if (c->state == CONN_OPEN)
        c->protocol->step(c, what);
    else if (c->state == CONN_LINGER)
        conn_step_lingering(c, what);
    conn_register(c);
    if (c->reading == READING_ON && transport_has_input(&c->transport))
        ready_add(c->server->loop, &c->ready, CONN_EV_READABLE);
    conn_unpin(c);
}

void conn_expire(struct deadline *d)
{
    struct sprig_conn *c = list_entry(d, struct sprig_conn, deadline);
    ready_add(c->server->loop, &c->ready, CONN_EV_TIMEOUT);
}

/* ------------------------------------------------------------------- birth ---- */

struct peer_name {
    char host[INET6_ADDRSTRLEN];
    char port[6];
};

static void conn_name_peer(struct peer_name *name, const struct sockaddr *addr)
{
    name->port[0] = '\0';
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
        cidr_print(AF_INET, &in->sin_addr, name->host);
        snprintf(name->port, sizeof name->port, "%u", ntohs(in->sin_port));
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
        cidr_print(AF_INET6, &in6->sin6_addr, name->host);
        snprintf(name->port, sizeof name->port, "%u", ntohs(in6->sin6_port));
    } else {
        snprintf(name->host, sizeof name->host, "unix/");
    }
}

struct conn_rare *conn_rare(struct sprig_conn *c)
{
    if (c->rare == NULL)
        c->rare = calloc(1, sizeof *c->rare);
    return c->rare;
}

static void conn_free_write_event(struct sprig_conn *c)
{
    if (c->rare == NULL || c->rare->write_event == NULL)
        return;
    event_free(c->rare->write_event);
    c->rare->write_event = NULL;
}

static void conn_free_rare(struct sprig_conn *c)
{
    conn_free_write_event(c);
    if (c->rare != NULL)
        free(c->rare->proxied);
    free(c->rare);
}

void conn_free(struct sprig_conn *c)
{
    list_remove(&c->link);
    c->protocol->clear(c);
    outq_clear(&c->out);
    conn_free_rare(c);
    free(c);
}

/* With TLS the handshake comes first, and its end decides the protocol. False: out of memory. */
static bool conn_init_protocol(struct sprig_conn *c)
{
    struct sprig_server *server = c->server;
    bool has_tls = c->listener != NULL && c->listener->socket.options.tls;
    c->protocol = has_tls ? &protocol_handshake : server->protocols->choose(c);
    if (!has_tls)
        return true;
    if (transport_tls_init(&c->transport, server->tls, server->tls_io) != 0)
        return false;
    if (server->protocols->http2 != NULL && server->config.http2)
        transport_tls_offer_http2(&c->transport);
    return true;
}

void conn_speak(struct sprig_conn *c, const struct protocol *protocol, struct sprig_span input)
{
    c->protocol->clear(c);
    memset(c->own, 0, sizeof c->own);
    c->protocol = protocol;
    if (protocol->begin != NULL && !protocol->begin(c, input))
        conn_close(c, SPRIG_END_GONE);
}

static void conn_init(struct sprig_conn *c, struct sprig_server *server, int fd, int family)
{
    c->server = server;
    transport_plain_init(&c->transport, fd, family);
    c->generation = loop_check_fork(server->loop);
    ready_init(&c->ready, conn_run);
    list_init(&c->link);
    conn_init_flush(c);
    list_init(&c->reap.link);
    c->reap.reap = server->reap_conn;
    deadline_init(&c->deadline);
    outq_init(&c->out, &server->outq_pool);
}

struct sprig_conn *conn_new(struct sprig_server *server, struct sprig_listener *listener, int fd,
                            const struct sockaddr *addr)
{
    struct peer_name peer;
    conn_name_peer(&peer, addr);
    size_t n_host = strlen(peer.host) + 1, n_port = strlen(peer.port) + 1;
    /* Not calloc: before 2.41, glibc does not reuse just-freed memory for it. */
    struct sprig_conn *c = malloc(offsetof(struct sprig_conn, remote_host) + n_host + n_port);
    if (c == NULL) {
        close(fd);
        return NULL;
    }
    memset(c, 0, offsetof(struct sprig_conn, remote_host));
    conn_init(c, server, fd, addr->sa_family);
    c->listener = listener;
    if (!conn_init_protocol(c)) {
        close(fd);
        free(c);
        return NULL;
    }
    bool has_proxy = listener != NULL && listener->socket.options.proxy_protocol;
    c->origin = has_proxy ? ORIGIN_AWAITED : ORIGIN_PEER;
    c->aim = listener != NULL && listener->socket.options.redirect ? AIM_REDIRECTED : AIM_APP;
    memcpy(c->remote_host, peer.host, n_host);
    memcpy(c->remote_host + n_host, peer.port, n_port);
    c->remote_port_at = (uint8_t)n_host;
    list_append(&server->conns, &c->link);
    watcher_forget_fd(server->loop, fd);
    conn_begin(c);
    bool has_handshake = c->protocol == &protocol_handshake;
    deadline_set(has_handshake ? &server->handshake_deadlines : &server->header_deadlines,
                 &c->deadline);
    log_later(SPRIG_LOG_DEBUG, "accepted connection from %s:%s", c->remote_host,
              c->remote_host + c->remote_port_at);
    return c;
}

void conn_take_proxy_header(struct sprig_conn *c, const struct proxy_header *header)
{
    c->origin = header->is_told ? ORIGIN_TOLD : ORIGIN_HIDDEN;
    if (!header->is_told || conn_rare(c) == NULL)
        return;
    free(c->rare->proxied);
    if ((c->rare->proxied = malloc(sizeof *header)) != NULL)
        *c->rare->proxied = *header;
}

/* Both events belonged to the old descriptor, so they are dropped. Queued output goes to the new
 * one at the next flush. */
int conn_relay(struct sprig_conn *c, struct sprig_span input)
{
    bool was_reading = c->reading == READING_ON;
    conn_set_reading(c, false);
    int rc = transport_tls_relay(&c->transport, input);
    if (rc != 0) {
        int error = errno;
        conn_set_reading(c, was_reading);
        errno = error;
        return rc;
    }
    conn_stop_writing(c);
    conn_free_write_event(c);
    c->is_relayed = true;
    watcher_forget_fd(c->server->loop, c->transport.fd);
    conn_flush_later(c);
    return 0;
}

/* --------------------------------------------------------------------- end ---- */

bool conn_is_unused(const struct sprig_conn *c)
{
    if (c->state != CONN_OPEN || c->pins > 0 || conn_has_output(c) || !c->protocol->is_unused(c))
        return false;
    int n = transport_peek(&c->transport);
    return n == 0 || (n == -1 && c->n_requests > 0);
}

/* Detaches the connection from everything outside that points to it. */
static void conn_release(struct sprig_conn *c)
{
    loop_recall(c->server->loop);
    c->protocol->sever(c);
    conn_set_reading(c, false);
    if (c->rare != NULL && c->rare->write_event != NULL)
        loop_event_del(c->server->loop, c->rare->write_event);
    c->output = OUTPUT_BROKEN;
    deadline_clear(&c->deadline);
    list_remove(&c->flush.link);
    ready_cancel(&c->ready);
    outq_clear(&c->out);
    if (transport_is_open(&c->transport))
        admission_leave(c);
}

/* The only place where a connection ends for its client. A close is not enough: a child forked by
 * the app may hold the socket for as long as it lives. If the app has the socket, it also has the
 * input, and after a 101 all of it. */
static void conn_hang_up(struct sprig_conn *c, enum sprig_end why)
{
    if (why == SPRIG_END_DONE)
        conn_take_unread(c);
    if (c->must_reset)
        c->transport.ops->reset(&c->transport);
    else if (c->unread_byte)
        ; /* the close resets; a shutdown before it would make the end of the output look orderly */
    else if (!c->input_is_apps)
        c->transport.ops->hang_up(&c->transport, why == SPRIG_END_DONE);
    else if (!c->is_switched)
        c->transport.ops->finish(&c->transport);
    c->transport.ops->close(&c->transport);
}

static void conn_leave(struct sprig_conn *c, enum conn_state state, enum sprig_end why)
{
    conn_release(c);
    if (state == CONN_DETACHED)
        transport_take_fd(&c->transport);
    else if (transport_is_open(&c->transport))
        conn_hang_up(c, why);
    conn_set_state(c, state);
    conn_pin(c);
    c->protocol->over(c, why);
    conn_unpin(c);
    loop_reap_later(c->server->loop, &c->reap);
}

void conn_close(struct sprig_conn *c, enum sprig_end why)
{
    if (c->state != CONN_CLOSED && c->state != CONN_DETACHED)
        conn_leave(c, CONN_CLOSED, why);
}

int conn_detach(struct sprig_conn *c)
{
    int fd = c->transport.fd;
    conn_take_unread(c);
    conn_leave(c, CONN_DETACHED, SPRIG_END_DETACHED);
    return fd;
}

void conn_lose(struct sprig_conn *c, enum sprig_loss loss, const char *detail)
{
    if (c->loss != SPRIG_LOSS_CLOSED || c->loss_detail != NULL)
        return;
    c->loss = (uint8_t)loss;
    c->loss_detail = detail;
}

void conn_reset(struct sprig_conn *c, enum sprig_end why)
{
    c->must_reset = true;
    conn_close(c, why);
}

void conn_close_gone(struct sprig_conn *c)
{
    if (c->state != CONN_OPEN || !c->protocol->is_answering(c) || conn_has_output(c))
        return;
    enum transport_sides closed = c->transport.ops->closed(&c->transport);
    bool seemed_gone = c->seems_gone;
    c->seems_gone = closed == SIDES_ONE;
    if (closed == SIDES_BOTH || (closed == SIDES_ONE && seemed_gone))
        conn_on_broken(c);
}

void conn_finish(struct sprig_conn *c)
{
    conn_take_unread(c);
    if (!c->input_is_apps && c->must_linger)
        conn_linger(c);
    else
        conn_close(c, SPRIG_END_DONE);
}

void conn_abandon(struct sprig_conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    conn_release(c);
    if (transport_is_open(&c->transport))
        close(transport_take_fd(&c->transport)); /* the parent goes on using it and its TLS */
    conn_set_state(c, CONN_CLOSED);
    conn_pin(c); /* for ever: stack frames of the forked app may still point here */
    list_remove(&c->link);
}

/* --------------------------------------------------------------- lingering ---- */

void conn_linger(struct sprig_conn *c)
{
    conn_set_state(c, CONN_LINGER);
    if (conn_rare(c) != NULL)
        c->rare->linger_ns = sprig_loop_now(c->server->loop);
    c->transport.ops->finish(&c->transport);
    conn_stop_writing(c);
    conn_set_reading(c, true);
    deadline_set(&c->server->linger_deadlines, &c->deadline);
}

static bool conn_has_lingered(const struct sprig_conn *c)
{
    if (c->rare == NULL) /* out of memory */
        return true;
    uint64_t by_bodies = c->server->config.max_body_bytes * LINGER_BODIES;
    uint64_t max = by_bodies > LINGER_MAX_BYTES ? by_bodies : LINGER_MAX_BYTES;
    uint64_t elapsed = sprig_loop_now(c->server->loop) - c->rare->linger_ns;
    return c->rare->n_lingered_bytes > max || elapsed > LINGER_MAX_SECONDS * NS_PER_S;
}

static void conn_discard(struct sprig_conn *c)
{
    char *buffer = loop_read_buffer(c->server->loop);
    ssize_t n = c->transport.ops->discard(&c->transport, buffer, LOOP_READ_BUFFER_BYTES);
    if (n > 0 && c->rare != NULL)
        c->rare->n_lingered_bytes += (uint64_t)n;
    if (n == 0 || (n == -1 && errno != EAGAIN) || conn_has_lingered(c))
        conn_close(c, SPRIG_END_GONE);
    else if (n > 0 && c->lingers_little && c->rare->n_lingered_bytes > LINGER_LITTLE_BYTES)
        conn_set_reading(c, false);
    else if (n > 0 && !c->is_turned_away)
        deadline_set(&c->server->linger_deadlines, &c->deadline);
}

void conn_make_room(struct sprig_conn *c)
{
    if (c->state == CONN_LINGER && c->is_turned_away)
        conn_discard(c);
    conn_close(c, SPRIG_END_GONE);
}

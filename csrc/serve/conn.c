/* conn.c - one connection: birth, turns, deadlines, end; see conn.h */
#include "serve/conn.h"
#include "base/invariant.h"
#include "loop/watcher.h"
#include "serve/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ------------------------------------------------------------------- state ---- */

/* Which states may follow which; CLOSED may follow all. */
static const uint8_t legal_next[] = {
    [CONN_IDLE] = 1 << CONN_HEAD | 1 << CONN_BODY | 1 << CONN_APP | 1 << CONN_REPLY,
    [CONN_HEAD] = 1 << CONN_BODY | 1 << CONN_APP | 1 << CONN_REPLY,
    [CONN_BODY] = 1 << CONN_APP | 1 << CONN_REPLY,
    [CONN_APP] = 1 << CONN_REPLY | 1 << CONN_DETACHED,
    [CONN_REPLY] = 1 << CONN_IDLE | 1 << CONN_LINGER | 1 << CONN_DETACHED,
    [CONN_LINGER] = 0,
    [CONN_DETACHED] = 0,
    [CONN_CLOSED] = 0,
};

void conn_set_state(struct sprig_conn *c, enum conn_state state)
{
    bool is_legal = legal_next[c->state] & 1 << state || state == c->state || state == CONN_CLOSED;
    if (INVARIANT(is_legal))
        c->state = (uint8_t)state;
    else
        conn_break(c);
}

void conn_pin(struct sprig_conn *c)
{
    c->pins++;
}

void conn_unpin(struct sprig_conn *c)
{
    if (INVARIANT(c->pins > 0))
        c->pins--;
}

/* ------------------------------------------------------------------- turns ---- */

/* One step of phase 2 for this connection. What it produced leaves in one write at the end. A
 * nested pass may step the same connection; only the outermost frame settles it. */
static void conn_run(struct ready *r, uint32_t what)
{
    struct sprig_conn *c = list_entry(r, struct sprig_conn, ready);
    bool was_running = c->is_running;
    conn_pin(c);
    c->n_turn = 0;
    c->is_running = true;
    c->protocol->step(c, what);
    c->is_running = was_running;
    if (c->out.size > 0 && !c->is_writing && !(c->ready.what & CONN_EV_WRITABLE))
        conn_flush(c); /* unless the next slice of what is written has its turn already */
    if (!was_running)
        c->protocol->settle(c);
    conn_register(c);
    if (c->is_reading && transport_has_input(&c->transport))
        ready_add(c->server->loop, &c->ready, CONN_EV_READABLE);
    conn_unpin(c);
}

void conn_expire(struct deadline *d)
{
    struct sprig_conn *c = list_entry(d, struct sprig_conn, deadline);
    ready_add(c->server->loop, &c->ready, CONN_EV_TIMEOUT);
}

/* ------------------------------------------------------------ birth and end ---- */

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

void conn_free(struct sprig_conn *c)
{
    list_remove(&c->link);
    outq_clear(&c->out);
    if (c->write_event != NULL)
        event_free(c->write_event);
    free(c->in);
    free(c->proxied);
    free(c);
}

/* The one place that knows which protocols there are. */
static const struct protocol *conn_choose_protocol(const struct sprig_listener *listener)
{
    (void)listener; /* all speak the same */
    return &protocol_h1;
}

static void conn_init(struct sprig_conn *c, struct sprig_server *server, int fd, int family)
{
    c->server = server;
    transport_plain_init(&c->transport, fd, family);
    c->generation = loop_guard(server->loop);
    ready_init(&c->ready, conn_run);
    list_init(&c->link);
    conn_init_flush(c);
    list_init(&c->reap.link);
    c->reap.reap = server->reap_conn;
    deadline_init(&c->deadline);
    parser_init(&c->parser);
    outq_init(&c->out, &server->outq_pool);
}

struct sprig_conn *conn_new(struct sprig_server *server, struct sprig_listener *listener, int fd,
                            const struct sockaddr *addr)
{
    struct peer_name peer;
    conn_name_peer(&peer, addr);
    size_t n_host = strlen(peer.host) + 1, n_port = strlen(peer.port) + 1;
    /* Not calloc, which glibc before 2.41 gives nothing that was freed a moment ago. */
    struct sprig_conn *c = malloc(offsetof(struct sprig_conn, remote_host) + n_host + n_port);
    if (c == NULL) {
        close(fd);
        return NULL;
    }
    memset(c, 0, offsetof(struct sprig_conn, remote_host));
    conn_init(c, server, fd, addr->sa_family);
    c->listener = listener;
    c->protocol = conn_choose_protocol(listener);
    c->awaits_proxy = listener != NULL && listener->socket.options.proxy_protocol;
    memcpy(c->remote_host, peer.host, n_host);
    memcpy(c->remote_host + n_host, peer.port, n_port);
    c->remote_port_at = (uint8_t)n_host;
    list_append(&server->conns, &c->link);
    watcher_forget_fd(server->loop, fd);
    conn_begin(c);
    deadline_set(&server->header_deadlines, &c->deadline);
    log_later(SPRIG_LOG_DEBUG, "accepted connection from %s:%s", c->remote_host,
              c->remote_host + c->remote_port_at);
    return c;
}

bool conn_is_unused(const struct sprig_conn *c)
{
    if (c->pins > 0 || conn_has_output(c) || !c->protocol->is_unused(c))
        return false;
    int n = transport_peek(&c->transport);
    return n == 0 || (n == -1 && c->n_requests > 0);
}

/* Everything that points to the connection from outside lets go of it. */
static void conn_retire(struct sprig_conn *c)
{
    if (c->ex != NULL)
        c->ex->is_over = true;
    loop_recall(c->server->loop);
    conn_count_unsent(c);
    conn_set_reading(c, false);
    if (c->is_writing)
        loop_event_del(c->server->loop, c->write_event);
    c->is_writing = false;
    deadline_clear(&c->deadline);
    list_remove(&c->flush.link);
    ready_cancel(&c->ready);
    outq_clear(&c->out);
    if (transport_is_open(&c->transport))
        admission_leave(c);
}

/* The one place where a connection ends for its client. To close is not enough: a child that the
 * app has forked may hold the socket for as long as it lives. Where the app has it, it has what
 * comes in, and after a 101 all of it. */
static void conn_hang_up(struct sprig_conn *c, enum sprig_end why)
{
    if (why == SPRIG_END_DONE)
        conn_take_unread(c);
    if (c->must_reset)
        c->transport.ops->reset(&c->transport);
    else if (c->unread_byte)
        ; /* the close resets; a shutdown before it would end what was sent in an orderly way */
    else if (!c->reading_is_over)
        c->transport.ops->hang_up(&c->transport, why == SPRIG_END_DONE);
    else if (!c->is_switched)
        c->transport.ops->finish(&c->transport);
    c->transport.ops->close(&c->transport);
}

static void conn_leave(struct sprig_conn *c, enum conn_state state, enum sprig_end why)
{
    conn_retire(c);
    if (state == CONN_DETACHED)
        transport_take_fd(&c->transport);
    else if (transport_is_open(&c->transport))
        conn_hang_up(c, why);
    conn_set_state(c, state);
    conn_pin(c);
    c->protocol->leave(c, why);
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

void conn_reset(struct sprig_conn *c, enum sprig_end why)
{
    c->must_reset = true;
    conn_close(c, why);
}

void conn_close_left(struct sprig_conn *c)
{
    if ((c->state != CONN_APP && c->state != CONN_REPLY) || conn_has_output(c))
        return;
    enum transport_sides closed = c->transport.ops->closed(&c->transport);
    bool was_leaving = c->is_leaving;
    c->is_leaving = closed == SIDES_ONE;
    if (closed == SIDES_BOTH || (closed == SIDES_ONE && was_leaving))
        conn_on_broken(c);
}

void conn_abandon(struct sprig_conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    conn_retire(c);
    if (transport_is_open(&c->transport))
        c->transport.ops->close(&c->transport); /* the parent goes on with it */
    conn_set_state(c, CONN_CLOSED);
    conn_pin(c); /* for ever: frames of the app that forked may still point here */
    list_remove(&c->link);
}

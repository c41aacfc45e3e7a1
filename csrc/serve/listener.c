/* listener.c - accepting connections; see sprig.h and listener.h */
#include "serve/listener.h"
#include "base/board.h"
#include "net/any_address.h"
#include "net/calls.h"
#include "serve/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ----------------------------------------------------------------- accepting ---- */

static void listener_rest(struct sprig_listener *l, uint64_t ms)
{
    struct sprig_loop *loop = l->server->loop;
    l->is_paused = true;
    loop_event_del(loop, &l->event);
    timer_start(loop, &l->pause, sprig_loop_now(loop) + ms * 1000 * 1000);
}

static void listener_resume(struct ready *r, uint32_t what)
{
    (void)what;
    struct timer *timer = list_entry(r, struct timer, ready);
    struct sprig_listener *l = list_entry(timer, struct sprig_listener, pause);
    l->is_paused = false;
    if (loop_event_add(l->server->loop, &l->event) == 0)
        return;
    int error = errno;
    listener_rest(l, LISTENER_PAUSE_MS); /* then try again */
    sprig_log(SPRIG_LOG_WARN, "cannot watch %s:%s: %s; pausing %d ms", l->address.host,
              l->address.port, strerror(error), LISTENER_PAUSE_MS);
}

/* Out of descriptors or memory: without a pause the listener would be ready again at once,
 * endlessly. */
static void listener_pause(struct sprig_listener *l, int error)
{
    listener_rest(l, LISTENER_PAUSE_MS);
    if (error != EMFILE) /* admission.c reports that one */
        sprig_log(SPRIG_LOG_WARN, "accept on %s:%s: %s; pausing %d ms", l->address.host,
                  l->address.port, strerror(error), LISTENER_PAUSE_MS);
}

/* Without free descriptors, accept fails before it checks whether anybody is waiting. */
static bool listener_has_waiting(const struct sprig_listener *l)
{
    struct pollfd p = {.fd = l->socket.fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* True: an idle connection gave up its descriptor, try again. False: the waiting clients were told
 * that the server is busy. */
static bool listener_find_descriptor(struct sprig_listener *l)
{
    struct sprig_conn *idle = admission_idle(l->server);
    if (idle != NULL)
        conn_close(idle, SPRIG_END_GONE);
    else
        admission_answer_busy(l->server, l->socket.fd, l->socket.options.tls, LISTENER_MAX_ACCEPTS);
    return idle != NULL;
}

static bool listener_accept_one(struct sprig_listener *l)
{
    union any_address peer;
    socklen_t len = sizeof peer;
    int fd = call_accept(l->socket.fd, &peer.sa, &len);
    if (fd == -1) {
        if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO)
            return true;
        bool is_full = errno == EMFILE || errno == ENFILE;
        if (is_full && !listener_has_waiting(l))
            return false;
        if (is_full && listener_find_descriptor(l))
            return true;
        if (is_full || (errno != EAGAIN && errno != EWOULDBLOCK))
            listener_pause(l, is_full ? EMFILE : errno);
        return false;
    }
    if (len == 0)
        peer.sa.sa_family = AF_UNIX;
    struct sprig_conn *c = conn_new(l->server, l, fd, &peer.sa);
    if (c != NULL)
        server_enter(c, &peer.sa);
    return c != NULL;
}

/* A worker with clearly more connections than another lets that one accept first. If the others are
 * busy, it accepts after a pause anyway. */
static bool listener_yields(struct sprig_listener *l)
{
    const struct sprig_server *server = l->server;
    if (server->board == NULL || l->has_yielded || !board_is_ahead(server->board, server->slot))
        return false;
    l->has_yielded = true;
    listener_rest(l, LISTENER_YIELD_MS);
    return true;
}

static uint32_t listener_max_accepts(const struct sprig_listener *l)
{
    if (l->has_yielded)
        return LISTENER_YIELDED_ACCEPTS;
    return l->server->board != NULL ? LISTENER_SHARED_ACCEPTS : LISTENER_MAX_ACCEPTS;
}

static void listener_run(struct ready *r, uint32_t what)
{
    (void)what;
    struct sprig_listener *l = list_entry(r, struct sprig_listener, ready);
    if (listener_yields(l))
        return;
    uint32_t max = listener_max_accepts(l);
    l->has_yielded = false;
    for (uint32_t i = 0; i < max; i++)
        if (!listener_accept_one(l))
            break;
}

void listener_take_waiting(struct sprig_listener *l)
{
    if (l->generation != loop_check_fork(l->server->loop))
        return; /* this is a forked child: the parent serves them */
    for (int i = 0; i < LISTENER_MAX_WAITING && listener_has_waiting(l); i++)
        if (!listener_accept_one(l))
            break;
}

static void listener_on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct sprig_listener *l = arg;
    ready_add(l->server->loop, &l->ready, 1);
}

/* -------------------------------------------------------------- start and stop ---- */

static int listener_init(struct sprig_listener *l, struct sprig_server *server,
                         const struct sprig_socket *s)
{
    l->server = server;
    l->socket = *s;
    l->generation = loop_check_fork(server->loop);
    ready_init(&l->ready, listener_run);
    timer_init(&l->pause, listener_resume);
    event_assign(&l->event, loop_base(server->loop), s->fd, EV_READ | EV_PERSIST, listener_on_event,
                 l);
    if (timer_reserve(server->loop, &l->pause) == 0)
        return 0;
    errno = ENOMEM;
    return SPRIG_E_NOMEM;
}

/* This build must support what the address's options ask for, and its certificates must be
 * readable. */
static bool listener_can_speak(struct sprig_server *server, const struct sprig_socket *s, char *why,
                               size_t n)
{
    if (s->options.h2c && server->protocols->http2 == NULL) {
        snprintf(why, n,
                 "h2c: this Sprig was built without HTTP/2; install nghttp2 with its headers "
                 "(libnghttp2-dev) and build it again");
        return false;
    }
    return !s->options.tls || server_open_tls(server, why, n) == 0;
}

/* Takes the socket, also on failure. */
static struct sprig_listener *listener_start(struct sprig_server *server, struct sprig_socket *s,
                                             char *why, size_t n)
{
    struct sprig_listener *l = calloc(1, sizeof *l);
    if (!listener_can_speak(server, s, why, n)) {
        free(l);
        socket_unlink(s);
        socket_close(s);
        return NULL;
    }
    if (l == NULL || listener_init(l, server, s) != 0 || socket_address(s->fd, &l->address) != 0 ||
        loop_event_add(server->loop, &l->event) != 0) {
        snprintf(why, n, "cannot listen on descriptor %d: %s", s->fd, strerror(errno));
        if (l != NULL)
            timer_release(server->loop, &l->pause);
        socket_unlink(s);
        socket_close(s);
        free(l);
        return NULL;
    }
    l->address.is_tls = s->options.tls;
    list_append(&server->listeners, &l->link);
    server->counters.n_listeners++;
    sprig_log(SPRIG_LOG_DEBUG, "listening on %s:%s", l->address.host, l->address.port);
    return l;
}

int sprig_server_listen(struct sprig_server *server, const struct sprig_listen_spec *spec,
                        struct sprig_listener **out, size_t max, char *why, size_t n)
{
    struct sprig_socket sockets[SPRIG_LISTEN_MAX_ADDRESSES];
    const struct sprig_config *config = &server->config;
    if (max > SPRIG_LISTEN_MAX_ADDRESSES)
        max = SPRIG_LISTEN_MAX_ADDRESSES;
    int n_sockets = sockets_open(config, spec, config->reuseport, sockets, max, why, n);
    int n_started = 0;
    for (int i = 0; i < n_sockets; i++) {
        struct sprig_listener *l = listener_start(server, &sockets[i], why, n);
        if (l != NULL)
            out[n_started++] = l;
    }
    if (n_started == n_sockets)
        return n_sockets;
    while (n_started > 0)
        sprig_listener_close(out[--n_started]);
    return SPRIG_E_SYS;
}

struct sprig_listener *sprig_server_listen_fd(struct sprig_server *server, int fd,
                                              const struct sprig_listen_options *options, char *why,
                                              size_t n)
{
    struct sprig_socket s;
    if (socket_adopt(&server->config, fd, &s, why, n) != 0) {
        close(fd);
        return NULL;
    }
    s.options = *options;
    return listener_start(server, &s, why, n);
}

const struct sprig_address *sprig_listener_address(const struct sprig_listener *listener)
{
    return &listener->address;
}

int sprig_listener_fd(const struct sprig_listener *listener)
{
    return listener->socket.fd;
}

/* The server keeps the struct: connections still refer to the address that they came in by. */
void sprig_listener_close(struct sprig_listener *listener)
{
    struct sprig_server *server = listener->server;
    if (listener->socket.fd == -1)
        return;
    loop_event_del(server->loop, &listener->event);
    timer_release(server->loop, &listener->pause);
    ready_cancel(&listener->ready);
    if (listener->generation == loop_check_fork(server->loop))
        socket_unlink(&listener->socket);
    socket_close(&listener->socket);
    list_remove(&listener->link);
    list_append(&server->closed_listeners, &listener->link);
    server->counters.n_listeners--;
}

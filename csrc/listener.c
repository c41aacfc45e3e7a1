/* listener.c - listening sockets: addresses, binding, accepting; see sprig.h and listener.h */
#include "listener.h"
#include "conn.h"
#include "privileges.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

union any_address {
    struct sockaddr sa;
    struct sockaddr_storage storage;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

/* ----------------------------------------------------------------- addresses ---- */

/* Splits "host:port", ":port", "*:port", "[v6]:port". False: it is the path of a unix socket. */
static bool listener_split_spec(const char *spec, char *host, size_t n, const char **port)
{
    const char *colon = strrchr(spec, ':');
    if (colon == NULL || colon[1] == '\0' || colon[1 + strspn(colon + 1, "0123456789")] != '\0')
        return false;
    const char *start = spec;
    size_t len = (size_t)(colon - spec);
    if (len >= 2 && spec[0] == '[' && colon[-1] == ']') {
        start++;
        len -= 2;
    }
    if (len == 1 && *start == '*')
        len = 0;
    snprintf(host, n, "%.*s", (int)len, start);
    *port = colon + 1;
    return true;
}

/* What the socket is bound to, as text: the port the kernel chose, too. */
static int listener_name(struct sprig_listener *l)
{
    union any_address any;
    socklen_t len = sizeof any;
    memset(&any, 0, sizeof any);
    if (getsockname(l->fd, &any.sa, &len) == -1)
        return SPRIG_E_SYS;
    if (any.sa.sa_family == AF_UNIX) {
        l->address.is_unix = true;
        snprintf(l->address.host, sizeof l->address.host, "unix/");
        snprintf(l->address.port, sizeof l->address.port, "%.*s", (int)sizeof any.un.sun_path - 1,
                 any.un.sun_path);
        return 0;
    }
    int rc = getnameinfo(&any.sa, len, l->address.host, sizeof l->address.host, l->address.port,
                         sizeof l->address.port, NI_NUMERICHOST | NI_NUMERICSERV);
    return rc == 0 ? 0 : SPRIG_E_SYS;
}

/* ------------------------------------------------------------------- binding ---- */

/* How binding failed, so that errno of the deciding call reaches the message. */
static int listener_open(const struct sockaddr *sa, socklen_t len, int backlog)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1)
        return -1;
    int on = 1;
    if (sa->sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (sa->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, sa, len) == 0 && listen(fd, backlog) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int listener_open_tcp(const char *host, const char *port, int backlog, const char **problem)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                             .ai_family = *host ? AF_UNSPEC : AF_INET,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int fd = -1, rc;
    if (strlen(port) > 5 || atoi(port) > 65535) {
        *problem = "the port must be 0..65535";
        return -1;
    }
    rc = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (rc != 0) {
        *problem = gai_strerror(rc);
        return -1;
    }
    for (struct addrinfo *ai = found; ai != NULL && fd == -1; ai = ai->ai_next)
        fd = listener_open(ai->ai_addr, ai->ai_addrlen, backlog);
    int saved = errno;
    freeaddrinfo(found);
    errno = saved;
    return fd;
}

/* Replaces a socket that nobody listens on any more; a living one, and any other file, stays. */
static bool listener_remove_stale(const struct sockaddr_un *un)
{
    struct stat st;
    if (lstat(un->sun_path, &st) == -1)
        return errno == ENOENT;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return false;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe == -1)
        return false;
    bool is_alive = connect(probe, (const struct sockaddr *)un, sizeof *un) == 0 || errno == EAGAIN;
    close(probe);
    if (is_alive) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(un->sun_path) == 0;
}

static int listener_open_unix(const struct sprig_config *config, const char *path, int backlog,
                              const char **problem)
{
    struct sockaddr_un un;
    memset(&un, 0, sizeof un);
    un.sun_family = AF_UNIX;
    if (*path == '\0' || strlen(path) >= sizeof un.sun_path) {
        *problem = *path ? "the path is too long for a unix socket" : "the address is empty";
        return -1;
    }
    memcpy(un.sun_path, path, strlen(path));
    if (!listener_remove_stale(&un))
        return -1;
    int mask = privileges_socket_umask(config), saved = 0;
    if (mask != -1)
        saved = (int)umask((mode_t)mask);
    int fd = listener_open((const struct sockaddr *)&un, sizeof un, backlog);
    if (mask != -1)
        umask((mode_t)saved);
    return fd;
}

/* ----------------------------------------------------------------- accepting ---- */

static void listener_resume(struct ready *r, uint32_t what)
{
    (void)what;
    struct timer *timer = list_entry(r, struct timer, ready);
    struct sprig_listener *l = list_entry(timer, struct sprig_listener, pause);
    l->is_paused = false;
    loop_event_add(l->server->loop, &l->event);
}

/* Out of descriptors or memory: without a pause the listener would be ready again at once, for
 * ever. */
static void listener_pause(struct sprig_listener *l, int error)
{
    struct sprig_loop *loop = l->server->loop;
    l->is_paused = true;
    loop_event_del(loop, &l->event);
    timer_start(loop, &l->pause, sprig_loop_now(loop) + (uint64_t)LISTENER_PAUSE_MS * 1000 * 1000);
    if (error != EMFILE) /* which is told of by admission.c */
        sprig_log(SPRIG_LOG_WARN, "accept on %s:%s: %s; pausing %d ms", l->address.host,
                  l->address.port, strerror(error), LISTENER_PAUSE_MS);
}

/* Without descriptors, accept fails before it looks whether anybody waits. */
static bool listener_has_waiting(const struct sprig_listener *l)
{
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static bool listener_accept_one(struct sprig_listener *l)
{
    union any_address peer;
    socklen_t len = sizeof peer;
    int fd = accept4(l->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd == -1) {
        if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO)
            return true;
        bool is_full = errno == EMFILE || errno == ENFILE;
        if (is_full && !listener_has_waiting(l))
            return false;
        if (is_full && admission_find_descriptor(l->server, l->fd, LISTENER_MAX_ACCEPTS))
            return true;
        if (is_full || (errno != EAGAIN && errno != EWOULDBLOCK))
            listener_pause(l, is_full ? EMFILE : errno);
        return false;
    }
    if (len == 0)
        peer.sa.sa_family = AF_UNIX;
    return conn_new(l->server, l, fd, &peer.sa) != NULL;
}

static void listener_run(struct ready *r, uint32_t what)
{
    (void)what;
    struct sprig_listener *l = list_entry(r, struct sprig_listener, ready);
    for (int i = 0; i < LISTENER_MAX_ACCEPTS; i++)
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

/* Accepted sockets inherit TCP_NODELAY from the listener: no system call for each connection. */
static void listener_set_options(struct sprig_listener *l)
{
    int on = 1;
    int flags = fcntl(l->fd, F_GETFL);
    if (flags != -1)
        fcntl(l->fd, F_SETFL, flags | O_NONBLOCK);
    fcntl(l->fd, F_SETFD, FD_CLOEXEC);
    if (!l->address.is_unix && l->server->config.no_delay)
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void listener_remember_path(struct sprig_listener *l)
{
    struct stat st;
    if (!l->address.is_unix || lstat(l->address.port, &st) == -1)
        return;
    l->made_path = true;
    l->path_dev = st.st_dev;
    l->path_ino = st.st_ino;
    if (privileges_give_socket(&l->server->config, l->address.port, st.st_dev, st.st_ino) != 0)
        sprig_log(SPRIG_LOG_WARN, "cannot give the socket %s to its user: %s", l->address.port,
                  strerror(errno));
}

static struct sprig_listener *listener_start(struct sprig_server *server, int fd)
{
    struct sprig_listener *l = calloc(1, sizeof *l);
    if (l == NULL) {
        close(fd);
        return NULL;
    }
    l->server = server;
    l->fd = fd;
    l->generation = loop_guard(server->loop);
    ready_init(&l->ready, listener_run);
    timer_init(&l->pause, listener_resume);
    event_assign(&l->event, loop_base(server->loop), fd, EV_READ | EV_PERSIST, listener_on_event,
                 l);
    if (listener_name(l) != 0 || loop_event_add(server->loop, &l->event) != 0) {
        close(fd);
        free(l);
        return NULL;
    }
    listener_set_options(l);
    list_append(&server->listeners, &l->link);
    server->counters.n_listeners++;
    sprig_log(SPRIG_LOG_DEBUG, "listening on %s:%s", l->address.host, l->address.port);
    return l;
}

/* Cuts ",proxy_protocol" off the end of the address. */
static bool listener_cut_suffix(const char *spec, char *address, size_t n)
{
    static const char suffix[] = ",proxy_protocol";
    size_t len = strlen(spec);
    bool is_there = len >= sizeof suffix && strcmp(spec + len - (sizeof suffix - 1), suffix) == 0;
    snprintf(address, n, "%.*s", (int)(is_there ? len - (sizeof suffix - 1) : len), spec);
    return is_there;
}

struct sprig_listener *sprig_server_listen(struct sprig_server *server, const char *full, char *why,
                                           size_t n)
{
    char spec[512];
    bool proxy_protocol = listener_cut_suffix(full, spec, sizeof spec);
    char host[256];
    const char *port, *problem = NULL;
    int backlog = server->config.backlog ? (int)server->config.backlog : SOMAXCONN;
    int fd = listener_split_spec(spec, host, sizeof host, &port)
                 ? listener_open_tcp(host, port, backlog, &problem)
                 : listener_open_unix(&server->config, spec, backlog, &problem);
    struct sprig_listener *l = fd == -1 ? NULL : listener_start(server, fd);
    if (l == NULL)
        snprintf(why, n, "cannot listen on %s: %s", spec, problem ? problem : strerror(errno));
    else
        listener_remember_path(l);
    if (l != NULL)
        l->proxy_protocol = proxy_protocol;
    return l;
}

struct sprig_listener *sprig_server_listen_fd(struct sprig_server *server, int fd, char *why,
                                              size_t n)
{
    struct sprig_listener *l = listener_start(server, fd);
    if (l == NULL)
        snprintf(why, n, "cannot listen on descriptor %d: %s", fd, strerror(errno));
    return l;
}

const struct sprig_address *sprig_listener_address(const struct sprig_listener *listener)
{
    return &listener->address;
}

int sprig_listener_fd(const struct sprig_listener *listener)
{
    return listener->fd;
}

static void listener_unlink_path(const struct sprig_listener *l)
{
    struct stat st;
    if (l->made_path && l->generation == loop_guard(l->server->loop) &&
        lstat(l->address.port, &st) == 0 && st.st_dev == l->path_dev && st.st_ino == l->path_ino)
        unlink(l->address.port);
}

/* The struct stays with the server: connections still name the address they came in by. */
void sprig_listener_close(struct sprig_listener *listener)
{
    struct sprig_server *server = listener->server;
    if (listener->fd == -1)
        return;
    loop_event_del(server->loop, &listener->event);
    timer_stop(server->loop, &listener->pause);
    ready_cancel(&listener->ready);
    listener_unlink_path(listener);
    close(listener->fd);
    listener->fd = -1;
    list_remove(&listener->link);
    list_append(&server->closed_listeners, &listener->link);
    server->counters.n_listeners--;
}

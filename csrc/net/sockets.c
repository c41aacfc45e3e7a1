/* sockets.c - addresses, binding, unix paths; see sockets.h */
#include "net/sockets.h"
#include "net/transport.h"

#include "base/cidr.h"
#include "base/cloexec.h"
#include "base/number.h"
#include "base/privileges.h"
#include "net/any_address.h"
#include "sprig.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Waiting for the lock of a folder: ten seconds, because its holder may be waiting for a processor.
 */
enum { LOCK_TRIES = 1000, LOCK_PAUSE_MS = 10 };

/* The settings with which one spec is opened. */
struct opening {
    const struct sprig_config *config;
    const struct sprig_listen_spec *spec;
    int backlog;
    bool reuseport;
    struct sprig_socket *out;
    size_t n, max;
    const char *problem; /* NULL: errno says why it failed */
};

/* ----------------------------------------------------------------- addresses ---- */

int socket_address(int fd, struct sprig_address *out)
{
    union any_address any;
    socklen_t len = sizeof any;
    memset(&any, 0, sizeof any);
    if (getsockname(fd, &any.sa, &len) == -1)
        return SPRIG_E_SYS;
    out->is_unix = any.sa.sa_family == AF_UNIX;
    if (out->is_unix) {
        if (len > offsetof(struct sockaddr_un, sun_path) && *any.un.sun_path == '\0')
            *any.un.sun_path = '@'; /* abstract */
        snprintf(out->host, sizeof out->host, "unix/");
        snprintf(out->port, sizeof out->port, "%.*s", (int)sizeof any.un.sun_path - 1,
                 any.un.sun_path);
        return 0;
    }
    int rc = getnameinfo(&any.sa, len, out->host, sizeof out->host, out->port, sizeof out->port,
                         NI_NUMERICHOST | NI_NUMERICSERV);
    return rc == 0 ? 0 : SPRIG_E_SYS;
}

/* ------------------------------------------------------------------- binding ---- */

/* Returns -1 on failure, with the errno of the call that decided it. */
static int bind_and_listen(const struct sockaddr *sa, socklen_t len, const struct opening *o)
{
    int fd = cloexec_socket(sa->sa_family, SOCK_STREAM, false);
    if (fd == -1)
        return -1;
    int on = 1;
    if (sa->sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (sa->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    bool may_bind = sa->sa_family == AF_UNIX || !o->reuseport ||
                    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
    if (may_bind && bind(fd, sa, len) == 0 && listen(fd, o->backlog) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static void close_all(struct opening *o)
{
    int saved = errno;
    while (o->n > 0)
        socket_close(&o->out[--o->n]);
    errno = saved;
}

static void keep_socket(struct opening *o, int fd)
{
    o->out[o->n++] = (struct sprig_socket){.fd = fd, .options = o->spec->options};
}

static in_port_t *port_of(struct sockaddr *sa)
{
    return sa->sa_family == AF_INET6 ? &((struct sockaddr_in6 *)(void *)sa)->sin6_port
                                     : &((struct sockaddr_in *)(void *)sa)->sin_port;
}

/* /etc/hosts may name an address twice. */
static bool is_repeated(const struct addrinfo *found, const struct addrinfo *ai)
{
    for (; found != ai; found = found->ai_next)
        if (found->ai_addrlen == ai->ai_addrlen &&
            memcmp(found->ai_addr, ai->ai_addr, ai->ai_addrlen) == 0)
            return true;
    return false;
}

/* All addresses use the port that the kernel chose for the first one. */
static void learn_port(struct sockaddr *sa, int fd)
{
    union any_address any;
    socklen_t len = sizeof any;
    if (*port_of(sa) == 0 && getsockname(fd, &any.sa, &len) == 0)
        *port_of(sa) = *port_of(&any.sa);
}

/* Whether this machine does not have the address: a name in /etc/hosts may have several. */
static bool is_elsewhere(int error)
{
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
}

/* False: none is open, and errno says why. */
static bool bind_all(struct addrinfo *found, struct opening *o)
{
    int error = EADDRNOTAVAIL;
    in_port_t port = 0;
    for (struct addrinfo *ai = found; ai != NULL && o->n < o->max; ai = ai->ai_next) {
        if (port != 0)
            *port_of(ai->ai_addr) = port;
        if (is_repeated(found, ai))
            continue;
        int fd = bind_and_listen(ai->ai_addr, ai->ai_addrlen, o);
        if (fd != -1) {
            learn_port(ai->ai_addr, fd);
            port = *port_of(ai->ai_addr);
            keep_socket(o, fd);
        } else if (is_elsewhere(error = errno)) {
            continue;
        } else {
            close_all(o);
            return false;
        }
    }
    errno = error;
    return o->n > 0;
}

/* A port that is free on one address may be taken on the next. */
enum { MAX_PORTS_TRIED = 20 };

static bool open_tcp(struct opening *o)
{
    const char *host = strcmp(o->spec->host, "*") != 0 ? o->spec->host : NULL;
    bool is_v4 = host != NULL && *host == '\0';
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                             .ai_family = is_v4 ? AF_INET : AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM};
    bool is_open = false, may_choose = atoi(o->spec->port) == 0;
    for (int i = 0; i < (may_choose ? MAX_PORTS_TRIED : 1) && !is_open; i++) {
        struct addrinfo *found = NULL;
        int rc = getaddrinfo(is_v4 ? NULL : host, o->spec->port, &hints, &found);
        if (rc != 0) {
            o->problem = gai_strerror(rc);
            return false;
        }
        is_open = bind_all(found, o);
        int saved = errno;
        freeaddrinfo(found);
        errno = saved;
        if (errno != EADDRINUSE)
            break;
    }
    return is_open;
}

/* Removes a socket that nobody listens on any more; a live one, or any other file, stays. */
static bool remove_stale(const struct sockaddr_un *un)
{
    struct stat st;
    if (lstat(un->sun_path, &st) == -1)
        return errno == ENOENT;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return false;
    }
    int probe = cloexec_socket(AF_UNIX, SOCK_STREAM, false);
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

/* Finishes a new unix path. On failure nothing is left there. */
static int finish_path(const struct sprig_config *config, const char *path, struct sprig_socket *s)
{
    struct stat st;
    if (lstat(path, &st) == -1)
        return SPRIG_E_SYS;
    s->made_path = true;
    s->path_dev = st.st_dev;
    s->path_ino = st.st_ino;
    int rc = privileges_give_socket(config, path, st.st_dev, st.st_ino), saved = errno;
    if (rc != 0)
        socket_unlink(s);
    errno = saved;
    return rc;
}

/* Between looking at the path and listening there, no other server may do the same: it would take
 * the fresh socket for a stale one. So the folder is locked (flock) meanwhile, unless it cannot be
 * read, or somebody else keeps it locked for longer. -1: not locked. */
static int lock_folder(const char *path)
{
    char folder[sizeof((struct sockaddr_un *)0)->sun_path];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash > path ? (int)(slash - path) : 1, path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd != -1 && i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            break;
        poll(NULL, 0, LOCK_PAUSE_MS);
    }
    return fd;
}

static int bind_path(const struct sockaddr_un *un, struct opening *o)
{
    int mask = privileges_socket_umask(o->config), saved = 0;
    if (!remove_stale(un))
        return -1;
    if (mask != -1)
        saved = (int)umask((mode_t)mask);
    int fd = bind_and_listen((const struct sockaddr *)un, sizeof *un, o);
    if (mask != -1)
        umask((mode_t)saved);
    return fd;
}

static bool open_path(struct opening *o)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, o->spec->path, strlen(o->spec->path));
    int lock = lock_folder(un.sun_path), fd = bind_path(&un, o), saved = errno;
    if (lock != -1)
        close(lock);
    errno = saved;
    if (fd == -1)
        return false;
    keep_socket(o, fd);
    if (finish_path(o->config, un.sun_path, o->out) == 0)
        return true;
    o->problem = "cannot change its owner (user, socket_user, socket_group)";
    close_all(o);
    return false;
}

static bool open_abstract(struct opening *o)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = strlen(o->spec->path);
    memcpy(un.sun_path + 1, o->spec->path, len);
    len += offsetof(struct sockaddr_un, sun_path) + 1;
    int fd = bind_and_listen((const struct sockaddr *)&un, (socklen_t)len, o);
    if (fd != -1)
        keep_socket(o, fd);
    return fd != -1;
}

/* ------------------------------------------------------------------------- trust ---- */

/* Warns, once per process and thus once in each worker, about a network that contains more than
 * proxies. */
void sockets_warn_of_trust(const struct sprig_config *config)
{
    static bool is_told;
    struct cidr_list trusted;
    char text[INET6_ADDRSTRLEN], bad[64];
    if (is_told || cidr_list_read(&trusted, config->trusted_proxies, bad, sizeof bad) != 0)
        return;
    const struct cidr *c = cidr_list_find_public(&trusted);
    if (c != NULL) {
        is_told = true;
        cidr_print(c->family == 4 ? AF_INET : AF_INET6, c->bytes, text);
        sprig_log(
            SPRIG_LOG_WARN,
            "trusted_proxies has %s/%d: clients there can choose the address that applications "
            "see; name only the proxies, or give the number of hops",
            text, c->bits);
    }
    cidr_list_clear(&trusted);
}

/* ----------------------------------------------------------- opened and taken over ---- */

static bool is_unix_socket(int fd)
{
    struct sockaddr_storage any;
    socklen_t len = sizeof any;
    return getsockname(fd, (struct sockaddr *)&any, &len) == 0 && any.ss_family == AF_UNIX;
}

/* Accepted sockets inherit TCP_NODELAY from the listening one, which saves a system call per
 * connection. */
static void set_no_delay(const struct sprig_config *config, int fd)
{
    int on = 1;
    if (config->no_delay && !is_unix_socket(fd))
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* What the address asks for but cannot have; NULL: nothing. */
static const char *conflict_of(const struct sprig_listen_spec *spec,
                               const struct sprig_config *config)
{
    if (!spec->options.proxy_protocol)
        return NULL;
    if (config->trusted_proxies == NULL)
        return "proxy_protocol needs trusted_proxies, the addresses of those that may send PROXY "
               "headers";
    return NULL;
}

int sockets_check(const struct sprig_config *config, const struct sprig_listen_spec *spec,
                  char *why, size_t n)
{
    char text[SPRIG_LISTEN_TEXT_BYTES];
    const char *conflict = conflict_of(spec, config);
    if (conflict == NULL)
        return 0;
    snprintf(why, n, "cannot listen on %s: %s", sprig_listen_spec_print(spec, text, sizeof text),
             conflict);
    return SPRIG_E_INVALID;
}

/* What to do about the error; "": there is nothing to add. */
static const char *hint_of(const struct sprig_listen_spec *spec, int error)
{
    if (error != EACCES || spec->kind != SPRIG_LISTEN_TCP)
        return "";
    return "; a port below 1024 needs root (then give --user, too), a socket unit of systemd, or "
           "the capability CAP_NET_BIND_SERVICE";
}

int sockets_open(const struct sprig_config *config, const struct sprig_listen_spec *spec,
                 bool reuseport, struct sprig_socket *out, size_t max, char *why, size_t n)
{
    char text[SPRIG_LISTEN_TEXT_BYTES];
    struct opening o = {.config = config,
                        .spec = spec,
                        .backlog = config->backlog ? (int)config->backlog : SOMAXCONN,
                        .reuseport = reuseport,
                        .out = out,
                        .max = max};
    if (sockets_check(config, spec, why, n) != 0)
        return SPRIG_E_INVALID;
    sockets_warn_of_trust(config);
    bool is_open = spec->kind == SPRIG_LISTEN_TCP    ? open_tcp(&o)
                   : spec->kind == SPRIG_LISTEN_UNIX ? open_path(&o)
                                                     : open_abstract(&o);
    if (!is_open) {
        int saved = errno;
        snprintf(why, n, "cannot listen on %s: %s%s",
                 sprig_listen_spec_print(spec, text, sizeof text),
                 o.problem ? o.problem : strerror(saved), o.problem ? "" : hint_of(spec, saved));
        return SPRIG_E_SYS;
    }
    for (size_t i = 0; i < o.n; i++)
        set_no_delay(config, out[i].fd);
    return (int)o.n;
}

/* NULL, or what is wrong with the descriptor. */
static const char *find_fault(int fd)
{
    int listens = 0;
    socklen_t len = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == -1)
        return strerror(errno);
    if (!listens)
        return "the socket does not listen";
    int flags = fcntl(fd, F_GETFL);
    if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
        return strerror(errno);
    return NULL;
}

int socket_adopt(const struct sprig_config *config, int fd, struct sprig_socket *out, char *why,
                 size_t n)
{
    const char *fault = find_fault(fd);
    if (fault != NULL) {
        snprintf(why, n, "cannot listen on descriptor %d: %s", fd, fault);
        return SPRIG_E_SYS;
    }
    sockets_warn_of_trust(config);
    set_no_delay(config, fd);
    *out = (struct sprig_socket){.fd = fd};
    return 0;
}

/* ------------------------------------------------------------------------ the end ---- */

void socket_close(struct sprig_socket *s)
{
    if (s->fd != -1)
        close(s->fd);
    s->fd = -1;
}

void socket_unlink(const struct sprig_socket *s)
{
    union any_address any;
    socklen_t len = sizeof any.un;
    struct stat st;
    memset(&any, 0, sizeof any);
    if (s->made_path && getsockname(s->fd, &any.sa, &len) == 0 && any.sa.sa_family == AF_UNIX &&
        lstat(any.un.sun_path, &st) == 0 && st.st_dev == s->path_dev && st.st_ino == s->path_ino)
        unlink(any.un.sun_path);
}

/* ------------------------------------------------------------------------ as text ---- */

/* The options that are set, as bits. */
static int option_bits(struct sprig_listen_options options)
{
    size_t n;
    unsigned bits = 0;
    const struct sprig_listen_flag *flags = sprig_listen_flags(&n);
    for (size_t i = 0; i < n; i++)
        bits |= *sprig_listen_flag(&options, &flags[i]) ? flags[i].bit : 0;
    return (int)bits;
}

/* False: some bits have no meaning. */
static bool read_bits(uint64_t bits, struct sprig_listen_options *options)
{
    size_t n;
    const struct sprig_listen_flag *flags = sprig_listen_flags(&n);
    for (size_t i = 0; i < n; i++) {
        *sprig_listen_flag(options, &flags[i]) = (bits & flags[i].bit) != 0;
        bits &= ~(uint64_t)flags[i].bit;
    }
    return bits == 0;
}

char *socket_print(const struct sprig_socket *s, char *buf, size_t n)
{
    snprintf(buf, n, "%d:%d:%d:%ju:%ju", s->fd, option_bits(s->options), s->made_path,
             (uintmax_t)s->path_dev, (uintmax_t)s->path_ino);
    return buf;
}

/* Takes one number of at most max, and the ':' or the end after it. */
static bool take_part(struct sprig_span *text, uint64_t max, uint64_t *out)
{
    bool is_last;
    if (!number_take(text, max, out))
        return false;
    is_last = text->len == 0;
    if (!is_last)
        *text = span_make(text->ptr + 1, text->len - 1);
    return is_last || text->ptr[-1] == ':';
}

int socket_read(const char *text, struct sprig_socket *out)
{
    static const uint64_t max[] = {INT_MAX, INT_MAX, 1, UINT64_MAX, UINT64_MAX};
    struct sprig_span rest = span_str(text);
    uint64_t v[5];
    size_t n_colons = 0;
    for (const char *p = text; *p != '\0'; p++)
        n_colons += *p == ':';
    if (n_colons != 4)
        return SPRIG_E_INVALID;
    for (size_t i = 0; i < 5; i++)
        if (!take_part(&rest, max[i], &v[i]))
            return SPRIG_E_INVALID;
    *out = (struct sprig_socket){
        .fd = (int)v[0], .made_path = v[2] != 0, .path_dev = (dev_t)v[3], .path_ino = (ino_t)v[4]};
    return read_bits(v[1], &out->options) ? 0 : SPRIG_E_INVALID;
}

int sprig_socket_closed(int fd)
{
    struct transport t;
    transport_plain_init(&t, fd, AF_UNSPEC);
    return (int)t.ops->closed(&t);
}

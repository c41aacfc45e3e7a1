/* sockets.c - addresses, binding, unix paths; see sockets.h */
#include "sockets.h"
#include "transport.h"

#include "privileges.h"
#include "sprig.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

/* What one address is opened with. */
struct opening {
    const struct sprig_config *config;
    int backlog;
    bool reuseport;
    const char *problem; /* NULL: errno says why it failed */
};

/* ----------------------------------------------------------------- addresses ---- */

/* Splits "host:port", ":port", "*:port", "[v6]:port". False: it is the path of a unix socket. */
static bool split_spec(const char *spec, char *host, size_t n, const char **port)
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

/* Cuts ",proxy_protocol" off the end of the address. */
static bool cut_suffix(const char *spec, char *address, size_t n)
{
    static const char suffix[] = ",proxy_protocol";
    size_t len = strlen(spec);
    bool is_there = len >= sizeof suffix && strcmp(spec + len - (sizeof suffix - 1), suffix) == 0;
    snprintf(address, n, "%.*s", (int)(is_there ? len - (sizeof suffix - 1) : len), spec);
    return is_there;
}

int socket_address(int fd, struct sprig_address *out)
{
    union any_address any;
    socklen_t len = sizeof any;
    memset(&any, 0, sizeof any);
    if (getsockname(fd, &any.sa, &len) == -1)
        return SPRIG_E_SYS;
    out->is_unix = any.sa.sa_family == AF_UNIX;
    if (out->is_unix) {
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

/* On failure -1, with the errno of the deciding call. */
static int bind_and_listen(const struct sockaddr *sa, socklen_t len, const struct opening *o)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
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

static int open_tcp(const char *host, const char *port, struct opening *o)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                             .ai_family = *host ? AF_UNSPEC : AF_INET,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int fd = -1, rc;
    if (strlen(port) > 5 || atoi(port) > 65535) {
        o->problem = "the port must be 0..65535";
        return -1;
    }
    rc = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (rc != 0) {
        o->problem = gai_strerror(rc);
        return -1;
    }
    for (struct addrinfo *ai = found; ai != NULL && fd == -1; ai = ai->ai_next)
        fd = bind_and_listen(ai->ai_addr, ai->ai_addrlen, o);
    int saved = errno;
    freeaddrinfo(found);
    errno = saved;
    return fd;
}

/* Replaces a socket that nobody listens on any more; a living one, and any other file, stays. */
static bool remove_stale(const struct sockaddr_un *un)
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

static int open_unix(const char *path, struct opening *o)
{
    struct sockaddr_un un;
    memset(&un, 0, sizeof un);
    un.sun_family = AF_UNIX;
    if (*path == '\0' || strlen(path) >= sizeof un.sun_path) {
        o->problem = *path ? "the path is too long for a unix socket" : "the address is empty";
        return -1;
    }
    memcpy(un.sun_path, path, strlen(path));
    if (!remove_stale(&un))
        return -1;
    int mask = privileges_socket_umask(o->config), saved = 0;
    if (mask != -1)
        saved = (int)umask((mode_t)mask);
    int fd = bind_and_listen((const struct sockaddr *)&un, sizeof un, o);
    if (mask != -1)
        umask((mode_t)saved);
    return fd;
}

/* ----------------------------------------------------------- opened and taken over ---- */

static bool is_unix_socket(int fd)
{
    struct sockaddr_storage any;
    socklen_t len = sizeof any;
    return getsockname(fd, (struct sockaddr *)&any, &len) == 0 && any.ss_family == AF_UNIX;
}

/* Accepted sockets inherit TCP_NODELAY from the listening one: no system call for each connection.
 */
static void set_no_delay(const struct sprig_config *config, int fd)
{
    int on = 1;
    if (config->no_delay && !is_unix_socket(fd))
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* What is to be done to a new unix path. On failure nothing is left there. */
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

int socket_open(const struct sprig_config *config, const char *full, bool reuseport,
                struct sprig_socket *out, char *why, size_t n)
{
    char spec[512], host[256];
    const char *port;
    struct opening o = {.config = config,
                        .backlog = config->backlog ? (int)config->backlog : SOMAXCONN,
                        .reuseport = reuseport};
    bool proxy_protocol = cut_suffix(full, spec, sizeof spec);
    bool is_tcp = split_spec(spec, host, sizeof host, &port);
    int fd = is_tcp ? open_tcp(host, port, &o) : open_unix(spec, &o);
    if (fd == -1) {
        snprintf(why, n, "cannot listen on %s: %s", spec, o.problem ? o.problem : strerror(errno));
        return SPRIG_E_SYS;
    }
    *out = (struct sprig_socket){.fd = fd, .proxy_protocol = proxy_protocol};
    set_no_delay(config, fd);
    if (is_tcp || finish_path(config, spec, out) == 0)
        return 0;
    snprintf(why, n, "cannot give the socket %s to its owner: %s", spec, strerror(errno));
    socket_close(out);
    return SPRIG_E_SYS;
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

char *socket_print(const struct sprig_socket *s, char *buf, size_t n)
{
    snprintf(buf, n, "%d:%d:%d:%ju:%ju", s->fd, s->proxy_protocol, s->made_path,
             (uintmax_t)s->path_dev, (uintmax_t)s->path_ino);
    return buf;
}

/* One number of at most max and the ':' or the end behind it. */
static bool read_number(const char **text, uintmax_t max, uintmax_t *out)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    *out = strtoumax(*text, &end, 10);
    if (errno != 0 || *out > max || (*end != ':' && *end != '\0'))
        return false;
    *text = end + (*end == ':');
    return true;
}

int socket_read(const char *text, struct sprig_socket *out)
{
    static const uintmax_t max[] = {INT_MAX, 1, 1, UINTMAX_MAX, UINTMAX_MAX};
    uintmax_t v[5];
    size_t n_colons = 0;
    for (const char *p = text; *p != '\0'; p++)
        n_colons += *p == ':';
    if (n_colons != 4)
        return SPRIG_E_INVALID;
    for (size_t i = 0; i < 5; i++)
        if (!read_number(&text, max[i], &v[i]))
            return SPRIG_E_INVALID;
    *out = (struct sprig_socket){.fd = (int)v[0],
                                 .proxy_protocol = v[1] != 0,
                                 .made_path = v[2] != 0,
                                 .path_dev = (dev_t)v[3],
                                 .path_ino = (ino_t)v[4]};
    return 0;
}

int sprig_socket_closed(int fd)
{
    return (int)transport_plain.closed(fd);
}

/* transport_plain.c - the transport of TCP and unix sockets without encryption. */
#include "net/transport.h"

#include "base/hot.h"
#include "base/stats.h"
#include "net/calls.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/sendfile.h>
#endif

/* Without these flags SIGPIPE has a handler anyway, and packets leave a little early. */
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#ifndef MSG_MORE
#define MSG_MORE 0
#endif

/* How much is read from a file at a time if the kernel cannot send it directly. */
enum { COPY_BYTES = 32 * 1024 };

ssize_t transport_plain_recv(struct transport *t, void *buf, size_t n)
{
    ssize_t got;
    do
        got = call_recv(t->fd, buf, n);
    while (got == -1 && errno == EINTR);
    if (got > 0)
        stats_add(STAT_RECEIVED, (uint64_t)got);
    return got;
}

static ssize_t plain_send(int fd, const void *buf, size_t n, int flags)
{
    ssize_t sent;
    do
        sent = call_send(fd, buf, n, flags | MSG_NOSIGNAL);
    while (sent == -1 && errno == EINTR);
    return sent;
}

__attribute__((noinline)) static ssize_t plain_send_pieces(int fd, const struct iovec *iov, int n,
                                                           int flags)
{
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, flags | MSG_NOSIGNAL);
    while (sent == -1 && errno == EINTR);
    return sent;
}

HOT static ssize_t plain_writev(struct transport *t, const struct iovec *iov, int n, bool more)
{
    int flags = more ? MSG_MORE : 0;
    return n == 1 ? plain_send(t->fd, iov->iov_base, iov->iov_len, flags)
                  : plain_send_pieces(t->fd, iov, n, flags);
}

/* sendfile by hand. What was read but not taken by the socket is read again next time. */
static ssize_t copy_file(int fd, int in_fd, uint64_t *offset, size_t n)
{
    char buf[COPY_BYTES];
    ssize_t got;
    do
        got = pread(in_fd, buf, n < sizeof(buf) ? n : sizeof(buf), (off_t)*offset);
    while (got == -1 && errno == EINTR);
    if (got <= 0)
        return got;
    ssize_t sent = plain_send(fd, buf, (size_t)got, 0);
    if (sent > 0)
        *offset += (uint64_t)sent;
    return sent;
}

static ssize_t plain_sendfile(struct transport *t, int in_fd, uint64_t *offset, size_t n)
{
#ifdef __linux__
    off_t at = (off_t)*offset;
    ssize_t sent;
    do
        sent = sendfile(t->fd, in_fd, &at, n);
    while (sent == -1 && errno == EINTR);
    /* Some file systems support read but not sendfile. */
    if (sent == -1 && (errno == EINVAL || errno == ENOSYS))
        return copy_file(t->fd, in_fd, offset, n);
    *offset = (uint64_t)at;
    return sent;
#else
    return copy_file(t->fd, in_fd, offset, n);
#endif
}

static int plain_n_unsent(const struct transport *t)
{
#ifdef TIOCOUTQ
    int n;
    return ioctl(t->fd, TIOCOUTQ, &n) == 0 ? n : -1;
#else
    (void)t;
    return -1;
#endif
}

/* Linux reports a hang-up on unix sockets; elsewhere POLLHUP may mean just end of file. */
bool transport_plain_is_hung_up(const struct transport *t)
{
#ifdef __linux__
    struct pollfd p = {.fd = t->fd};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
#else
    (void)t;
    return false;
#endif
}

/* Fails on unix sockets, which is fine. */
void transport_plain_ack(struct transport *t)
{
#ifdef TCP_QUICKACK
    int on = 1;
    setsockopt(t->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
#else
    (void)t;
#endif
}

static bool is_unix(int fd)
{
    struct sockaddr_storage own = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof own;
    return getsockname(fd, (struct sockaddr *)&own, &len) == 0 && own.ss_family == AF_UNIX;
}

#ifdef __linux__
/* poll reports only the other end. A socket shut down on this side may not send even zero bytes. */
static enum transport_sides unix_closed(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    if (poll(&p, 1, 0) != 1)
        return send(fd, "", 0, MSG_NOSIGNAL) == -1 && errno == EPIPE ? SIDES_ONE : SIDES_NONE;
    return p.revents & (POLLHUP | POLLERR) ? SIDES_BOTH : SIDES_ONE;
}

enum transport_sides transport_plain_closed(const struct transport *t)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1)
        return unix_closed(t->fd);
    switch (info.tcpi_state) {
    case TCP_FIN_WAIT2: /* the peer has received all we sent */
    case TCP_CLOSE_WAIT:
        return SIDES_ONE;
    case TCP_TIME_WAIT:
    case TCP_CLOSE:
    case TCP_LAST_ACK:
    case TCP_CLOSING:
        return SIDES_BOTH;
    default:
        return SIDES_NONE;
    }
}
#else
enum transport_sides transport_plain_closed(const struct transport *t)
{
    (void)t;
    return SIDES_NONE;
}
#endif

static int plain_finish(struct transport *t)
{
    return shutdown(t->fd, SHUT_WR);
}

static void plain_hang_up(struct transport *t, bool is_complete)
{
    (void)is_complete; /* a plain stream can only say that it ended */
    shutdown(t->fd, SHUT_RDWR);
}

/* A close with SO_LINGER resets only if nobody else holds the socket. Dissolving the association
 * resets at once, on Linux; other systems refuse it. A unix socket supports neither: it resets, if
 * at all, when data lies unread. */
void transport_plain_reset(struct transport *t)
{
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    struct linger hard = {1, 0};
    if (is_unix(t->fd))
        return;
    setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    (void)!connect(t->fd, &nobody, sizeof nobody);
}

/* Not retried: after EINTR the descriptor is gone already and may belong to somebody else. */
static void plain_close(struct transport *t)
{
    call_close(transport_take_fd(t));
}

const struct transport_ops transport_plain = {
    .recv = transport_plain_recv,
    .writev = plain_writev,
    .sendfile = plain_sendfile,
    .finish = plain_finish,
    .discard = transport_plain_recv,
    .n_unsent = plain_n_unsent,
    .is_hung_up = transport_plain_is_hung_up,
    .ack = transport_plain_ack,
    .closed = transport_plain_closed,
    .hang_up = plain_hang_up,
    .reset = transport_plain_reset,
    .close = plain_close,
};

/* On Linux, closing a unix socket with unread data tells the peer so: it sees ECONNRESET after what
 * it got. Otherwise the end always looks orderly. */
static bool resets_by_input(int family)
{
#ifdef __linux__
    return family == AF_UNIX;
#else
    (void)family;
    return false;
#endif
}

void transport_plain_init(struct transport *t, int fd, int family)
{
    *t = (struct transport){
        .ops = &transport_plain, .fd = fd, .resets_by_input = resets_by_input(family)};
}

ssize_t transport_look(const struct transport *t, void *buf, size_t n)
{
    ssize_t got;
    do
        got = recv(t->fd, buf, n, MSG_PEEK | MSG_DONTWAIT);
    while (got == -1 && errno == EINTR);
    return got;
}

void transport_set_patience(const struct transport *t, int ms)
{
#ifdef TCP_USER_TIMEOUT
    unsigned patience = (unsigned)ms;
    setsockopt(t->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
#else
    (void)t, (void)ms;
#endif
}

int transport_peek(const struct transport *t)
{
    char byte;
    return (int)transport_look(t, &byte, 1);
}

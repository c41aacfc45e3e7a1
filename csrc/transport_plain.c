/* transport_plain.c - the transport of TCP and UNIX sockets without encryption. */
#include "transport.h"
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/sendfile.h>
#endif

/* Where these flags do not exist, SIGPIPE has a handler anyway and packets leave a little early. */
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#ifndef MSG_MORE
#define MSG_MORE 0
#endif

/* Bytes read from a file at a time where the kernel cannot send it by itself. */
enum { COPY_BYTES = 32 * 1024 };

static ssize_t plain_recv(int fd, void *buf, size_t n)
{
    ssize_t got;
    do
        got = recv(fd, buf, n, 0);
    while (got == -1 && errno == EINTR);
    return got;
}

static ssize_t plain_send(int fd, const void *buf, size_t n, int flags)
{
    ssize_t sent;
    do
        sent = send(fd, buf, n, flags | MSG_NOSIGNAL);
    while (sent == -1 && errno == EINTR);
    return sent;
}

static ssize_t plain_writev(int fd, const struct iovec *iov, int n, bool more)
{
    int flags = more ? MSG_MORE : 0;
    if (n == 1)
        return plain_send(fd, iov->iov_base, iov->iov_len, flags);
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, flags | MSG_NOSIGNAL);
    while (sent == -1 && errno == EINTR);
    return sent;
}

/* sendfile by hand. What was read but not taken by the socket is read again the next time. */
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

static ssize_t plain_sendfile(int fd, int in_fd, uint64_t *offset, size_t n)
{
#ifdef __linux__
    off_t at = (off_t)*offset;
    ssize_t sent;
    do
        sent = sendfile(fd, in_fd, &at, n);
    while (sent == -1 && errno == EINTR);
    /* Some file systems can be read but not sent from. */
    if (sent == -1 && (errno == EINVAL || errno == ENOSYS))
        return copy_file(fd, in_fd, offset, n);
    *offset = (uint64_t)at;
    return sent;
#else
    return copy_file(fd, in_fd, offset, n);
#endif
}

static int plain_n_unsent(int fd)
{
#ifdef TIOCOUTQ
    int n;
    return ioctl(fd, TIOCOUTQ, &n) == 0 ? n : -1;
#else
    (void)fd;
    return -1;
#endif
}

/* Linux tells it of unix sockets; elsewhere POLLHUP may mean the end of file only. */
static bool plain_is_hung_up(int fd)
{
#ifdef __linux__
    struct pollfd p = {.fd = fd};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
#else
    (void)fd;
    return false;
#endif
}

static int plain_shutdown(int fd, int how)
{
    return shutdown(fd, how);
}

/* Not retried: after EINTR the descriptor is gone already and may belong to somebody else. */
static int plain_close(int fd)
{
    return close(fd);
}

const struct transport transport_plain = {
    .recv = plain_recv,
    .writev = plain_writev,
    .sendfile = plain_sendfile,
    .n_unsent = plain_n_unsent,
    .is_hung_up = plain_is_hung_up,
    .shutdown = plain_shutdown,
    .close = plain_close,
};

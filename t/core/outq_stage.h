/* outq_stage.h - transports that do as they are told or lead to a real socket, and bytes that can
 * be told apart, for an output queue. */
#ifndef OUTQ_STAGE_H
#define OUTQ_STAGE_H

#include "base/err.h"
#include "net/outq.h"
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct outq_pool pool;

/* ---------------------------------------------- a transport under control ---- */

/* What the obedient transport does, and what was done with it. */
static struct {
    size_t takes; /* bytes at most for each call */
    int fails;    /* errno of every call, 0: none */
    int n_calls;  /* of writev and sendfile */
    int n_iov;    /* in the last writev */
    bool more;    /* of the last writev */
    char got[1 << 20];
    size_t n_got;
} wire;

static inline void wire_reset(size_t takes, int fails)
{
    wire.takes = takes;
    wire.fails = fails;
    wire.n_calls = wire.n_iov = 0;
    wire.n_got = 0;
}

static inline ssize_t wire_writev(struct transport *t, const struct iovec *iov, int n, bool more)
{
    (void)t;
    wire.n_calls++;
    wire.n_iov = n;
    wire.more = more;
    errno = wire.fails;
    if (wire.fails)
        return -1;
    size_t sum = 0;
    for (int i = 0; i < n && sum < wire.takes; i++) {
        size_t len = iov[i].iov_len;
        if (len > wire.takes - sum)
            len = wire.takes - sum;
        memcpy(wire.got + wire.n_got, iov[i].iov_base, len);
        wire.n_got += len;
        sum += len;
    }
    return (ssize_t)sum;
}

static inline ssize_t wire_sendfile(struct transport *t, int in_fd, uint64_t *offset, size_t n)
{
    (void)t;
    wire.n_calls++;
    errno = wire.fails;
    if (wire.fails)
        return -1;
    ssize_t got =
        pread(in_fd, wire.got + wire.n_got, n < wire.takes ? n : wire.takes, (off_t)*offset);
    if (got > 0) {
        *offset += (uint64_t)got;
        wire.n_got += (size_t)got;
    }
    return got;
}

static const struct transport_ops wire_ops = {.writev = wire_writev, .sendfile = wire_sendfile};
static struct transport obedient = {.ops = &wire_ops, .fd = -1};

/* Over a real socket, which stays the caller's. */
static inline struct transport *plain(int fd)
{
    static struct transport t;
    transport_plain_init(&t, fd, AF_UNSPEC);
    return &t;
}

static inline enum outq_result flush(struct outq *q, uint64_t budget)
{
    uint64_t n;
    return outq_flush(q, &obedient, budget, &n);
}

/* -------------------------------------------------------------- material ---- */

/* Byte number i of the endless text that all tests queue. */
static inline char pattern(uint64_t i)
{
    return (char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static inline char *pattern_new(uint64_t from, size_t n)
{
    char *p = malloc(n ? n : 1);
    for (size_t i = 0; i < n; i++)
        p[i] = pattern(from + i);
    return p;
}

static inline bool is_pattern(const char *p, uint64_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != pattern(from + i))
            return false;
    return true;
}

static inline int pattern_file(uint64_t from, size_t n)
{
    char path[] = "/tmp/outq-test-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    char *p = pattern_new(from, n);
    bool written = write(fd, p, n) == (ssize_t)n;
    free(p);
    return written ? fd : -1;
}

static int n_released;

static inline void release_counted(void *arg)
{
    n_released += *(int *)arg;
}

static int one = 1;

static inline void release_free(void *arg)
{
    n_released++;
    free(arg);
}

static inline void release_fd(void *arg)
{
    n_released++;
    close((int)(intptr_t)arg);
}

/* A socket pair with the smallest buffers; the writing end does not block, nor does the other. */
static inline void narrow_pair(int fds[2])
{
    int size = 1;
    socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    for (int i = 0; i < 2; i++)
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
}

#endif

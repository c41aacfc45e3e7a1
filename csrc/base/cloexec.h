/* cloexec.h - descriptors that the application's child programs do not inherit.
 *
 * Linux (2.6.28 and newer) and the BSDs have system calls that set the flag at once; Makefile.PL
 * probes for them. Elsewhere (macOS) a second call sets it, and a fork of another thread in between
 * may inherit the descriptor. On failure -1, errno is set, and nothing is open. */
#ifndef SPRIG_CLOEXEC_H
#define SPRIG_CLOEXEC_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef SPRIG_HAS_ACCEPT4

static inline int cloexec_socket(int family, int type, bool is_blocking)
{
    return socket(family, type | SOCK_CLOEXEC | (is_blocking ? 0 : SOCK_NONBLOCK), 0);
}

static inline int cloexec_pair(int type, int ends[2])
{
    return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends);
}

static inline int cloexec_pipe(int ends[2], bool is_blocking)
{
    return pipe2(ends, O_CLOEXEC | (is_blocking ? 0 : O_NONBLOCK));
}

/* Not blocking. */
static inline int cloexec_accept(int fd, struct sockaddr *peer, socklen_t *len)
{
    return accept4(fd, peer, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

#else

static inline int cloexec_set(int fd, bool is_blocking)
{
    if (fd == -1)
        return -1;
    int flags = fcntl(fd, F_GETFL);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != -1 && flags != -1 &&
        (is_blocking || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != -1))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static inline int cloexec_both(const int ends[2], bool is_blocking)
{
    if (cloexec_set(ends[0], is_blocking) == -1) {
        close(ends[1]);
        return -1;
    }
    if (cloexec_set(ends[1], is_blocking) == -1) {
        close(ends[0]);
        return -1;
    }
    return 0;
}

static inline int cloexec_socket(int family, int type, bool is_blocking)
{
    return cloexec_set(socket(family, type, 0), is_blocking);
}

static inline int cloexec_pair(int type, int ends[2])
{
    return socketpair(AF_UNIX, type, 0, ends) == 0 ? cloexec_both(ends, true) : -1;
}

static inline int cloexec_pipe(int ends[2], bool is_blocking)
{
    return pipe(ends) == 0 ? cloexec_both(ends, is_blocking) : -1;
}

/* Not blocking. */
static inline int cloexec_accept(int fd, struct sockaddr *peer, socklen_t *len)
{
    return cloexec_set(accept(fd, peer, len), false);
}

#endif

#endif

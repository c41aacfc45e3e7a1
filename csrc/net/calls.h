/* calls.h - the system calls of every request, without the cost of threads.
 *
 * In a process with more than one thread, glibc makes recv(), send(), accept4() and close()
 * cancellation points, which costs as much as everything else they do. Nobody cancels threads here,
 * so these make the system call directly if the kernel has one of that name, and call the function
 * elsewhere. On failure -1, and errno is set. */
#ifndef SPRIG_CALLS_H
#define SPRIG_CALLS_H

#include "base/cloexec.h"

#include <sys/socket.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#endif

#if defined(__linux__) && defined(__LP64__) && defined(SYS_recvfrom) && defined(SYS_sendto) &&     \
    defined(SYS_accept4)
#define CALLS_ARE_DIRECT 1
#else
#define CALLS_ARE_DIRECT 0
#endif

static inline ssize_t call_recv(int fd, void *buf, size_t n)
{
#if CALLS_ARE_DIRECT
    return syscall(SYS_recvfrom, fd, buf, n, 0, NULL, NULL);
#else
    return recv(fd, buf, n, 0);
#endif
}

static inline ssize_t call_send(int fd, const void *buf, size_t n, int flags)
{
#if CALLS_ARE_DIRECT
    return syscall(SYS_sendto, fd, buf, n, flags, NULL, 0);
#else
    return send(fd, buf, n, flags);
#endif
}

/* Non-blocking, and closed by exec. */
static inline int call_accept(int fd, struct sockaddr *peer, socklen_t *len)
{
#if CALLS_ARE_DIRECT
    return (int)syscall(SYS_accept4, fd, peer, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    return cloexec_accept(fd, peer, len);
#endif
}

static inline int call_close(int fd)
{
#if CALLS_ARE_DIRECT
    return (int)syscall(SYS_close, fd);
#else
    return close(fd);
#endif
}

#endif

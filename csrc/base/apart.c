/* apart.c - see apart.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall */
#endif
#include "base/apart.h"

#ifdef __linux__
#include <sys/syscall.h>
#endif

/* Headers may be older than the kernel; the numbers are the same on all but one architecture. */
#if defined(__linux__) && !defined(__alpha__)
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#endif

#if defined(SYS_close_range) && defined(SYS_pidfd_open) && defined(SYS_pidfd_getfd)
#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

enum { UNSHARE = 1 << 1 }; /* CLOSE_RANGE_UNSHARE of linux/close_range.h, which may be missing */

static _Thread_local bool is_apart;

/* A thread that may not borrow descriptors must not leave. -1 is never a process: EBADF shows that
 * the system call exists. */
static bool may_borrow(void)
{
    return syscall(SYS_pidfd_getfd, -1, 0, 0) == -1 && errno == EBADF;
}

void apart_leave(void)
{
    is_apart = may_borrow() && syscall(SYS_close_range, 0U, ~0U, UNSHARE) == 0;
}

void apart_borrow(int fd)
{
    if (!is_apart || fd == -1)
        return;
    int process = (int)syscall(SYS_pidfd_open, getpid(), 0);
    int got = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
    if (got != -1 && got != fd) {
        dup2(got, fd);
        close(got);
    }
    if (process != fd || got == -1)
        close(process);
}

void apart_give_back(int fd)
{
    if (is_apart && fd != -1)
        close(fd);
}

#else

void apart_leave(void)
{
}

void apart_borrow(int fd)
{
    (void)fd;
}

void apart_give_back(int fd)
{
    (void)fd;
}

#endif

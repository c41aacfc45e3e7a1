/* peek.c - lets the kernel copy, which reports bad addresses: see peek.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_readv */
#endif
#include "base/peek.h"

#include "base/cloexec.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PIPE_BYTES = 4096, PAGE_BYTES = 4096 };

static bool copy_part(const int ends[2], char *to, const char *from, size_t n)
{
    return write(ends[1], from, n) == (ssize_t)n && read(ends[0], to, n) == (ssize_t)n;
}

bool peek_by_pipe(void *to, const void *from, size_t n)
{
    int ends[2];
    bool is_done = true;
    if (cloexec_pipe(ends, false) == -1)
        return false;
    uintptr_t source = (uintptr_t)from; /* may not be a valid pointer */
    for (size_t at = 0; is_done && at < n; at += PIPE_BYTES)
        is_done = copy_part(ends, (char *)to + at, (const char *)(source + at),
                            n - at < PIPE_BYTES ? n - at : PIPE_BYTES);
    close(ends[0]);
    close(ends[1]);
    return is_done;
}

bool peek(void *to, const void *from, size_t n)
{
#ifdef __linux__
    struct iovec here = {to, n}, there = {(void *)(uintptr_t)from, n};
    ssize_t got = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
    if (got == (ssize_t)n)
        return true;
    if (got != -1 || (errno != EPERM && errno != ENOSYS))
        return false;
#endif
    return peek_by_pipe(to, from, n);
}

/* Copies up to the end of a page at a time: the next page may not be mapped. */
bool peek_string(char *to, const char *from, size_t n)
{
    uintptr_t source = (uintptr_t)from;
    size_t at = 0;
    while (at < n - 1) {
        size_t part = PAGE_BYTES - (source + at) % PAGE_BYTES;
        part = part < n - 1 - at ? part : n - 1 - at;
        if (!peek(to + at, (const char *)(source + at), part))
            break;
        for (size_t i = at; i < at + part; i++)
            if (to[i] == '\0')
                return true;
        at += part;
    }
    to[at] = '\0';
    return at == n - 1;
}

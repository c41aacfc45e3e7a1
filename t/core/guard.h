/* guard.h - input that ends where readable memory ends, so that one byte too far is a crash. */
#ifndef GUARD_H
#define GUARD_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD_PAGES = 40 };

/* A copy of n bytes flush against an unreadable page; valid until the next call. */
static inline const char *guard_copy(const char *bytes, size_t n)
{
    static char *end;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!end) {
        char *at = mmap(NULL, (GUARD_PAGES + 1) * page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED || mprotect(at + GUARD_PAGES * page, page, PROT_NONE) != 0)
            abort();
        end = at + GUARD_PAGES * page;
    }
    if (n > GUARD_PAGES * page)
        abort();
    return n ? memcpy(end - n, bytes, n) : end;
}

#endif

/* ahead.c - see ahead.h */
#include "net/ahead.h"

#include <errno.h>
#include <unistd.h>

static ssize_t read_file(int fd, char *buf, size_t n, uint64_t offset)
{
    ssize_t got;
    do
        got = pread(fd, buf, n, (off_t)offset);
    while (got == -1 && errno == EINTR);
    return got;
}

ssize_t ahead_read(struct ahead *a, char *buf, size_t room, int fd, uint64_t offset, size_t n,
                   size_t more, const char **bytes)
{
    if (a->n == 0 || a->fd != fd || a->offset != offset) {
        size_t at = offset % AHEAD_LINE_BYTES;
        size_t wanted = n + more < room - at ? n + more : room - at;
        ssize_t got = read_file(fd, buf + at, wanted, offset);
        if (got <= 0)
            return got;
        *a = (struct ahead){offset, (size_t)got, at, fd};
    }
    size_t len = a->n < n ? a->n : n;
    *bytes = buf + a->at;
    *a = (struct ahead){offset + len, a->n - len, a->at + len, fd};
    return (ssize_t)len;
}

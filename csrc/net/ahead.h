/* ahead.h - a file that is read in larger pieces than it is asked for. */
#ifndef SPRIG_AHEAD_H
#define SPRIG_AHEAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The kernel copies slowly to an address that differs from the offset within these. */
enum { AHEAD_LINE_BYTES = 64 };

/* What lies in a buffer of somebody else and was not asked for yet: n bytes at `at`, of the file fd
 * from `offset` on. All zero: nothing. */
struct ahead {
    uint64_t offset;
    size_t n, at;
    int fd;
};

/* Up to n bytes at offset, in *bytes: of those, or read with as many as fit of the `more` that will
 * be asked for next. As pread. */
ssize_t ahead_read(struct ahead *a, char *buf, size_t room, int fd, uint64_t offset, size_t n,
                   size_t more, const char **bytes);

#endif

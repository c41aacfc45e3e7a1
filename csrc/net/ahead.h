/* ahead.h - reads a file in larger pieces than the caller asks for. */
#ifndef SPRIG_AHEAD_H
#define SPRIG_AHEAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The kernel copies slowly to an address that differs from the offset within these. */
enum { AHEAD_LINE_BYTES = 64 };

/* Bytes in somebody else's buffer that nobody has asked for yet: n bytes at `at`, from `offset` of
 * the file fd. All zero is nothing. */
struct ahead {
    uint64_t offset;
    size_t n, at;
    int fd;
};

/* Gets up to n bytes at offset, in *bytes: from those read ahead, or by a read that also fetches as
 * many as fit of the `more` that will be asked for next. Otherwise like pread. */
ssize_t ahead_read(struct ahead *a, char *buf, size_t room, int fd, uint64_t offset, size_t n,
                   size_t more, const char **bytes);

#endif

/* body.h - a request body: in memory while it is small, then in an unlinked temporary file. */
#ifndef SPRIG_BODY_H
#define SPRIG_BODY_H

#include "base/span.h"
#include <stdint.h>

struct body {
    char *mem;     /* owned; NULL while empty or in a file */
    uint64_t size; /* bytes so far */
    size_t cap;    /* of mem */
    int fd;        /* owned; -1 while in memory. Offset is at the end of the data */
};

void body_init(struct body *b);

/* Adds bytes. Beyond `buffer_bytes`, the whole body moves to a temporary file in `dir` (NULL:
 * $TMPDIR, else /tmp), with mode 0600, no name, and close-on-exec. expected (0 if unknown) sizes
 * the first allocation; if it exceeds `buffer_bytes`, the file is used from the first byte on.
 * SPRIG_E_SYS: errno is set, and nothing of this piece was kept. */
int body_append(struct body *b, struct sprig_span bytes, size_t buffer_bytes, uint64_t expected,
                const char *dir);

/* The descriptor, rewound to 0 and owned by the caller from now on; -1 if the body is in memory. */
int body_take_fd(struct body *b);

/* Frees memory, closes the file. */
void body_clear(struct body *b);

#endif

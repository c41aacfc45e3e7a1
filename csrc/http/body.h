/* body.h - the body of a request: in memory while small, then in an unlinked temporary file. */
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

/* Adds bytes. Beyond `buffer_bytes` all of it moves to a temporary file in `dir` (NULL: $TMPDIR,
 * else /tmp), mode 0600, without a name, close-on-exec. expected (0 = unknown) sizes the first
 * allocation; if it is beyond `buffer_bytes`, the file is used from the first byte on. SPRIG_E_SYS:
 * errno, nothing of this piece was kept. */
int body_append(struct body *b, struct sprig_span bytes, size_t buffer_bytes, uint64_t expected,
                const char *dir);

/* The descriptor, owned by the caller from now on, rewound to 0; -1 if the body is in memory. */
int body_take_fd(struct body *b);

/* Frees memory, closes the file. */
void body_clear(struct body *b);

#endif

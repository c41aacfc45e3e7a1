/* buffer.h - bytes that grow at their end and are taken from their start. */
#ifndef SPRIG_WS_BUFFER_H
#define SPRIG_WS_BUFFER_H

#include "base/err.h"
#include "base/span.h"
#include <stdlib.h>

/* The bytes are bytes[at .. n). Empty ones own no memory, once cleared. */
struct ws_buffer {
    char *bytes; /* owned */
    size_t at, n, cap;
};

static inline struct sprig_span ws_buffer_span(const struct ws_buffer *b)
{
    return span_make(b->bytes != NULL ? b->bytes + b->at : NULL, b->n - b->at);
}

static inline void ws_buffer_clear(struct ws_buffer *b)
{
    free(b->bytes);
    *b = (struct ws_buffer){NULL, 0, 0, 0};
}

/* Makes room for n more bytes; grows by half, so that the memory follows what arrives and not what
 * is announced. SPRIG_E_NOMEM or 0. */
static inline int ws_buffer_reserve(struct ws_buffer *b, size_t n)
{
    if (b->at > 0) {
        memmove(b->bytes, b->bytes + b->at, b->n - b->at);
        b->n -= b->at;
        b->at = 0;
    }
    if (n <= b->cap - b->n)
        return 0;
    size_t cap = b->n + n + (b->n + n) / 2 * (b->n > 0);
    char *grown = realloc(b->bytes, cap);
    if (grown == NULL)
        return SPRIG_E_NOMEM;
    b->bytes = grown;
    b->cap = cap;
    return 0;
}

static inline int ws_buffer_add(struct ws_buffer *b, struct sprig_span bytes)
{
    if (bytes.len == 0)
        return 0;
    int rc = ws_buffer_reserve(b, bytes.len);
    if (rc != 0)
        return rc;
    memcpy(b->bytes + b->n, bytes.ptr, bytes.len);
    b->n += bytes.len;
    return 0;
}

#endif

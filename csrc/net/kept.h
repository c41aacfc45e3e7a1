/* kept.h - bytes that wait: appended at the end, consumed from the front. */
#ifndef SPRIG_KEPT_H
#define SPRIG_KEPT_H

#include "base/span.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* All zero is empty. The first `at` bytes are consumed. */
struct kept {
    char *bytes; /* owned */
    size_t at, len;
};

static inline void kept_clear(struct kept *k)
{
    free(k->bytes);
    *k = (struct kept){NULL, 0, 0};
}

static inline struct sprig_span kept_span(const struct kept *k)
{
    return span_make(k->bytes != NULL ? k->bytes + k->at : NULL, k->len - k->at);
}

/* False: no memory. */
static inline bool kept_append(struct kept *k, const char *bytes, size_t n)
{
    char *grown = realloc(k->bytes, k->len + n);
    if (grown == NULL)
        return false;
    memcpy(grown + k->len, bytes, n);
    k->bytes = grown;
    k->len += n;
    return true;
}

/* The next n of them are done. */
static inline void kept_advance(struct kept *k, size_t n)
{
    k->at += n;
    if (k->at == k->len)
        kept_clear(k);
}

#endif

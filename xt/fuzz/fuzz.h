/* fuzz.h - what the targets share: exact copies, cuts made from the input, a check that aborts. */
#ifndef FUZZ_H
#define FUZZ_H

#include "base/span.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* An invariant does not hold. */
#define FUZZ_CHECK(cond)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond);                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The first two bytes of an input say how it is cut. */
struct cuts {
    uint32_t state;
    uint32_t max;
};

static inline struct cuts cuts_make(const uint8_t *data)
{
    return (struct cuts){(uint32_t)data[0] * 2654435761u + 1, 1 + data[1] % 64};
}

/* The length of the next piece, at least 1. */
static inline size_t cuts_next(struct cuts *c)
{
    c->state = c->state * 1664525 + 1013904223;
    return 1 + (c->state >> 16) % c->max;
}

/* A copy in memory of just that size, so that a read beyond it is noticed. To be freed. */
static inline char *exact_copy(const void *from, size_t n)
{
    char *copy = malloc(n);
    FUZZ_CHECK(copy != NULL || n == 0);
    if (n > 0)
        memcpy(copy, from, n);
    return copy;
}

#endif

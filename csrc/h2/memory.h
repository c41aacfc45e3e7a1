/* memory.h - what nghttp2 allocates for a session. Its large blocks (the frame being made, the
 * table of streams) are mostly empty when nothing happens. They are on pages of their own, which
 * are given back while a connection rests, whatever they are for. */
#ifndef SPRIG_H2_MEMORY_H
#define SPRIG_H2_MEMORY_H

#include "h2/nghttp2.h"
#include <stdbool.h>

/* A session has two. Any others are ordinary blocks. */
enum { H2_LARGE_BLOCKS = 3 };

struct h2_large {
    char *bytes; /* owned; NULL: no block */
    size_t n;
    char *kept; /* owned: its first bytes, while it rests; NULL: it is awake */
    size_t n_kept;
};

struct h2_memory {
    struct h2_large large[H2_LARGE_BLOCKS];
    bool is_resting;
};

/* The functions for nghttp2, which gets m and keeps it for life. */
nghttp2_mem h2_memory_functions(struct h2_memory *m);

/* Gives pages back. nghttp2 must not be entered before h2_memory_wake. */
void h2_memory_rest(struct h2_memory *m);
void h2_memory_wake_up(struct h2_memory *m);
static inline void h2_memory_wake(struct h2_memory *m)
{
    if (m->is_resting)
        h2_memory_wake_up(m);
}

#endif

/* outq_internal.h - what the files of the output queue share: its segments. */
#ifndef SPRIG_OUTQ_INTERNAL_H
#define SPRIG_OUTQ_INTERNAL_H

#include "net/outq.h"

enum outq_kind {
    KIND_BLOCK,  /* recycled buffer of BLOCK_BYTES */
    KIND_SMALL,  /* recycled buffer of SMALL_BYTES */
    KIND_BUFFER, /* larger buffer of its own */
    KIND_REF,    /* memory that the queue keeps alive */
    KIND_SHARED, /* memory that others keep alive as well */
    KIND_FILE,   /* a range of a file */
    KIND_SPILL   /* a range of the queue's own temporary file */
};

/* A piece of the queue. No segment in a queue is empty. */
struct outq_segment {
    struct outq_segment *next;
    uint64_t left;   /* bytes not sent yet */
    char *ptr;       /* the first of them, unless in a file; never written to if a reference */
    uint64_t offset; /* KIND_FILE, KIND_SPILL: of the first of them */
    size_t room;     /* below KIND_REF: free bytes behind them; KIND_REF: bytes in memory */
    outq_release_cb *release; /* KIND_REF, KIND_SHARED, KIND_FILE: or NULL */
    void *arg;
    int fd; /* KIND_FILE: borrowed until release; KIND_SPILL: the spill's */
    enum outq_kind kind;
    char data[]; /* below KIND_REF */
};

/* A temporary file, which goes away with its last segment. Bytes are appended; sent bytes are
 * neither overwritten nor punched out, because the kernel sends from the pages of the file and may
 * not have sent all of them yet. */
struct outq_spill {
    int fd;
    uint32_t n_segments;
    uint64_t end;    /* size of the file */
    struct outq *of; /* the queue that appends to it; NULL: none any more */
};

/* Frees or recycles a segment that is no longer in a queue. */
void outq_segment_free(struct outq_pool *pool, struct outq_segment *s);

static inline bool outq_is_in_file(const struct outq_segment *s)
{
    return s->kind == KIND_FILE || s->kind == KIND_SPILL;
}

/* The bytes of memory that go away with the segment; for a reference, all of it until the last part
 * is sent. */
static inline uint64_t outq_bytes_in_memory(const struct outq_segment *s)
{
    return s->kind == KIND_REF ? s->room : s->kind < KIND_REF ? s->left : 0;
}

/* Forgets n sent bytes at the front of this segment. */
static inline void outq_segment_sent(struct outq *q, struct outq_segment *s, uint64_t n)
{
    q->in_memory -= outq_bytes_in_memory(s);
    s->left -= n;
    if (!outq_is_in_file(s))
        s->ptr += n;
    if (s->left > 0)
        q->in_memory += outq_bytes_in_memory(s);
    if (s->kind == KIND_SPILL)
        q->spilled -= n;
}

static inline void outq_append(struct outq *q, struct outq_segment *s)
{
    if (q->tail)
        q->tail->next = s;
    else
        q->head = s;
    q->tail = s;
}

/* Free bytes at the end of the queue. */
static inline size_t outq_tail_room(const struct outq *q)
{
    const struct outq_segment *s = q->tail;
    return s && s->kind < KIND_REF ? s->room : 0;
}

/* Appends to a segment that has the room. */
static inline void outq_fill(struct outq *q, struct outq_segment *s, const char *bytes, size_t n)
{
    memcpy(s->ptr + s->left, bytes, n);
    s->left += n;
    s->room -= n;
    q->size += n;
    q->in_memory += n;
}

#endif

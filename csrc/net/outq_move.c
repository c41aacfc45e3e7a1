/* outq_move.c - moves bytes from one output queue to another; see outq.h */
#include "base/err.h"
#include "net/outq_internal.h"
#include <stdlib.h>

/* Up to this size, a reference is copied rather than shared. */
enum { MOVE_COPY_BYTES = 2048 };

/* Shared by all segments that hold a part of what one reference queued. */
struct outq_owner {
    outq_release_cb *release;
    void *arg;
    uint32_t n_segments;
};

static void owner_release(void *arg)
{
    struct outq_owner *owner = arg;
    if (--owner->n_segments > 0)
        return;
    owner->release(owner->arg);
    free(owner);
}

/* Another segment is about to share, and later release, what this one holds. */
static int segment_share(struct outq_segment *s)
{
    if (s->kind == KIND_SPILL) {
        ((struct outq_spill *)s->arg)->n_segments++;
    } else if (s->release == owner_release) {
        ((struct outq_owner *)s->arg)->n_segments++;
    } else if (s->release) {
        struct outq_owner *owner = malloc(sizeof(*owner));
        if (!owner)
            return SPRIG_E_NOMEM;
        *owner = (struct outq_owner){s->release, s->arg, 2};
        s->release = owner_release;
        s->arg = owner;
    }
    return 0;
}

/* Bytes have been added to the queue or taken from it, as a segment or a part of one. */
static void count(struct outq *q, enum outq_kind kind, uint64_t n, uint64_t n_in_memory, int sign)
{
    q->size += (uint64_t)sign * n;
    q->in_memory += (uint64_t)sign * n_in_memory;
    if (kind == KIND_SPILL)
        q->spilled += (uint64_t)sign * n;
}

static void move_segment(struct outq *to, struct outq *from, struct outq_segment *s)
{
    uint64_t n = s->left, n_in_memory = outq_bytes_in_memory(s);
    from->head = s->next;
    if (!from->head)
        from->tail = NULL;
    count(from, s->kind, n, n_in_memory, -1);
    s->next = NULL;
    if (s->kind < KIND_REF && n <= outq_tail_room(to)) {
        outq_fill(to, to->tail, s->ptr, (size_t)n); /* instead of a buffer for every few bytes */
        outq_segment_free(from->pool, s);
        return;
    }
    outq_append(to, s);
    count(to, s->kind, n, n_in_memory, 1);
}

/* Moves the first n bytes of a longer segment, in another segment for the same memory or file. */
static int move_by_reference(struct outq *to, struct outq *from, struct outq_segment *s, uint64_t n)
{
    struct outq_segment *part = malloc(sizeof(*part));
    if (!part || segment_share(s) != 0) {
        free(part);
        return SPRIG_E_NOMEM;
    }
    *part = *s;
    part->next = NULL;
    part->left = n;
    uint64_t n_in_memory = s->kind == KIND_REF ? n : 0;
    part->room = (size_t)n_in_memory;
    s->room -= (size_t)n_in_memory;
    s->left -= n;
    if (outq_is_in_file(s))
        s->offset += n;
    else
        s->ptr += n;
    outq_append(to, part);
    count(from, s->kind, n, n_in_memory, -1);
    count(to, s->kind, n, n_in_memory, 1);
    return 0;
}

static int move_part(struct outq *to, struct outq *from, struct outq_segment *s, uint64_t n)
{
    if (outq_is_in_file(s) || (s->kind >= KIND_REF && n > MOVE_COPY_BYTES))
        return move_by_reference(to, from, s, n);
    int rc = outq_add(to, span_make(s->ptr, (size_t)n));
    if (rc == 0) {
        outq_segment_sent(from, s, n);
        from->size -= n;
    }
    return rc;
}

int outq_move(struct outq *to, struct outq *from, uint64_t n)
{
    while (n > 0 && from->head) {
        struct outq_segment *s = from->head;
        if (s->left > n)
            return move_part(to, from, s, n);
        n -= s->left;
        move_segment(to, from, s);
    }
    return 0;
}

/* outq.c - the output queue: a list of segments, each a buffer, a reference or a file range. */
#include "base/err.h"
#include "base/hot.h"
#include "base/stats.h"
#include "base/tempfile.h"
#include "net/outq_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BLOCK_BYTES = 16 * 1024, /* size of a recycled segment, including its header */
    MAX_FREE = 64,           /* recycled segments kept by a pool */
    SMALL_BYTES = 1024,      /* size of a queue's first segment when all of those are in use */
    MAX_FREE_SMALL = 1024,
    MAX_FREE_REFERENCES = 1024,   /* the same, for segments without a buffer */
    MAX_IOV = 64,                 /* memory pieces in one writev */
    CARRY_BYTES = 1 << 30,        /* at most, before the next outq_settle: n_carried has 32 bits */
    FILE_AHEAD_BYTES = 64 * 1024, /* at most, that a transport is told about */
    SENDFILE_BYTES = 512 * 1024,  /* per call, so that one connection does not hold up the loop */
    SPILL_FILE_BYTES = 64 << 20,  /* a new temporary file is begun after this much */
};

enum {
    BLOCK_ROOM = BLOCK_BYTES - sizeof(struct outq_segment),
    SMALL_ROOM = SMALL_BYTES - sizeof(struct outq_segment)
};

void outq_pool_init(struct outq_pool *pool)
{
    *pool = (struct outq_pool){0};
}

static void free_all(struct outq_segment *s)
{
    while (s) {
        struct outq_segment *next = s->next;
        free(s);
        s = next;
    }
}

void outq_pool_clear(struct outq_pool *pool)
{
    free_all(pool->free);
    free_all(pool->free_small);
    free_all(pool->free_references);
    *pool = (struct outq_pool){.n_blocks = pool->n_blocks - pool->n_free};
}

static struct outq_segment *segment_set(struct outq_segment *s, enum outq_kind kind, size_t room)
{
    if (!s)
        return NULL;
    s->kind = kind;
    s->room = room;
    s->next = NULL;
    s->left = 0;
    s->ptr = s->data;
    return s;
}

/* For many queues that get something at once: a message for thousands of clients, mostly short. */
__attribute__((noinline)) static struct outq_segment *segment_new_small(struct outq_pool *pool)
{
    struct outq_segment *s = pool->free_small;
    if (s) {
        pool->free_small = s->next;
        pool->n_free_small--;
    } else {
        s = malloc(SMALL_BYTES);
    }
    return segment_set(s, KIND_SMALL, SMALL_ROOM);
}

/* Appends a segment with a buffer for at least n bytes; recycles one if it is large enough. */
static struct outq_segment *segment_new(const struct outq *q, size_t n)
{
    struct outq_pool *pool = q->pool;
    struct outq_segment *s = pool->free;
    if (n > BLOCK_ROOM)
        return segment_set(n < SIZE_MAX - sizeof(*s) ? malloc(sizeof(*s) + n) : NULL, KIND_BUFFER,
                           n);
    if (s) {
        pool->free = s->next;
        pool->n_free--;
    } else if (pool->n_blocks >= MAX_FREE && !q->head && n <= SMALL_ROOM) {
        return segment_new_small(pool);
    } else {
        s = malloc(BLOCK_BYTES);
        pool->n_blocks += s != NULL;
    }
    return segment_set(s, KIND_BLOCK, BLOCK_ROOM);
}

/* Frees or recycles a segment that is no longer in a queue. */
HOT void outq_segment_free(struct outq_pool *pool, struct outq_segment *s)
{
    if (s->kind == KIND_BLOCK && pool->n_free < MAX_FREE) {
        s->next = pool->free;
        pool->free = s;
        pool->n_free++;
        return;
    }
    if (s->kind == KIND_SMALL && pool->n_free_small < MAX_FREE_SMALL) {
        s->next = pool->free_small;
        pool->free_small = s;
        pool->n_free_small++;
        return;
    }
    pool->n_blocks -= s->kind == KIND_BLOCK;
    if (s->kind >= KIND_REF && s->release)
        s->release(s->arg);
    if (s->kind >= KIND_REF && pool->n_free_references < MAX_FREE_REFERENCES) {
        s->next = pool->free_references;
        pool->free_references = s;
        pool->n_free_references++;
        return;
    }
    free(s);
}

void outq_init(struct outq *q, struct outq_pool *pool)
{
    *q = (struct outq){.pool = pool};
}

/* Makes the shared counter of bytes not yet taken by clients include n bytes of this queue. */
static void outq_show(struct outq *q, uint64_t n)
{
    if (n == q->n_shown)
        return;
    stats_add(STAT_BUFFERED, n - q->n_shown);
    q->n_shown = n;
}

void outq_clear(struct outq *q)
{
    struct outq_segment *s = q->head;
    if (q->spill)
        q->spill->of = NULL;
    outq_show(q, 0);
    outq_init(q, q->pool);
    while (s) {
        struct outq_segment *next = s->next;
        outq_segment_free(q->pool, s);
        s = next;
    }
}

int outq_add(struct outq *q, struct sprig_span bytes)
{
    if (bytes.len == 0)
        return 0;
    size_t n = outq_tail_room(q);
    if (n > bytes.len)
        n = bytes.len;
    /* The only place where a queue grows by copying: allocate before copying anything. */
    struct outq_segment *s = NULL;
    if (n < bytes.len && !(s = segment_new(q, bytes.len - n)))
        return SPRIG_E_NOMEM;
    if (n)
        outq_fill(q, q->tail, bytes.ptr, n);
    if (s) {
        outq_append(q, s);
        outq_fill(q, s, bytes.ptr + n, bytes.len - n);
    }
    return 0;
}

int outq_add_pieces(struct outq *q, const struct sprig_span *pieces, size_t n, size_t total)
{
    int err = 0;
    if (total > BLOCK_ROOM) { /* spread over several recycled blocks */
        for (size_t i = 0; i < n && err == 0; i++)
            err = outq_add(q, pieces[i]);
        return err;
    }
    char *at = outq_reserve(q, total);
    if (!at)
        return SPRIG_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].len)
            memcpy(at, pieces[i].ptr, pieces[i].len);
        at += pieces[i].len;
    }
    outq_commit(q, total);
    return 0;
}

char *outq_reserve(struct outq *q, size_t n)
{
    if (outq_tail_room(q) >= n && q->tail)
        return q->tail->ptr + q->tail->left;
    q->pool->reserved = segment_new(q, n);
    return q->pool->reserved ? q->pool->reserved->ptr : NULL;
}

void outq_commit(struct outq *q, size_t n_used)
{
    struct outq_segment *s = q->pool->reserved;
    q->pool->reserved = NULL;
    if (s && n_used == 0) {
        outq_segment_free(q->pool, s);
        return;
    }
    if (n_used == 0)
        return;
    if (s)
        outq_append(q, s);
    q->tail->left += n_used;
    q->tail->room -= n_used;
    q->size += n_used;
    q->in_memory += n_used;
}

/* Makes a segment without a buffer; on failure gives the reference back. Returns NULL with *err 0,
 * too, if there is nothing to queue. */
static struct outq_segment *reference_new(struct outq_pool *pool, enum outq_kind kind, uint64_t n,
                                          outq_release_cb *release, void *arg, int *err)
{
    struct outq_segment *s = n ? pool->free_references : NULL;
    if (s) {
        pool->free_references = s->next;
        pool->n_free_references--;
    } else if (n) {
        s = malloc(sizeof(*s));
    }
    *err = n && !s ? SPRIG_E_NOMEM : 0;
    if (!s) {
        if (release)
            release(arg);
        return NULL;
    }
    *s = (struct outq_segment){.kind = kind, .left = n, .release = release, .arg = arg, .fd = -1};
    return s;
}

static int add_memory(struct outq *q, enum outq_kind kind, struct sprig_span bytes,
                      outq_release_cb *release, void *arg)
{
    int err;
    struct outq_segment *s = reference_new(q->pool, kind, bytes.len, release, arg, &err);
    if (!s)
        return err;
    s->ptr = (char *)bytes.ptr;
    s->room = bytes.len;
    outq_append(q, s);
    q->size += bytes.len;
    q->in_memory += outq_bytes_in_memory(s);
    return 0;
}

int outq_add_ref(struct outq *q, struct sprig_span bytes, outq_release_cb *release, void *arg)
{
    return add_memory(q, KIND_REF, bytes, release, arg);
}

int outq_add_shared(struct outq *q, struct sprig_span bytes, outq_release_cb *release, void *arg)
{
    return add_memory(q, KIND_SHARED, bytes, release, arg);
}

int outq_add_file(struct outq *q, int fd, uint64_t offset, uint64_t length,
                  outq_release_cb *release, void *arg)
{
    int err;
    struct outq_segment *s = reference_new(q->pool, KIND_FILE, length, release, arg, &err);
    if (!s)
        return err;
    s->fd = fd;
    s->offset = offset;
    outq_append(q, s);
    q->size += length;
    return 0;
}

/* ---- the temporary file ---- */

static void spill_close(struct outq_spill *spill)
{
    if (spill->of)
        spill->of->spill = NULL;
    tempfile_close(spill->fd);
    free(spill);
}

/* One segment of the file is gone. */
static void spill_release(void *arg)
{
    struct outq_spill *spill = arg;
    if (--spill->n_segments == 0)
        spill_close(spill);
}

/* Provides a file to append to. A file that has grown long is left to its segments, so that sent
 * data does not stay on disk for as long as a writer never pauses. */
static int spill_open(struct outq *q, const char *dir)
{
    if (q->spill && q->spill->end < SPILL_FILE_BYTES)
        return 0;
    struct outq_spill *spill = calloc(1, sizeof(*spill));
    if (!spill)
        return SPRIG_E_NOMEM;
    spill->fd = tempfile_open(dir);
    if (spill->fd == -1) {
        free(spill);
        return SPRIG_E_SYS;
    }
    if (q->spill)
        q->spill->of = NULL;
    spill->of = q;
    q->spill = spill;
    return 0;
}

/* Writes a segment's bytes to the end of the file. If that fails half-way, the next write
 * overwrites that part, which was never sent. */
static int spill_write(struct outq_spill *spill, const struct outq_segment *s)
{
    if (lseek(spill->fd, (off_t)spill->end, SEEK_SET) == -1 ||
        tempfile_write(spill->fd, span_make(s->ptr, (size_t)s->left)) < 0)
        return SPRIG_E_SYS;
    spill->end += s->left;
    stats_add(STAT_SPILLED, s->left);
    return 0;
}

/* True if the next bytes appended to the file directly follow this segment. */
static bool is_file_end(const struct outq_segment *s, const struct outq_spill *spill)
{
    return s && s->kind == KIND_SPILL && s->arg == spill && s->offset + s->left == spill->end;
}

/* Replaces s with a segment for what was written to the file from `offset` on. */
static void put_spilled(struct outq *q, struct outq_segment *to, struct outq_segment *last,
                        const struct outq_segment *s, uint64_t offset)
{
    struct outq_spill *spill = q->spill;
    *to = (struct outq_segment){.kind = KIND_SPILL, .offset = offset, .fd = spill->fd};
    to->release = spill_release;
    to->arg = spill;
    to->left = s->left;
    to->next = s->next;
    spill->n_segments++;
    if (last)
        last->next = to;
    else
        q->head = to;
}

/* Moves a memory segment that follows `last` to the file and frees it; *last becomes the segment
 * that now has its bytes, a new one or the old one. */
static int spill_segment(struct outq *q, struct outq_segment **last, struct outq_segment *s)
{
    uint64_t offset = q->spill->end;
    bool merges = is_file_end(*last, q->spill);
    struct outq_segment *to = merges ? *last : malloc(sizeof(*to));
    if (!to)
        return SPRIG_E_NOMEM;
    if (spill_write(q->spill, s) < 0) {
        if (!merges)
            free(to);
        return SPRIG_E_SYS;
    }
    if (merges) {
        to->left += s->left;
        to->next = s->next;
    } else {
        put_spilled(q, to, *last, s, offset);
    }
    if (q->tail == s)
        q->tail = to;
    q->in_memory -= outq_bytes_in_memory(s);
    q->spilled += s->left;
    outq_segment_free(q->pool, s);
    *last = to;
    return 0;
}

int outq_spill(struct outq *q, uint64_t keep_bytes, const char *dir)
{
    uint64_t kept = 0;
    struct outq_segment *last = NULL, *next;
    int rc = 0;
    for (struct outq_segment *s = q->head; s && rc == 0; s = next) {
        next = s->next;
        if (outq_bytes_in_memory(s) > 0 && kept + outq_bytes_in_memory(s) > keep_bytes) {
            if ((rc = spill_open(q, dir)) == 0)
                rc = spill_segment(q, &last, s);
            continue;
        }
        kept += outq_bytes_in_memory(s);
        last = s;
    }
    int e = errno;
    if (rc && q->spill && q->spill->n_segments == 0)
        spill_close(q->spill);
    errno = e;
    return rc;
}

/* ---- sending ---- */

/* Drops n sent bytes from the front. */
static void consume(struct outq *q, uint64_t n)
{
    q->size -= n;
    stats_add(STAT_SENT, n);
    while (n > 0) {
        struct outq_segment *s = q->head;
        uint64_t part = s->left < n ? s->left : n;
        outq_segment_sent(q, s, part);
        if (s->left > 0)
            return;
        n -= part;
        q->head = s->next;
        if (!q->head)
            q->tail = NULL;
        outq_segment_free(q->pool, s);
    }
}

/* What a failed write to the socket means. */
static enum outq_result write_failed(void)
{
    switch (errno) {
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
    case ENOMEM:
    case ENOBUFS:
        return OUTQ_BLOCKED;
    default:
        return OUTQ_GONE;
    }
}

/* True for errors that only the file can cause. */
static bool is_file_error(int err)
{
    return err == EIO || err == EBADF || err == EINVAL || err == ESPIPE || err == EISDIR ||
           err == EOVERFLOW || err == ESTALE || err == ENXIO;
}

/* How many more bytes of the same file follow the range at the head, with little between them:
 * HTTP/2 frames each hold a piece of it. */
static size_t bytes_ahead(const struct outq *q)
{
    const struct outq_segment *s = q->head;
    uint64_t at = s->offset + s->left, n = 0;
    while ((s = s->next) != NULL && n < FILE_AHEAD_BYTES) {
        if (!outq_is_in_file(s))
            continue;
        if (s->fd != q->head->fd || s->offset != at)
            break;
        at += s->left;
        n += s->left;
    }
    return (size_t)n;
}

/* One sendfile for the range at the head. OUTQ_MORE: go on. A short count says nothing by itself:
 * either the socket is full or the file has ended, and the next call shows which. */
static enum outq_result send_file(struct outq *q, struct transport *t, uint64_t limit,
                                  uint64_t *n_written)
{
    struct outq_segment *s = q->head;
    uint64_t n = s->left < limit ? s->left : limit;
    if (n > SENDFILE_BYTES)
        n = SENDFILE_BYTES;
    if (t->is_gathering)
        t->n_file_ahead = bytes_ahead(q);
    ssize_t sent = t->ops->sendfile(t, s->fd, &s->offset, (size_t)n);
    if (sent > 0) {
        consume(q, (uint64_t)sent);
        *n_written += (uint64_t)sent;
        return OUTQ_MORE;
    }
    if (sent == -1 && !is_file_error(errno))
        return write_failed();
    if (sent == 0)
        errno = 0;
    return OUTQ_SHORT;
}

/* Collects adjacent memory pieces, at most `limit` bytes; sets *n_bytes and returns the number of
 * pieces. *more: a file range follows directly. */
static int gather(const struct outq *q, struct iovec *iov, uint64_t limit, uint64_t *n_bytes,
                  bool *more)
{
    int n = 0;
    *n_bytes = 0;
    const struct outq_segment *s = q->head; /* a memory piece */
    do {
        uint64_t room = limit - *n_bytes;
        uint64_t len = s->left < room ? s->left : room;
        iov[n++] = (struct iovec){.iov_base = s->ptr, .iov_len = (size_t)len};
        *n_bytes += len;
        s = s->next;
    } while (s && !outq_is_in_file(s) && n < MAX_IOV && *n_bytes < limit);
    *more = s && outq_is_in_file(s) && *n_bytes < limit;
    return n;
}

/* One writev for the memory pieces at the head. OUTQ_MORE: all of them were sent, go on. */
static enum outq_result send_memory(struct outq *q, struct transport *t, uint64_t limit,
                                    uint64_t *n_written)
{
    struct iovec iov[MAX_IOV];
    uint64_t asked;
    bool more;
    int n = gather(q, iov, limit, &asked, &more);
    ssize_t sent = t->ops->writev(t, iov, n, more);
    if (sent == -1)
        return write_failed();
    consume(q, (uint64_t)sent);
    *n_written += (uint64_t)sent;
    return (uint64_t)sent < asked ? OUTQ_BLOCKED : OUTQ_MORE;
}

static enum outq_result send_all(struct outq *q, struct transport *t, uint64_t budget,
                                 uint64_t *n_written)
{
    while (q->head) {
        uint64_t limit = budget ? budget - *n_written : UINT64_MAX;
        if (limit == 0)
            return OUTQ_MORE;
        enum outq_result result = outq_is_in_file(q->head) ? send_file(q, t, limit, n_written)
                                                           : send_memory(q, t, limit, n_written);
        if (result != OUTQ_MORE)
            return result;
    }
    return OUTQ_DRAINED;
}

/* A single piece of memory, without encryption: nearly always so. */
static inline bool is_one_piece(const struct outq *q, const struct transport *t, uint64_t budget)
{
    const struct outq_segment *s = q->head;
    return s && !s->next && !outq_is_in_file(s) && (!budget || s->left <= budget) &&
           t->ops->flush == NULL;
}

HOT static enum outq_result send_piece(struct outq *q, struct transport *t, uint64_t *n_written)
{
    struct outq_segment *s = q->head;
    struct iovec iov = {.iov_base = s->ptr, .iov_len = (size_t)s->left};
    ssize_t sent = t->ops->writev(t, &iov, 1, false);
    if (sent == -1)
        return write_failed();
    *n_written = (uint64_t)sent;
    if ((uint64_t)sent != s->left) {
        consume(q, (uint64_t)sent);
        return OUTQ_BLOCKED;
    }
    stats_add(STAT_SENT, (uint64_t)sent);
    q->head = q->tail = NULL;
    q->size = q->in_memory = 0;
    outq_segment_free(q->pool, s);
    return OUTQ_DRAINED;
}

static enum outq_result flush(struct outq *q, struct transport *t, uint64_t budget,
                              uint64_t *n_written)
{
    if (t->ops->flush == NULL)
        return send_all(q, t, budget, n_written);
    t->is_gathering = true;
    enum outq_result result = send_all(q, t, budget, n_written);
    t->is_gathering = false;
    bool is_whole = t->ops->flush(t) == 0;
    return is_whole || result == OUTQ_GONE || result == OUTQ_SHORT ? result : write_failed();
}

enum outq_result outq_flush(struct outq *q, struct transport *t, uint64_t budget,
                            uint64_t *n_written)
{
    *n_written = 0;
    enum outq_result result =
        is_one_piece(q, t, budget) ? send_piece(q, t, n_written) : flush(q, t, budget, n_written);
    outq_show(q, q->size);
    return result;
}

HOT bool outq_flush_piece(struct outq *q, struct transport *t, uint64_t max)
{
    uint64_t n_written;
    if (!is_one_piece(q, t, max) || send_piece(q, t, &n_written) != OUTQ_DRAINED)
        return false;
    outq_show(q, 0);
    return true;
}

HOT size_t outq_send_past(struct outq *q, struct transport *t, struct sprig_span bytes)
{
    struct iovec iov = {.iov_base = (char *)bytes.ptr, .iov_len = bytes.len};
    if (q->head || t->ops->flush != NULL)
        return 0;
    ssize_t sent = t->ops->writev(t, &iov, 1, false);
    if (sent <= 0)
        return 0;
    stats_add(STAT_SENT, (uint64_t)sent);
    return (size_t)sent;
}

/* ---- sending ahead ---- */

/* The first byte not carried yet: *skip bytes into the segment. NULL: all are carried, or a file is
 * next. */
static const struct outq_segment *carry_from(const struct outq *q, uint64_t *skip)
{
    const struct outq_segment *s = q->head;
    *skip = q->n_carried;
    while (s && !outq_is_in_file(s) && *skip >= s->left) {
        *skip -= s->left;
        s = s->next;
    }
    return s && !outq_is_in_file(s) ? s : NULL;
}

void outq_carry(struct outq *q, struct transport *t)
{
    const struct outq_segment *s;
    uint64_t skip;
    while (q->carry_error == 0 && q->n_carried < CARRY_BYTES &&
           (s = carry_from(q, &skip)) != NULL) {
        size_t left = (size_t)(s->left - skip);
        struct iovec iov = {.iov_base = s->ptr + skip,
                            .iov_len = left < CARRY_BYTES ? left : CARRY_BYTES};
        ssize_t sent = t->ops->writev(t, &iov, 1, false);
        if (sent > 0)
            q->n_carried += (uint32_t)sent;
        else if (sent == -1 && write_failed() == OUTQ_GONE)
            q->carry_error = errno;
        if (sent < 0 || (size_t)sent < iov.iov_len)
            return;
    }
}

bool outq_settle(struct outq *q)
{
    uint64_t n = q->n_carried;
    q->n_carried = 0;
    consume(q, n);
    if (q->carry_error == 0)
        return true;
    errno = q->carry_error;
    q->carry_error = 0;
    return false;
}

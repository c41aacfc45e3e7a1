/* outq.c - the output queue: a list of segments, each a buffer, a reference or a file range. */
#include "outq.h"
#include "err.h"
#include <errno.h>
#include <stdlib.h>

enum {
    BLOCK_BYTES = 16 * 1024,     /* of a recycled segment, its header included */
    MAX_FREE = 64,               /* recycled segments kept by a pool */
    MAX_IOV = 64,                /* memory pieces in one writev */
    SENDFILE_BYTES = 512 * 1024, /* for one call, so that one connection does not hold the loop */
};

enum kind {
    KIND_BLOCK,  /* recycled buffer of BLOCK_BYTES */
    KIND_BUFFER, /* larger buffer of its own */
    KIND_REF,    /* somebody else's memory */
    KIND_FILE    /* a range of a file */
};

/* A piece of the queue. No segment in a queue is empty. */
struct outq_segment {
    struct outq_segment *next;
    uint64_t left;   /* bytes not sent yet */
    char *ptr;       /* the first of them, unless KIND_FILE; never written to if KIND_REF */
    uint64_t offset; /* KIND_FILE: of the first of them */
    size_t room;     /* KIND_BLOCK, KIND_BUFFER: free bytes behind them */
    outq_release_cb *release; /* KIND_REF, KIND_FILE: or NULL */
    void *arg;
    int fd; /* KIND_FILE: borrowed until release */
    enum kind kind;
    char data[]; /* KIND_BLOCK, KIND_BUFFER */
};

enum { BLOCK_ROOM = BLOCK_BYTES - sizeof(struct outq_segment) };

void outq_pool_init(struct outq_pool *pool)
{
    *pool = (struct outq_pool){0};
}

void outq_pool_clear(struct outq_pool *pool)
{
    while (pool->free) {
        struct outq_segment *s = pool->free;
        pool->free = s->next;
        free(s);
    }
    pool->n_free = 0;
}

/* A segment with a buffer for at least n bytes, a recycled one if that is large enough. */
static struct outq_segment *segment_new(struct outq_pool *pool, size_t n)
{
    struct outq_segment *s = pool->free;
    if (n > BLOCK_ROOM) {
        s = n < SIZE_MAX - sizeof(*s) ? malloc(sizeof(*s) + n) : NULL;
    } else if (s) {
        pool->free = s->next;
        pool->n_free--;
    } else {
        s = malloc(BLOCK_BYTES);
    }
    if (!s)
        return NULL;
    s->kind = n > BLOCK_ROOM ? KIND_BUFFER : KIND_BLOCK;
    s->room = n > BLOCK_ROOM ? n : BLOCK_ROOM;
    s->next = NULL;
    s->left = 0;
    s->ptr = s->data;
    return s;
}

/* Frees or recycles a segment that is in no queue any more. */
static void segment_free(struct outq_pool *pool, struct outq_segment *s)
{
    if (s->kind == KIND_BLOCK && pool->n_free < MAX_FREE) {
        s->next = pool->free;
        pool->free = s;
        pool->n_free++;
        return;
    }
    if ((s->kind == KIND_REF || s->kind == KIND_FILE) && s->release)
        s->release(s->arg);
    free(s);
}

static void append(struct outq *q, struct outq_segment *s)
{
    if (q->tail)
        q->tail->next = s;
    else
        q->head = s;
    q->tail = s;
}

/* Free bytes at the end of the queue. */
static size_t tail_room(const struct outq *q)
{
    const struct outq_segment *s = q->tail;
    return s && (s->kind == KIND_BLOCK || s->kind == KIND_BUFFER) ? s->room : 0;
}

/* Appends to a segment that has the room. */
static void fill(struct outq *q, struct outq_segment *s, const char *bytes, size_t n)
{
    memcpy(s->ptr + s->left, bytes, n);
    s->left += n;
    s->room -= n;
    q->size += n;
}

void outq_init(struct outq *q, struct outq_pool *pool)
{
    *q = (struct outq){.pool = pool};
}

void outq_clear(struct outq *q)
{
    struct outq_segment *s = q->head;
    outq_init(q, q->pool);
    while (s) {
        struct outq_segment *next = s->next;
        segment_free(q->pool, s);
        s = next;
    }
}

int outq_add(struct outq *q, struct sprig_span bytes)
{
    if (bytes.len == 0)
        return 0;
    size_t n = tail_room(q);
    if (n > bytes.len)
        n = bytes.len;
    /* The one place where a queue grows by copies: allocated before anything is copied. */
    struct outq_segment *s = NULL;
    if (n < bytes.len && !(s = segment_new(q->pool, bytes.len - n)))
        return SPRIG_E_NOMEM;
    if (n)
        fill(q, q->tail, bytes.ptr, n);
    if (s) {
        append(q, s);
        fill(q, s, bytes.ptr + n, bytes.len - n);
    }
    return 0;
}

char *outq_reserve(struct outq *q, size_t n)
{
    if (tail_room(q) >= n && q->tail)
        return q->tail->ptr + q->tail->left;
    q->pool->reserved = segment_new(q->pool, n);
    return q->pool->reserved ? q->pool->reserved->ptr : NULL;
}

void outq_commit(struct outq *q, size_t n_used)
{
    struct outq_segment *s = q->pool->reserved;
    q->pool->reserved = NULL;
    if (s && n_used == 0) {
        segment_free(q->pool, s);
        return;
    }
    if (n_used == 0)
        return;
    if (s)
        append(q, s);
    q->tail->left += n_used;
    q->tail->room -= n_used;
    q->size += n_used;
}

/* A segment without a buffer; on failure the reference is given back. NULL as well, with *err 0, if
 * there is nothing to queue. */
static struct outq_segment *reference_new(enum kind kind, uint64_t n, outq_release_cb *release,
                                          void *arg, int *err)
{
    struct outq_segment *s = n ? malloc(sizeof(*s)) : NULL;
    *err = n && !s ? SPRIG_E_NOMEM : 0;
    if (!s) {
        if (release)
            release(arg);
        return NULL;
    }
    *s = (struct outq_segment){.kind = kind, .left = n, .release = release, .arg = arg, .fd = -1};
    return s;
}

int outq_add_ref(struct outq *q, struct sprig_span bytes, outq_release_cb *release, void *arg)
{
    int err;
    struct outq_segment *s = reference_new(KIND_REF, bytes.len, release, arg, &err);
    if (!s)
        return err;
    s->ptr = (char *)bytes.ptr;
    append(q, s);
    q->size += bytes.len;
    return 0;
}

int outq_add_file(struct outq *q, int fd, uint64_t offset, uint64_t length,
                  outq_release_cb *release, void *arg)
{
    int err;
    struct outq_segment *s = reference_new(KIND_FILE, length, release, arg, &err);
    if (!s)
        return err;
    s->fd = fd;
    s->offset = offset;
    append(q, s);
    q->size += length;
    return 0;
}

/* Forgets n bytes at the front that were sent. */
static void consume(struct outq *q, uint64_t n)
{
    q->size -= n;
    while (n > 0) {
        struct outq_segment *s = q->head;
        if (s->left > n) {
            s->left -= n;
            if (s->kind != KIND_FILE)
                s->ptr += n;
            return;
        }
        n -= s->left;
        q->head = s->next;
        if (!q->head)
            q->tail = NULL;
        segment_free(q->pool, s);
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

/* True for what only the file can be the cause of. */
static bool is_file_error(int err)
{
    return err == EIO || err == EBADF || err == EINVAL || err == ESPIPE || err == EISDIR ||
           err == EOVERFLOW || err == ESTALE || err == ENXIO;
}

/* One sendfile for the range at the head. OUTQ_MORE: go on. A short count says nothing by itself:
 * the socket may be full or the file may have ended, and the next call tells which. */
static enum outq_result send_file(struct outq *q, const struct transport *t, int fd, uint64_t limit,
                                  uint64_t *n_written)
{
    struct outq_segment *s = q->head;
    uint64_t n = s->left < limit ? s->left : limit;
    if (n > SENDFILE_BYTES)
        n = SENDFILE_BYTES;
    ssize_t sent = t->sendfile(fd, s->fd, &s->offset, (size_t)n);
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

/* Collects neighbouring memory pieces, at most `limit` bytes: sets *n_bytes, returns their number.
 * *more: a file range follows directly. */
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
    } while (s && s->kind != KIND_FILE && n < MAX_IOV && *n_bytes < limit);
    *more = s && s->kind == KIND_FILE && *n_bytes < limit;
    return n;
}

/* One writev for the memory pieces at the head. OUTQ_MORE: all of them are sent, go on. */
static enum outq_result send_memory(struct outq *q, const struct transport *t, int fd,
                                    uint64_t limit, uint64_t *n_written)
{
    struct iovec iov[MAX_IOV];
    uint64_t asked;
    bool more;
    int n = gather(q, iov, limit, &asked, &more);
    ssize_t sent = t->writev(fd, iov, n, more);
    if (sent == -1)
        return write_failed();
    consume(q, (uint64_t)sent);
    *n_written += (uint64_t)sent;
    return (uint64_t)sent < asked ? OUTQ_BLOCKED : OUTQ_MORE;
}

enum outq_result outq_flush(struct outq *q, const struct transport *t, int fd, uint64_t budget,
                            uint64_t *n_written)
{
    *n_written = 0;
    while (q->head) {
        uint64_t limit = budget ? budget - *n_written : UINT64_MAX;
        if (limit == 0)
            return OUTQ_MORE;
        enum outq_result result = q->head->kind == KIND_FILE
                                      ? send_file(q, t, fd, limit, n_written)
                                      : send_memory(q, t, fd, limit, n_written);
        if (result != OUTQ_MORE)
            return result;
    }
    return OUTQ_DRAINED;
}

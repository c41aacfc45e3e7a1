/* outq.h - queued output: small pieces are merged, large ones and ranges of files are kept by
 * reference, and what is too much for memory waits in a temporary file.
 *
 * Knows no HTTP. Each connection has one queue, or one for each of its streams. Empty queues own no
 * memory. */
#ifndef SPRIG_OUTQ_H
#define SPRIG_OUTQ_H

#include "base/span.h"
#include "net/transport.h"
#include <stdbool.h>
#include <stdint.h>

/* Releases a reference. Called exactly once, when the bytes have been sent or the queue is cleared.
 * It must not enter Perl or touch the queue. */
typedef void outq_release_cb(void *arg);

struct outq_segment;
struct outq_spill;

/* Recycled buffers for merged pieces and references; one pool per loop, so that idle connections
 * own none. */
struct outq_pool {
    struct outq_segment *free;
    struct outq_segment *free_small;
    struct outq_segment *free_references;
    uint32_t n_free, n_free_small, n_free_references;
    uint32_t n_blocks;             /* there are, free or in queues, without the small ones */
    struct outq_segment *reserved; /* between outq_reserve and outq_commit, if it is a new one */
};

void outq_pool_init(struct outq_pool *pool);
void outq_pool_clear(struct outq_pool *pool);

struct outq {
    struct outq_segment *head, *tail;
    uint64_t size;            /* bytes queued, file ranges included */
    uint64_t in_memory;       /* of them: bytes of memory that nobody but the queue needs */
    uint64_t spilled;         /* of them: bytes in temporary files of the queue */
    uint64_t n_shown;         /* of them: bytes that STAT_BUFFERED counts, as of the last flush */
    uint32_t n_carried;       /* of them: sent already, see outq_carry */
    int carry_error;          /* errno of outq_carry, or 0 */
    struct outq_spill *spill; /* of its segments: the file that is appended to, or NULL */
    struct outq_pool *pool;
};

/* Pieces of at least this size are worth queueing by reference rather than copying. */
enum { OUTQ_REF_MIN_BYTES = 16 * 1024 };

void outq_init(struct outq *q, struct outq_pool *pool);

/* Drops everything, releases references and closes files. The queue can be used again. */
void outq_clear(struct outq *q);

/* Copies the bytes. Returns 0 or SPRIG_E_NOMEM (nothing queued). */
int outq_add(struct outq *q, struct sprig_span bytes);

/* Copies n pieces of `total` bytes in all, one after the other, as if they were one. */
int outq_add_pieces(struct outq *q, const struct sprig_span *pieces, size_t n, size_t total);

/* Reserves n contiguous bytes at the end of the queue to be filled in place; NULL if memory is
 * short. Call outq_commit() with the number of bytes used (0 changes nothing) before you do
 * anything else with this queue or its pool. */
char *outq_reserve(struct outq *q, size_t n);
void outq_commit(struct outq *q, size_t n_used);

/* Takes the reference, also on failure; the bytes must stay unchanged until `release(arg)`. */
int outq_add_ref(struct outq *q, struct sprig_span bytes, outq_release_cb *release, void *arg);

/* The same for memory that outlives the queue: it does not count as in memory and never moves to a
 * file. */
int outq_add_shared(struct outq *q, struct sprig_span bytes, outq_release_cb *release, void *arg);

/* Queues `length` bytes of fd from `offset` on. Takes the reference, also on failure: it does not
 * close the fd, but calls `release(arg)` when it no longer needs it. */
int outq_add_file(struct outq *q, int fd, uint64_t offset, uint64_t length,
                  outq_release_cb *release, void *arg);

/* Moves the first n bytes of `from`, or what it has, to the end of `to`. Segments move as they are.
 * If one is split, both parts keep alive what it refers to, and only a few bytes are copied; the
 * release comes when the last part is gone. SPRIG_E_NOMEM: whatever was not moved is still in
 * `from`. */
int outq_move(struct outq *to, struct outq *from, uint64_t n);

/* Moves what is in memory beyond about `keep_bytes` to an unlinked temporary file in `dir` (NULL:
 * $TMPDIR, else /tmp), from which it is sent in its turn. The file goes away when nothing is left
 * in it. Returns 0, SPRIG_E_SYS (errno) or SPRIG_E_NOMEM; whatever was not moved is still queued.
 */
int outq_spill(struct outq *q, uint64_t keep_bytes, const char *dir);

enum outq_result {
    OUTQ_DRAINED, /* everything is with the kernel */
    OUTQ_BLOCKED, /* the socket takes no more for now: wait until it is writable */
    OUTQ_MORE,    /* `budget` is used up; the socket may take more */
    OUTQ_GONE,    /* the peer is gone (EPIPE, ECONNRESET, ...); errno is set */
    OUTQ_SHORT    /* a file ended before its announced length or cannot be read (errno, else 0): the
                   * output is cut */
};

/* Writes up to `budget` bytes (0 for no limit): neighbouring pieces of memory with one writev,
 * ranges of files with sendfile. *n_written gets the bytes that left. Once `size` has fallen to
 * what the socket took, it makes no extra system call just to see EAGAIN. */
enum outq_result outq_flush(struct outq *q, struct transport *t, uint64_t budget,
                            uint64_t *n_written);

/* The same for a queue of one short piece, as when thousands of clients get the same message. True
 * if it has left; otherwise call outq_flush, which tells why. */
bool outq_flush_piece(struct outq *q, struct transport *t, uint64_t max);

/* Sends bytes that never were in the queue, which must be empty, through a transport that does not
 * encrypt. Returns how many have left; 0: none, and outq_flush will tell why. */
size_t outq_send_past(struct outq *q, struct transport *t, struct sprig_span bytes);

/* Sends what is in memory before the first file, as far as the socket takes it, and changes nothing
 * else. This is the one thing that another thread may do with a queue, while nobody else uses it.
 * Call outq_settle() before anything else is done with the queue: it forgets what was sent, and
 * returns false if the peer is gone (errno). */
void outq_carry(struct outq *q, struct transport *t);
bool outq_settle(struct outq *q);

#endif

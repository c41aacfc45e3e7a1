/* outq.h - bytes on their way out: small pieces merged, large ones by reference, ranges of files;
 * what is too much for memory waits in a temporary file.
 *
 * Knows no HTTP. One queue for each connection, or for each of its streams; empty queues own no
 * memory. */
#ifndef SPRIG_OUTQ_H
#define SPRIG_OUTQ_H

#include "base/span.h"
#include "net/transport.h"
#include <stdbool.h>
#include <stdint.h>

/* Gives back what was queued by reference: called exactly once, when the bytes are sent or the
 * queue is cleared. It must not enter Perl, nor touch the queue. */
typedef void outq_release_cb(void *arg);

struct outq_segment;
struct outq_spill;

/* Recycled buffers for merged pieces, and what references are kept in; one for each loop, so that
 * idle connections own none. */
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

/* Drops everything, releasing references and closing files. The queue can be used again. */
void outq_clear(struct outq *q);

/* Copies the bytes. 0 or SPRIG_E_NOMEM (nothing queued). */
int outq_add(struct outq *q, struct sprig_span bytes);

/* Copies n pieces, together `total` bytes, one behind the other: as if they were one. */
int outq_add_pieces(struct outq *q, const struct sprig_span *pieces, size_t n, size_t total);

/* Room for n contiguous bytes at the end of the queue, to be filled in place; NULL: no memory. Must
 * be followed by outq_commit() of the bytes really used (0: none, nothing changes) before anything
 * else is done with this queue or its pool. */
char *outq_reserve(struct outq *q, size_t n);
void outq_commit(struct outq *q, size_t n_used);

/* Takes the reference, also on failure; the bytes must stay unchanged until `release(arg)`. */
int outq_add_ref(struct outq *q, struct sprig_span bytes, outq_release_cb *release, void *arg);

/* The same for memory that stays alive without the queue, too: it does not count as in memory and
 * is never moved to a file. */
int outq_add_shared(struct outq *q, struct sprig_span bytes, outq_release_cb *release, void *arg);

/* Queues `length` bytes of fd from `offset` on; takes the reference: the fd is not closed, but
 * `release(arg)` is called when it is no longer needed, also on failure. */
int outq_add_file(struct outq *q, int fd, uint64_t offset, uint64_t length,
                  outq_release_cb *release, void *arg);

/* Moves the first n bytes of `from`, or what it has, to the end of `to`: segments as they are, and
 * where one is split, both parts keep alive what it refers to; only few bytes are ever copied. The
 * release comes when the last part is gone. SPRIG_E_NOMEM: what was not moved is still in `from`.
 */
int outq_move(struct outq *to, struct outq *from, uint64_t n);

/* Moves what is in memory beyond about `keep_bytes` to an unlinked temporary file in `dir` (NULL:
 * $TMPDIR, else /tmp), from where it is sent in its turn. The file goes as soon as nothing is left
 * in it. 0, or SPRIG_E_SYS (errno) or SPRIG_E_NOMEM: what was not moved is still queued. */
int outq_spill(struct outq *q, uint64_t keep_bytes, const char *dir);

enum outq_result {
    OUTQ_DRAINED, /* everything is with the kernel */
    OUTQ_BLOCKED, /* the socket takes no more for now: wait until it is writable */
    OUTQ_MORE,    /* `budget` is used up; the socket may take more */
    OUTQ_GONE,    /* the peer is gone (EPIPE, ECONNRESET, ...); errno is set */
    OUTQ_SHORT    /* a file ended before its announced length, or cannot be read (errno, else 0):
                     what was sent is cut */
};

/* Writes up to `budget` bytes (0 = no limit): one writev for neighbouring memory pieces, sendfile
 * for file ranges. *n_written gets the bytes that left. Once `size` falls to what the socket
 * took, no extra system call is made to see EAGAIN. */
enum outq_result outq_flush(struct outq *q, struct transport *t, uint64_t budget,
                            uint64_t *n_written);

/* The same for a queue of one short piece, as thousands have that get the same message: true if it
 * has left. Else outq_flush has to follow, which tells why. */
bool outq_flush_piece(struct outq *q, struct transport *t, uint64_t max);

/* Sends what lies in memory before the first file, as far as the socket takes it, and changes
 * nothing else: the one thing that another thread may do with a queue that is left alone meanwhile.
 * outq_settle() then forgets what was sent, before anything else is done with the queue; it returns
 * false if the peer is gone (errno). */
void outq_carry(struct outq *q, struct transport *t);
bool outq_settle(struct outq *q);

#endif

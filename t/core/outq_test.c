/* outq_test.c - the output queue: over real sockets, and over a transport that does as it is told.
 */
#include "base/err.h"
#include "net/outq.h"
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct outq_pool pool;

/* ---------------------------------------------- a transport under control ---- */

/* What the obedient transport does, and what was done with it. */
static struct {
    size_t takes; /* bytes at most for each call */
    int fails;    /* errno of every call, 0: none */
    int n_calls;  /* of writev and sendfile */
    int n_iov;    /* in the last writev */
    bool more;    /* of the last writev */
    char got[1 << 20];
    size_t n_got;
} wire;

static void wire_reset(size_t takes, int fails)
{
    wire.takes = takes;
    wire.fails = fails;
    wire.n_calls = wire.n_iov = 0;
    wire.n_got = 0;
}

static ssize_t wire_writev(struct transport *t, const struct iovec *iov, int n, bool more)
{
    (void)t;
    wire.n_calls++;
    wire.n_iov = n;
    wire.more = more;
    errno = wire.fails;
    if (wire.fails)
        return -1;
    size_t sum = 0;
    for (int i = 0; i < n && sum < wire.takes; i++) {
        size_t len = iov[i].iov_len;
        if (len > wire.takes - sum)
            len = wire.takes - sum;
        memcpy(wire.got + wire.n_got, iov[i].iov_base, len);
        wire.n_got += len;
        sum += len;
    }
    return (ssize_t)sum;
}

static ssize_t wire_sendfile(struct transport *t, int in_fd, uint64_t *offset, size_t n)
{
    (void)t;
    wire.n_calls++;
    errno = wire.fails;
    if (wire.fails)
        return -1;
    ssize_t got =
        pread(in_fd, wire.got + wire.n_got, n < wire.takes ? n : wire.takes, (off_t)*offset);
    if (got > 0) {
        *offset += (uint64_t)got;
        wire.n_got += (size_t)got;
    }
    return got;
}

static const struct transport_ops wire_ops = {.writev = wire_writev, .sendfile = wire_sendfile};
static struct transport obedient = {.ops = &wire_ops, .fd = -1};

/* Over a real socket, which stays the caller's. */
static struct transport *plain(int fd)
{
    static struct transport t;
    transport_plain_init(&t, fd, AF_UNSPEC);
    return &t;
}

static enum outq_result flush(struct outq *q, uint64_t budget)
{
    uint64_t n;
    return outq_flush(q, &obedient, budget, &n);
}

/* -------------------------------------------------------------- material ---- */

/* Byte number i of the endless text that all tests queue. */
static char pattern(uint64_t i)
{
    return (char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static char *pattern_new(uint64_t from, size_t n)
{
    char *p = malloc(n ? n : 1);
    for (size_t i = 0; i < n; i++)
        p[i] = pattern(from + i);
    return p;
}

static bool is_pattern(const char *p, uint64_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != pattern(from + i))
            return false;
    return true;
}

static int pattern_file(uint64_t from, size_t n)
{
    char path[] = "/tmp/outq-test-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    char *p = pattern_new(from, n);
    bool written = write(fd, p, n) == (ssize_t)n;
    free(p);
    return written ? fd : -1;
}

static int n_released;

static void release_counted(void *arg)
{
    n_released += *(int *)arg;
}

static int one = 1;

static void release_free(void *arg)
{
    n_released++;
    free(arg);
}

static void release_fd(void *arg)
{
    n_released++;
    close((int)(intptr_t)arg);
}

/* A socket pair with the smallest buffers; the writing end does not block, nor does the other. */
static void narrow_pair(int fds[2])
{
    int size = 1;
    socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    for (int i = 0; i < 2; i++)
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
}

/* ----------------------------------------------------------------- tests ---- */

static void small_pieces_leave_in_one_piece(void)
{
    struct outq q;
    outq_init(&q, &pool);
    wire_reset(SIZE_MAX, 0);
    for (int i = 0; i < 100; i++)
        outq_add(&q, SPAN_LIT("0123456789"));
    is_int((long long)q.size, 1000, "the size of the queue is the sum of its pieces");
    is_int(flush(&q, 0), OUTQ_DRAINED, "all of it leaves");
    ok(wire.n_calls == 1 && wire.n_iov == 1, "in one call with one piece");
    ok(wire.n_got == 1000 && memcmp(wire.got, "01234567890", 11) == 0, "unchanged");
    ok(q.size == 0 && !q.head && !q.tail, "an empty queue owns no memory");
    is_int(flush(&q, 0), OUTQ_DRAINED, "flushing an empty queue");
    is_int(wire.n_calls, 1, "... makes no call");
    is_int(outq_add(&q, SPAN_LIT("")), 0, "adding nothing is possible");
    ok(!q.head, "... and queues nothing");
}

static void short_writes_of_every_size(void)
{
    bool all_right = true;
    for (size_t takes = 1; takes <= 120 && all_right; takes++) {
        struct outq q;
        outq_init(&q, &pool);
        wire_reset(takes, 0);
        char *ref = pattern_new(40, 37);
        char *text = pattern_new(0, 100);
        outq_add(&q, span_make(text, 40));
        outq_add_ref(&q, span_make(ref, 37), release_free, ref);
        outq_add(&q, span_make(text + 77, 3));
        outq_add(&q, span_make(text + 80, 20));
        free(text);
        for (size_t left = 100; left > 0; left -= takes < left ? takes : left) {
            int calls = wire.n_calls;
            enum outq_result want = takes < left ? OUTQ_BLOCKED : OUTQ_DRAINED;
            all_right = all_right && q.size == left && flush(&q, 0) == want;
            all_right = all_right && wire.n_calls == calls + 1;
        }
        all_right = all_right && wire.n_got == 100 && is_pattern(wire.got, 0, 100);
        if (!all_right)
            diag("failed where the socket takes %zu bytes", takes);
        outq_clear(&q);
    }
    ok(all_right, "a short write means blocked, without a second call, and loses nothing");
}

static void references_are_given_back_once(void)
{
    struct outq q;
    outq_init(&q, &pool);
    n_released = 0;
    wire_reset(5, 0);
    outq_add_ref(&q, SPAN_LIT("abcdef"), release_counted, &one);
    outq_add_ref(&q, SPAN_LIT("ghi"), release_counted, &one);
    flush(&q, 0);
    is_int(n_released, 0, "while a byte is left the reference is held");
    wire_reset(2, 0);
    flush(&q, 0);
    is_int(n_released, 1, "once the last byte is sent it is given back");
    outq_clear(&q);
    is_int(n_released, 2, "clearing gives back the rest");
    outq_clear(&q);
    is_int(n_released, 2, "and only once");
    is_int(outq_add_ref(&q, SPAN_LIT(""), release_counted, &one), 0, "an empty reference");
    is_int(n_released, 3, "... is given back at once");
    outq_add_file(&q, 0, 0, 0, release_counted, &one);
    is_int(n_released, 4, "and so is an empty range of a file");
    ok(!q.head && q.size == 0, "neither is queued");
    is_int(outq_add_ref(&q, SPAN_LIT("static"), NULL, NULL), 0, "a reference may need no release");
    wire_reset(SIZE_MAX, 0);
    is_int(flush(&q, 0), OUTQ_DRAINED, "... and is sent like any other");
}

static void order_is_kept_around_references_and_files(void)
{
    struct outq q;
    outq_init(&q, &pool);
    wire_reset(SIZE_MAX, 0);
    n_released = 0;
    int fd = pattern_file(1000, 5000);
    outq_add(&q, SPAN_LIT("head|"));
    outq_add_file(&q, fd, 10, 4000, release_counted, &one);
    outq_add(&q, SPAN_LIT("|tail|"));
    outq_add_ref(&q, SPAN_LIT("ref|"), release_counted, &one);
    outq_add(&q, SPAN_LIT("end"));
    is_int((long long)q.size, 5 + 4000 + 6 + 4 + 3, "file ranges count in the size");
    is_int(flush(&q, 0), OUTQ_DRAINED, "memory, file, memory is sent");
    is_int(wire.n_calls, 3, "in three calls");
    ok(memcmp(wire.got, "head|", 5) == 0 && is_pattern(wire.got + 5, 1010, 4000) &&
           memcmp(wire.got + 4005, "|tail|ref|end", 13) == 0,
       "in order, from the offset");
    is_int(n_released, 2, "the references are given back");
    ok(fcntl(fd, F_GETFD) != -1, "the file is left open");
    is_int(lseek(fd, 0, SEEK_CUR), 5000, "and its position where it was");
    close(fd);
}

static void a_file_is_announced_to_the_kernel(void)
{
    struct outq q;
    outq_init(&q, &pool);
    wire_reset(SIZE_MAX, EAGAIN);
    int fd = pattern_file(0, 10);
    outq_add(&q, SPAN_LIT("head"));
    flush(&q, 0);
    ok(!wire.more, "memory alone leaves at once");
    outq_add_file(&q, fd, 0, 10, NULL, NULL);
    flush(&q, 0);
    ok(wire.more, "memory with a file behind it may share a packet with it");
    flush(&q, 4);
    ok(!wire.more, "but not if the budget ends between them");
    outq_clear(&q);
    close(fd);
}

static void errors_are_told_apart(void)
{
    static const struct {
        int err;
        enum outq_result memory, file;
        const char *name;
    } rows[] = {
        {EAGAIN, OUTQ_BLOCKED, OUTQ_BLOCKED, "EAGAIN"},
        {ENOMEM, OUTQ_BLOCKED, OUTQ_BLOCKED, "ENOMEM"},
        {ENOBUFS, OUTQ_BLOCKED, OUTQ_BLOCKED, "ENOBUFS"},
        {EPIPE, OUTQ_GONE, OUTQ_GONE, "EPIPE"},
        {ECONNRESET, OUTQ_GONE, OUTQ_GONE, "ECONNRESET"},
        {ETIMEDOUT, OUTQ_GONE, OUTQ_GONE, "ETIMEDOUT"},
        {EIO, OUTQ_GONE, OUTQ_SHORT, "EIO"},
    };
    int fd = pattern_file(0, 10);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct outq q;
        outq_init(&q, &pool);
        wire_reset(SIZE_MAX, rows[i].err);
        outq_add(&q, SPAN_LIT("x"));
        bool right = flush(&q, 0) == rows[i].memory && errno == rows[i].err && q.size == 1;
        outq_clear(&q);
        outq_add_file(&q, fd, 0, 10, NULL, NULL);
        right = right && flush(&q, 0) == rows[i].file && errno == rows[i].err && q.size == 10;
        ok(right && wire.n_calls == 2, "%s of a socket and of a file", rows[i].name);
        outq_clear(&q);
    }
    close(fd);
}

static void the_budget_is_kept_exactly(void)
{
    struct outq q;
    outq_init(&q, &pool);
    wire_reset(SIZE_MAX, 0);
    char *text = pattern_new(0, 3000);
    int fd = pattern_file(3000, 3000);
    outq_add(&q, span_make(text, 3000));
    outq_add_file(&q, fd, 0, 3000, NULL, NULL);
    uint64_t n, sum = 0;
    enum outq_result result;
    bool all_right = true;
    while ((result = outq_flush(&q, &obedient, 700, &n)) == OUTQ_MORE) {
        sum += n;
        all_right = all_right && n == 700 && q.size == 6000 - sum;
    }
    ok(all_right && result == OUTQ_DRAINED && n == 6000 % 700, "slices of the budget's size");
    ok(wire.n_got == 6000 && is_pattern(wire.got, 0, 6000), "carry all bytes");
    outq_add(&q, span_make(text, 700));
    is_int(outq_flush(&q, &obedient, 700, &n), OUTQ_DRAINED, "a budget that just suffices");
    free(text);
    close(fd);
}

static void many_references_need_few_calls(void)
{
    struct outq q;
    outq_init(&q, &pool);
    wire_reset(SIZE_MAX, 0);
    n_released = 0;
    char *text = pattern_new(0, 200);
    for (int i = 0; i < 200; i++)
        outq_add_ref(&q, span_make(text + i, 1), release_counted, &one);
    is_int(flush(&q, 0), OUTQ_DRAINED, "200 references are sent");
    is_int(wire.n_calls, 4, "64 of them in a call");
    ok(n_released == 200 && is_pattern(wire.got, 0, 200), "all of them, in order");
    free(text);
}

static void large_files_go_in_slices(void)
{
    struct outq q;
    outq_init(&q, &pool);
    wire_reset(SIZE_MAX, 0);
    int fd = pattern_file(0, 1 << 20);
    outq_add_file(&q, fd, 0, 1 << 20, NULL, NULL);
    is_int(flush(&q, 0), OUTQ_DRAINED, "a file of 1 MiB is sent");
    is_int(wire.n_calls, 2, "half a MiB in a call");
    ok(wire.n_got == 1 << 20 && is_pattern(wire.got, 0, 1 << 20), "unchanged");
    close(fd);
}

static void bytes_can_be_written_in_place(void)
{
    struct outq q;
    outq_init(&q, &pool);
    wire_reset(SIZE_MAX, 0);
    char *at = outq_reserve(&q, 100);
    memcpy(at, "abc", 3);
    ok(q.size == 0 && !q.head, "nothing is queued before the commit");
    outq_commit(&q, 3);
    at = outq_reserve(&q, 100);
    memcpy(at, "XXX", 3);
    outq_commit(&q, 0);
    is_int((long long)q.size, 3, "what is given up is not queued");
    outq_add(&q, SPAN_LIT("def"));
    at = outq_reserve(&q, 100000);
    memset(at, 'g', 100000);
    outq_commit(&q, 100000);
    at = outq_reserve(&q, 50);
    outq_commit(&q, 0);
    outq_add(&q, SPAN_LIT("h"));
    is_int(flush(&q, 0), OUTQ_DRAINED, "what was committed is sent");
    ok(wire.n_got == 100007 && memcmp(wire.got, "abcdefg", 7) == 0 && wire.got[100006] == 'h',
       "with what was added around it");
    outq_reserve(&q, 10);
    outq_commit(&q, 0);
    ok(!q.head, "giving up leaves an empty queue empty");
}

static void the_pool_is_bounded(void)
{
    struct outq queues[100];
    for (int i = 0; i < 100; i++) {
        outq_init(&queues[i], &pool);
        outq_add(&queues[i], SPAN_LIT("x"));
    }
    for (int i = 0; i < 100; i++)
        outq_clear(&queues[i]);
    is_int(pool.n_free, 64, "at most 64 buffers are kept");
    outq_add(&queues[0], SPAN_LIT("x"));
    is_int(pool.n_free, 63, "and used again");
    outq_clear(&queues[0]);
    outq_pool_clear(&pool);
    ok(pool.n_free == 0 && !pool.free, "clearing the pool frees them");
}

static void a_file_that_shrank_is_short(void)
{
    int fds[2];
    narrow_pair(fds);
    struct outq q;
    outq_init(&q, &pool);
    int fd = pattern_file(0, 1000);
    n_released = 0;
    outq_add_file(&q, fd, 0, 1000, release_counted, &one);
    ok(ftruncate(fd, 600) == 0, "the file shrinks after it was queued");
    uint64_t n;
    is_int(outq_flush(&q, plain(fds[0]), 0, &n), OUTQ_SHORT, "the end is noticed");
    is_int((long long)n, 600, "after what there was");
    outq_clear(&q);
    is_int(n_released, 1, "and its reference is given back");
    close(fd);
    outq_add_file(&q, fds[1], 0, 10, NULL, NULL);
    is_int(outq_flush(&q, plain(fds[0]), 0, &n), OUTQ_SHORT,
           "what cannot be read like a file is short, too");
    outq_clear(&q);
    close(fds[0]);
    close(fds[1]);
}

static void a_peer_that_left_is_gone(void)
{
    for (int with_file = 0; with_file < 2; with_file++) {
        int fds[2];
        narrow_pair(fds);
        close(fds[1]);
        struct outq q;
        outq_init(&q, &pool);
        n_released = 0;
        int fd = pattern_file(0, 1000);
        if (with_file)
            outq_add_file(&q, fd, 0, 1000, release_counted, &one);
        else
            outq_add_ref(&q, SPAN_LIT("abc"), release_counted, &one);
        uint64_t n;
        enum outq_result result = outq_flush(&q, plain(fds[0]), 0, &n);
        ok(result == OUTQ_GONE && errno == EPIPE && n == 0, "the peer left before the %s",
           with_file ? "file" : "bytes");
        outq_clear(&q);
        is_int(n_released, 1, "... and the reference is given back");
        close(fd);
        close(fds[0]);
    }
}

/* Linux refuses to send some files by itself: they are copied. */
static void an_unusual_file_is_copied(void)
{
    int fd = open("/proc/self/environ", O_RDONLY), fds[2];
    char want[8192], got[8192];
    ssize_t size = fd == -1 ? -1 : pread(fd, want, sizeof(want), 0);
    if (size <= 0 || size > 4000) {
        ok(true, "# SKIP no such file here");
        close(fd);
        return;
    }
    narrow_pair(fds);
    struct outq q;
    outq_init(&q, &pool);
    outq_add_file(&q, fd, 0, (uint64_t)size, NULL, NULL);
    uint64_t n;
    enum outq_result result = outq_flush(&q, plain(fds[0]), 0, &n);
    ok(result == OUTQ_DRAINED && n == (uint64_t)size && read(fds[1], got, sizeof(got)) == size &&
           memcmp(want, got, (size_t)size) == 0,
       "a file without a size of its own is sent");
    outq_clear(&q);
    close(fd);
    close(fds[0]);
    close(fds[1]);
}

/* ------------------------------------------------------- the whole, at random ---- */

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % n;
}

/* Mostly small, sometimes large. */
static size_t random_size(void)
{
    static const uint32_t limits[] = {3, 100, 5000, 20000, 70000};
    return random_below(limits[random_below(5)]);
}

static uint64_t n_queued, n_read;
static int n_references;

static void queue_something(struct outq *q)
{
    size_t n = random_size();
    char *p = pattern_new(n_queued, n);
    switch (random_below(5)) {
    case 0:
        outq_add(q, span_make(p, n));
        free(p);
        break;
    case 1:
        memcpy(outq_reserve(q, n + 10), p, n);
        outq_commit(q, n);
        free(p);
        break;
    case 2:
        outq_add_ref(q, span_make(p, n), release_free, p);
        n_references++;
        break;
    case 3: {
        size_t lead = random_below(50);
        int fd = pattern_file(n_queued - lead, n + lead + 10);
        outq_add_file(q, fd, lead, n, release_fd, (void *)(intptr_t)fd);
        n_references++;
        free(p);
        break;
    }
    case 4:
        outq_add_shared(q, span_make(p, n), release_free, p);
        n_references++;
        break;
    }
    n_queued += n;
}

/* Memory beyond some limit is gone, and nothing else changes. */
static bool spill_something(struct outq *q)
{
    uint64_t keep = random_below(2) ? 0 : random_size(), size = q->size;
    return outq_spill(q, keep, NULL) == 0 && q->held <= keep && q->size == size;
}

static bool read_something(int fd)
{
    static char buf[70000];
    ssize_t n = read(fd, buf, random_size() + 1);
    if (n <= 0)
        return n == -1 && errno == EAGAIN;
    bool right = is_pattern(buf, n_read, (size_t)n);
    n_read += (uint64_t)n;
    return right;
}

static bool flush_something(struct outq *q, int fd)
{
    uint64_t before = q->size, n, budget = random_below(2) ? 0 : 1 + random_size();
    enum outq_result result = outq_flush(q, plain(fd), budget, &n);
    if (before - q->size != n || (budget && n > budget))
        return false;
    switch (result) {
    case OUTQ_DRAINED:
        return q->size == 0 && !q->head;
    case OUTQ_BLOCKED:
        return q->size > 0;
    case OUTQ_MORE:
        return q->size > 0 && n == budget;
    case OUTQ_GONE:
    case OUTQ_SHORT:
        return false;
    }
    return false;
}

static void too_much_memory_goes_to_a_file(void)
{
    struct outq q;
    outq_init(&q, &pool);
    n_released = 0;
    wire_reset(SIZE_MAX, 0);
    outq_add(&q, SPAN_LIT("stays,"));
    outq_add_shared(&q, SPAN_LIT("shared,"), NULL, NULL);
    outq_add_ref(&q, SPAN_LIT("ref,"), release_counted, &one);
    outq_add(&q, SPAN_LIT("small,"));
    is_int(q.held, 16, "shared memory is not held");
    is_int(outq_spill(&q, 6, "/nonexistent"), SPRIG_E_SYS, "a folder that is not there");
    is_int(q.held, 16, "then all is as it was");
    is_int(outq_spill(&q, 6, NULL), 0, "spilled");
    is_int(q.held, 6, "what may stay stays");
    is_int(q.spilled, 10, "the rest waits in the file");
    is_int(n_released, 1, "its memory was given back");
    outq_add(&q, SPAN_LIT("more,"));
    is_int(outq_spill(&q, 6, NULL), 0, "more of it");
    outq_add(&q, SPAN_LIT("end"));
    is_int(flush(&q, 0), OUTQ_DRAINED, "sent");
    ok(wire.n_got == 31 && !memcmp(wire.got, "stays,shared,ref,small,more,end", 31), "in order");
    ok(q.held == 0 && q.spilled == 0 && !q.spill, "the file is gone");
    outq_add(&q, SPAN_LIT("dropped"));
    outq_spill(&q, 0, NULL);
    outq_clear(&q);
    ok(!q.spill && !q.size, "also if its bytes are dropped");
}

static void a_reader_gets_what_was_queued(void)
{
    const char *given = getenv("TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid();
    diag("TEST_SEED=%llu", (unsigned long long)seed);
    random_state = seed;
    n_released = 0;
    int fds[2];
    narrow_pair(fds);
    struct outq q;
    outq_init(&q, &pool);
    bool right = true;
    for (int step = 0; step < 3000 && right; step++) {
        if (q.size < 1000000)
            queue_something(&q);
        right = random_below(3) || spill_something(&q);
        right = right && flush_something(&q, fds[0]) && read_something(fds[1]);
        right = right && n_queued - n_read >= q.size;
    }
    while (right && (q.size || n_read < n_queued))
        right = flush_something(&q, fds[0]) && read_something(fds[1]);
    ok(right && n_read == n_queued, "%llu bytes of all kinds arrive as they were queued",
       (unsigned long long)n_queued);
    is_int(n_released, n_references, "each reference is given back once");
    outq_clear(&q);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    outq_pool_init(&pool);
    small_pieces_leave_in_one_piece();
    short_writes_of_every_size();
    references_are_given_back_once();
    order_is_kept_around_references_and_files();
    a_file_is_announced_to_the_kernel();
    errors_are_told_apart();
    the_budget_is_kept_exactly();
    many_references_need_few_calls();
    large_files_go_in_slices();
    bytes_can_be_written_in_place();
    the_pool_is_bounded();
    a_file_that_shrank_is_short();
    a_peer_that_left_is_gone();
    an_unusual_file_is_copied();
    too_much_memory_goes_to_a_file();
    a_reader_gets_what_was_queued();
    outq_pool_clear(&pool);
    return done_testing();
}

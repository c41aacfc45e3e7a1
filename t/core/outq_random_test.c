/* outq_random_test.c - the output queue with everything in it, over a real socket to a reader of
 * its own pace. */
#include "outq_stage.h"

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
    return outq_spill(q, keep, NULL) == 0 && q->in_memory <= keep && q->size == size;
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
    is_int(q.in_memory, 16, "shared memory is not held");
    is_int(outq_spill(&q, 6, "/nonexistent"), SPRIG_E_SYS, "a folder that is not there");
    is_int(q.in_memory, 16, "then all is as it was");
    is_int(outq_spill(&q, 6, NULL), 0, "spilled");
    is_int(q.in_memory, 6, "what may stay stays");
    is_int(q.spilled, 10, "the rest waits in the file");
    is_int(n_released, 1, "its memory was given back");
    outq_add(&q, SPAN_LIT("more,"));
    is_int(outq_spill(&q, 6, NULL), 0, "more of it");
    outq_add(&q, SPAN_LIT("end"));
    is_int(flush(&q, 0), OUTQ_DRAINED, "sent");
    ok(wire.n_got == 31 && !memcmp(wire.got, "stays,shared,ref,small,more,end", 31), "in order");
    ok(q.in_memory == 0 && q.spilled == 0 && !q.spill, "the file is gone");
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
    too_much_memory_goes_to_a_file();
    a_reader_gets_what_was_queued();
    outq_pool_clear(&pool);
    return done_testing();
}

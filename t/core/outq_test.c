/* outq_test.c - the output queue, case by case: over real sockets, and over a transport that does
 * as it is told. */
#include "outq_stage.h"

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

static void many_queues_have_small_buffers(void)
{
    struct outq queues[70];
    char *text = pattern_new(0, 3000);
    bool all_right = true;
    for (int i = 0; i < 70; i++) {
        outq_init(&queues[i], &pool);
        outq_add(&queues[i], span_make(text, 500));
    }
    is_int(pool.n_blocks, 64, "64 queues have a large buffer");
    for (int i = 64; i < 70; i++)
        outq_add(&queues[i], span_make(text + 500, 2500));
    for (int i = 64; i < 70; i++) {
        wire_reset(SIZE_MAX, 0);
        all_right = all_right && queues[i].size == 3000 && queues[i].in_memory == 3000;
        all_right = all_right && flush(&queues[i], 0) == OUTQ_DRAINED && wire.n_calls == 1;
        all_right = all_right && wire.n_got == 3000 && is_pattern(wire.got, 0, 3000);
        all_right = all_right && queues[i].in_memory == 0;
    }
    ok(all_right, "the others begin with a small one, and a large one follows if need be");
    for (int i = 0; i < 64; i++)
        outq_clear(&queues[i]);
    ok(pool.n_free == 64 && pool.n_blocks == 64 && pool.n_free_small == 6,
       "both kinds are kept, the large ones up to a limit");
    outq_pool_clear(&pool);
    ok(pool.n_blocks == 0 && pool.n_free_small == 0, "until the pool is cleared");
    free(text);
}

static void a_short_piece_has_a_way_of_its_own(void)
{
    struct outq q;
    outq_init(&q, &pool);
    n_released = 0;
    wire_reset(SIZE_MAX, 0);
    ok(!outq_flush_piece(&q, &obedient, 100), "an empty queue has no piece");
    outq_add_shared(&q, SPAN_LIT("0123456789"), release_counted, &one);
    ok(!outq_flush_piece(&q, &obedient, 9), "one that is longer than that stays");
    ok(wire.n_calls == 0 && q.size == 10, "... without a call");
    ok(outq_flush_piece(&q, &obedient, 10), "a short one leaves");
    ok(wire.n_got == 10 && q.size == 0 && !q.head && !q.tail && n_released == 1,
       "... and is given back");
    outq_add(&q, SPAN_LIT("abc"));
    outq_add_shared(&q, SPAN_LIT("def"), release_counted, &one);
    ok(!outq_flush_piece(&q, &obedient, 100) && q.size == 6, "two pieces take the usual way");
    is_int(flush(&q, 0), OUTQ_DRAINED, "... which they then do");
    wire_reset(4, 0);
    outq_add(&q, SPAN_LIT("0123456789"));
    ok(!outq_flush_piece(&q, &obedient, 100), "what the socket does not take whole has not left");
    ok(q.size == 6 && wire.n_got == 4, "... but for what it took");
    wire_reset(SIZE_MAX, 0);
    ok(flush(&q, 0) == OUTQ_DRAINED && wire.n_got == 6 && memcmp(wire.got, "456789", 6) == 0,
       "... and the rest goes its usual way");
}

static void bytes_pass_an_empty_queue(void)
{
    struct outq q;
    outq_init(&q, &pool);
    wire_reset(4, 0);
    is_int(outq_send_past(&q, &obedient, SPAN_LIT("0123456789")), 4, "as many as the socket takes");
    ok(q.size == 0 && memcmp(wire.got, "0123", 4) == 0, "... without being queued");
    wire_reset(0, 0);
    is_int(outq_send_past(&q, &obedient, SPAN_LIT("0123")), 0, "none, if it takes none");
    wire_reset(SIZE_MAX, 0);
    outq_add(&q, SPAN_LIT("abc"));
    is_int(outq_send_past(&q, &obedient, SPAN_LIT("0123")), 0, "none, if something is queued");
    ok(wire.n_calls == 0, "... without a call");
    outq_clear(&q);
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
    many_queues_have_small_buffers();
    a_short_piece_has_a_way_of_its_own();
    bytes_pass_an_empty_queue();
    a_file_that_shrank_is_short();
    a_peer_that_left_is_gone();
    an_unusual_file_is_copied();
    outq_pool_clear(&pool);
    return done_testing();
}

/* stats_test.c - counters of processes that come and go: totals never go back. */
#include "base/stats.h"
#include "tap.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t total(struct stats_board *board, enum stats_number i)
{
    struct stats_sum sum;
    stats_board_sum(board, &sum);
    return sum.n[i];
}

/* A process that counts n requests and ends; it is killed in the middle of the next one. */
static void run_process(struct stats *entry, int n)
{
    pid_t pid = fork();
    if (pid == 0) {
        stats_attach(entry);
        for (int i = 0; i < n; i++) {
            stats_add(STAT_STARTED, 1);
            stats_time(TIMES_REQUEST, 1000000);
        }
        stats_add(STAT_ACTIVE, 1);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void test_totals(void)
{
    int fd;
    struct stats_board *board = stats_board_new(3, &fd);
    ok(board != NULL, "there is a board");
    struct stats *a = stats_board_take(board, 1, 1), *b = stats_board_take(board, 2, 1);
    ok(a != NULL && b != NULL && a != b, "with an entry for each process");
    run_process(a, 1000);
    run_process(b, 500);
    is_int((long)total(board, STAT_STARTED), 1500, "the total is that of both");
    is_int((long)total(board, STAT_ACTIVE), 2, "and so is a gauge");
    stats_board_give_back(board, a);
    is_int((long)total(board, STAT_STARTED), 1500, "a process that is gone still counts");
    is_int((long)total(board, STAT_ACTIVE), 1, "but its gauges do not");
    struct stats_sum sum;
    stats_board_sum(board, &sum);
    is_int((long)sum.times[TIMES_REQUEST].n[0], 1500, "nor do durations go back");
    struct stats *c = stats_board_take(board, 1, 2);
    ok(c != NULL && c->n[STAT_STARTED] == 0, "the next one begins with zero");
    ok(stats_board_take(board, 3, 1) != NULL, "there is room for three");
    ok(stats_board_take(board, 4, 1) == NULL, "and not for four");
    stats_board_give_back(board, NULL);
    struct stats_board *again = stats_board_inherit(fd);
    ok(again != NULL && total(again, STAT_STARTED) == 1500, "a successor finds the same");
    stats_board_free(again);
    board->layout[0]++;
    ok(stats_board_inherit(fd) == NULL, "unless it is of another layout");
    close(fd);
    stats_board_free(board);
}

static void test_buckets(void)
{
    const struct {
        uint64_t ns;
        int bucket;
    } cases[] = {{0, 0},
                 {5000000, 0},
                 {5000001, 1},
                 {10000000, 1},
                 {10000000000, 13},
                 {10000000001, N_BOUNDS},
                 {UINT64_MAX / 2, N_BOUNDS}};
    struct stats *own = stats_own;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t before = own->times[TIMES_QUEUE].n[cases[i].bucket];
        stats_time(TIMES_QUEUE, cases[i].ns);
        is_int((long)(own->times[TIMES_QUEUE].n[cases[i].bucket] - before), 1,
               "%llu ns lie in bucket %d", (unsigned long long)cases[i].ns, cases[i].bucket);
    }
}

static void test_requests(void)
{
    char longest[2 * STATS_REQUEST_BYTES];
    memset(longest, 'x', sizeof longest);
    stats_enter(longest, sizeof longest);
    is_int((long)stats_own->n_request, STATS_REQUEST_BYTES, "a long request is cut");
    stats_leave();
    is_int((long)stats_own->n_request, 0, "and forgotten");
}

/* What a child counts is not its parent's. */
static void test_fork(void)
{
    int fd;
    struct stats_board *board = stats_board_new(1, &fd);
    close(fd);
    stats_attach(stats_board_take(board, 1, 1));
    uint64_t before = total(board, STAT_STARTED);
    pid_t pid = fork();
    if (pid == 0) {
        stats_add(STAT_STARTED, 1);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    is_int((long)(total(board, STAT_STARTED) - before), 0, "a child counts for itself");
    stats_add(STAT_STARTED, 1);
    is_int((long)(total(board, STAT_STARTED) - before), 1, "its parent goes on");
}

int main(void)
{
    test_totals();
    test_buckets();
    test_requests();
    test_fork();
    return done_testing();
}

/* stats.c - shared counters: the tables, the board and its entries; see stats.h */
#include "base/stats.h"

#include "base/clock.h"
#include "base/memory.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* ---------------------------------------------------------------- the tables ---- */

#define STATS_ROW(name, kind, family, labels, help) {#name, STAT_##kind, family, labels, help},
const struct stats_row stats_rows[N_STATS] = {STATS(STATS_ROW)};

#define RESTARTS_TEXT(name, text) text,
const char *const restart_names[N_RESTARTS] = {RESTARTS(RESTARTS_TEXT)};

const struct times_row times_rows[N_TIMES] = {
    {"request", "http_server_request_duration_seconds",
     "Time from the last byte of a request to the last byte of its response."},
    {"first_byte", "sprig_time_to_first_byte_seconds",
     "Time from the last byte of a request to the first byte of its response."},
    {"queue", "sprig_request_queue_seconds",
     "Time that requests waited for the application, in the proxy (X-Request-Start) and in the "
     "server."},
    {"pass", "sprig_loop_pass_seconds", "Duration of event loop passes, without the time asleep."},
};

#define MS(n) (UINT64_C(1000000) * (n))
const uint64_t times_bounds_ns[N_BOUNDS] = {STATS_FIRST_BOUND_NS,
                                            MS(10),
                                            MS(25),
                                            MS(50),
                                            MS(75),
                                            MS(100),
                                            MS(250),
                                            MS(500),
                                            MS(750),
                                            MS(1000),
                                            MS(2500),
                                            MS(5000),
                                            MS(7500),
                                            MS(10000)};
const char *const times_bounds_text[N_BOUNDS] = {"0.005", "0.01", "0.025", "0.05", "0.075",
                                                 "0.1",   "0.25", "0.5",   "0.75", "1.0",
                                                 "2.5",   "5.0",  "7.5",   "10.0"};

/* -------------------------------------------------------- in one process ---- */

static struct stats nobodys; /* for a process without a board */
struct stats *stats_own = &nobodys;

/* A forked child must not add to its parent's counters. Clears only memory that was written to. */
static void stats_on_fork(void)
{
    if (stats_own != &nobodys)
        stats_own = &nobodys;
    memset(&nobodys, 0, offsetof(struct stats, conns));
}

void stats_attach(struct stats *s)
{
    static bool is_watched;
    for (int i = 0; i < N_STATS; i++)
        s->n[i] += stats_own->n[i];
    for (int i = 0; i < N_TIMES; i++) {
        for (int k = 0; k <= N_BOUNDS; k++)
            s->times[i].n[k] += stats_own->times[i].n[k];
        s->times[i].sum_ns += stats_own->times[i].sum_ns;
    }
    s->pid = (uint32_t)getpid();
    stats_own = s;
    if (!is_watched)
        pthread_atfork(NULL, NULL, stats_on_fork);
    is_watched = true;
}

unsigned stats_bucket_of_long(uint64_t ns)
{
    unsigned i = 0;
    while (i < N_BOUNDS && ns > times_bounds_ns[i])
        i++;
    return i;
}

void stats_pass(uint64_t ns)
{
    stats_add(STAT_PASSES, 1);
    stats_time(TIMES_PASS, ns);
    stats_set(STAT_LAG, ns);
    if (ns > stats_own->n[STAT_LONGEST_BLOCK])
        stats_set(STAT_LONGEST_BLOCK, ns);
}

void stats_reloaded(bool has_failed, const char *note)
{
    struct stats *s = stats_own;
    snprintf(s->reload_note, sizeof s->reload_note, "%s", note);
    __atomic_store_n(&s->n_reloads_failed, s->n_reloads_failed + has_failed, __ATOMIC_RELEASE);
    __atomic_store_n(&s->n_reloads, s->n_reloads + 1, __ATOMIC_RELEASE);
}

void stats_begin_to_end(void)
{
    if (stats_own->state == STATS_SERVING)
        __atomic_store_n(&stats_own->state, STATS_DRAINING, __ATOMIC_RELAXED);
}

uint64_t stats_busy_ns(const struct stats *s, uint64_t now_ns)
{
    uint64_t since = __atomic_load_n(&s->busy_since_ns, __ATOMIC_RELAXED);
    return since != 0 && since < now_ns ? now_ns - since : 0;
}

/* ------------------------------------------------------------------ the board ---- */

static void print_layout(char *buf, size_t n)
{
    snprintf(buf, n, "sprig stats 1: %d %d %zu %zu", N_STATS, N_TIMES, sizeof(struct stats),
             sizeof(struct stats_board));
}

static size_t board_size(uint32_t n_entries)
{
    return sizeof(struct stats_board) + n_entries * sizeof(struct stats);
}

static struct stats_board *map_board(int fd, size_t size)
{
    int flags = MAP_SHARED | MAP_NORESERVE | (fd == -1 ? MAP_ANONYMOUS : 0);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

struct stats_board *stats_board_new(uint32_t n_entries, int *fd)
{
    *fd = memory_open("sprig-stats", board_size(n_entries));
    struct stats_board *board = map_board(*fd, board_size(n_entries));
    if (board == NULL)
        return NULL;
    print_layout(board->layout, sizeof board->layout);
    board->n_entries = n_entries;
    board->entry_bytes = sizeof(struct stats);
    board->since_ns = clock_real_ns();
    return board;
}

struct stats_board *stats_board_inherit(int fd)
{
    struct stat st;
    char layout[sizeof((struct stats_board *)0)->layout];
    if (fstat(fd, &st) == -1 || (size_t)st.st_size < sizeof(struct stats_board))
        return NULL;
    struct stats_board *board = map_board(fd, (size_t)st.st_size);
    if (board == NULL)
        return NULL;
    print_layout(layout, sizeof layout);
    if (strncmp(board->layout, layout, sizeof layout) == 0 &&
        board_size(board->n_entries) == (size_t)st.st_size)
        return board;
    munmap(board, (size_t)st.st_size);
    return NULL;
}

void stats_board_free(struct stats_board *board)
{
    if (board != NULL)
        munmap(board, board_size(board->n_entries));
}

/* During an upgrade two masters may look for a free entry. */
struct stats *stats_board_take(struct stats_board *board, uint32_t number, uint32_t generation)
{
    for (uint32_t i = 0; i < board->n_entries; i++) {
        struct stats *s = &board->entries[i];
        uint32_t free = STATS_FREE;
        if (!__atomic_compare_exchange_n(&s->state, &free, STATS_STARTING, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            continue;
        s->number = number;
        s->generation = generation;
        s->since_ns = clock_real_ns();
        return s;
    }
    return NULL;
}

/* Two masters may fold at the same time. The holder is done in a moment, unless it was killed. */
static void fold_lock(struct stats_board *board)
{
    for (int i = 0; i < 1000; i++) {
        uint32_t now = __atomic_load_n(&board->fold_lock, __ATOMIC_RELAXED);
        if (now % 2 == 0 && __atomic_compare_exchange_n(&board->fold_lock, &now, now + 1, false,
                                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return;
        struct timespec pause = {0, 10000};
        nanosleep(&pause, NULL);
    }
}

static void fold_unlock(struct stats_board *board)
{
    __atomic_store_n(&board->fold_lock, (board->fold_lock | 1) + 1, __ATOMIC_RELEASE);
}

static bool is_total(enum stats_number i)
{
    return stats_rows[i].kind == STAT_COUNTER || stats_rows[i].kind == STAT_SECONDS;
}

static uint64_t get(const uint64_t *n)
{
    return __atomic_load_n(n, __ATOMIC_RELAXED);
}

static void add_times(struct stats_times *to, const struct stats_times *from)
{
    for (int k = 0; k <= N_BOUNDS; k++)
        to->n[k] += get(&from->n[k]);
    to->sum_ns += get(&from->sum_ns);
}

void stats_board_give_back(struct stats_board *board, struct stats *s)
{
    if (board == NULL || s == NULL)
        return;
    fold_lock(board);
    for (int i = 0; i < N_STATS; i++)
        if (is_total(i))
            board->past[i] += get(&s->n[i]);
    for (int i = 0; i < N_TIMES; i++)
        add_times(&board->past_times[i], &s->times[i]);
    memset(s, 0, offsetof(struct stats, state));
    memset(&s->number, 0, offsetof(struct stats, conns) - offsetof(struct stats, number));
    __atomic_store_n(&s->state, STATS_FREE, __ATOMIC_RELEASE);
    fold_unlock(board);
}

static void add_entry(struct stats_sum *sum, const struct stats *s)
{
    for (int i = 0; i < N_STATS; i++) {
        uint64_t n = get(&s->n[i]);
        if (stats_rows[i].kind != STAT_LONGEST)
            sum->n[i] += n;
        else if (n > sum->n[i])
            sum->n[i] = n;
    }
    for (int i = 0; i < N_TIMES; i++)
        add_times(&sum->times[i], &s->times[i]);
}

static void sum_up(const struct stats_board *board, struct stats_sum *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->n, board->past, sizeof out->n);
    memcpy(out->times, board->past_times, sizeof out->times);
    for (uint32_t i = 0; i < board->n_entries; i++) {
        const struct stats *s = &board->entries[i];
        uint32_t state = __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);
        if (state > STATS_DRAINING)
            continue;
        out->n_states[state]++;
        if (state != STATS_FREE)
            add_entry(out, s);
    }
}

void stats_board_sum(const struct stats_board *board, struct stats_sum *out)
{
    for (int i = 0; i < 1000; i++) {
        uint32_t before = __atomic_load_n(&board->fold_lock, __ATOMIC_ACQUIRE);
        sum_up(board, out);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (before % 2 == 0 && __atomic_load_n(&board->fold_lock, __ATOMIC_RELAXED) == before)
            return;
    }
}

/* admin_text.c - tables for people, which sprig ctl prints. They fit into 80 columns. */
#include "base/clock.h"
#include "process/admin_internal.h"

#include "sprig.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* "3d 4h", "12m 5s". */
static void print_age(double seconds, char *buf, size_t n)
{
    unsigned long s = seconds > 0 ? (unsigned long)seconds : 0;
    if (s >= 86400)
        snprintf(buf, n, "%lud %luh", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        snprintf(buf, n, "%luh %lum", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        snprintf(buf, n, "%lum %lus", s / 60, s % 60);
    else
        snprintf(buf, n, "%lus", s);
}

/* "12.3M" */
static void print_bytes(uint64_t bytes, char *buf, size_t n)
{
    static const char units[] = "BKMGTP";
    double value = (double)bytes;
    int i = 0;
    for (; value >= 1000 && units[i + 1] != '\0'; i++)
        value /= 1024;
    snprintf(buf, n, i == 0 ? "%.0f%c" : "%.1f%c", value, units[i]);
}

static double age_of(uint64_t since_ns)
{
    return ((double)clock_real_ns() - (double)since_ns) / 1e9;
}

static uint64_t level(uint64_t n)
{
    return (int64_t)n < 0 ? 0 : n;
}

/* The upper bound of the bucket that contains this share of the durations; NULL: there are none. */
static const char *quantile(const struct stats_times *t, double share)
{
    uint64_t n = 0, sum = 0;
    for (int i = 0; i <= N_BOUNDS; i++)
        n += t->n[i];
    if (n == 0)
        return NULL;
    for (int i = 0; i < N_BOUNDS; i++) {
        sum += t->n[i];
        if ((double)sum >= share * (double)n)
            return times_bounds_text[i];
    }
    return "more";
}

static void print_durations(const struct stats_times *t, char *buf, size_t n)
{
    if (quantile(t, 0.5) == NULL)
        snprintf(buf, n, "none yet");
    else
        snprintf(buf, n, "50%% <= %s, 95%% <= %s, 99%% <= %s seconds", quantile(t, 0.5),
                 quantile(t, 0.95), quantile(t, 0.99));
}

static uint64_t sum_of(const struct stats_sum *sum, int first, int last)
{
    uint64_t n = 0;
    for (int i = first; i <= last; i++)
        n += sum->n[i];
    return n;
}

static void add_head(struct text *out, const struct admin *a)
{
    char age[32];
    uint32_t n_workers, generation;
    a->host.get_wanted(&n_workers, &generation, a->host.arg);
    print_age(age_of(a->host.stats->since_ns), age, sizeof age);
    text_add(out, "sprig " SPRIG_VERSION ", pid %ld, up %s, %s, generation %u, %u worker%s\n",
             (long)getpid(), age, a->host.is_ready(a->host.arg) ? "ready" : "not ready", generation,
             n_workers, n_workers == 1 ? "" : "s");
}

/* Blocks are counted when they end, so one that lasts is named apart. */
static void add_trouble(struct text *out, const struct admin *a, const struct stats_sum *sum)
{
    unsigned n_blocked = 0;
    admin_foreach(a, s)
    {
        n_blocked += admin_is_blocked(a, s);
    }
    uint64_t n = sum->n[STAT_EXCEPTIONS];
    text_add(out, "trouble     %" PRIu64 " exception%s, blocked %" PRIu64 " times for %.1f s", n,
             n == 1 ? "" : "s", sum->n[STAT_BLOCKED], (double)sum->n[STAT_BLOCKED_TIME] / 1e9);
    if (n_blocked > 0)
        text_add(out, ", %u blocked now", n_blocked);
    text_add(out, "\n");
}

static void add_totals(struct text *out, const struct stats_sum *sum)
{
    char in[16], sent[16], buffered[16], durations[80];
    print_durations(&sum->times[TIMES_REQUEST], durations, sizeof durations);
    print_bytes(sum->n[STAT_RECEIVED], in, sizeof in);
    print_bytes(sum->n[STAT_SENT], sent, sizeof sent);
    print_bytes(level(sum->n[STAT_BUFFERED]), buffered, sizeof buffered);
    text_add(out,
             "requests    %" PRIu64 " started, %" PRIu64 " in progress, %" PRIu64 " waiting\n"
             "responses   %" PRIu64 " 2xx, %" PRIu64 " 3xx, %" PRIu64 " 4xx, %" PRIu64
             " 5xx; %" PRIu64 " cut off, %" PRIu64 " aborted by clients\n"
             "refused     %" PRIu64 " requests, %" PRIu64 " connections\n"
             "durations   %s\n"
             "connections %" PRIu64 " open of at most %" PRIu64 ", %" PRIu64 " accepted\n"
             "bytes       %s in, %s out, %s buffered\n",
             sum->n[STAT_STARTED], level(sum->n[STAT_ACTIVE]), level(sum->n[STAT_WAITING]),
             sum->n[STAT_ANSWERED_2], sum->n[STAT_ANSWERED_3], sum->n[STAT_ANSWERED_4],
             sum->n[STAT_ANSWERED_5], sum->n[STAT_CUT], sum->n[STAT_DISCONNECTS],
             sum_of(sum, STAT_REFUSED_400, STAT_REFUSED_OTHER),
             sum_of(sum, STAT_SHED_FULL, STAT_SHED_FILES), durations,
             level(sum->n[STAT_CONNECTIONS]), level(sum->n[STAT_CONNECTIONS_LIMIT]),
             sum->n[STAT_ACCEPTED], in, sent, buffered);
}

static void add_restarts(struct text *out, const struct stats_board *board)
{
    const char *comma = "";
    text_add(out, "restarts    ");
    for (int i = 0; i < N_RESTARTS; i++)
        if (board->n_restarts[i] > 0) {
            text_add(out, "%s%" PRIu64 " %s", comma, board->n_restarts[i], restart_names[i]);
            comma = ", ";
        }
    text_add(out, "%s\n", *comma == '\0' ? "none" : "");
}

void admin_add_workers_text(struct text *out, const struct admin *a)
{
    text_add(out, "%6s %8s %4s %-8s %9s %7s %9s %6s %7s %7s\n", "WORKER", "PID", "GEN", "STATE",
             "UP", "CONNS", "REQUESTS", "ACTIVE", "RSS", "CPU s");
    admin_foreach(a, s)
    {
        struct process_usage usage = process_usage_get(s->pid);
        char rss[16], age[32];
        print_bytes(usage.rss_bytes, rss, sizeof rss);
        print_age(age_of(s->since_ns), age, sizeof age);
        text_add(out, "%6u %8u %4u %-8s %9s %7" PRIu64 " %9" PRIu64 " %6" PRIu64 " %7s %7.1f\n",
                 s->number, s->pid, s->generation, admin_state(a, s), age,
                 level(s->n[STAT_CONNECTIONS]), s->n[STAT_STARTED], level(s->n[STAT_ACTIVE]), rss,
                 usage.cpu_seconds);
    }
}

void admin_add_status_text(struct text *out, const struct admin *a)
{
    struct stats_sum sum;
    stats_board_sum(a->host.stats, &sum);
    add_head(out, a);
    add_totals(out, &sum);
    add_trouble(out, a, &sum);
    add_restarts(out, a->host.stats);
    text_add(out, "\n");
    admin_add_workers_text(out, a);
}

/* Adds a client's bytes, but only what is safe on a terminal. */
static void add_clean(struct text *out, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n && bytes[i] != '\0'; i++)
        text_add(out, bytes[i] >= 0x20 && bytes[i] < 0x7f ? "%c" : "\\x%02X",
                 (unsigned char)bytes[i]);
}

void admin_add_stuck_text(struct text *out, const struct admin *a)
{
    admin_foreach(a, s)
    {
        uint32_t n = __atomic_load_n(&s->n_request, __ATOMIC_ACQUIRE);
        text_add(out, "worker %u (pid %u): ", s->number, s->pid);
        if (!admin_is_blocked(a, s)) {
            text_add(out, "not blocked\n");
            continue;
        }
        if (process_usage_get(s->pid).is_stopped) {
            text_add(out, "blocked: a signal has stopped it; kill -CONT %u lets it go on\n",
                     s->pid);
            continue;
        }
        text_add(out, "blocked for %.1f s", (double)stats_busy_ns(s, clock_monotonic_ns()) / 1e9);
        if (n > 0) {
            text_add(out, " by ");
            add_clean(out, s->request, n < STATS_REQUEST_BYTES ? n : STATS_REQUEST_BYTES);
        }
        if (s->place[0] != '\0') {
            text_add(out, "\n    ");
            add_clean(out, s->place, sizeof s->place);
        }
        text_add(out, "\n");
    }
}

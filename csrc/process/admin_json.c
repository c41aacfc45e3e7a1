/* admin_json.c - the counters as JSON, and what the system knows about the processes. */
#include "base/clock.h"
#include "process/admin_internal.h"

#include "process/processes.h"
#include "sprig.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Without /proc nothing is known. */
struct process_usage process_usage_get(uint32_t pid)
{
    struct process_usage usage = {.rss_bytes = 0};
    char path[64], line[1024], state;
    unsigned long utime, stime;
    long rss;
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return usage;
    size_t n = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[n] = '\0';
    const char *rest = strrchr(line, ')'); /* the name before it may contain anything */
    if (rest != NULL && sscanf(rest,
                               ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d "
                               "%*d %*d %*d %*u %*u %ld",
                               &state, &utime, &stime, &rss) == 4) {
        usage.cpu_seconds = (double)(utime + stime) / (double)sysconf(_SC_CLK_TCK);
        usage.rss_bytes = (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
        usage.is_stopped = state == 'T';
    }
    return usage;
}

/* People want to know this even if block_warning is off. */
bool admin_is_blocked(const struct admin *a, const struct stats *s)
{
    double limit = a->host.config->block_warning;
    return (double)stats_busy_ns(s, clock_monotonic_ns()) >= (limit > 0 ? limit : 1) * 1e9 ||
           process_usage_get(s->pid).is_stopped;
}

const char *admin_state(const struct admin *a, const struct stats *s)
{
    static const char *const names[] = {"free", "starting", "serving", "draining"};
    uint32_t state = s->state <= STATS_DRAINING ? s->state : STATS_FREE;
    return state != STATS_STARTING && admin_is_blocked(a, s) ? "blocked" : names[state];
}

static uint64_t level(uint64_t n)
{
    return (int64_t)n < 0 ? 0 : n;
}

static void add_value(struct text *out, const struct stats_row *row, uint64_t n)
{
    if (row->kind == STAT_SECONDS || row->kind == STAT_LONGEST)
        text_add(out, "%.9f", (double)n / 1e9);
    else
        text_add(out, "%" PRIu64, level(n));
}

/* The keys are the names in stats.h, in lower case. */
static void add_numbers(struct text *out, const uint64_t *n)
{
    for (int i = 0; i < N_STATS; i++) {
        text_add(out, "%s\"", i > 0 ? "," : "");
        for (const char *p = stats_rows[i].key; *p != '\0'; p++)
            text_add(out, "%c", *p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
        text_add(out, "\":");
        add_value(out, &stats_rows[i], n[i]);
    }
}

static void add_times(struct text *out, const struct stats_times *times)
{
    for (int i = 0; i < N_TIMES; i++) {
        uint64_t n = 0;
        text_add(out, "%s\"%s\":{\"buckets\":[", i > 0 ? "," : "", times_rows[i].key);
        for (int k = 0; k <= N_BOUNDS; k++) {
            n += times[i].n[k];
            text_add(out, "%s%" PRIu64, k > 0 ? "," : "", times[i].n[k]);
        }
        text_add(out, "],\"count\":%" PRIu64 ",\"sum\":%.9f}", n, (double)times[i].sum_ns / 1e9);
    }
}

static void add_request(struct text *out, const struct stats *s)
{
    char request[STATS_REQUEST_BYTES + 1], place[STATS_PLACE_BYTES];
    uint32_t n = __atomic_load_n(&s->n_request, __ATOMIC_ACQUIRE);
    n = n < STATS_REQUEST_BYTES ? n : STATS_REQUEST_BYTES;
    memcpy(request, s->request, n);
    request[n] = '\0';
    memcpy(place, s->place, sizeof place);
    place[sizeof place - 1] = '\0';
    text_add(out, ",\"request\":");
    text_add_json(out, request);
    text_add(out, ",\"place\":");
    text_add_json(out, place);
}

static void add_worker(struct text *out, const struct admin *a, const struct stats *s)
{
    struct process_usage usage = process_usage_get(s->pid);
    text_add(out,
             "{\"number\":%u,\"pid\":%u,\"generation\":%u,\"state\":\"%s\",\"since\":%.3f,"
             "\"busy\":%.6f,\"rss\":%" PRIu64 ",\"cpu\":%.2f",
             s->number, s->pid, s->generation, admin_state(a, s), (double)s->since_ns / 1e9,
             (double)stats_busy_ns(s, clock_monotonic_ns()) / 1e9, usage.rss_bytes,
             usage.cpu_seconds);
    add_request(out, s);
    text_add(out, ",\"numbers\":{");
    add_numbers(out, s->n);
    text_add(out, "}}");
}

static void add_restarts(struct text *out, const struct stats_board *board)
{
    for (int i = 0; i < N_RESTARTS; i++)
        text_add(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", restart_names[i],
                 board->n_restarts[i]);
}

void admin_add_json(struct text *out, const struct admin *a)
{
    const struct stats_board *board = a->host.stats;
    struct stats_sum sum;
    uint64_t now = clock_real_ns();
    uint32_t n_workers, generation;
    const char *comma = "";
    stats_board_sum(board, &sum);
    a->host.get_wanted(&n_workers, &generation, a->host.arg);
    text_add(out,
             "{\"version\":\"" SPRIG_VERSION "\",\"pid\":%ld,\"now\":%.3f,\"since\":%.3f,"
             "\"ready\":%s,\"master\":%s,\"generation\":%u,\"workers_wanted\":%u,\"restarts\":{",
             (long)getpid(), (double)now / 1e9, (double)board->since_ns / 1e9,
             a->host.is_ready(a->host.arg) ? "true" : "false", a->host.is_master ? "true" : "false",
             generation, n_workers);
    add_restarts(out, board);
    text_add(out, "},\"totals\":{");
    add_numbers(out, sum.n);
    text_add(out, "},\"bounds\":[");
    for (int i = 0; i < N_BOUNDS; i++)
        text_add(out, "%s%s", i > 0 ? "," : "", times_bounds_text[i]);
    text_add(out, "],\"durations\":{");
    add_times(out, sum.times);
    text_add(out, "},\"workers\":[");
    admin_foreach(a, s)
    {
        text_add(out, "%s", comma);
        add_worker(out, a, s);
        comma = ",";
    }
    text_add(out, "]}");
}

/* ----------------------------------------------------------------- connections ---- */

/* The process may be writing to it right now. */
static struct stats_conn copy_conn(const struct stats_conn *c)
{
    struct stats_conn copy = *c;
    copy.client[sizeof copy.client - 1] = '\0';
    copy.state[sizeof copy.state - 1] = '\0';
    copy.request[sizeof copy.request - 1] = '\0';
    return copy;
}

static void add_conn_json(struct text *out, const struct stats *s, const struct stats_conn *c)
{
    struct stats_conn copy = copy_conn(c);
    text_add(out, "{\"worker\":%u,\"pid\":%u,\"client\":", s->number, s->pid);
    text_add_json(out, copy.client);
    text_add(out, ",\"state\":");
    text_add_json(out, copy.state);
    text_add(out,
             ",\"request_age\":%.3f,\"requests\":%u,\"buffered\":%u,\"request\":", copy.state_age,
             copy.n_requests, copy.buffered_bytes);
    text_add_json(out, copy.request);
    text_add(out, "}");
}

static bool has_answered(const struct stats *s)
{
    return __atomic_load_n(&s->n_answered, __ATOMIC_ACQUIRE) == s->n_asked;
}

static uint32_t count_conns(const struct stats *s)
{
    return s->n_conns < STATS_MAX_CONNS ? s->n_conns : STATS_MAX_CONNS;
}

void admin_add_conns_json(struct text *out, const struct admin *a)
{
    const char *comma = "";
    uint32_t n_left_out = 0;
    text_add(out, "{\"connections\":[");
    admin_foreach(a, s)
    {
        n_left_out += has_answered(s) ? s->n_conns_left_out : 0;
        for (uint32_t i = 0; has_answered(s) && i < count_conns(s); i++) {
            text_add(out, "%s", comma);
            add_conn_json(out, s, &s->conns[i]);
            comma = ",";
        }
    }
    text_add(out, "],\"left_out\":%u,\"silent\":[", n_left_out);
    comma = "";
    admin_foreach(a, s)
    {
        if (has_answered(s) || s->state == STATS_STARTING)
            continue;
        text_add(out, "%s%u", comma, s->number);
        comma = ",";
    }
    text_add(out, "]}");
}

void admin_add_conns_text(struct text *out, const struct admin *a)
{
    text_add(out, "%-6s %-22s %-10s %9s %8s %s\n", "WORKER", "CLIENT", "STATE", "SECONDS",
             "REQUESTS", "REQUEST");
    admin_foreach(a, s)
    {
        if (!has_answered(s)) {
            if (s->state != STATS_STARTING)
                text_add(out, "%-6u does not answer: its event loop is blocked\n", s->number);
            continue;
        }
        for (uint32_t i = 0; i < count_conns(s); i++) {
            struct stats_conn c = copy_conn(&s->conns[i]);
            text_add(out, "%-6u %-22s %-10s %9.1f %8u %s\n", s->number, c.client, c.state,
                     c.state_age, c.n_requests, c.request);
        }
        if (s->n_conns_left_out > 0)
            text_add(out, "%-6u and %u more\n", s->number, s->n_conns_left_out);
    }
}

/* admin_metrics.c - the counters for Prometheus: its text format, and OpenMetrics. */
#include "base/clock.h"
#include "process/admin_internal.h"

#include "sprig.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct writer {
    struct text *out;
    bool is_open; /* OpenMetrics: the family name of a counter lacks _total */
};

static void add_seconds(struct text *out, uint64_t ns)
{
    text_add(out, "%" PRIu64 ".%09u", ns / NS_PER_S, (unsigned)(ns % NS_PER_S));
}

/* Writes the two lines before a family. */
static void begin(const struct writer *w, const char *family, const char *type, const char *help)
{
    size_t n = strlen(family);
    bool is_counter = strcmp(type, "counter") == 0;
    if (w->is_open && is_counter && n > 6 && strcmp(family + n - 6, "_total") == 0)
        n -= 6;
    text_add(w->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)n, family, help, (int)n, family,
             type);
}

static void add_name(struct text *out, const char *family, const char *labels)
{
    text_add(out, labels != NULL ? "%s{%s} " : "%s", family, labels);
    if (labels == NULL)
        text_add(out, " ");
}

/* If a process was killed between two updates, a gauge may be below zero for a moment. */
static uint64_t level(uint64_t n)
{
    return (int64_t)n < 0 ? 0 : n;
}

static void add_numbers(const struct writer *w, const struct stats_sum *sum)
{
    for (int i = 0; i < N_STATS; i++) {
        const struct stats_row *row = &stats_rows[i];
        bool is_total = row->kind == STAT_COUNTER || row->kind == STAT_SECONDS;
        if (row->help != NULL)
            begin(w, row->family, is_total ? "counter" : "gauge", row->help);
        add_name(w->out, row->family, row->labels);
        if (row->kind == STAT_SECONDS || row->kind == STAT_LONGEST)
            add_seconds(w->out, sum->n[i]);
        else
            text_add(w->out, "%" PRIu64, level(sum->n[i]));
        text_add(w->out, "\n");
    }
}

static void add_histograms(const struct writer *w, const struct stats_sum *sum)
{
    for (int i = 0; i < N_TIMES; i++) {
        const struct stats_times *t = &sum->times[i];
        const char *family = times_rows[i].family;
        uint64_t n = 0;
        begin(w, family, "histogram", times_rows[i].help);
        for (int k = 0; k < N_BOUNDS; k++) {
            n += t->n[k];
            text_add(w->out, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", family, times_bounds_text[k], n);
        }
        n += t->n[N_BOUNDS];
        text_add(w->out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum ", family, n, family);
        add_seconds(w->out, t->sum_ns);
        text_add(w->out, "\n%s_count %" PRIu64 "\n", family, n);
    }
}

static void add_gauge(const struct writer *w, const char *family, const char *help, uint64_t n)
{
    begin(w, family, "gauge", help);
    text_add(w->out, "%s %" PRIu64 "\n", family, n);
}

static void add_counter(const struct writer *w, const char *family, const char *help, uint64_t n)
{
    begin(w, family, "counter", help);
    text_add(w->out, "%s %" PRIu64 "\n", family, n);
}

static void add_states(const struct writer *w, const struct admin *a)
{
    static const char *const names[] = {"starting", "serving", "draining", "blocked"};
    uint32_t n[4] = {0};
    admin_foreach(a, s)
    {
        const char *state = admin_state(a, s);
        for (int i = 0; i < 4; i++)
            n[i] += strcmp(state, names[i]) == 0;
    }
    begin(w, "sprig_workers", "gauge",
          "Worker processes by state; blocked: Perl code occupies the event loop, or the process "
          "was stopped.");
    for (int i = 0; i < 4; i++)
        text_add(w->out, "sprig_workers{state=\"%s\"} %u\n", names[i], n[i]);
}

static void add_restarts(const struct writer *w, const struct stats_board *board)
{
    begin(w, "sprig_worker_restarts_total", "counter", "Workers replaced, by reason.");
    for (int i = 0; i < N_RESTARTS; i++)
        text_add(w->out, "sprig_worker_restarts_total{reason=\"%s\"} %" PRIu64 "\n",
                 restart_names[i], board->n_restarts[i]);
}

/* Those of the master, or of a process without one. */
static void count_reloads(const struct admin *a, uint64_t *n_all, uint64_t *n_failed)
{
    *n_all = a->host.stats->n_reloads;
    *n_failed = a->host.stats->n_reloads_failed;
    admin_foreach(a, s)
    {
        *n_all += __atomic_load_n(&s->n_reloads, __ATOMIC_ACQUIRE);
        *n_failed += __atomic_load_n(&s->n_reloads_failed, __ATOMIC_ACQUIRE);
    }
}

static void add_server(const struct writer *w, const struct admin *a)
{
    const struct stats_board *board = a->host.stats;
    uint32_t n_workers, generation;
    a->host.get_wanted(&n_workers, &generation, a->host.arg);
    begin(w, "sprig_build_info", "gauge", "Always 1; the version is a label.");
    text_add(w->out, "sprig_build_info{version=\"" SPRIG_VERSION "\"} 1\n");
    begin(w, "sprig_start_time_seconds", "gauge",
          "Start time of the server, in seconds since 1970.");
    text_add(w->out, "sprig_start_time_seconds ");
    add_seconds(w->out, board->since_ns);
    text_add(w->out, "\n");
    add_gauge(w, "sprig_ready", "What /readyz answers; 1 means ready.",
              a->host.is_ready(a->host.arg));
    add_gauge(w, "sprig_workers_wanted", "Number of workers that should run.", n_workers);
    add_gauge(w, "sprig_generation", "Generation of the workers; each reload adds one.",
              generation);
    add_states(w, a);
    add_restarts(w, board);
    uint64_t n_reloads, n_failed;
    count_reloads(a, &n_reloads, &n_failed);
    add_counter(w, "sprig_reloads_total", "Reloads requested.", n_reloads);
    add_counter(w, "sprig_reloads_failed_total", "Reloads that failed; the old workers stayed.",
                n_failed);
    add_counter(w, "sprig_upgrades_total", "Completed upgrades of the program.", board->n_upgrades);
    add_counter(w, "sprig_admin_requests_total", "Requests to the admin listener.",
                board->n_admin_requests);
}

/* ------------------------------------------------------------------ by worker ---- */

struct worker_row {
    const char *family, *type, *help;
    void (*add)(struct text *out, const struct stats *s);
};

static void add_worker_start(struct text *out, const struct stats *s)
{
    add_seconds(out, s->since_ns);
}

static void add_worker_generation(struct text *out, const struct stats *s)
{
    text_add(out, "%u", s->generation);
}

static void add_worker_requests(struct text *out, const struct stats *s)
{
    text_add(out, "%" PRIu64, s->n[STAT_STARTED]);
}

static void add_worker_active(struct text *out, const struct stats *s)
{
    text_add(out, "%" PRIu64, level(s->n[STAT_ACTIVE]));
}

static void add_worker_connections(struct text *out, const struct stats *s)
{
    text_add(out, "%" PRIu64, level(s->n[STAT_CONNECTIONS]));
}

static void add_worker_rss(struct text *out, const struct stats *s)
{
    text_add(out, "%" PRIu64, process_usage_get(s->pid).rss_bytes);
}

static void add_worker_cpu(struct text *out, const struct stats *s)
{
    text_add(out, "%.2f", process_usage_get(s->pid).cpu_seconds);
}

static void add_worker_busy(struct text *out, const struct stats *s)
{
    add_seconds(out, stats_busy_ns(s, clock_monotonic_ns()));
}

static const struct worker_row worker_rows[] = {
    {"sprig_worker_start_time_seconds", "gauge",
     "Start time of the process, in seconds since 1970.", add_worker_start},
    {"sprig_worker_generation", "gauge", "Generation of the process.", add_worker_generation},
    {"sprig_worker_requests_total", "counter",
     "Requests that the process has passed to the application.", add_worker_requests},
    {"sprig_worker_active_requests", "gauge", "Requests in the application, in the process.",
     add_worker_active},
    {"sprig_worker_connections", "gauge", "Open connections of the process.",
     add_worker_connections},
    {"sprig_worker_resident_memory_bytes", "gauge", "Memory of the process (RSS).", add_worker_rss},
    {"sprig_worker_cpu_seconds_total", "counter", "CPU time of the process.", add_worker_cpu},
    {"sprig_worker_busy_seconds", "gauge",
     "Time since the process last returned to its event loop; 0 while it waits there.",
     add_worker_busy},
};

static void add_workers(const struct writer *w, const struct admin *a)
{
    for (size_t i = 0; i < sizeof worker_rows / sizeof worker_rows[0]; i++) {
        const struct worker_row *row = &worker_rows[i];
        begin(w, row->family, row->type, row->help);
        admin_foreach(a, s)
        {
            text_add(w->out, "%s{worker=\"%u\",pid=\"%u\"} ", row->family, s->number, s->pid);
            row->add(w->out, s);
            text_add(w->out, "\n");
        }
    }
}

void admin_add_metrics(struct text *out, const struct admin *a, bool is_openmetrics)
{
    struct writer w = {out, is_openmetrics};
    struct stats_sum sum;
    stats_board_sum(a->host.stats, &sum);
    add_server(&w, a);
    add_numbers(&w, &sum);
    add_histograms(&w, &sum);
    add_workers(&w, a);
    if (is_openmetrics)
        text_add(out, "# EOF\n");
}

/* ctl_top.c - rates and levels from two looks at /metrics; see ctl_top.h */
#include "ctl_top.h"

#include "ctl.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One look at the metrics. */
struct look {
    struct timespec at;
    char *text; /* owned: /metrics; NULL: nothing yet */
};

static double value_of(const struct look *look, const char *name)
{
    return ctl_metric(look->text, name);
}

static double seconds_between(const struct look *a, const struct look *b)
{
    double s =
        (double)(b->at.tv_sec - a->at.tv_sec) + (double)(b->at.tv_nsec - a->at.tv_nsec) / 1e9;
    return s > 0 ? s : 1;
}

struct pair {
    const struct look *before, *now;
};

static double growth(const struct pair *p, const char *name)
{
    double n = value_of(p->now, name) - value_of(p->before, name);
    return n > 0 ? n : 0;
}

static double rate(const struct pair *p, const char *name)
{
    return growth(p, name) / seconds_between(p->before, p->now);
}

static double rate_of(const struct pair *p, const char *family, const char *label)
{
    char name[128];
    snprintf(name, sizeof name, "%s{%s}", family, label);
    return rate(p, name);
}

/* The upper bound of the bucket that contains this share of the latest requests. */
static const char *quantile(const struct pair *p, double share)
{
    static const char *const bounds[] = {"0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25",
                                         "0.5",   "0.75", "1.0",   "2.5",  "5.0",   "7.5", "10.0"};
    double all = growth(p, "http_server_request_duration_seconds_count");
    for (size_t i = 0; all > 0 && i < sizeof bounds / sizeof bounds[0]; i++) {
        char name[128];
        snprintf(name, sizeof name, "http_server_request_duration_seconds_bucket{le=\"%s\"}",
                 bounds[i]);
        if (growth(p, name) >= share * all)
            return bounds[i];
    }
    return all > 0 ? "more" : "-";
}

static const char *bytes_text(double bytes, char *buf, size_t n)
{
    static const char units[] = "BKMGTP";
    int i = 0;
    for (; bytes >= 1000 && units[i + 1] != '\0'; i++)
        bytes /= 1024;
    snprintf(buf, n, i == 0 ? "%.0f%c" : "%.1f%c", bytes, units[i]);
    return buf;
}

/* ------------------------------------------------------------------------ printing ---- */

static void print_durations(const struct pair *p)
{
    const char *half = quantile(p, 0.5);
    if (*half == '-')
        printf("durations   -\n");
    else
        printf("durations   50%% <= %s s   95%% <= %s s   99%% <= %s s\n", half, quantile(p, 0.95),
               quantile(p, 0.99));
}

static void print_head(const struct pair *p)
{
    char in[16], out[16], buffered[16], clock[16];
    const struct look *now = p->now;
    time_t t = time(NULL);
    strftime(clock, sizeof clock, "%H:%M:%S", localtime(&t));
    printf("sprig  %s  %.0f of %.0f workers serve, generation %.0f%*s%s\n",
           value_of(now, "sprig_ready") > 0 ? "ready" : "NOT READY",
           value_of(now, "sprig_workers{state=\"serving\"}"), value_of(now, "sprig_workers_wanted"),
           value_of(now, "sprig_generation"), 20, "", clock);
    printf("requests    %9.1f/s   in progress %.0f   waiting %.0f   streaming %.0f\n",
           rate(p, "sprig_requests_started_total"), value_of(now, "http_server_active_requests"),
           value_of(now, "sprig_requests_waiting"), value_of(now, "sprig_responses_streaming"));
    printf("responses   %.1f 2xx  %.1f 3xx  %.1f 4xx  %.1f 5xx  %.1f aborted by clients  /s\n",
           rate_of(p, "sprig_responses_total", "class=\"2xx\""),
           rate_of(p, "sprig_responses_total", "class=\"3xx\""),
           rate_of(p, "sprig_responses_total", "class=\"4xx\""),
           rate_of(p, "sprig_responses_total", "class=\"5xx\""),
           rate(p, "sprig_client_disconnects_total"));
    print_durations(p);
    printf("connections %9.0f open of at most %.0f   %.1f new/s\n",
           value_of(now, "sprig_connections_open"), value_of(now, "sprig_connections_limit"),
           rate(p, "sprig_connections_accepted_total"));
    printf("bytes       %s/s in   %s/s out   %s buffered\n",
           bytes_text(rate(p, "sprig_received_bytes_total"), in, sizeof in),
           bytes_text(rate(p, "sprig_sent_bytes_total"), out, sizeof out),
           bytes_text(value_of(now, "sprig_output_buffered_bytes"), buffered, sizeof buffered));
    printf("trouble     %.0f exceptions   %.0f blocks   longest pass %.2f s\n\n",
           value_of(now, "sprig_app_exceptions_total"), value_of(now, "sprig_loop_blocked_total"),
           value_of(now, "sprig_loop_longest_pass_seconds"));
}

static double of_worker(const struct look *look, const char *family, const char *labels)
{
    char name[160];
    snprintf(name, sizeof name, "sprig_worker_%s{%s}", family, labels);
    return value_of(look, name);
}

/* labels: worker="3",pid="4711" */
static void print_worker(const struct pair *p, const char *labels)
{
    char rss[16];
    unsigned number = 0, pid = 0;
    double seconds = seconds_between(p->before, p->now);
    sscanf(labels, "worker=\"%u\",pid=\"%u\"", &number, &pid);
    double n = of_worker(p->now, "requests_total", labels) -
               of_worker(p->before, "requests_total", labels);
    double cpu = of_worker(p->now, "cpu_seconds_total", labels) -
                 of_worker(p->before, "cpu_seconds_total", labels);
    double busy = of_worker(p->now, "busy_seconds", labels);
    printf("%6u %8u %4.0f %9.1f %7.0f %7.0f %7s %5.0f%%", number, pid,
           of_worker(p->now, "generation", labels), n > 0 ? n / seconds : 0,
           of_worker(p->now, "active_requests", labels), of_worker(p->now, "connections", labels),
           bytes_text(of_worker(p->now, "resident_memory_bytes", labels), rss, sizeof rss),
           cpu > 0 ? 100 * cpu / seconds : 0);
    if (busy >= 1)
        printf("  BLOCKED %.1f s", busy);
    putchar('\n');
}

static void print_workers(const struct pair *p)
{
    static const char family[] = "\nsprig_worker_generation{";
    printf("%6s %8s %4s %9s %7s %7s %7s %6s\n", "WORKER", "PID", "GEN", "REQ/S", "ACTIVE", "CONNS",
           "RSS", "CPU");
    const char *at = p->now->text;
    while ((at = strstr(at, family)) != NULL) {
        char labels[64];
        at += sizeof family - 1;
        snprintf(labels, sizeof labels, "%.*s", (int)strcspn(at, "}"), at);
        print_worker(p, labels);
    }
}

/* Returns 0, or the exit status. */
static int take_look(const struct ctl_server *server, struct look *look)
{
    struct ctl_answer answer;
    int status = ctl_ask_or_say(server, "GET", "/metrics", &answer);
    if (status != 0)
        return status;
    free(look->text);
    look->text = answer.body; /* taken */
    clock_gettime(CLOCK_MONOTONIC, &look->at);
    return 0;
}

/* Rates need two looks, so the first picture comes after a second. */
int ctl_top(const struct ctl_server *server, unsigned n)
{
    struct look looks[2] = {{.text = NULL}, {.text = NULL}};
    bool is_terminal = isatty(STDOUT_FILENO);
    int status = take_look(server, &looks[0]);
    for (unsigned i = 0; status == 0 && (n == 0 || i < n); i++) {
        struct look *before = &looks[i % 2], *now = &looks[(i + 1) % 2];
        sleep(1);
        status = take_look(server, now);
        if (status != 0)
            break;
        if (is_terminal)
            fputs("\033[H\033[2J", stdout);
        else if (i > 0)
            putchar('\n');
        struct pair pair = {before, now};
        print_head(&pair);
        print_workers(&pair);
        if (fflush(stdout) != 0)
            status = EXIT_FAILURE;
    }
    free(looks[0].text);
    free(looks[1].text);
    return status;
}

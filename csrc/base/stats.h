/* stats.h - the numbers of a server and all its processes, in memory that they share.
 *
 * Each serving process has an entry that only it writes while it lives, with plain relaxed stores:
 * no lock, no system call. Others may read it at any time. When a process is gone, the master adds
 * its counters to those of the past, so totals never go back, however the process ended. Its gauges
 * end with it.
 *
 * A process without a board counts in memory of its own, and so does a child that it forks. */
#ifndef SPRIG_STATS_H
#define SPRIG_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* One row for each number: its name here, its kind, the name of its metric, the labels that
 * distinguish it from neighbours of the same name, and its help text. COUNTER and GAUGE are sums
 * over all processes. SECONDS is stored in nanoseconds. Of LONGEST, the largest counts. */
/* clang-format off */
#define STATS(X)                                                                                   \
    X(STARTED, COUNTER, "sprig_requests_started_total", NULL,                                      \
      "Requests passed to the application.")                                                       \
    X(INFORMED, COUNTER, "sprig_responses_total", "class=\"1xx\"",                                 \
      "Responses completed by the application, by class; 1xx are interim responses.")              \
    X(ANSWERED_2, COUNTER, "sprig_responses_total", "class=\"2xx\"", NULL)                         \
    X(ANSWERED_3, COUNTER, "sprig_responses_total", "class=\"3xx\"", NULL)                         \
    X(ANSWERED_4, COUNTER, "sprig_responses_total", "class=\"4xx\"", NULL)                         \
    X(ANSWERED_5, COUNTER, "sprig_responses_total", "class=\"5xx\"", NULL)                         \
    X(ANSWERED_OTHER, COUNTER, "sprig_responses_total", "class=\"other\"", NULL)                   \
    X(CUT, COUNTER, "sprig_responses_cut_total", NULL,                                             \
      "Responses cut off by the server or by the application.")                                    \
    X(DISCONNECTS, COUNTER, "sprig_client_disconnects_total", NULL,                                \
      "Clients that left before their response was complete.")                                     \
    X(DETACHED, COUNTER, "sprig_sockets_taken_total", NULL,                                        \
      "Sockets taken over by the application (psgix.io).")                                         \
    X(EXCEPTIONS, COUNTER, "sprig_app_exceptions_total", NULL,                                     \
      "Uncaught exceptions of the application.")                                                   \
    X(ACTIVE, GAUGE, "http_server_active_requests", NULL,                                          \
      "Requests in the application whose response is not complete.")                               \
    X(WAITING, GAUGE, "sprig_requests_waiting", NULL,                                              \
      "Requests waiting for their turn (max_requests_in_flight, nested).")                         \
    X(REFUSED_400, COUNTER, "sprig_requests_refused_total", "status=\"400\"",                      \
      "Requests refused by the server itself, by status; the log has the reasons.")                \
    X(REFUSED_408, COUNTER, "sprig_requests_refused_total", "status=\"408\"", NULL)                \
    X(REFUSED_413, COUNTER, "sprig_requests_refused_total", "status=\"413\"", NULL)                \
    X(REFUSED_414, COUNTER, "sprig_requests_refused_total", "status=\"414\"", NULL)                \
    X(REFUSED_431, COUNTER, "sprig_requests_refused_total", "status=\"431\"", NULL)                \
    X(REFUSED_503, COUNTER, "sprig_requests_refused_total", "status=\"503\"", NULL)                \
    X(REFUSED_OTHER, COUNTER, "sprig_requests_refused_total", "status=\"other\"", NULL)            \
    X(SHED_FULL, COUNTER, "sprig_connections_refused_total", "reason=\"max_connections\"",         \
      "Connections refused with 503 when they were accepted, by reason.")                          \
    X(SHED_IP, COUNTER, "sprig_connections_refused_total", "reason=\"max_connections_per_ip\"",    \
      NULL)                                                                                        \
    X(SHED_FILES, COUNTER, "sprig_connections_refused_total", "reason=\"descriptors\"", NULL)      \
    X(HANDSHAKES_FAILED, COUNTER, "sprig_handshakes_failed_total", NULL,                           \
      "Connections that failed in the TLS handshake or the PROXY header.")                         \
    X(EVICTED, COUNTER, "sprig_connections_evicted_total", NULL,                                   \
      "Idle connections closed to make room for new ones (max_connections).")                      \
    X(ACCEPTED, COUNTER, "sprig_connections_accepted_total", NULL,                                 \
      "Connections accepted.")                                                                     \
    X(REUSED, COUNTER, "sprig_requests_on_kept_connections_total", NULL,                           \
      "Requests that were not the first of their connection.")                                     \
    X(CONNECTIONS, GAUGE, "sprig_connections_open", NULL, "Open connections.")                     \
    X(CONNECTIONS_LIMIT, GAUGE, "sprig_connections_limit", NULL,                                   \
      "Connections that all processes together accept at a time (max_connections).")               \
    X(STREAMING, GAUGE, "sprig_responses_streaming", NULL,                                         \
      "Responses that have been sent in part.")                                                    \
    X(WEBSOCKETS, GAUGE, "sprig_websockets_open", NULL, "Open WebSocket connections.")             \
    X(RECEIVED, COUNTER, "sprig_received_bytes_total", NULL,                                       \
      "Bytes read from clients.")                                                                  \
    X(SENT, COUNTER, "sprig_sent_bytes_total", NULL, "Bytes written to clients.")                  \
    X(BUFFERED, GAUGE, "sprig_output_buffered_bytes", NULL,                                        \
      "Bytes of responses that clients have not read yet, in memory and in files.")                \
    X(SPILLED, COUNTER, "sprig_output_spilled_bytes_total", NULL,                                  \
      "Bytes of responses written to a temporary file (output_buffer_bytes).")                     \
    X(BODY_FILES, COUNTER, "sprig_request_body_files_total", NULL,                                 \
      "Request bodies written to a temporary file (body_buffer_bytes).")                           \
    X(ENV_BUILT, COUNTER, "sprig_env_built_total", NULL,                                           \
      "PSGI environments built from scratch.")                                                     \
    X(ENV_RECYCLED, COUNTER, "sprig_env_recycled_total", NULL,                                     \
      "PSGI environments reused.")                                                                 \
    X(PASSES, COUNTER, "sprig_loop_passes_total", NULL, "Passes of the event loops.")              \
    X(BLOCKED, COUNTER, "sprig_loop_blocked_total", NULL,                                          \
      "How often Perl code blocked an event loop for longer than block_warning.")                  \
    X(BLOCKED_TIME, SECONDS, "sprig_loop_blocked_seconds_total", NULL,                             \
      "Total duration of these blocks, added when they end.")                                      \
    X(LAG, LONGEST, "sprig_loop_lag_seconds", NULL,                                                \
      "Duration of the latest pass; whatever was ready meanwhile had to wait.")                    \
    X(LONGEST_BLOCK, LONGEST, "sprig_loop_longest_pass_seconds", NULL,                             \
      "Longest pass of an event loop since its process started.")                                  \
    X(LOG_DROPPED, COUNTER, "sprig_log_lines_dropped_total", NULL,                                 \
      "Log lines dropped because nobody read them in time.")
/* clang-format on */

#define STATS_NAME(name, kind, family, labels, help) STAT_##name,
enum stats_number { STATS(STATS_NAME) N_STATS };
#undef STATS_NAME

enum stats_kind { STAT_COUNTER, STAT_GAUGE, STAT_SECONDS, STAT_LONGEST };

struct stats_row {
    const char *key; /* "started" */
    enum stats_kind kind;
    const char *family, *labels; /* labels: NULL, or as in a metric */
    const char *help;            /* NULL: that of the row before */
};
extern const struct stats_row stats_rows[N_STATS];

/* Durations are counted in OpenTelemetry's buckets for http.server.request.duration. */
enum stats_times_of { TIMES_REQUEST, TIMES_FIRST_BYTE, TIMES_QUEUE, TIMES_PASS, N_TIMES };
enum { N_BOUNDS = 14 };
#define STATS_FIRST_BOUND_NS UINT64_C(5000000)
extern const uint64_t times_bounds_ns[N_BOUNDS];
extern const char *const times_bounds_text[N_BOUNDS]; /* in seconds */

struct times_row {
    const char *key, *family, *help;
};
extern const struct times_row times_rows[N_TIMES];

struct stats_times {
    uint64_t n[N_BOUNDS + 1]; /* not cumulative; the last one is what is longer than all bounds */
    uint64_t sum_ns;
};

enum stats_state { STATS_FREE, STATS_STARTING, STATS_SERVING, STATS_DRAINING };

/* A connection, as a process describes it on request. */
struct stats_conn {
    char client[64];
    char state[16];
    char request[128]; /* method and target; "" between requests */
    uint32_t n_requests;
    uint32_t buffered_bytes;
    double state_age; /* of the request, in seconds; 0: there is none */
};

enum {
    STATS_MAX_CONNS = 2000,
    STATS_REQUEST_BYTES = 128,
    STATS_PLACE_BYTES = 400,
    STATS_NOTE_BYTES = 1024
};

/* The entry of one process. */
struct stats {
    uint64_t n[N_STATS];
    struct stats_times times[N_TIMES];
    /* written by the master, or by a process without one */
    uint32_t state; /* enum stats_state */
    uint32_t number, generation;
    uint32_t pid;
    uint64_t since_ns; /* CLOCK_REALTIME: when it began */
    /* the loop: when its pass has begun; 0: it sleeps */
    uint64_t busy_since_ns; /* CLOCK_MONOTONIC */
    /* the request that the application was called for last, and is at work on; n_request 0: none */
    uint32_t n_request;
    char request[STATS_REQUEST_BYTES];
    /* where Perl is, as the watchdog sees it; "" while nothing blocks */
    char place[STATS_PLACE_BYTES];
    uint32_t ends_blocked; /* the watchdog has ended it */
    /* a process without a master: what has become of HUP; the note is there before the number is */
    uint32_t n_reloads, n_reloads_failed;
    char reload_note[STATS_NOTE_BYTES]; /* what the latest one has not done; "": nothing */
    /* connections: somebody asks by adding to n_asked, the process answers by equalling it */
    uint32_t n_asked, n_answered;
    uint32_t n_conns, n_conns_left_out;
    struct stats_conn conns[STATS_MAX_CONNS];
};

/* Why a worker was started in place of another one. */
#define RESTARTS(X)                                                                                \
    X(DIED, "died")                                                                                \
    X(KILLED, "killed")                                                                            \
    X(MAX_REQUESTS, "max_requests")                                                                \
    X(MAX_RSS, "max_rss")                                                                          \
    X(LIFETIME, "max_lifetime")                                                                    \
    X(BLOCKED, "blocked")                                                                          \
    X(RELOAD, "reload")                                                                            \
    X(HARAKIRI, "harakiri")
#define RESTARTS_NAME(name, text) RESTART_##name,
enum restart { RESTARTS(RESTARTS_NAME) N_RESTARTS };
#undef RESTARTS_NAME
extern const char *const restart_names[N_RESTARTS];

/* ---- in the process that serves ---- */

/* The entry of this process; never NULL. */
extern struct stats *stats_own;

static inline void stats_add(enum stats_number i, uint64_t n)
{
    uint64_t *at = &stats_own->n[i];
    __atomic_store_n(at, __atomic_load_n(at, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline void stats_set(enum stats_number i, uint64_t n)
{
    __atomic_store_n(&stats_own->n[i], n, __ATOMIC_RELAXED);
}

/* The bucket of a duration. */
unsigned stats_bucket_of_long(uint64_t ns);
static inline unsigned stats_bucket(uint64_t ns)
{
    return ns <= STATS_FIRST_BOUND_NS ? 0 : stats_bucket_of_long(ns); /* nearly always */
}

static inline void stats_time_in(enum stats_times_of which, unsigned bucket, uint64_t ns)
{
    struct stats_times *t = &stats_own->times[which];
    __atomic_store_n(&t->n[bucket], t->n[bucket] + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&t->sum_ns, t->sum_ns + ns, __ATOMIC_RELAXED);
}

static inline void stats_time(enum stats_times_of which, uint64_t ns)
{
    stats_time_in(which, stats_bucket(ns), ns);
}

/* A pass of the loop is over. */
void stats_pass(uint64_t ns);

/* The application is called for a request, and has returned. "GET /path", cut where it is too long;
 * there is room for STATS_REQUEST_BYTES at `request`, whatever they are. */
static inline void stats_enter(const char *request, size_t n)
{
    struct stats *s = stats_own;
    if (n <= 32) /* known lengths: no call */
        memcpy(s->request, request, 32);
    else
        memcpy(s->request, request, STATS_REQUEST_BYTES);
    n = n < STATS_REQUEST_BYTES ? n : STATS_REQUEST_BYTES;
    __atomic_store_n(&s->n_request, (uint32_t)n, __ATOMIC_RELEASE);
}
static inline void stats_leave(void)
{
    __atomic_store_n(&stats_own->n_request, 0, __ATOMIC_RELAXED);
}

/* This process has no master, and is done with HUP. `note` (copied): what it has not done. */
void stats_reloaded(bool has_failed, const char *note);

/* This process no longer serves, though it goes on for a while. */
void stats_begin_to_end(void);

/* This process counts there from now on, and takes along what it has counted before. */
void stats_attach(struct stats *s);

/* ---- the board ---- */

struct stats_board {
    char layout[64]; /* of this build: another one must not use it */
    uint32_t n_entries, entry_bytes;
    uint32_t fold_lock; /* odd: the past is being written to */
    uint64_t since_ns;  /* CLOCK_REALTIME */
    uint64_t past[N_STATS];
    struct stats_times past_times[N_TIMES];
    uint64_t n_restarts[N_RESTARTS];
    uint64_t n_reloads, n_reloads_failed, n_upgrades, n_admin_requests;
    struct stats entries[];
};

/* Makes room for that many processes at a time. On failure NULL, and errno is set. *fd gets a
 * descriptor through which a successor can map it (close-on-exec; -1 if there is none). */
struct stats_board *stats_board_new(uint32_t n_entries, int *fd);

/* Maps the board of another process. NULL if its layout differs. */
struct stats_board *stats_board_inherit(int fd);
void stats_board_free(struct stats_board *board);

/* An entry for a process that is about to start; NULL if all are in use. */
struct stats *stats_board_take(struct stats_board *board, uint32_t number, uint32_t generation);

/* The process is gone: its counters become those of the past. Harmless with NULL. */
void stats_board_give_back(struct stats_board *board, struct stats *s);

/* A consistent sum of the past and of all entries. */
struct stats_sum {
    uint64_t n[N_STATS];
    struct stats_times times[N_TIMES];
    uint32_t n_states[STATS_DRAINING + 1];
};
void stats_board_sum(const struct stats_board *board, struct stats_sum *out);

/* How long the loop of this process has been busy without a pause, in ns; 0 if it sleeps. */
uint64_t stats_busy_ns(const struct stats *s, uint64_t now_ns);

#endif

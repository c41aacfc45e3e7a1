/* worker_policy.c - decides which workers there should be: starts, replaces and gives up on them;
 * see master.h */
#include "process/master_internal.h"

#include "base/privileges.h"
#include "process/daemon.h"
#include "process/master_signals.h"
#include "process/title.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANNOT_START "a worker cannot start (trying again after pauses of 0.1 to 30 seconds)"

/* The longest pause before a restart, and how long a worker must live for the pauses to start over.
 */
enum { DELAY_MAX_MS = 30 * 1000, HEALTHY_MS = 60 * 1000 };

/* ------------------------------------------------------------- in the new worker ---- */

__attribute__((noreturn)) static void worker_fail(int control_fd, const char *why)
{
    dprintf(control_fd, "error %s\n", why);
    _exit(EXIT_FAILURE);
}

static int worker_begin(struct sprig_master *m, uint32_t number, int control_fd,
                        struct stats *stats, struct sprig_worker *w)
{
    char why[512] = "out of memory";
    master_leave_admin(m, stats);
    memset(w, 0, sizeof *w);
    w->number = number;
    w->generation = m->generation;
    w->control_fd = control_fd;
    w->is_daemon = m->config->daemonize;
    w->board = m->board;
    m->board = NULL;
    w->tls = m->tls;
    m->tls = NULL;
    sprig_title_set("worker %u, generation %u", number, m->generation);
    w->failure = m->dev != NULL ? dev_take_failure(m->dev) : NULL;
    master_signals_close(true);
    if (master_move_sockets(m, w) != 0 || privileges_drop(m->config, why, sizeof why) != 0)
        worker_fail(control_fd, why);
    return 1;
}

/* ---------------------------------------------------------- what should be started ---- */

static uint64_t delay_next(uint64_t delay_ms)
{
    delay_ms = delay_ms == 0 ? DELAY_MIN_MS : 2 * delay_ms;
    return delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS;
}

static bool slot_wants_worker(const struct sprig_master *m, const struct slot *s)
{
    return s->starting == NULL &&
           (s->serving == NULL || s->serving->wants_out || s->serving->generation != m->generation);
}

static uint32_t master_count_starting(const struct sprig_master *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_slots; i++)
        n += m->slots[i].starting != NULL;
    return n;
}

/* When a slot that wants a worker may have it; UINT64_MAX: only after something else has happened.
 * After a failure only one worker is tried at a time, and a reload replaces them one by one. */
static uint64_t slot_start_time(const struct sprig_master *m, const struct slot *s)
{
    bool is_reload = s->serving != NULL && s->serving->generation != m->generation;
    if ((m->is_failing || is_reload) && master_count_starting(m) > 0)
        return UINT64_MAX;
    uint64_t retry_ms = m->is_failing ? m->failed_at_ms + m->fail_delay_ms : 0;
    return s->start_at_ms > retry_ms ? s->start_at_ms : retry_ms;
}

/* Failures of parallel starts count as one. */
static void master_note_failure(struct sprig_master *m, uint64_t started_ms)
{
    uint64_t now = clock_ms();
    if (m->is_failing && started_ms <= m->failed_at_ms)
        return;
    if (m->failed_at_ms + m->fail_delay_ms + HEALTHY_MS < now)
        m->fail_delay_ms = 0;
    m->is_failing = true;
    m->failed_at_ms = now;
    m->fail_delay_ms = delay_next(m->fail_delay_ms);
}

/* The same error is not repeated until a worker has started. False: it was already reported. */
static bool master_is_new(struct sprig_master *m, const char *error)
{
    if (strcmp(m->last_error, error) == 0)
        return false;
    snprintf(m->last_error, sizeof m->last_error, "%s", error);
    return true;
}

/* No worker has ever served, and none is left that could, so the server ends. While others are
 * still starting, the error is kept; it is reported if one of them serves. */
static void master_first_failed(struct sprig_master *m, const char *error, bool is_awaited)
{
    snprintf(m->last_error, sizeof m->last_error, "%s", error);
    if (!is_awaited && master_count_starting(m) > 0)
        return;
    m->failure = m->last_error;
    master_end(m, ENDING_AT_ONCE);
}

static int slot_start(struct sprig_master *m, uint32_t i, struct sprig_worker *worker)
{
    struct process *p;
    int control_fd;
    struct stats *stats = stats_board_take(m->stats, i + 1, m->generation);
    int rc = processes_fork(&m->processes, i + 1, m->generation, &p, &control_fd);
    if (rc == 1)
        return worker_begin(m, i + 1, control_fd, stats, worker);
    if (rc < 0) {
        char text[128];
        stats_board_give_back(m->stats, stats);
        snprintf(text, sizeof text, "cannot fork a worker: %s", strerror(errno));
        master_note_failure(m, clock_ms());
        if (!m->has_served)
            master_first_failed(m, text, false);
        else if (master_is_new(m, text))
            sprig_log(SPRIG_LOG_ERROR, "%s", text);
        return 0;
    }
    if (m->board != NULL && m->slots[i].serving == NULL)
        board_set(m->board, i, BOARD_NOBODY);
    p->stats = stats;
    process_enter(p, PROCESS_STARTING, (uint64_t)(m->config->start_timeout * 1000));
    m->slots[i].starting = p;
    return 0;
}

static bool master_is_serving(const struct sprig_master *m)
{
    return m->ending == ENDING_NOT && m->deputy == NULL;
}

int policy_start_workers(struct sprig_master *m, struct sprig_worker *worker)
{
    uint64_t now = clock_ms();
    for (uint32_t i = 0; master_is_serving(m) && i < m->n_workers; i++) {
        struct slot *s = &m->slots[i];
        if (slot_wants_worker(m, s) && slot_start_time(m, s) <= now &&
            slot_start(m, i, worker) == 1)
            return 1;
    }
    return 0;
}

uint64_t policy_next_start(const struct sprig_master *m)
{
    uint64_t earliest = UINT64_MAX;
    for (uint32_t i = 0; master_is_serving(m) && i < m->n_workers; i++) {
        const struct slot *s = &m->slots[i];
        uint64_t ms = slot_wants_worker(m, s) ? slot_start_time(m, s) : UINT64_MAX;
        earliest = ms < earliest ? ms : earliest;
    }
    return earliest;
}

/* ------------------------------------------------------------------- what happens ---- */

static struct slot *slot_of(struct sprig_master *m, const struct process *p)
{
    return &m->slots[p->number - 1];
}

static void on_loaded(struct process *p, void *arg)
{
    (void)arg;
    process_say(p, "probe\n");
}

/* Whether every slot has a serving worker, and if requested, one of the wanted generation. */
static bool master_is_complete(const struct sprig_master *m, bool of_generation)
{
    for (uint32_t i = 0; i < m->n_workers; i++) {
        const struct process *p = m->slots[i].serving;
        if (p == NULL || (of_generation && p->generation != m->generation))
            return false;
    }
    return true;
}

static void master_announce(struct sprig_master *m)
{
    if (!m->has_served) {
        if (m->last_error[0] != '\0')
            sprig_log(SPRIG_LOG_ERROR, CANNOT_START ": %s", m->last_error);
        m->has_served = true;
        if (m->on_ready != NULL)
            m->on_ready(m->on_ready_arg);
        sprig_daemon_ready(m->status_fd);
        m->status_fd = -1;
        if (m->config->daemonize)
            sprig_daemon_detach();
        master_notify_ready(m);
    }
    if (master_is_complete(m, false))
        upgrade_announce(m);
    if (m->is_reloading && master_is_complete(m, true)) {
        m->is_reloading = false;
        sprig_log(SPRIG_LOG_INFO, "reloaded: all workers are of generation %u", m->generation);
        master_notify_ready(m);
    }
}

static void on_ready(struct process *p, void *arg)
{
    struct sprig_master *m = arg;
    if (p->number == SUCCESSOR_NUMBER) {
        upgrade_complete(m, p);
        return;
    }
    struct slot *s = slot_of(m, p);
    if (p->state != PROCESS_STARTING || s->starting != p)
        return; /* it was dismissed meanwhile */
    process_enter(p, PROCESS_SERVING, 0);
    s->starting = NULL;
    if (s->serving != NULL) {
        m->stats->n_restarts[s->serving->wants_out ? s->serving->why_out : RESTART_RELOAD]++;
        master_dismiss(m, s->serving);
    }
    s->serving = p;
    m->is_failing = false;
    m->served_generation = p->generation;
    if (m->dev != NULL)
        dev_ready(m, p);
    master_announce(m);
    m->last_error[0] = '\0';
}

static void on_watch(struct process *p, const char *path, void *arg)
{
    struct sprig_master *m = arg;
    if (m->dev != NULL)
        dev_watch(m->dev, p, path);
}

void policy_slot_is_empty(struct sprig_master *m, uint32_t number)
{
    if (m->board != NULL)
        board_set(m->board, number - 1, BOARD_NOBODY);
}

/* No more often than after a first crash. */
static void on_leaving(struct process *p, void *arg)
{
    struct sprig_master *m = arg;
    if (p->state != PROCESS_SERVING || p->number == SUCCESSOR_NUMBER)
        return;
    struct slot *s = slot_of(m, p);
    if (s->serving == p) {
        s->serving = NULL;
        policy_slot_is_empty(m, p->number);
    }
    m->stats->n_restarts[RESTART_HARAKIRI]++;
    s->start_at_ms = p->since_ms + DELAY_MIN_MS;
    process_enter(p, PROCESS_LEAVING, master_leave_ms(m));
}

static bool is_reload_of(const struct sprig_master *m, const struct process *p)
{
    return m->served_generation != 0 && p->generation == m->generation &&
           m->served_generation != m->generation;
}

static void master_start_failed(struct sprig_master *m, const struct process *p, int status)
{
    char how[128];
    const char *text = p->error[0] != '\0' ? p->error : status_text(status, how, sizeof how);
    if (m->dev != NULL && dev_failed(m, p, text))
        return;
    if (is_reload_of(m, p)) {
        m->stats->n_reloads_failed++;
        m->generation = m->served_generation;
        master_show_title(m);
        m->is_reloading = false;
        m->last_error[0] = '\0';
        master_note(m, SPRIG_LOG_ERROR, "the reload failed and the old workers keep serving: %s",
                    text);
        master_notify_ready(m);
        return;
    }
    master_note_failure(m, p->since_ms);
    if (!m->has_served) /* whoever waits for us sees our end, and can act on it */
        master_first_failed(m, text, m->status_fd != -1 || m->predecessor_fd != -1);
    else if (master_is_new(m, text))
        sprig_log(SPRIG_LOG_ERROR, CANNOT_START ": %s", text);
}

static void slot_crashed(struct slot *s, const struct process *p, int status)
{
    char how[128];
    uint64_t now = clock_ms();
    if (now - p->since_ms >= HEALTHY_MS)
        s->crash_delay_ms = 0;
    s->crash_delay_ms = delay_next(s->crash_delay_ms);
    s->start_at_ms = now + s->crash_delay_ms;
    sprig_log(SPRIG_LOG_WARN, "worker %u (pid %d) %s; the next one starts in %.1f seconds",
              p->number, (int)p->pid, status_text(status, how, sizeof how),
              (double)s->crash_delay_ms / 1000);
}

static enum restart restart_reason(const struct process *p, int status)
{
    if (p->stats != NULL && p->stats->ends_blocked)
        return RESTART_BLOCKED;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? RESTART_KILLED : RESTART_DIED;
}

static void on_gone(struct process *p, int status, void *arg)
{
    struct sprig_master *m = arg;
    enum restart reason = restart_reason(p, status);
    stats_board_give_back(m->stats, p->stats);
    p->stats = NULL;
    if (p->number == SUCCESSOR_NUMBER) {
        upgrade_gone(m, p, status);
        return;
    }
    struct slot *s = slot_of(m, p);
    if (s->starting == p)
        s->starting = NULL;
    if (s->serving == p) {
        s->serving = NULL;
        policy_slot_is_empty(m, p->number);
    }
    if (!master_is_serving(m) || p->state == PROCESS_LEAVING)
        return;
    if (p->state == PROCESS_STARTING)
        master_start_failed(m, p, status);
    else {
        m->stats->n_restarts[reason]++;
        slot_crashed(s, p, status);
    }
}

const struct process_events policy_events = {on_loaded, on_ready, on_leaving, on_watch, on_gone};

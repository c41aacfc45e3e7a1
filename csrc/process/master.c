/* master.c - a master's life: sockets, signals, the wait, the end; see master.h */
#include "process/master_internal.h"

#include "base/notify.h"
#include "base/privileges.h"
#include "channel.h"
#include "net/tls.h"
#include "process/master_signals.h"
#include "process/origin.h"
#include "process/quit.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---------------------------------------------------------------- new and free ---- */

static int slots_grow(struct sprig_master *m, uint32_t n)
{
    if (n <= m->n_slots)
        return 0;
    struct slot *slots = realloc(m->slots, n * sizeof *slots);
    if (slots == NULL)
        return SPRIG_E_NOMEM;
    memset(slots + m->n_slots, 0, (n - m->n_slots) * sizeof *slots);
    m->slots = slots;
    m->n_slots = n;
    return 0;
}

static int master_open_pidfile(struct sprig_master *m, char *why, size_t n)
{
    m->pidfile.fd = -1;
    if (m->config->pid == NULL || sprig_master_is_successor() || sprig_pidfile_may_replace())
        return 0; /* it belongs to the previous process until we serve */
    return sprig_pidfile_open(&m->pidfile, m->config->pid, why, n);
}

static int master_open_board(struct sprig_master *m)
{
    m->board = m->config->reuseport ? NULL : board_new();
    return m->board != NULL || m->config->reuseport ? 0 : SPRIG_E_NOMEM;
}

static int master_open_dev(struct sprig_master *m)
{
    m->dev = m->config->dev ? dev_new(m->config) : NULL;
    return m->dev != NULL || !m->config->dev ? 0 : SPRIG_E_NOMEM;
}

size_t sprig_master_watched(const struct sprig_master *m)
{
    return m->dev != NULL ? dev_count(m->dev) : 0;
}

const char *sprig_master_folder(const struct sprig_master *m)
{
    (void)m;
    return *sprig_origin_folder() != '\0' ? sprig_origin_folder() : NULL;
}

struct sprig_master *sprig_master_new(const struct sprig_config *config, char *const *argv,
                                      int status_fd, char *why, size_t n)
{
    struct sprig_master *m = calloc(1, sizeof *m);
    snprintf(why, n, "out of memory");
    if (m == NULL)
        return NULL;
    m->config = config;
    m->argv = argv;
    m->status_fd = status_fd;
    m->predecessor_fd = m->stats_fd = m->given_pid_fd = -1;
    m->generation = m->last_generation = 1;
    m->n_workers = config->workers;
    processes_init(&m->processes, &policy_events, m);
    privileges_set_umask(config);
    sprig_origin_keep();
    sprig_channels_plan(config);
    if (slots_grow(m, m->n_workers) == 0 && master_open_board(m) == 0 && master_open_dev(m) == 0 &&
        sprig_channels_share() == 0 && master_open_pidfile(m, why, n) == 0 &&
        upgrade_inherit(m, why, n) == 0 && master_open_admin(m, why, n) == 0)
        return m;
    sprig_master_free(m);
    return NULL;
}

void sprig_master_clean(const struct sprig_master *m)
{
    if (!m->has_run)
        master_unlink_sockets(m);
    sprig_pidfile_remove(&m->pidfile);
}

void sprig_master_free(struct sprig_master *m)
{
    if (m == NULL)
        return;
    master_close_sockets(m, !m->has_run);
    master_close_admin(m, !m->has_run && master_owns_admin(m));
    master_close_stats(m);
    sprig_pidfile_close(&m->pidfile);
    processes_clear(&m->processes);
    dev_free(m->dev);
    board_free(m->board);
    tls_context_release(m->tls);
    if (m->predecessor_fd != -1)
        close(m->predecessor_fd);
    if (m->given_pid_fd != -1)
        close(m->given_pid_fd);
    if (m->status_fd != -1)
        close(m->status_fd);
    free(m->bounds);
    free(m->unwanted);
    free(m->slots);
    free(m);
}

void sprig_master_on_ready(struct sprig_master *m, void (*cb)(void *arg), void *arg)
{
    m->on_ready = cb;
    m->on_ready_arg = arg;
}

void sprig_master_on_reload(struct sprig_master *m,
                            const struct sprig_config *(*cb)(void *arg, char *kept, char *why,
                                                             size_t n),
                            void *arg)
{
    m->on_reload = cb;
    m->on_reload_arg = arg;
}

/* ------------------------------------------------------------- in the new worker ---- */

void sprig_worker_clear(struct sprig_worker *worker)
{
    for (size_t i = 0; i < worker->n_sockets; i++)
        socket_close(&worker->sockets[i]);
    free(worker->sockets);
    board_free(worker->board);
    free(worker->failure);
    tls_context_release(worker->tls);
    if (worker->control_fd != -1)
        close(worker->control_fd);
    memset(worker, 0, sizeof *worker);
    worker->control_fd = -1;
}

/* -------------------------------------------------------------------- the signals ---- */

/* Workers added by signals need an upper limit. */
static uint32_t workers_limit(const struct sprig_config *config)
{
    uint32_t n = config->workers_limit != 0 ? config->workers_limit : 4 * config->workers;
    return n < BOARD_MAX_WORKERS ? n : BOARD_MAX_WORKERS;
}

void master_add_worker(struct sprig_master *m)
{
    char why[512];
    if (m->n_workers >= workers_limit(m->config)) {
        sprig_log(SPRIG_LOG_WARN, "TTIN: there are %u workers, the most that workers_limit allows",
                  m->n_workers);
        return;
    }
    if (slots_grow(m, m->n_workers + 1) != 0)
        return;
    m->n_workers++;
    if (master_add_sockets(m, why, sizeof why) != 0)
        sprig_log(SPRIG_LOG_WARN, "worker %u shares a socket, because no other could be opened: %s",
                  m->n_workers, why);
    sprig_log(SPRIG_LOG_INFO, "%u workers", m->n_workers);
    master_show_title(m);
}

void master_remove_worker(struct sprig_master *m)
{
    if (m->n_workers <= 1)
        return;
    struct slot *s = &m->slots[--m->n_workers];
    master_drop_sockets(m);
    if (s->starting != NULL)
        master_dismiss(m, s->starting);
    if (s->serving != NULL)
        master_dismiss(m, s->serving);
    memset(s, 0, sizeof *s);
    policy_slot_is_empty(m, m->n_workers + 1);
    sprig_log(SPRIG_LOG_INFO, "%u workers", m->n_workers);
    master_show_title(m);
}

void master_note(struct sprig_master *m, enum sprig_log_level level, const char *fmt, ...)
{
    char text[LINE_MAX_BYTES];
    size_t n = strlen(m->reload_note);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    snprintf(m->reload_note + n, sizeof m->reload_note - n, "%s\n", text);
    sprig_log(level, "%s", text);
}

/* False: the new configuration is invalid. Changes by TTIN and TTOU stay, unless `workers` has
 * changed. */
static bool master_renew_config(struct sprig_master *m)
{
    char kept[1024] = "", why[1024];
    uint32_t workers = m->config->workers;
    if (m->on_reload == NULL)
        return true;
    const struct sprig_config *config = m->on_reload(m->on_reload_arg, kept, why, sizeof why);
    if (config == NULL) {
        master_note(m, SPRIG_LOG_ERROR, "cannot reload: %s; the old workers keep serving", why);
        return false;
    }
    m->config = config;
    if (m->admin != NULL)
        admin_set_config(m->admin, config);
    if (sprig_log_configure(config, why, sizeof why) != 0)
        master_note(m, SPRIG_LOG_ERROR, "%s; the old one stays in use", why);
    if (*kept != '\0')
        master_note(m, SPRIG_LOG_WARN,
                    "reload: a change of %s needs a restart or an upgrade (USR2)", kept);
    if (config->workers == workers)
        return true;
    for (uint32_t n = m->n_workers; n < config->workers; n++)
        master_add_worker(m);
    for (uint32_t n = m->n_workers; n > config->workers; n--)
        master_remove_worker(m);
    return true;
}

/* The new certificates are for the next workers. */
static void master_renew_tls(struct sprig_master *m)
{
    char why[1024];
    if (m->tls == NULL)
        return;
    struct tls_context *fresh = tls_context_open(m->config, why, sizeof why);
    if (fresh == NULL) {
        master_note(m, SPRIG_LOG_ERROR, "reload: the old certificates stay in use: %s", why);
        return;
    }
    tls_context_release(m->tls);
    m->tls = fresh;
}

void master_reload(struct sprig_master *m)
{
    notify_reloading();
    m->reload_note[0] = '\0';
    if (!master_renew_config(m)) {
        m->stats->n_reloads++;
        m->stats->n_reloads_failed++;
        master_notify_ready(m);
        return;
    }
    master_renew_tls(m);
    m->generation = ++m->last_generation;
    m->stats->n_reloads++;
    m->is_reloading = true;
    m->is_failing = false;
    m->fail_delay_ms = 0;
    m->last_error[0] = '\0';
    for (uint32_t i = 0; i < m->n_slots; i++) {
        struct slot *s = &m->slots[i];
        s->start_at_ms = s->crash_delay_ms = 0;
        if (s->starting != NULL)
            master_dismiss(m, s->starting);
        s->starting = NULL;
    }
    sprig_log(SPRIG_LOG_INFO, "reloading: generation %u", m->generation);
    if (m->config->preload_app)
        master_note(m, SPRIG_LOG_WARN,
                    "the code stays the same, for preload_app is on: send USR2 to load new code");
    master_show_title(m);
    if (m->dev != NULL)
        dev_hold(m);
}

void master_send_all(const struct sprig_master *m, int signo)
{
    list_foreach (it, &m->processes.list) {
        struct process *p = list_entry(it, struct process, link);
        if (p->state == PROCESS_SERVING)
            kill(p->pid, signo);
    }
}

/* As process 1, forwards signals to the successor that serves in our place. */
static void master_forward(struct sprig_master *m)
{
    static const int forwarded[] = {SIGHUP, SIGUSR1, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < sizeof forwarded / sizeof forwarded[0]; i++)
        if (master_signals_take(forwarded[i]))
            kill(m->deputy->pid, forwarded[i]);
    if (master_signals_take(SIGUSR2))
        upgrade_start(m);
}

/* A signal to the whole process group, or sent twice to be safe, does not mean "at once". */
static void master_hear_end(struct sprig_master *m)
{
    bool is_told = master_signals_take(SIGTERM), is_asked = master_signals_take(SIGQUIT);
    if (master_signals_take(SIGINT))
        master_end(m, ENDING_AT_ONCE);
    uint64_t now = clock_ms();
    if (m->end_at_ms != 0 && now >= m->end_at_ms)
        master_end(m, ENDING_GRACEFUL);
    if (!is_told && !is_asked)
        return;
    bool is_first = m->told_to_end_ms == 0;
    if (is_first)
        m->told_to_end_ms = now;
    if (is_first && !is_asked && m->config->drain_delay > 0 && m->ending == ENDING_NOT) {
        m->end_at_ms = now + (uint64_t)(m->config->drain_delay * 1000);
        sprig_log(SPRIG_LOG_INFO, "TERM: serving for another %.1f seconds (drain_delay)",
                  m->config->drain_delay);
        return;
    }
    if (is_first || now - m->told_to_end_ms >= SPRIG_REPEAT_MS)
        master_end(m, is_first ? ENDING_GRACEFUL : ENDING_AT_ONCE);
}

static void master_obey(struct sprig_master *m)
{
    if (m->ending != ENDING_NOT)
        return;
    if (m->deputy != NULL) {
        master_forward(m);
        return;
    }
    if (master_signals_take(SIGHUP))
        master_reload(m);
    if (master_signals_take(SIGTTIN))
        master_add_worker(m);
    if (master_signals_take(SIGTTOU))
        master_remove_worker(m);
    if (master_signals_take(SIGUSR1)) {
        sprig_log_reopen();
        master_send_all(m, SIGUSR1);
    }
    if (master_signals_take(SIGUSR2))
        upgrade_start(m);
}

/* ------------------------------------------------------------------------ the end ---- */

/* Milliseconds until something is due, or -1 for never. */
static int master_timeout(struct sprig_master *m)
{
    uint64_t now = clock_ms(), due = policy_next_start(m),
             deadline = processes_next_deadline(&m->processes);
    int admin_ms = m->admin != NULL ? admin_timeout(m->admin) : -1;
    if (deadline != 0 && deadline < due)
        due = deadline;
    uint64_t feed_ms = master_feed_watchdog(m);
    if (feed_ms < due)
        due = feed_ms;
    if (m->dev != NULL && m->ending == ENDING_NOT && dev_next(m->dev) < due)
        due = dev_next(m->dev);
    if (m->end_at_ms != 0 && m->ending == ENDING_NOT && m->end_at_ms < due)
        due = m->end_at_ms;
    if (sprig_log_flush() && due > now + DELAY_MIN_MS)
        due = now + DELAY_MIN_MS; /* log lines wait for a reader */
    if (due == UINT64_MAX)
        return admin_ms;
    int ms = due <= now ? 0 : due - now < INT_MAX ? (int)(due - now) : INT_MAX;
    return admin_ms >= 0 && admin_ms < ms ? admin_ms : ms;
}

static void master_wait(struct sprig_master *m)
{
    struct pollfd *fds =
        calloc(m->processes.n_processes + ADMIN_MAX_POLL + DEV_MAX_POLL, sizeof *fds);
    size_t n = 0;
    int timeout = master_timeout(m);
    list_foreach (it, &m->processes.list) {
        int fd = list_entry(it, struct process, link)->control_fd;
        if (fds != NULL && fd != -1)
            fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    if (m->admin != NULL && fds != NULL)
        n += admin_poll(m->admin, fds + n, ADMIN_MAX_POLL);
    if (m->dev != NULL && fds != NULL)
        n += dev_poll(m->dev, fds + n);
    master_signals_wait(fds, n, fds != NULL ? timeout : DELAY_MIN_MS);
    free(fds);
}

/* The process that has taken our place stays. */
static bool master_is_over(const struct sprig_master *m)
{
    bool has_heir = m->was_handed_over && m->deputy != NULL;
    return m->ending != ENDING_NOT && m->processes.n_processes == (has_heir ? 1 : 0);
}

int sprig_master_run(struct sprig_master *m, struct sprig_worker *worker, char *why, size_t n)
{
    if (master_open_tls(m, why, n) != 0)
        return SPRIG_E_INVALID;
    m->has_run = true;
    master_show_title(m);
    if (master_signals_open(m->config->daemonize) != 0) {
        snprintf(why, n, "cannot take signals: %s", strerror(errno));
        return SPRIG_E_SYS;
    }
    while (!master_is_over(m)) {
        if (policy_start_workers(m, worker) == 1)
            return 1;
        master_wait(m);
        processes_hear(&m->processes);
        master_hear_end(m); /* first, because workers that got the same signal may be gone by now */
        if (master_signals_take(SIGCHLD))
            processes_reap(&m->processes);
        upgrade_watch(m);
        processes_kill_late(&m->processes);
        master_obey(m);
        if (m->dev != NULL)
            dev_run(m);
        if (m->admin != NULL)
            admin_run(m->admin);
    }
    master_signals_close(false);
    master_close_admin(m, master_owns_admin(m));
    master_close_stats(m);
    if (m->failure == NULL)
        return 0;
    snprintf(why, n, "%s", m->failure);
    return SPRIG_E_STATE;
}

/* master.c - which workers there should be, and what to do when there are not; see master.h */
#include "master_internal.h"

#include "daemon.h"
#include "privileges.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Pauses before a restart: from, to, and the health after which the first is due again. */
enum { DELAY_MIN_MS = 100, DELAY_MAX_MS = 30 * 1000, HEALTHY_MS = 60 * 1000 };

/* What a worker gets beyond its own deadline (graceful_timeout), and at a fast end. */
enum { LEAVE_GRACE_MS = 5 * 1000, FAST_END_MS = 1000 };

static const struct crew_events master_events;

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
    if (m->config->pid == NULL || sprig_master_is_successor())
        return 0;
    return sprig_pidfile_open(&m->pidfile, m->config->pid, why, n);
}

static bool is_current_folder(const char *path)
{
    struct stat named, current;
    return path != NULL && *path == '/' && stat(path, &named) == 0 && stat(".", &current) == 0 &&
           named.st_dev == current.st_dev && named.st_ino == current.st_ino;
}

static void master_find_folder(struct sprig_master *m)
{
    const char *pwd = getenv("PWD");
    if (is_current_folder(pwd) && strlen(pwd) < sizeof m->folder)
        strcpy(m->folder, pwd);
    else if (getcwd(m->folder, sizeof m->folder) == NULL)
        m->folder[0] = '\0';
}

const char *sprig_master_folder(const struct sprig_master *m)
{
    return m->folder[0] != '\0' ? m->folder : NULL;
}

bool sprig_master_is_heir(const struct sprig_master *m)
{
    return m->is_heir;
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
    m->predecessor_fd = -1;
    m->generation = m->last_generation = 1;
    m->n_workers = config->workers;
    crew_init(&m->crew, &master_events, m);
    privileges_set_umask(config);
    master_find_folder(m);
    if (slots_grow(m, m->n_workers) == 0 && master_open_pidfile(m, why, n) == 0 &&
        succession_inherit(m, why, n) == 0)
        return m;
    sprig_master_free(m);
    return NULL;
}

void sprig_master_free(struct sprig_master *m)
{
    if (m == NULL)
        return;
    master_close_sockets(m, !m->has_run && !m->is_heir);
    sprig_pidfile_close(&m->pidfile);
    crew_clear(&m->crew);
    if (m->predecessor_fd != -1)
        close(m->predecessor_fd);
    if (m->status_fd != -1)
        close(m->status_fd);
    free(m->bounds);
    free(m->slots);
    free(m);
}

void sprig_master_on_ready(struct sprig_master *m, void (*cb)(void *arg), void *arg)
{
    m->on_ready = cb;
    m->on_ready_arg = arg;
}

/* ------------------------------------------------------------- in the new worker ---- */

void sprig_worker_clear(struct sprig_worker *worker)
{
    for (size_t i = 0; i < worker->n_sockets; i++)
        socket_close(&worker->sockets[i]);
    free(worker->sockets);
    if (worker->control_fd != -1)
        close(worker->control_fd);
    memset(worker, 0, sizeof *worker);
    worker->control_fd = -1;
}

__attribute__((noreturn)) static void worker_fail(int control_fd, const char *why)
{
    dprintf(control_fd, "error %s\n", why);
    _exit(EXIT_FAILURE);
}

static int worker_begin(struct sprig_master *m, uint32_t number, int control_fd,
                        struct sprig_worker *w)
{
    char why[512] = "out of memory";
    memset(w, 0, sizeof *w);
    w->number = number;
    w->generation = m->generation;
    w->control_fd = control_fd;
    w->is_daemon = m->config->daemonize;
    notices_close(true);
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

/* When a slot that wants a worker may have it; UINT64_MAX: when something else has happened. After
 * a failure one is tried at a time, and a reload goes round one by one. */
static uint64_t slot_start_time(const struct sprig_master *m, const struct slot *s)
{
    bool is_reload = s->serving != NULL && s->serving->generation != m->generation;
    if ((m->is_failing || is_reload) && master_count_starting(m) > 0)
        return UINT64_MAX;
    uint64_t retry_ms = m->is_failing ? m->failed_at_ms + m->fail_delay_ms : 0;
    return s->start_at_ms > retry_ms ? s->start_at_ms : retry_ms;
}

/* Starts that went side by side fail as one. */
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

/* What is said once is not said again until a worker has started. */
static void master_report(struct sprig_master *m, const char *what, const char *error)
{
    if (strcmp(m->last_error, error) == 0)
        return;
    snprintf(m->last_error, sizeof m->last_error, "%s", error);
    sprig_log(SPRIG_LOG_ERROR, "%s: %s", what, error);
}

static int slot_start(struct sprig_master *m, uint32_t i, struct sprig_worker *worker)
{
    struct process *p;
    int control_fd;
    int rc = crew_fork(&m->crew, i + 1, m->generation, &p, &control_fd);
    if (rc == 1)
        return worker_begin(m, i + 1, control_fd, worker);
    if (rc < 0) {
        master_report(m, "cannot fork a worker", strerror(errno));
        master_note_failure(m, clock_ms());
        return 0;
    }
    process_enter(p, PROCESS_STARTING, (uint64_t)(m->config->start_timeout * 1000));
    m->slots[i].starting = p;
    return 0;
}

static bool master_is_serving(const struct sprig_master *m)
{
    return m->ending == ENDING_NOT && m->deputy == NULL;
}

/* 1 in a new worker. */
static int master_fill(struct sprig_master *m, struct sprig_worker *worker)
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

/* ------------------------------------------------------------------- what happens ---- */

static uint64_t leave_ms(const struct sprig_master *m)
{
    double seconds = m->config->graceful_timeout;
    return seconds > 0 ? (uint64_t)(seconds * 1000) + LEAVE_GRACE_MS : 0;
}

void master_dismiss(struct sprig_master *m, struct process *p)
{
    bool is_starting = p->state == PROCESS_STARTING;
    kill(p->pid, is_starting ? SIGTERM : SIGQUIT);
    process_enter(p, PROCESS_LEAVING, is_starting ? FAST_END_MS : leave_ms(m));
}

static struct slot *slot_of(struct sprig_master *m, const struct process *p)
{
    return &m->slots[p->number - 1];
}

static void on_loaded(struct process *p, void *arg)
{
    (void)arg;
    process_say(p, "probe\n");
}

/* Every slot has a worker that serves, of the wanted generation if that is asked for. */
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
        m->has_served = true;
        if (m->on_ready != NULL)
            m->on_ready(m->on_ready_arg);
        sprig_daemon_ready(m->status_fd);
        m->status_fd = -1;
        if (m->config->daemonize)
            sprig_daemon_detach();
    }
    if (master_is_complete(m, false))
        succession_announce(m);
    if (m->is_reloading && master_is_complete(m, true)) {
        m->is_reloading = false;
        sprig_log(SPRIG_LOG_INFO, "reloaded: all workers are of generation %u", m->generation);
    }
}

static void on_ready(struct process *p, void *arg)
{
    struct sprig_master *m = arg;
    if (p->number == SUCCESSOR_NUMBER) {
        succession_complete(m, p);
        return;
    }
    struct slot *s = slot_of(m, p);
    if (p->state != PROCESS_STARTING || s->starting != p)
        return; /* was sent away meanwhile */
    process_enter(p, PROCESS_SERVING, 0);
    s->starting = NULL;
    if (s->serving != NULL)
        master_dismiss(m, s->serving);
    s->serving = p;
    m->is_failing = false;
    m->last_error[0] = '\0';
    m->served_generation = p->generation;
    master_announce(m);
}

/* Not more often than a worker that crashes for the first time. */
static void on_leaving(struct process *p, void *arg)
{
    struct sprig_master *m = arg;
    if (p->state != PROCESS_SERVING || p->number == SUCCESSOR_NUMBER)
        return;
    struct slot *s = slot_of(m, p);
    if (s->serving == p)
        s->serving = NULL;
    s->start_at_ms = p->since_ms + DELAY_MIN_MS;
    process_enter(p, PROCESS_LEAVING, leave_ms(m));
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
    if (is_reload_of(m, p)) {
        m->generation = m->served_generation;
        m->is_reloading = false;
        m->last_error[0] = '\0';
        master_report(m, "cannot reload, the workers from before go on", text);
        return;
    }
    bool is_awaited = !m->has_served && (m->status_fd != -1 || m->predecessor_fd != -1);
    if (is_awaited) { /* whoever waits is told by our end, and can do something about it */
        snprintf(m->last_error, sizeof m->last_error, "%s", text);
        m->failure = m->last_error;
        master_end(m, ENDING_AT_ONCE);
        return;
    }
    master_note_failure(m, p->since_ms);
    master_report(m, "a worker cannot start (trying again after pauses of 0.1 to 30 seconds)",
                  text);
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

static void on_gone(struct process *p, int status, void *arg)
{
    struct sprig_master *m = arg;
    if (p->number == SUCCESSOR_NUMBER) {
        succession_gone(m, p, status);
        return;
    }
    struct slot *s = slot_of(m, p);
    if (s->starting == p)
        s->starting = NULL;
    if (s->serving == p)
        s->serving = NULL;
    if (!master_is_serving(m) || p->state == PROCESS_LEAVING)
        return;
    if (p->state == PROCESS_STARTING)
        master_start_failed(m, p, status);
    else
        slot_crashed(s, p, status);
}

static const struct crew_events master_events = {on_loaded, on_ready, on_leaving, on_gone};

/* -------------------------------------------------------------------- the signals ---- */

static void master_reload(struct sprig_master *m)
{
    m->generation = ++m->last_generation;
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
}

static void master_add_worker(struct sprig_master *m)
{
    char why[512];
    if (m->n_workers >= 1000 || slots_grow(m, m->n_workers + 1) != 0)
        return;
    m->n_workers++;
    if (master_add_sockets(m, why, sizeof why) != 0)
        sprig_log(SPRIG_LOG_WARN, "worker %u shares a socket: %s", m->n_workers, why);
    sprig_log(SPRIG_LOG_INFO, "%u workers", m->n_workers);
}

static void master_remove_worker(struct sprig_master *m)
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
    sprig_log(SPRIG_LOG_INFO, "%u workers", m->n_workers);
}

static void master_send_all(const struct sprig_master *m, int signo)
{
    list_foreach (it, &m->crew.processes) {
        struct process *p = list_entry(it, struct process, link);
        if (p->state == PROCESS_SERVING)
            kill(p->pid, signo);
    }
}

/* As process 1, for a successor that serves in our place. */
static void master_forward(struct sprig_master *m)
{
    static const int forwarded[] = {SIGHUP, SIGUSR1, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < sizeof forwarded / sizeof forwarded[0]; i++)
        if (notices_take(forwarded[i]))
            kill(m->deputy->pid, forwarded[i]);
    if (notices_take(SIGUSR2))
        succession_start(m);
}

static void master_obey(struct sprig_master *m)
{
    bool is_ending = m->ending != ENDING_NOT;
    if (notices_take(SIGINT))
        master_end(m, ENDING_AT_ONCE);
    if (notices_take(SIGTERM) | notices_take(SIGQUIT))
        master_end(m, is_ending ? ENDING_AT_ONCE : ENDING_GRACEFUL);
    if (m->ending != ENDING_NOT)
        return;
    if (m->deputy != NULL) {
        master_forward(m);
        return;
    }
    if (notices_take(SIGHUP))
        master_reload(m);
    if (notices_take(SIGTTIN))
        master_add_worker(m);
    if (notices_take(SIGTTOU))
        master_remove_worker(m);
    if (notices_take(SIGUSR1))
        master_send_all(m, SIGUSR1);
    if (notices_take(SIGUSR2))
        succession_start(m);
}

/* ------------------------------------------------------------------------ the end ---- */

/* At first our own sockets are closed: with those of the workers, new clients are refused rather
 * than left to wait for nobody. */
void master_end(struct sprig_master *m, enum ending how)
{
    if (m->ending >= how)
        return;
    if (m->ending == ENDING_NOT)
        master_close_sockets(m, !m->was_handed_over);
    m->ending = how;
    list_foreach (it, &m->crew.processes) {
        struct process *p = list_entry(it, struct process, link);
        if (p == m->deputy && m->was_handed_over)
            continue;
        if (how == ENDING_GRACEFUL && p->state != PROCESS_LEAVING)
            master_dismiss(m, p);
        if (how == ENDING_AT_ONCE) {
            kill(p->pid, p->state == PROCESS_STARTING ? SIGTERM : SIGINT);
            process_enter(p, PROCESS_LEAVING, FAST_END_MS);
        }
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Milliseconds until something is due, or -1. */
static int master_timeout(const struct sprig_master *m)
{
    uint64_t now = clock_ms(), due = crew_next_deadline(&m->crew);
    if (due == 0)
        due = UINT64_MAX;
    for (uint32_t i = 0; master_is_serving(m) && i < m->n_workers; i++)
        if (slot_wants_worker(m, &m->slots[i]))
            due = earlier(due, slot_start_time(m, &m->slots[i]));
    if (due == UINT64_MAX)
        return -1;
    return due <= now ? 0 : due - now < INT_MAX ? (int)(due - now) : INT_MAX;
}

static void master_wait(const struct sprig_master *m)
{
    struct pollfd *fds = calloc(m->crew.n_processes + 1, sizeof *fds);
    size_t n = 0;
    int timeout = master_timeout(m);
    list_foreach (it, &m->crew.processes) {
        int fd = list_entry(it, struct process, link)->control_fd;
        if (fds != NULL && fd != -1)
            fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    notices_wait(fds, n, fds != NULL ? timeout : DELAY_MIN_MS);
    free(fds);
}

/* Whoever has taken our place stays. */
static bool master_is_over(const struct sprig_master *m)
{
    bool has_heir = m->was_handed_over && m->deputy != NULL;
    return m->ending != ENDING_NOT && m->crew.n_processes == (has_heir ? 1 : 0);
}

int sprig_master_run(struct sprig_master *m, struct sprig_worker *worker, char *why, size_t n)
{
    m->has_run = true;
    if (notices_open() != 0) {
        snprintf(why, n, "cannot take signals: %s", strerror(errno));
        return SPRIG_E_SYS;
    }
    while (!master_is_over(m)) {
        if (master_fill(m, worker) == 1)
            return 1;
        master_wait(m);
        crew_hear(&m->crew);
        if (notices_take(SIGCHLD))
            crew_reap(&m->crew);
        crew_kill_late(&m->crew);
        master_obey(m);
    }
    notices_close(false);
    if (m->failure == NULL)
        return 0;
    snprintf(why, n, "%s", m->failure);
    return SPRIG_E_STATE;
}

/* processes.c - forks processes, hears from them and collects them; see processes.h */
#include "process/processes.h"

#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t clock_ms(void)
{
    return clock_monotonic_ns() / NS_PER_MS;
}

char *status_text(int status, char *buf, size_t n)
{
    if (WIFSIGNALED(status))
        snprintf(buf, n, "ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(buf, n, "exited with status %d", WEXITSTATUS(status));
    return buf;
}

void processes_init(struct processes *all, const struct process_events *events, void *arg)
{
    memset(all, 0, sizeof *all);
    list_init(&all->list);
    all->events = events;
    all->arg = arg;
}

static void process_close_control(struct process *p)
{
    if (p->control_fd != -1)
        close(p->control_fd);
    p->control_fd = -1;
}

static void processes_remove(struct processes *all, struct process *p)
{
    list_remove(&p->link);
    all->n_processes--;
}

static void process_free(struct process *p)
{
    process_close_control(p);
    free(p);
}

void processes_clear(struct processes *all)
{
    while (!list_empty(&all->list)) {
        struct process *p = list_entry(all->list.next, struct process, link);
        processes_remove(all, p);
        process_free(p);
    }
}

void process_enter(struct process *p, enum process_state state, uint64_t ms)
{
    p->state = state;
    p->since_ms = clock_ms();
    if (p->stats != NULL)
        p->stats->state = state == PROCESS_STARTING  ? STATS_STARTING
                          : state == PROCESS_SERVING ? STATS_SERVING
                                                     : STATS_DRAINING;
    p->deadline_ms = ms > 0 ? p->since_ms + ms : 0;
}

/* ------------------------------------------------------------------ forking ---- */

static struct process *process_new(uint32_t number, uint32_t generation)
{
    struct process *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->number = number;
    p->generation = generation;
    p->control_fd = -1;
    return p;
}

/* Both ends are close-on-exec and non-blocking. */
static int open_control_socket(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == -1)
        return SPRIG_E_SYS;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        fcntl(ends[i], F_SETFL, fcntl(ends[i], F_GETFL) | O_NONBLOCK);
    }
    return 0;
}

int processes_fork(struct processes *all, uint32_t number, uint32_t generation,
                   struct process **out, int *control_fd)
{
    int ends[2];
    struct process *p = process_new(number, generation);
    if (p == NULL)
        return SPRIG_E_NOMEM;
    if (open_control_socket(ends) != 0) {
        process_free(p);
        return SPRIG_E_SYS;
    }
    p->pid = fork();
    if (p->pid == 0) {
        close(ends[0]);
        process_free(p);
        processes_clear(all);
        *control_fd = ends[1];
        return 1;
    }
    int saved = errno;
    close(ends[1]);
    p->control_fd = ends[0];
    if (p->pid == -1) {
        process_free(p);
        errno = saved;
        return SPRIG_E_SYS;
    }
    list_append(&all->list, &p->link);
    all->n_processes++;
    *out = p;
    return 0;
}

/* ------------------------------------------------------------------ hearing ---- */

void process_say(const struct process *p, const char *line)
{
    if (p->control_fd != -1 &&
        send(p->control_fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
        return; /* it has gone, as waitpid will show */
}

static bool is_word(const char *line, const char *word)
{
    size_t len = strlen(word);
    return strncmp(line, word, len) == 0 && (line[len] == '\0' || line[len] == ' ');
}

/* `why` looks like " max_rss". */
static void process_retire(struct process *p, const char *why)
{
    p->wants_out = true;
    p->why_out = RESTART_MAX_REQUESTS;
    for (int i = 0; i < N_RESTARTS; i++)
        if (*why == ' ' && strcmp(why + 1, restart_names[i]) == 0)
            p->why_out = (enum restart)i;
}

static void process_take_line(struct processes *all, struct process *p, const char *line)
{
    if (is_word(line, "loaded"))
        all->events->on_loaded(p, all->arg);
    else if (is_word(line, "ready"))
        all->events->on_ready(p, all->arg);
    else if (is_word(line, "excuse"))
        p->is_excuse = true;
    else if (is_word(line, "leaving"))
        all->events->on_leaving(p, all->arg);
    else if (is_word(line, "watch") && line[5] == ' ')
        all->events->on_watch(p, line + 6, all->arg);
    else if (is_word(line, "retire"))
        process_retire(p, line + strlen("retire"));
    else if (is_word(line, "error")) {
        snprintf(p->error, sizeof p->error, "%s", line + strcspn(line, " ") + (line[5] == ' '));
        log_clean(p->error);
    }
}

/* If a line does not fit, which happens only to an error's text, its beginning is used. */
static void process_split_lines(struct processes *all, struct process *p)
{
    char line[LINE_MAX_BYTES + 1];
    for (;;) {
        char *end = memchr(p->line, '\n', p->line_len);
        if (end == NULL && p->line_len < sizeof p->line)
            return;
        size_t len = end != NULL ? (size_t)(end - p->line) : p->line_len;
        size_t used = end != NULL ? len + 1 : len;
        memcpy(line, p->line, len);
        line[len] = '\0';
        p->line_len -= used;
        memmove(p->line, p->line + used, p->line_len);
        if (!p->is_cut)
            process_take_line(all, p, line);
        p->is_cut = end == NULL;
    }
}

void process_hear(struct processes *all, struct process *p)
{
    while (p->control_fd != -1) {
        ssize_t n = recv(p->control_fd, p->line + p->line_len, sizeof p->line - p->line_len, 0);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            process_close_control(p);
            return;
        }
        p->line_len += (size_t)n;
        process_split_lines(all, p);
    }
}

void processes_hear(struct processes *all)
{
    list_foreach_safe (it, next, &all->list)
        process_hear(all, list_entry(it, struct process, link));
}

/* ---------------------------------------------------------------- collecting ---- */

static void processes_lose(struct processes *all, struct process *p, int status)
{
    processes_remove(all, p); /* remove it first: its number may have been reused, so nobody may
                               * signal it */
    p->is_over = true;
    process_hear(all, p);
    all->events->on_gone(p, status, all->arg);
    process_free(p);
}

static struct process *processes_find(struct processes *all, pid_t pid)
{
    list_foreach (it, &all->list)
        if (list_entry(it, struct process, link)->pid == pid)
            return list_entry(it, struct process, link);
    return NULL;
}

/* Process 1 of a container inherits all orphans. */
static void processes_reap_all(struct processes *all)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct process *p = processes_find(all, pid);
        if (p != NULL)
            processes_lose(all, p, status);
    }
}

void processes_reap(struct processes *all)
{
    int status;
    if (getpid() == 1) {
        processes_reap_all(all);
        return;
    }
    list_foreach_safe (it, next, &all->list) {
        struct process *p = list_entry(it, struct process, link);
        if (waitpid(p->pid, &status, WNOHANG) == p->pid)
            processes_lose(all, p, status);
    }
}

/* ------------------------------------------------------------------- answers ---- */

void process_wake(const struct process *p)
{
    process_say(p, "look\n");
}

/* Somebody else may have asked since; then the answer covers more than our question. */
bool process_answers(struct process *p, uint64_t limit_ms)
{
    struct stats *s = p->stats;
    uint64_t now = clock_ms();
    if (s == NULL)
        return true;
    uint32_t n_answered = __atomic_load_n(&s->n_answered, __ATOMIC_ACQUIRE);
    if (p->asked_ms != 0 && (int32_t)(n_answered - p->n_asked) < 0)
        return now - p->asked_ms <= limit_ms;
    p->asked_ms = now;
    p->n_asked = __atomic_add_fetch(&s->n_asked, 1, __ATOMIC_RELEASE);
    process_wake(p);
    return true;
}

/* ------------------------------------------------------------------ deadlines ---- */

void processes_kill_late(struct processes *all)
{
    uint64_t now = clock_ms();
    list_foreach (it, &all->list) {
        struct process *p = list_entry(it, struct process, link);
        bool was_starting = p->state == PROCESS_STARTING;
        if (p->deadline_ms == 0 || p->deadline_ms > now)
            continue;
        if (was_starting && p->number == SUCCESSOR_NUMBER)
            continue; /* its workers would be left behind: see upgrade_watch */
        if (p->number == SUCCESSOR_NUMBER)
            sprig_log(SPRIG_LOG_WARN, "the new master (pid %d) does not end: killed", (int)p->pid);
        else
            sprig_log(was_starting ? SPRIG_LOG_DEBUG : SPRIG_LOG_WARN,
                      "worker %u (pid %d) does not end: killed", p->number, (int)p->pid);
        if (was_starting)
            snprintf(p->error, sizeof p->error,
                     "not ready within start_timeout; raise it if loading takes longer");
        kill(p->pid, SIGKILL);
        p->deadline_ms = 0;
    }
}

uint64_t processes_next_deadline(const struct processes *all)
{
    uint64_t earliest = 0;
    list_foreach (it, &all->list) {
        const struct process *p = list_entry(it, struct process, link);
        if (p->deadline_ms != 0 && (earliest == 0 || p->deadline_ms < earliest))
            earliest = p->deadline_ms;
    }
    return earliest;
}

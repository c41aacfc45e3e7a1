/* master_admin.c - the counters of a master's processes; who may read them and give orders. */
#include "process/master_internal.h"

#include "net/inherited.h"
#include "process/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "9 TEXT TEXT
 * ADDRESS": the descriptor of the counters, or -1; the admin listener's sockets; and the option
 * admin, or nothing if systemd opened them. Passed in a successor's environment, beside the
 * variable of upgrade.c. */
#define ADMIN_VARIABLE "SPRIG_UPGRADE_ADMIN"

/* Workers that are starting, serving or leaving each need an entry. */
enum { ENTRIES_FOR_EACH = 3, ENTRIES_SPARE = 16 };

/* -------------------------------------------------------------------- the orders ---- */

static int say(char *said, size_t n, int status, const char *text)
{
    snprintf(said, n, "%s", text);
    return status;
}

static int add_worker(struct sprig_master *m, char *said, size_t n)
{
    uint32_t before = m->n_workers;
    master_add_worker(m);
    snprintf(said, n, "%u workers", m->n_workers);
    return m->n_workers > before ? 0 : say(said, n, 409, "the most that workers_limit allows");
}

static int remove_worker(struct sprig_master *m, char *said, size_t n)
{
    uint32_t before = m->n_workers;
    master_remove_worker(m);
    snprintf(said, n, "%u workers", m->n_workers);
    return m->n_workers < before ? 0 : say(said, n, 409, "the last worker stays");
}

/* Sends KILL: to end a worker in an orderly way, remove it or reload. */
static int kill_worker(struct sprig_master *m, uint32_t number, char *said, size_t n)
{
    struct process *p = number >= 1 && number <= m->n_workers ? m->slots[number - 1].serving : NULL;
    if (p == NULL) {
        snprintf(said, n, "no worker %u serves", number);
        return 404;
    }
    kill(p->pid, SIGKILL);
    snprintf(said, n, "worker %u (pid %d) was killed", number, (int)p->pid);
    return 0;
}

static int set_drained(struct sprig_master *m, bool is_drained, char *said, size_t n)
{
    m->is_drained = is_drained;
    return say(said, n, 0,
               is_drained ? "draining: /readyz answers 503, the server keeps serving"
                          : "ready again");
}

/* Acts as if the signal had been sent to us. */
static int signal_self(int signo, char *said, size_t n, const char *text)
{
    kill(getpid(), signo);
    return say(said, n, 0, text);
}

static int act(enum admin_verb verb, uint32_t number, char *said, size_t n, void *arg)
{
    struct sprig_master *m = arg;
    bool may_begin = m->ending == ENDING_NOT && m->deputy == NULL;
    if (verb == ADMIN_QUIT)
        return signal_self(SIGINT, said, n, "ending at once");
    if (verb == ADMIN_STOP)
        return signal_self(SIGTERM, said, n, "ending when the requests in progress are answered");
    if (!may_begin)
        return say(said, n, 409, "the server is about to end");
    switch (verb) {
    case ADMIN_RELOAD:
        return signal_self(SIGHUP, said, n,
                           "reloading; reload --wait also waits for the new workers");
    case ADMIN_UPGRADE:
        return signal_self(SIGUSR2, said, n, "upgrading");
    case ADMIN_REOPEN:
        return signal_self(SIGUSR1, said, n, "logs are reopened");
    case ADMIN_DRAIN:
    case ADMIN_UNDRAIN:
        return set_drained(m, verb == ADMIN_DRAIN, said, n);
    case ADMIN_ADD:
        return add_worker(m, said, n);
    case ADMIN_REMOVE:
        return remove_worker(m, said, n);
    case ADMIN_KILL:
        return kill_worker(m, number, said, n);
    case ADMIN_STOP:
    case ADMIN_QUIT:
        break;
    }
    return say(said, n, 404, "no such command");
}

/* ------------------------------------------------------------------- the answers ---- */

static bool is_ready(void *arg)
{
    const struct sprig_master *m = arg;
    if (m->ending != ENDING_NOT || m->end_at_ms != 0 || m->is_drained)
        return false;
    for (uint32_t i = 0; i < m->n_workers; i++)
        if (m->slots[i].serving != NULL)
            return true;
    return m->deputy != NULL;
}

static void get_wanted(uint32_t *n_workers, uint32_t *generation, void *arg)
{
    const struct sprig_master *m = arg;
    *n_workers = m->n_workers;
    *generation = m->generation;
}

static const char *get_note(void *arg)
{
    const struct sprig_master *m = arg;
    return m->reload_note;
}

static void ask(void *arg)
{
    const struct sprig_master *m = arg;
    list_foreach (it, &m->processes.list) {
        const struct process *p = list_entry(it, struct process, link);
        if (p->number != SUCCESSOR_NUMBER && p->state != PROCESS_STARTING)
            process_wake(p);
    }
}

/* ------------------------------------------------------------------ open and close ---- */

struct inherited {
    int stats_fd; /* -1: none */
    struct sprig_socket sockets[SPRIG_LISTEN_MAX_ADDRESSES];
    size_t n_sockets;
    char address[SPRIG_LISTEN_TEXT_BYTES];
};

static void take_inherited(struct inherited *in)
{
    char text[2048], *rest = text, *word;
    const char *value = getenv(ADMIN_VARIABLE);
    *in = (struct inherited){.stats_fd = -1};
    snprintf(text, sizeof text, "%s", value != NULL ? value : "");
    unsetenv(ADMIN_VARIABLE);
    if (value == NULL)
        return;
    if ((word = strchr(text, '\n')) != NULL) {
        snprintf(in->address, sizeof in->address, "%s", word + 1);
        *word = '\0';
    }
    in->stats_fd = atoi(strsep(&rest, " "));
    if (in->stats_fd != -1)
        fcntl(in->stats_fd, F_SETFD, FD_CLOEXEC);
    while (in->n_sockets < SPRIG_LISTEN_MAX_ADDRESSES && (word = strsep(&rest, " ")) != NULL) {
        struct sprig_socket *s = &in->sockets[in->n_sockets];
        if (socket_read(word, s) != 0)
            continue;
        fcntl(s->fd, F_SETFD, FD_CLOEXEC);
        in->n_sockets++;
    }
}

static uint32_t count_entries(const struct sprig_config *config)
{
    uint32_t limit = config->workers_limit != 0 ? config->workers_limit : 4 * config->workers;
    return ENTRIES_FOR_EACH * (limit < BOARD_MAX_WORKERS ? limit : BOARD_MAX_WORKERS) +
           ENTRIES_SPARE;
}

/* Goes on with the previous master's counters if their layout is known. */
static int open_stats(struct sprig_master *m, int inherited_fd)
{
    m->stats_fd = inherited_fd;
    m->stats = inherited_fd != -1 ? stats_board_inherit(inherited_fd) : NULL;
    if (m->stats != NULL)
        return 0;
    if (inherited_fd != -1)
        close(inherited_fd);
    m->stats = stats_board_new(count_entries(m->config), &m->stats_fd);
    return m->stats != NULL ? 0 : SPRIG_E_NOMEM;
}

/* The socket that systemd calls "admin" takes precedence over the option. */
static int take_systemd(struct sprig_master *m, struct inherited *in, char *why, size_t n)
{
    int fd = in->n_sockets == 0 ? sprig_inherited_admin() : -1;
    if (fd == -1)
        return 0;
    in->n_sockets = 1;
    m->is_admin_foreign = true;
    return socket_adopt(m->config, fd, &in->sockets[0], why, n);
}

/* If the option admin has changed, the previous master answers at the old address until we serve.
 */
static int leave_old_address(struct sprig_master *m, struct inherited *in)
{
    const char *now = m->config->admin != NULL ? m->config->admin : "";
    struct bound old = {.n_sockets = (uint32_t)in->n_sockets};
    if (in->n_sockets == 0 || in->address[0] == '\0' || strcmp(in->address, now) == 0)
        return 0;
    old.place = strdup(in->address);
    old.sockets = calloc(in->n_sockets, sizeof *old.sockets);
    if (old.place == NULL || old.sockets == NULL || !master_put_aside(m, &old)) {
        free(old.place);
        free(old.sockets);
        return SPRIG_E_NOMEM;
    }
    memcpy(old.sockets, in->sockets, in->n_sockets * sizeof *old.sockets);
    in->n_sockets = 0;
    return 0;
}

int master_open_admin(struct sprig_master *m, char *why, size_t n)
{
    struct inherited in;
    struct admin_host host = {.config = m->config,
                              .is_master = true,
                              .act = act,
                              .is_ready = is_ready,
                              .get_wanted = get_wanted,
                              .get_note = get_note,
                              .ask = ask,
                              .arg = m};
    take_inherited(&in);
    if (take_systemd(m, &in, why, n) != 0)
        return SPRIG_E_SYS;
    if (leave_old_address(m, &in) != 0)
        return SPRIG_E_NOMEM;
    if (open_stats(m, in.stats_fd) != 0)
        return SPRIG_E_NOMEM;
    host.stats = m->stats;
    if (m->config->admin == NULL && in.n_sockets == 0)
        return 0;
    m->is_admin_inherited = in.n_sockets != 0;
    m->is_admin_foreign |= in.n_sockets != 0 && in.address[0] == '\0';
    m->admin = admin_open(&host, in.sockets, in.n_sockets, why, n);
    return m->admin != NULL ? 0 : SPRIG_E_SYS;
}

void master_close_admin(struct sprig_master *m, bool unlink)
{
    admin_close(m->admin, unlink);
    m->admin = NULL;
}

void master_close_stats(struct sprig_master *m)
{
    if (m->stats_fd != -1)
        close(m->stats_fd);
    m->stats_fd = -1;
}

void master_leave_admin(struct sprig_master *m, struct stats *s)
{
    master_close_admin(m, false);
    master_close_stats(m);
    if (s != NULL)
        stats_attach(s);
    else
        sprig_log(SPRIG_LOG_WARN, "too many processes: the numbers of this one are not counted");
}

static void keep_on_exec(int fd)
{
    if (fd != -1)
        fcntl(fd, F_SETFD, fcntl(fd, F_GETFD) & ~FD_CLOEXEC);
}

/* Process 1 outlives its successors, and keeps its claim to the path. */
void master_pass_admin(const struct sprig_master *m)
{
    char text[2048], one[128];
    size_t n = 0;
    const struct sprig_socket *sockets = m->admin != NULL ? admin_sockets(m->admin, &n) : NULL;
    int len = snprintf(text, sizeof text, "%d", m->stats_fd);
    keep_on_exec(m->stats_fd);
    for (size_t i = 0; i < n && len + sizeof one < sizeof text; i++) {
        struct sprig_socket s = sockets[i];
        s.made_path = s.made_path && getppid() != 1;
        keep_on_exec(s.fd);
        len += snprintf(text + len, sizeof text - (size_t)len, " %s",
                        socket_print(&s, one, sizeof one));
    }
    if (m->config->admin != NULL && !m->is_admin_foreign)
        snprintf(text + len, sizeof text - (size_t)len, "\n%s", m->config->admin);
    origin_pass(ADMIN_VARIABLE, text);
}

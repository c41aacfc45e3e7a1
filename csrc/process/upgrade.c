/* upgrade.c - the upgrade: executes the program anew with our sockets, to take our place. */
#include "process/master_internal.h"

#include "base/hub.h"
#include "base/notify.h"
#include "base/number.h"
#include "net/tls.h"
#include "process/master_signals.h"
#include "process/origin.h"
#include "process/quit.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "7/0;0/TEXT;1/TEXT
 * PLACE
 * PLACE": the successor's control descriptor; 1 if the previous master is process 1; each socket
 * after the index of its address; and the place of each address. */
#define UPGRADE_VARIABLE "SPRIG_UPGRADE"

enum { SOCKET_TEXT_BYTES = 128 };

bool sprig_master_is_successor(void)
{
    return getenv(UPGRADE_VARIABLE) != NULL;
}

/* ----------------------------------------------------------------------- before ---- */

static void keep_on_exec(int fd)
{
    fcntl(fd, F_SETFD, fcntl(fd, F_GETFD) & ~FD_CLOEXEC);
}

static size_t count_sockets(const struct sprig_master *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_bounds; i++)
        n += m->bounds[i].n_sockets;
    return n;
}

static size_t print_places(const struct sprig_master *m, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < m->n_bounds; i++) {
        const char *place = m->bounds[i].place;
        len += (size_t)snprintf(out + len, size - len, "\n%s", place != NULL ? place : "");
    }
    return len;
}

/* Process 1 outlives its successors, and keeps its claim to the paths. */
static char *print_sockets(const struct sprig_master *m, int control_fd, bool is_first)
{
    size_t size = 32 + count_sockets(m) * SOCKET_TEXT_BYTES + m->n_bounds * SPRIG_LISTEN_TEXT_BYTES;
    size_t len;
    char *text = malloc(size), one[SOCKET_TEXT_BYTES - 16];
    if (text == NULL)
        return NULL;
    len = (size_t)snprintf(text, size, "%d/%d", control_fd, is_first);
    for (size_t i = 0; i < m->n_bounds; i++)
        for (uint32_t k = 0; k < m->bounds[i].n_sockets; k++) {
            struct sprig_socket s = m->bounds[i].sockets[k];
            s.made_path = s.made_path && !is_first;
            keep_on_exec(s.fd);
            len += (size_t)snprintf(text + len, size - len, ";%zu/%s", i,
                                    socket_print(&s, one, sizeof one));
        }
    print_places(m, text + len, size - len);
    return text;
}

static void pass_tickets(void)
{
    char text[16];
    snprintf(text, sizeof text, "%d", tls_tickets_copy());
    origin_pass(TLS_TICKETS_VARIABLE, text);
}

static void pass_channels(void)
{
    char text[HUB_TEXT_BYTES];
    hub_pass(text);
    origin_pass(HUB_VARIABLE, text);
}

__attribute__((noreturn)) static void become_successor(struct sprig_master *m, int control_fd,
                                                       bool is_first)
{
    char *sockets = print_sockets(m, control_fd, is_first);
    master_pass_admin(m);
    master_signals_close(false);
    sprig_quit_release();
    keep_on_exec(control_fd);
    pass_tickets();
    pass_channels();
    sprig_pidfile_pass(&m->pidfile);
    if (sockets != NULL)
        origin_execute(m->argv, UPGRADE_VARIABLE, sockets);
    dprintf(control_fd, "error cannot execute %s: %s\n", m->argv[0], strerror(errno));
    _exit(EXIT_FAILURE);
}

void upgrade_start(struct sprig_master *m)
{
    struct process *p;
    int control_fd;
    bool is_first = getpid() == 1;
    if (m->is_deputy && kill(1, SIGUSR2) == 0)
        return; /* process 1 starts it: it would take our end for the end of everything */
    if (m->successor != NULL) {
        sprig_log(SPRIG_LOG_WARN, "an upgrade is under way already (pid %d)",
                  (int)m->successor->pid);
        return;
    }
    int rc = processes_fork(&m->processes, SUCCESSOR_NUMBER, m->generation, &p, &control_fd);
    if (rc == 1)
        become_successor(m, control_fd, is_first);
    if (rc < 0) {
        sprig_log(SPRIG_LOG_ERROR, "cannot upgrade: %s", strerror(errno));
        return;
    }
    process_enter(p, PROCESS_STARTING, (uint64_t)(2000 * m->config->start_timeout));
    m->successor = p;
    sprig_log(SPRIG_LOG_INFO, "upgrading: pid %d starts", (int)p->pid);
}

/* Its workers have their own deadline, but the successor itself may be loading the app, or may not
 * be Sprig at all. */
void upgrade_watch(struct sprig_master *m)
{
    struct process *p = m->successor;
    if (p == NULL || p->state != PROCESS_STARTING || p->deadline_ms == 0 ||
        p->deadline_ms > clock_ms())
        return;
    snprintf(p->error, sizeof p->error,
             "not ready within twice the start_timeout; raise it if loading takes longer");
    master_dismiss(m, p);
}

static void dismiss_workers(struct sprig_master *m)
{
    for (uint32_t i = 0; i < m->n_slots; i++) {
        struct slot *s = &m->slots[i];
        if (s->starting != NULL)
            master_dismiss(m, s->starting);
        if (s->serving != NULL)
            master_dismiss(m, s->serving);
        s->starting = s->serving = NULL;
    }
}

/* We leave. Process 1 cannot, because everything would end with it: it stays and forwards signals.
 */
void upgrade_complete(struct sprig_master *m, struct process *p)
{
    if (m->successor != p || p->state != PROCESS_STARTING || p->is_over)
        return; /* too late */
    m->successor = NULL;
    m->stats->n_upgrades++;
    sprig_log(SPRIG_LOG_INFO, "upgraded: pid %d serves", (int)p->pid);
    process_enter(p, PROCESS_SERVING, 0);
    if (m->deputy != NULL)
        master_dismiss(m, m->deputy);
    m->deputy = p;
    dismiss_workers(m);
    m->was_handed_over = getpid() != 1;
    master_show_title(m);
    if (m->was_handed_over) {
        notify_main_pid(p->pid);
        master_end(m, ENDING_GRACEFUL);
    }
}

void upgrade_gone(struct sprig_master *m, struct process *p, int status)
{
    char how[128];
    status_text(status, how, sizeof how);
    if (m->successor == p) {
        m->successor = NULL;
        if (m->ending == ENDING_NOT)
            sprig_log(SPRIG_LOG_ERROR, "cannot upgrade: %s; the old processes keep serving",
                      p->error[0] != '\0' ? p->error : how);
    }
    if (m->deputy != p)
        return;
    m->deputy = NULL;
    if (m->ending != ENDING_NOT)
        return;
    if (status != 0)
        m->failure = "the process that served in its place has failed";
    master_end(m, ENDING_GRACEFUL);
}

/* ------------------------------------------------------------------------ after ---- */

/* "0/TEXT" */
static int inherit_socket(struct sprig_master *m, char *text, struct sprig_socket *s, size_t *index)
{
    struct sprig_span rest = span_str(text);
    uint64_t index_read;
    if (!number_take(&rest, m->n_bounds, &index_read) || *rest.ptr != '/')
        return SPRIG_E_INVALID;
    *index = (size_t)index_read;
    int rc = socket_read(rest.ptr + 1, s);
    if (rc == 0 && fcntl(s->fd, F_SETFD, FD_CLOEXEC) == -1)
        rc = SPRIG_E_SYS;
    return rc;
}

/* If a master passes no places, its sockets are kept, like foreign ones. */
static int inherit_places(struct sprig_master *m, char *list)
{
    for (size_t i = 0; i < m->n_bounds && list != NULL; i++) {
        const char *place = strsep(&list, "\n");
        if (*place != '\0' && (m->bounds[i].place = strdup(place)) == NULL)
            return SPRIG_E_NOMEM;
    }
    return 0;
}

static int inherit_all(struct sprig_master *m, char *places)
{
    char *rest = strsep(&places, "\n"), *part = strsep(&rest, ";");
    m->predecessor_fd = atoi(part);
    m->is_deputy = strcmp(part + strcspn(part, "/"), "/1") == 0;
    fcntl(m->predecessor_fd, F_SETFD, FD_CLOEXEC);
    while ((part = strsep(&rest, ";")) != NULL) {
        struct sprig_socket s;
        size_t index;
        int rc = inherit_socket(m, part, &s, &index);
        if (rc == 0)
            rc = master_add_socket(m, index, &s);
        if (rc != 0)
            return rc;
    }
    return inherit_places(m, places);
}

int upgrade_inherit(struct sprig_master *m, char *why, size_t n)
{
    const char *value = getenv(UPGRADE_VARIABLE);
    if (value == NULL)
        return 0;
    m->given_pid_fd = sprig_pidfile_inherit();
    char *list = strdup(value);
    unsetenv(UPGRADE_VARIABLE);
    int rc = list != NULL ? inherit_all(m, list) : SPRIG_E_NOMEM;
    free(list);
    if (rc != 0)
        snprintf(why, n, UPGRADE_VARIABLE " is not what a master has written");
    master_drop_sockets(m); /* those of workers that TTIN added */
    return rc;
}

static void take_pidfile(struct sprig_master *m)
{
    char why[512];
    if (m->pidfile.path == NULL && m->config->pid != NULL &&
        sprig_pidfile_take_over(&m->pidfile, m->config->pid, m->given_pid_fd, why, sizeof why) != 0)
        sprig_log(SPRIG_LOG_WARN, "%s", why);
    if (m->given_pid_fd != -1 && m->pidfile.fd != m->given_pid_fd)
        close(m->given_pid_fd);
    m->given_pid_fd = -1;
}

/* The file names us before the master before hears of it, and leaves. */
void upgrade_announce(struct sprig_master *m)
{
    take_pidfile(m);
    if (m->predecessor_fd == -1)
        return;
    if (write(m->predecessor_fd, "ready\n", 6) == -1)
        sprig_log(SPRIG_LOG_WARN, "the old master is gone");
    close(m->predecessor_fd);
    m->predecessor_fd = -1;
    master_close_unwanted(m);
}

/* worker.c - processes: what this one is as a worker; daemon and pid file of a single process. */
#include "embed.h"
#include "master.h"
#include "options.h"
#include "process.h"
#include "process/daemon.h"
#include "process/pidfile.h"

#include <stdlib.h>
#include <sys/socket.h>

/* ---- what this process is ---- */

/* Belongs to the process, not to an interpreter: set before there is one, or right after the fork.
 */
static struct sprig_worker current;
static pid_t worker_pid;          /* not its children; 0: no worker */
static int daemon_status_fd = -1; /* from sprig_daemonize, until reported to */
static struct sprig_pidfile pidfile = {NULL, -1, 0};

void psgi_worker_set(struct sprig_worker *worker)
{
    current = *worker;
    worker_pid = getpid();
    sprig_log_set_worker(worker->number);
    memset(worker, 0, sizeof *worker);
    worker->control_fd = -1;
}

/* How much of one line a master takes. */
enum { REPORT_MAX_BYTES = 4000 };

bool psgi_worker_report(const char *text)
{
    static const char head[] = "error ";
    char line[sizeof head + 2 * REPORT_MAX_BYTES];
    size_t n = sizeof head - 1, len = strlen(text);

    if (worker_pid == 0 || worker_pid != getpid())
        return false;
    while (len > 0 && isSPACE(text[len - 1]))
        len--;
    if (len > REPORT_MAX_BYTES)
        len = REPORT_MAX_BYTES;
    memcpy(line, head, n);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            line[n++] = '\\';
        line[n++] = text[i] == '\n' ? 'n' : text[i];
    }
    line[n++] = '\n';
    /* The socket has room for it, unless the master is gone. */
    if (send(current.control_fd, line, n, MSG_NOSIGNAL) == -1)
        errno = 0;
    return true;
}

void psgi_daemon_set(int status_fd)
{
    daemon_status_fd = status_fd;
}

int psgi_daemon_take_status(void)
{
    int fd = daemon_status_fd;

    daemon_status_fd = -1;
    return fd;
}

HV *psgi_worker_info(pTHX)
{
    HV *info;

    if (worker_pid == 0 || worker_pid != getpid())
        return NULL;
    info = newHV();
    (void)hv_stores(info, "number", newSVuv(current.number));
    (void)hv_stores(info, "generation", newSVuv(current.generation));
    (void)hv_stores(info, "control_fd", newSViv(current.control_fd));
    (void)hv_stores(info, "is_daemon", newSVsv(boolSV(current.is_daemon)));
    if (current.failure != NULL)
        (void)hv_stores(info, "failure", newSVpv(current.failure, 0));
    return info;
}

uint32_t psgi_worker_number(void)
{
    return worker_pid != 0 && worker_pid == getpid() ? current.number : 0;
}

AV *psgi_worker_take_sockets(pTHX)
{
    AV *list = newAV();

    for (size_t i = 0; worker_pid == getpid() && i < current.n_sockets; i++) {
        struct sprig_socket *socket = &current.sockets[i];
        HV *info;
        if (socket->fd == -1)
            continue;
        info = newHV();
        (void)hv_stores(info, "fd", newSViv(socket->fd));
        psgi_options_store_listen(aTHX_ info, &socket->options);
        av_push(list, newRV_noinc((SV *)info));
        socket->fd = -1;
    }
    return list;
}

void psgi_worker_share(pTHX_ struct psgi_server *server)
{
    PERL_UNUSED_CONTEXT;
    if (worker_pid == getpid() && current.board != NULL && server->core != NULL)
        sprig_server_share(server->core, current.board, current.number - 1);
    if (worker_pid == getpid() && server->core != NULL)
        sprig_server_share_tls(server->core, current.tls);
}

void psgi_worker_play(pTHX_ UV number, int control_fd, AV *fds)
{
    struct sprig_worker worker = {.number = (uint32_t)number, .generation = 1};

    PERL_UNUSED_CONTEXT;
    worker.control_fd = control_fd;
    worker.n_sockets = (size_t)(av_len(fds) + 1);
    worker.sockets = calloc(worker.n_sockets + 1, sizeof *worker.sockets);
    if (worker.sockets == NULL)
        croak("Sprig: out of memory");
    for (size_t i = 0; i < worker.n_sockets; i++)
        worker.sockets[i].fd = (int)SvIV(*av_fetch(fds, (SSize_t)i, 1));
    psgi_worker_set(&worker);
}

/* ---- a single process ---- */

void psgi_daemonize(pTHX)
{
    char why[512];

    if (daemon_status_fd != -1)
        return; /* it is a daemon already */
    PERL_FLUSHALL_FOR_CHILD;
    sprig_open_standard();
    if (sprig_daemonize(&daemon_status_fd, why, sizeof why) != 0)
        croak("%s", why);
}

void psgi_daemon_ready(pTHX)
{
    PERL_UNUSED_CONTEXT;
    if (daemon_status_fd == -1)
        return;
    sprig_daemon_ready(daemon_status_fd);
    daemon_status_fd = -1;
    sprig_daemon_detach();
}

void psgi_pidfile_open(pTHX_ const char *path)
{
    char why[512];

    if (pidfile.path == NULL &&
        (sprig_pidfile_may_replace() ? sprig_pidfile_take_over(&pidfile, path, -1, why, sizeof why)
                                     : sprig_pidfile_open(&pidfile, path, why, sizeof why)) != 0)
        croak("%s", why);
}

void psgi_pidfile_clean(void)
{
    sprig_pidfile_remove(&pidfile);
}

void psgi_pidfile_close(pTHX)
{
    PERL_UNUSED_CONTEXT;
    if (pidfile.path != NULL)
        sprig_pidfile_close(&pidfile);
    pidfile.path = NULL;
}

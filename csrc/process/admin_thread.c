/* admin_thread.c - the admin listener in a single process; see admin_thread.h */
#include "process/admin_thread.h"

#include "base/cloexec.h"
#include "net/inherited.h"
#include "process/admin.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STACK_BYTES = 256 * 1024 };

static struct {
    struct admin *admin; /* owned; used only by the thread while it runs */
    struct stats_board *board;
    struct sprig_config config;
    struct sprig_loop *loop;
    pthread_t thread;
    int wake[2]; /* a pipe: its end of file ends the thread */
    pid_t pid;   /* the process that has the thread; 0: none */
    atomic_bool is_drained;
} own;

/* --------------------------------------------------------------------- orders ---- */

static int say(char *said, size_t n, int status, const char *text)
{
    snprintf(said, n, "%s", text);
    return status;
}

static int pass_on(int signo, char *said, size_t n, const char *text)
{
    kill(getpid(), signo);
    return say(said, n, 0, text);
}

static int act(enum admin_verb verb, uint32_t number, char *said, size_t n, void *arg)
{
    (void)number, (void)arg;
    switch (verb) {
    case ADMIN_STOP:
        return pass_on(SIGTERM, said, n, "ending when the requests in progress are answered");
    case ADMIN_QUIT:
        return pass_on(SIGINT, said, n, "ending at once");
    case ADMIN_REOPEN:
        return pass_on(SIGHUP, said, n, "logs are reopened");
    case ADMIN_RELOAD:
        if (own.config.config != NULL)
            return pass_on(SIGHUP, said, n,
                           "reading the configuration again; reload --wait waits for the end");
        break;
    case ADMIN_DRAIN:
        own.is_drained = true;
        return say(said, n, 0, "draining: /readyz answers 503, the server keeps serving");
    case ADMIN_UNDRAIN:
        own.is_drained = false;
        return say(said, n, 0, "ready again");
    case ADMIN_UPGRADE:
    case ADMIN_ADD:
    case ADMIN_REMOVE:
    case ADMIN_KILL:
        break;
    }
    return say(said, n, 409, "this needs a master (--master or --workers)");
}

static bool is_ready(void *arg)
{
    (void)arg;
    return !own.is_drained && own.board->entries[0].state == STATS_SERVING;
}

static void get_wanted(uint32_t *n_workers, uint32_t *generation, void *arg)
{
    (void)arg;
    *n_workers = *generation = 1;
}

static const char *get_note(void *arg)
{
    (void)arg;
    return own.board->entries[0].reload_note;
}

static void ask(void *arg)
{
    (void)arg;
    sprig_loop_wake(own.loop);
}

/* ------------------------------------------------------------------- the thread ---- */

static void *run(void *arg)
{
    struct pollfd fds[ADMIN_MAX_POLL + 1];
    (void)arg;
    for (;;) {
        fds[0] = (struct pollfd){.fd = own.wake[0], .events = POLLIN};
        size_t n = 1 + admin_poll(own.admin, fds + 1, ADMIN_MAX_POLL);
        if (poll(fds, (nfds_t)n, admin_timeout(own.admin)) == -1 && errno != EINTR)
            return NULL;
        if (fds[0].revents != 0)
            return NULL;
        admin_run(own.admin);
    }
}

static int start_thread(void)
{
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&own.thread, &attr, run, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return rc;
}

/* ---------------------------------------------------------------- start and stop ---- */

/* The child inherits only descriptors, which would keep the address in use. */
static void on_fork(void)
{
    if (own.pid == 0)
        return;
    own.pid = 0;
    admin_abandon(own.admin);
    close(own.wake[0]);
    close(own.wake[1]);
}

static void release(void)
{
    admin_close(own.admin, true);
    sprig_config_clear(&own.config);
    own.admin = NULL;
    own.pid = 0;
}

void sprig_admin_stop(void)
{
    if (own.pid == 0 || own.pid != getpid())
        return;
    close(own.wake[1]);
    pthread_join(own.thread, NULL);
    close(own.wake[0]);
    release();
}

static int open_board(void)
{
    int fd = -1;
    if (own.board != NULL)
        return 0; /* already running, for an earlier server */
    own.board = stats_board_new(1, &fd);
    if (own.board == NULL)
        return SPRIG_E_NOMEM;
    if (fd != -1)
        close(fd);
    struct stats *entry = stats_board_take(own.board, 1, 1);
    stats_attach(entry);
    pthread_atfork(NULL, NULL, on_fork);
    atexit(sprig_admin_stop);
    return 0;
}

static int open_admin(char *why, size_t n)
{
    struct admin_host host = {.config = &own.config,
                              .stats = own.board,
                              .act = act,
                              .is_ready = is_ready,
                              .get_wanted = get_wanted,
                              .get_note = get_note,
                              .ask = ask};
    struct sprig_socket socket;
    int fd = sprig_inherited_admin();
    if (fd != -1 && socket_adopt(&own.config, fd, &socket, why, n) != 0)
        return SPRIG_E_SYS;
    own.admin = admin_open(&host, &socket, fd != -1, why, n);
    if (own.admin == NULL)
        return SPRIG_E_SYS;
    own.pid = getpid();
    own.is_drained = false;
    own.board->entries[0].state = STATS_SERVING;
    if (cloexec_pipe(own.wake, true) == 0 && start_thread() == 0)
        return 0;
    snprintf(why, n, "cannot start the thread of the admin listener: %s", strerror(errno));
    release();
    return SPRIG_E_SYS;
}

int sprig_admin_start(struct sprig_loop *loop, const struct sprig_config *config, char *why,
                      size_t n)
{
    bool is_wanted = config->admin != NULL || sprig_inherited_admin() != -1;
    if (!is_wanted || (own.pid != 0 && own.pid == getpid()))
        return 0;
    own.loop = loop;
    snprintf(why, n, "out of memory");
    if (sprig_config_copy(&own.config, config) != 0)
        return SPRIG_E_NOMEM;
    int rc = open_board();
    if (rc == 0)
        rc = open_admin(why, n);
    if (rc != 0)
        sprig_config_clear(&own.config);
    return rc;
}

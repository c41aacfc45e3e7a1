/* alone.c - HUP, USR1 and USR2 for a server without a master; see sprig.h */
#include "base/notify.h"
#include "base/stats.h"
#include "loop/signals.h"
#include "serve/accesslog.h"
#include "serve/server.h"
#include <stdio.h>
#include <string.h>

static const int taken[] = {SIGHUP, SIGUSR1, SIGUSR2};

enum { N_TAKEN = sizeof taken / sizeof taken[0] };

static void tell_failure(const char *what, const char *why)
{
    char note[STATS_NOTE_BYTES];
    snprintf(note, sizeof note, "%s: %.900s", what, why);
    sprig_log(SPRIG_LOG_ERROR, "HUP: %s", note);
    stats_reloaded(true, note);
}

static void reload_options(struct sprig_server *server, const struct sprig_config *fresh)
{
    char kept[1024], why[1024], note[STATS_NOTE_BYTES];
    if (sprig_server_reload(server, fresh, kept, why, sizeof why) != 0) {
        tell_failure("nothing has changed", why);
    } else if (*kept != '\0') {
        snprintf(note, sizeof note, "a change of %.900s needs a restart", kept);
        sprig_log(SPRIG_LOG_WARN, "HUP: the options were read again; %s", note);
        stats_reloaded(false, note);
    } else {
        sprig_log(SPRIG_LOG_WARN,
                  "HUP: the options were read again; with a master (--master or --workers) the "
                  "application would be loaded again, too");
        stats_reloaded(false, "");
    }
}

/* Without a configuration to read. */
static void reopen_files(struct sprig_server *server)
{
    char why[1024];
    bool has_log = server->access_log != NULL && access_log_reopen(server->access_log);
    int rc = server_renew_tls(server, &server->config, why, sizeof why);
    if (rc == SPRIG_E_INVALID)
        tell_failure("the old certificates stay in use", why);
    else
        stats_reloaded(false, "");
    sprig_log(
        SPRIG_LOG_WARN,
        "HUP: %s%s%s; with a master (--master or --workers) the application would be loaded again",
        has_log ? "the access log was reopened" : "",
        rc == 0
            ? has_log ? ", the certificates were read again" : "the certificates were read again"
            : "",
        has_log || rc == 0 ? "" : "nothing was done");
}

static void hang_up(struct sprig_server *server)
{
    struct sprig_config fresh;
    char why[1024];
    int rc = server->handler.on_reload == NULL
                 ? SPRIG_E_NOTFOUND
                 : server->handler.on_reload(server, server->arg, &fresh, why, sizeof why);
    if (rc == SPRIG_E_NOTFOUND) {
        reopen_files(server);
    } else if (rc != 0) {
        tell_failure("nothing has changed", why);
    } else {
        reload_options(server, &fresh);
        sprig_config_clear(&fresh);
    }
}

static void on_signal(struct sprig_signal *signal, int signo, void *arg)
{
    (void)signal;
    struct sprig_server *server = arg;
    if (server->is_leaving)
        return;
    if (signo == SIGHUP) {
        notify_reloading();
        hang_up(server);
        notify_ready("Serving in one process");
    }
    if (signo == SIGUSR2)
        sprig_log(SPRIG_LOG_WARN,
                  "USR2: nothing was done; an upgrade needs a master (--master or --workers)");
}

/* ------------------------------------------------------------ before and behind it ---- */

static int n_open;

static void do_nothing(int signo)
{
    (void)signo;
}

static void replace(void (*from)(int), void (*to)(int))
{
    struct sigaction sa, now;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = to;
    sa.sa_flags = SA_RESTART;
    for (int i = 0; i < N_TAKEN; i++)
        if (sigaction(taken[i], NULL, &now) == 0 && now.sa_handler == from)
            sigaction(taken[i], &sa, NULL);
}

void sprig_alone_open(void)
{
    n_open++;
    replace(SIG_DFL, do_nothing);
}

void sprig_alone_close(void)
{
    if (--n_open == 0)
        replace(do_nothing, SIG_DFL);
}

/* ------------------------------------------------------------------------- systemd ---- */

/* systemd's watchdog, fed by the loop itself: a blocked loop does not feed it. One server at a
 * time. */
static struct {
    struct sprig_server *server; /* borrowed; NULL: none */
    struct timer timer;
    uint64_t every_ms;
} watchdog;

static void feed(struct ready *r, uint32_t what)
{
    (void)r, (void)what;
    if (watchdog.server == NULL)
        return;
    notify_watchdog();
    timer_start(watchdog.server->loop, &watchdog.timer,
                sprig_loop_now(watchdog.server->loop) + watchdog.every_ms * 1000000);
}

static void notify_begin(struct sprig_server *server)
{
    notify_ready("Serving in one process");
    watchdog.every_ms = notify_watchdog_ms();
    if (watchdog.every_ms == 0 || watchdog.server != NULL)
        return;
    watchdog.server = server;
    timer_init(&watchdog.timer, feed);
    feed(NULL, 0);
}

static void notify_end(struct sprig_server *server)
{
    if (watchdog.server == server)
        timer_stop(server->loop, &watchdog.timer);
    if (watchdog.server == server)
        watchdog.server = NULL;
}

/* --------------------------------------------------------------------- the server ---- */

static bool is_free(int signo)
{
    struct sigaction now;
    return sigaction(signo, NULL, &now) == 0 &&
           (now.sa_handler == SIG_DFL || now.sa_handler == do_nothing);
}

void sprig_server_stand_alone(struct sprig_server *server)
{
    for (int i = 0; i < N_TAKEN; i++) {
        if (server->alone[i] != NULL || !is_free(taken[i]))
            continue;
        server->alone[i] = sprig_signal_new(server->loop, taken[i], on_signal, server);
        if (server->alone[i] != NULL)
            signal_spare(server->alone[i]);
    }
    server->is_alone = true;
    sprig_watchdog_may_end(true);
    notify_begin(server);
}

void sprig_server_give_back_signals(struct sprig_server *server)
{
    notify_end(server);
    sprig_watchdog_may_end(false);
    server->is_alone = false;
    for (int i = 0; i < N_TAKEN; i++) {
        if (server->alone[i] != NULL)
            sprig_signal_free(server->alone[i]);
        server->alone[i] = NULL;
    }
}

/* master_signals.c - see master_signals.h */
#include "process/master_signals.h"

#include "base/err.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

static const int handled[] = {SIGTERM, SIGQUIT, SIGINT,  SIGHUP,  SIGUSR1,
                              SIGUSR2, SIGTTIN, SIGTTOU, SIGCHLD, SIGPIPE};

enum { N_HANDLED = sizeof handled / sizeof handled[0] };

static volatile sig_atomic_t noted[N_HANDLED];
static struct sigaction before[N_HANDLED];
static sigset_t mask_before;
static bool hangup_is_ignored; /* by the program that started this process, like nohup */

/* Runs before the app can change the action. */
__attribute__((constructor)) static void look_at_hangup(void)
{
    struct sigaction now;
    hangup_is_ignored = sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

/* A terminal sends TTIN and TTOU to a whole group if one member reads or writes. */
static bool is_from_terminal(int signo, const siginfo_t *info)
{
#ifdef SI_KERNEL
    return (signo == SIGTTIN || signo == SIGTTOU) && info->si_code == SI_KERNEL;
#else
    (void)signo, (void)info;
    return false;
#endif
}

static void take_note(int signo, siginfo_t *info, void *context)
{
    (void)context;
    for (int i = 0; i < N_HANDLED; i++)
        if (handled[i] == signo && !is_from_terminal(signo, info))
            noted[i] = 1;
}

static void do_nothing(int signo)
{
    (void)signo;
}

static void get_handled(sigset_t *set)
{
    sigemptyset(set);
    for (int i = 0; i < N_HANDLED; i++)
        sigaddset(set, handled[i]);
}

int master_signals_open(bool is_daemon)
{
    struct sigaction sa;
    sigset_t set;
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = take_note;
    sa.sa_flags = SA_SIGINFO;
    sigfillset(&sa.sa_mask);
    get_handled(&set);
    if (sigprocmask(SIG_BLOCK, &set, &mask_before) == -1)
        return SPRIG_E_SYS;
    for (int i = 0; i < N_HANDLED; i++) {
        bool is_left = handled[i] == SIGHUP && hangup_is_ignored && !is_daemon;
        noted[i] = 0;
        sigaction(handled[i], is_left ? NULL : &sa, &before[i]);
    }
    return 0;
}

/* Job control is for a shell and a single process, so a worker ignores the stop signals: reading
 * the terminal then gives an error, and writing to it works. */
static void leave_to_worker(int i)
{
    struct sigaction sa = before[i];
    bool is_free = before[i].sa_handler == SIG_DFL || before[i].sa_handler == SIG_IGN;
    bool is_stop = handled[i] == SIGTTIN || handled[i] == SIGTTOU;
    bool is_masters = handled[i] == SIGHUP || handled[i] == SIGUSR1 || handled[i] == SIGUSR2;
    if (is_free && is_stop)
        sa.sa_handler = SIG_IGN;
    if (is_free && is_masters && !(handled[i] == SIGHUP && hangup_is_ignored)) {
        sa.sa_handler = do_nothing;
        sa.sa_flags = SA_RESTART;
    }
    sigaction(handled[i], &sa, NULL);
}

void master_signals_close(bool is_worker)
{
    sigset_t mask = mask_before;
    for (int i = 0; i < N_HANDLED; i++) {
        if (is_worker) {
            sigdelset(&mask, handled[i]);
            leave_to_worker(i);
        } else {
            sigaction(handled[i], &before[i], NULL);
        }
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
}

static bool is_pending(void)
{
    sigset_t pending;
    sigpending(&pending);
    for (int i = 0; i < N_HANDLED; i++)
        if (sigismember(&pending, handled[i]))
            return true;
    return false;
}

/* Signals are unblocked only here, atomically with the wait, so that none is missed. Each handler
 * runs with all others blocked, so they arrive one after the other: after this, all signals that
 * have arrived are known. */
void master_signals_wait(struct pollfd *fds, size_t n, int timeout_ms)
{
    struct timespec timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};
    sigset_t mask = mask_before;
    for (int i = 0; i < N_HANDLED; i++)
        sigdelset(&mask, handled[i]);
    if (ppoll(fds, (nfds_t)n, timeout_ms < 0 ? NULL : &timeout, &mask) == -1)
        for (size_t i = 0; i < n; i++)
            fds[i].revents = 0;
    for (int i = 0; i < N_HANDLED && is_pending(); i++)
        sigsuspend(&mask);
}

bool master_signals_take(int signo)
{
    for (int i = 0; i < N_HANDLED; i++)
        if (handled[i] == signo && noted[i]) {
            noted[i] = 0;
            return true;
        }
    return false;
}

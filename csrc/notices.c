/* notices.c - the signals of a master: handlers that take a note, and a wait that they end. */
#include "crew.h"

#include "err.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

static const int handled[] = {SIGTERM, SIGQUIT, SIGINT,  SIGHUP,  SIGUSR1,
                              SIGUSR2, SIGTTIN, SIGTTOU, SIGCHLD, SIGPIPE};

enum { N_HANDLED = sizeof handled / sizeof handled[0] };

static volatile sig_atomic_t noted[N_HANDLED];
static struct sigaction before[N_HANDLED];
static sigset_t mask_before;

static void take_note(int signo)
{
    for (int i = 0; i < N_HANDLED; i++)
        if (handled[i] == signo)
            noted[i] = 1;
}

static void ignore(int signo)
{
    (void)signo;
}

int notices_open(void)
{
    struct sigaction sa;
    sigset_t mask;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = take_note;
    sigfillset(&sa.sa_mask);
    sigemptyset(&mask);
    for (int i = 0; i < N_HANDLED; i++)
        sigaddset(&mask, handled[i]);
    if (sigprocmask(SIG_BLOCK, &mask, &mask_before) == -1)
        return SPRIG_E_SYS;
    for (int i = 0; i < N_HANDLED; i++) {
        noted[i] = 0;
        sigaction(handled[i], &sa, &before[i]);
    }
    return 0;
}

static bool is_masters_only(int signo)
{
    return signo == SIGHUP || signo == SIGUSR1 || signo == SIGUSR2 || signo == SIGTTIN ||
           signo == SIGTTOU;
}

void notices_close(bool is_worker)
{
    struct sigaction nothing;
    memset(&nothing, 0, sizeof nothing);
    nothing.sa_handler = ignore;
    nothing.sa_flags = SA_RESTART;
    for (int i = 0; i < N_HANDLED; i++) {
        bool is_free = before[i].sa_handler == SIG_DFL || before[i].sa_handler == SIG_IGN;
        bool does_nothing = is_worker && is_free && is_masters_only(handled[i]);
        sigaction(handled[i], does_nothing ? &nothing : &before[i], NULL);
    }
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

/* The signals are let in only while poll waits, in one step: none is missed. */
void notices_wait(struct pollfd *fds, size_t n, int timeout_ms)
{
    struct timespec timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};
    sigset_t mask = mask_before;
    for (int i = 0; i < N_HANDLED; i++)
        sigdelset(&mask, handled[i]);
    if (ppoll(fds, (nfds_t)n, timeout_ms < 0 ? NULL : &timeout, &mask) == -1)
        for (size_t i = 0; i < n; i++)
            fds[i].revents = 0;
}

bool notices_take(int signo)
{
    for (int i = 0; i < N_HANDLED; i++)
        if (handled[i] == signo && noted[i]) {
            noted[i] = 0;
            return true;
        }
    return false;
}

/* quit.c - see quit.h */
#include "process/quit.h"

#include "base/clock.h"
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const int handled[] = {SIGTERM, SIGQUIT, SIGINT};

enum { N_HANDLED = sizeof handled / sizeof handled[0], MAX_CLEANUPS = 2 };

/* Belongs to the process, like its handlers. */
static struct {
    struct sigaction before[N_HANDLED];
    pid_t owner; /* 0: not open */
    bool lingers, for_good;
    uint64_t noted_ms; /* 0: no signal yet */
    struct {
        void (*cb)(void); /* NULL: none */
        pid_t owner;
    } cleanups[MAX_CLEANUPS];
} quit;

static uint64_t now_ms(void)
{
    return clock_monotonic_ns() / NS_PER_MS;
}

/* Restores the previous action and raises the signal again: it arrives when the handler returns. */
static void act_as_before(int signo)
{
    for (int i = 0; i < N_HANDLED; i++)
        if (handled[i] == signo)
            sigaction(signo, &quit.before[i], NULL);
    raise(signo);
}

bool sprig_quit_is_repeated(void)
{
    return quit.noted_ms != 0 && now_ms() - quit.noted_ms < SPRIG_REPEAT_MS;
}

static void end(int signo)
{
    bool is_heard = signo != SIGINT && (quit.for_good || sprig_quit_is_repeated());
    if (quit.owner == getpid() && quit.lingers && is_heard)
        return;
    if (quit.owner != getpid() || quit.lingers) {
        act_as_before(signo);
        return;
    }
    for (int i = 0; i < MAX_CLEANUPS; i++)
        if (quit.cleanups[i].cb != NULL && quit.cleanups[i].owner == quit.owner)
            quit.cleanups[i].cb();
    _exit(0);
}

static void set_mask(int how)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < N_HANDLED; i++)
        sigaddset(&set, handled[i]);
    sigprocmask(how, &set, NULL);
}

static void take(bool remembers)
{
    struct sigaction sa, now;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = end;
    sa.sa_flags = SA_RESTART;
    sigfillset(&sa.sa_mask);
    for (int i = 0; i < N_HANDLED; i++) {
        sigaction(handled[i], &sa, &now);
        if (remembers && now.sa_handler != end)
            quit.before[i] = now;
    }
}

void sprig_quit_hold(void)
{
    set_mask(SIG_BLOCK);
}

void sprig_quit_release(void)
{
    set_mask(SIG_UNBLOCK);
}

void sprig_quit_open(void)
{
    quit.owner = getpid();
    quit.lingers = quit.for_good = false;
    quit.noted_ms = 0;
    take(true);
    sprig_quit_release();
}

void sprig_quit_clean(void (*cleanup)(void))
{
    for (int i = 0; i < MAX_CLEANUPS; i++)
        if (quit.cleanups[i].cb == NULL || quit.cleanups[i].cb == cleanup) {
            quit.cleanups[i].owner = getpid();
            quit.cleanups[i].cb = cleanup;
            return;
        }
}

void sprig_quit_note(void)
{
    if (quit.noted_ms == 0)
        quit.noted_ms = now_ms();
}

void sprig_quit_linger(bool for_good)
{
    quit.owner = getpid();
    quit.lingers = true;
    quit.for_good = for_good;
    take(false);
    sprig_quit_release();
}

void sprig_quit_close(void)
{
    struct sigaction now;
    if (quit.owner != getpid())
        return;
    quit.owner = 0;
    for (int i = 0; i < N_HANDLED; i++)
        if (sigaction(handled[i], NULL, &now) == 0 && now.sa_handler == end)
            sigaction(handled[i], &quit.before[i], NULL);
}

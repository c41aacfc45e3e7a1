/* signals.c - see signals.h; the public part is sprig_signal_* of sprig.h */
#include "loop/signals.h"

#include "loop/loop_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sprig_signal {
    struct list_link link; /* in signal_table.watchers[signo] */
    struct ready ready;
    struct sprig_loop *loop; /* borrowed */
    int signo;
    bool is_spare; /* signal_spare */
    sprig_signal_cb *cb;
    void *arg;
};

/* Process-wide, like signal dispositions: who claimed a signal, and the action it had before. */
static struct {
    struct sprig_loop *volatile loop; /* NULL: nobody; read by the handler */
    struct sigaction old;
} claims[SIGNALS_MAX];

void signal_table_init(struct signal_table *table)
{
    memset(table, 0, sizeof *table);
    for (int signo = 0; signo < SIGNALS_MAX; signo++)
        list_init(&table->watchers[signo]);
}

/* Async-signal-safe. A forked child has its own copy of the flags, so a signal sent to the child
 * never shows in the parent. */
static void signal_arrived(int signo)
{
    struct sprig_loop *loop = claims[signo].loop;
    if (loop == NULL)
        return;
    loop->signals.pending[signo] = 1;
    loop->signals.any = 1;
    sprig_loop_wake(loop);
}

/* SA_RESTART: app code that reads a blocking file must not see EINTR because of us. */
static int signal_take(int signo, struct sigaction *old)
{
    struct sigaction act;
    memset(&act, 0, sizeof act);
    act.sa_handler = signal_arrived;
    act.sa_flags = SA_RESTART;
    sigfillset(&act.sa_mask);
    return sigaction(signo, &act, old);
}

/* Signal masks are inherited: the parent process may have blocked this signal. */
static void signal_let_in(int signo)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signo);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int signal_claim(struct sprig_loop *loop, int signo)
{
    claims[signo].loop = loop;
    if (signal_take(signo, &claims[signo].old) == -1) {
        claims[signo].loop = NULL;
        return SPRIG_E_SYS;
    }
    signal_let_in(signo);
    loop->signals.n_claimed++;
    return 0;
}

/* Puts the old action back, unless somebody ($SIG{X} = ..., POSIX::sigaction) set another one
 * since. */
static void signal_disclaim(struct sprig_loop *loop, int signo)
{
    struct sigaction now;
    if (sigaction(signo, NULL, &now) == 0 && now.sa_handler == signal_arrived)
        sigaction(signo, &claims[signo].old, NULL);
    claims[signo].loop = NULL;
    loop->signals.pending[signo] = 0;
    if (!loop->signals.is_trusted[signo])
        loop->signals.n_claimed--;
    loop->signals.is_trusted[signo] = false;
}

void signal_trust(struct sprig_signal *w)
{
    struct signal_table *table = &w->loop->signals;
    if (!table->is_trusted[w->signo])
        table->n_claimed--;
    table->is_trusted[w->signo] = true;
}

void signal_spare(struct sprig_signal *w)
{
    w->is_spare = true;
    signal_trust(w);
}

/* When a scope that localised the signal ends, the signal has the default action or the one from
 * before the claim. The end of a child may have been missed meanwhile, so SIGCHLD counts as
 * arrived; other signals would not have been ignored by these actions. */
static void signal_reclaim(struct sprig_loop *loop, int signo)
{
    struct sigaction now;
    if (sigaction(signo, NULL, &now) == -1 ||
        (now.sa_handler != SIG_DFL && now.sa_handler != claims[signo].old.sa_handler))
        return;
    signal_take(signo, NULL);
    if (signo == SIGCHLD)
        loop->signals.pending[signo] = loop->signals.any = 1;
}

void signal_table_clear(struct signal_table *table)
{
    struct sprig_loop *loop = list_entry(table, struct sprig_loop, signals);
    for (int signo = 1; signo < SIGNALS_MAX; signo++)
        if (claims[signo].loop == loop)
            signal_disclaim(loop, signo);
}

bool signals_pending(struct sprig_loop *loop)
{
    uint32_t n_left = loop->signals.n_claimed;
    for (int signo = 1; n_left > 0 && signo < SIGNALS_MAX; signo++) {
        if (list_empty(&loop->signals.watchers[signo]) || loop->signals.is_trusted[signo])
            continue;
        signal_reclaim(loop, signo);
        n_left--;
    }
    return loop->signals.any != 0;
}

static bool has_others(const struct list_link *watchers)
{
    list_foreach (it, watchers)
        if (!list_entry(it, struct sprig_signal, link)->is_spare)
            return true;
    return false;
}

static void queue_watchers(struct sprig_loop *loop, const struct list_link *watchers)
{
    bool spares_sleep = has_others(watchers);
    list_foreach (it, watchers) {
        struct sprig_signal *w = list_entry(it, struct sprig_signal, link);
        if (!w->is_spare || !spares_sleep)
            ready_add(loop, &w->ready, 1);
    }
}

void signals_queue_pending(struct sprig_loop *loop)
{
    struct signal_table *table = &loop->signals;
    if (!table->any)
        return;
    table->any = 0;
    for (int signo = 1; signo < SIGNALS_MAX; signo++) {
        if (!table->pending[signo])
            continue;
        table->pending[signo] = 0;
        queue_watchers(loop, &table->watchers[signo]);
    }
}

/* ------------------------------------------------------------ the watcher ---- */

static void signal_run(struct ready *r, uint32_t what)
{
    (void)what;
    struct sprig_signal *w = list_entry(r, struct sprig_signal, ready);
    w->cb(w, w->signo, w->arg);
}

struct sprig_signal *sprig_signal_new(struct sprig_loop *loop, int signo, sprig_signal_cb *cb,
                                      void *arg)
{
    loop_check_fork(loop);
    if (signo <= 0 || signo >= SIGNALS_MAX) {
        errno = EINVAL;
        return NULL;
    }
    if (claims[signo].loop != NULL && claims[signo].loop != loop) {
        errno = EBUSY;
        return NULL;
    }
    struct sprig_signal *w = malloc(sizeof *w);
    if (w == NULL)
        return NULL;
    *w = (struct sprig_signal){.loop = loop, .signo = signo, .cb = cb, .arg = arg};
    list_init(&w->link);
    ready_init(&w->ready, signal_run);
    if (list_empty(&loop->signals.watchers[signo]) && signal_claim(loop, signo) != 0) {
        free(w);
        return NULL;
    }
    list_append(&loop->signals.watchers[signo], &w->link);
    return w;
}

void sprig_signal_free(struct sprig_signal *w)
{
    loop_check_fork(w->loop);
    ready_cancel(&w->ready);
    list_remove(&w->link);
    if (list_empty(&w->loop->signals.watchers[w->signo]))
        signal_disclaim(w->loop, w->signo);
    free(w);
}

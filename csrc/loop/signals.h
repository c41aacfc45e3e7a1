/* signals.h - signals as events: a handler that only sets a flag, and lists of watchers.
 *
 * The handlers belong to the process, so each signal number belongs to one loop at a time: the
 * first one that watches it. A forked child has handlers and flags of its own, and a signal sent to
 * it never shows up in the parent. */
#ifndef SPRIG_SIGNALS_H
#define SPRIG_SIGNALS_H

#include "base/list.h"
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct sprig_loop;
struct sprig_signal;

#ifdef NSIG
enum { SIGNALS_MAX = NSIG };
#else
enum { SIGNALS_MAX = 65 };
#endif

/* Embedded in struct sprig_loop as `signals`. */
struct signal_table {
    volatile sig_atomic_t any;                  /* some pending[] is set; set last, cleared first */
    volatile sig_atomic_t pending[SIGNALS_MAX]; /* set by the handler */
    struct list_link watchers[SIGNALS_MAX];     /* of struct sprig_signal */
    uint32_t n_claimed;                         /* signals with watchers that are looked after */
    bool is_trusted[SIGNALS_MAX];               /* signal_trust */
};

void signal_table_init(struct signal_table *table);

/* Gives back every signal this loop claimed. */
void signal_table_clear(struct signal_table *table);

/* True if a signal arrived and its watchers are not queued yet: check this before sleeping. Also
 * takes signals back that an app gave away unawares: `local %SIG` ends with default actions. */
bool signals_pending(struct sprig_loop *loop);

/* Nobody is expected to localise this signal, which saves a check before each sleep. */
void signal_trust(struct sprig_signal *w);

/* This watcher runs only if nobody else watches the signal; trusted as well. */
void signal_spare(struct sprig_signal *w);

/* Appends the watchers of all pending signals to the ready queue. */
void signals_queue_pending(struct sprig_loop *loop);

#endif

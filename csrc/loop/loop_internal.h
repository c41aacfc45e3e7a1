/* loop_internal.h - the parts of struct sprig_loop, for loop.c and the files that implement them.
 */
#ifndef SPRIG_LOOP_INTERNAL_H
#define SPRIG_LOOP_INTERNAL_H

#include "loop/courier.h"
#include "loop/interest.h"
#include "loop/loop.h"
#include "loop/signals.h"
#include "loop/timer.h"
#include "loop/watcher.h"
#include <signal.h>

struct sprig_loop {
    struct event_base *base; /* owned */
    /* phase 2 */
    struct list_link ready;  /* struct ready.link: for the next batch */
    struct list_link batch;  /* what the current batch has still to run */
    struct list_link parked; /* parked while n_app_calls > 0 */
    struct list_link flush;  /* struct flushable.link; perhaps lent to the courier */
    struct courier courier;
    struct list_link reap; /* struct reapable.link */
    uint32_t n_app_calls;  /* app calls on the stack */
    uint32_t depth;        /* passes on the stack */
    uint32_t n_passes;
    /* time, signals, idle and unpollable watchers */
    uint64_t now;   /* CLOCK_MONOTONIC, ns */
    uint64_t clock; /* the same, as it was read last; see loop_clock */
    bool clock_is_old;
    uint64_t pass_began; /* 0: asleep */
    bool is_to_go_on;    /* the next pass does not sleep */
    struct timer_heap timers;
    struct signal_table signals;
    struct watcher_lists watchers;
    /* waking up */
    int wake_fd;      /* eventfd, or the read end of a pipe; owned */
    int wake_send_fd; /* the same eventfd, or the write end; owned if different */
    struct event wake_event;
    volatile sig_atomic_t sleeping; /* a pass waits: a signal has to ring */
    bool is_rung;                   /* rung between passes already */
    int timer_fd;                   /* owned; -1 where the platform has none */
    struct event timer_event;
    uint64_t timer_armed; /* what timer_event is set to; UINT64_MAX = off */
    /* driven by another loop */
    bool is_hosted; /* somebody asked for poll_fd or interest */
    int poll_fd;    /* borrowed from the base; -1 = none */
    struct interest interest;
    struct sprig_loop_hooks hooks;
    /* fork */
    uint32_t generation;
    struct list_link fork_hooks; /* struct fork_hook.link */
    struct list_link look_hooks; /* struct look_hook.link */
    /* shared by everything that runs in phase 2, one at a time */
    char *read_buffer; /* owned, LOOP_READ_BUFFER_BYTES */
};

/* The earliest timer may have changed: between passes of a hosted loop, set the host's wake-up
 * again. */
void loop_timer_changed(struct sprig_loop *loop);

/* loop_recall() where the loop can be seen: mostly there is nothing to take back. */
static inline void loop_take_back(struct sprig_loop *loop)
{
    if (atomic_load_explicit(&loop->courier.state, memory_order_relaxed) != COURIER_HOME)
        courier_take_back(loop);
}

#endif

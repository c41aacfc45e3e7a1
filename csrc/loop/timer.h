/* timer.h - the timers of a loop: a binary heap of absolute times on CLOCK_MONOTONIC.
 *
 * timer_init/start/stop and the deadline lists are in loop.h; this is what a pass needs. */
#ifndef SPRIG_TIMER_H
#define SPRIG_TIMER_H

#include "loop/loop.h"

/* Embedded in struct sprig_loop as `timers`. */
struct timer_heap {
    struct timer **slots;           /* owned array of borrowed timers; slots[0] is the earliest */
    size_t n, capacity, n_reserved; /* capacity >= timers without room of their own + n_reserved */
    uint64_t seq;                   /* of the next timer that is started */
};

void timer_heap_init(struct timer_heap *heap);
void timer_heap_clear(struct timer_heap *heap); /* stops all timers, frees the array */

/* UINT64_MAX: none is running. */
#define TIMERS_NONE UINT64_MAX

/* The time (ns) of the earliest timer, to know how long to sleep. */
uint64_t timers_next(const struct sprig_loop *loop);

/* Stops all timers that are due by sprig_loop_now() and appends them to the ready queue, in order
 * of time. Called once per pass, after the clock has been read. */
void timers_queue_due(struct sprig_loop *loop);

#endif

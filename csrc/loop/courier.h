/* courier.h - sends output that waits while an app keeps the loop busy.
 *
 * Output leaves at the end of a pass. An app that writes and then computes, sleeps or waits for a
 * database keeps the pass from ending, and its client would see nothing meanwhile. So when the
 * bridge returns to Perl after a write, it lends the loop's flush list to a thread, which sends
 * whatever has waited for a few milliseconds. The next entry into the core takes the list back.
 * Nobody waits for anybody: lending is an atomic store, and if the turn is over soon, the thread,
 * which only looks at the clock meanwhile, finds nothing to do.
 *
 * The thread touches only the flush list and the pieces of memory queued there. It never frees
 * anything, never enters libevent or Perl, and blocks all signals. */
#ifndef SPRIG_COURIER_H
#define SPRIG_COURIER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sprig_loop;

enum courier_state {
    COURIER_HOME, /* the list is the loop's */
    COURIER_LENT, /* the courier may take it */
    COURIER_BUSY  /* the courier is at work, for the length of some non-blocking writes */
};

struct courier {
    _Atomic uint32_t state; /* enum courier_state */
    _Atomic uint32_t
        n_turns; /* the number of this one: a turn ends when the whole list is flushed */
    _Atomic uint32_t lent_in; /* the last turn in which something was lent since the courier looked
                                 at its watch; 0: none */
    _Atomic bool is_asleep;   /* has to be woken; also while there is no thread */
    _Atomic bool must_end;
    bool has_carried; /* to be settled when it is taken back; whoever has the list */
    bool is_running;  /* there is a thread */
    pthread_t thread;
    pthread_mutex_t lock; /* of is_asleep becoming false, and of the condition */
    pthread_cond_t wake;
};

/* Output is sent between one and two ticks after it was lent. */
enum { COURIER_TICK_MS = 4 };

void courier_init(struct courier *courier);
/* Ends the thread, if there is one. */
void courier_stop(struct courier *courier);
/* In a forked child, which has no such thread: nothing is lent. */
void courier_forget(struct courier *courier);

/* The whole list is being flushed: whatever was lent before no longer waits. */
static inline void courier_turn(struct courier *courier)
{
    uint32_t n = atomic_load_explicit(&courier->n_turns, memory_order_relaxed) + 1;
    atomic_store_explicit(&courier->n_turns, n != 0 ? n : 1, memory_order_relaxed);
}

/* The slow part of loop_recall(): takes back what is lent, and settles what has been sent. */
void courier_take_back(struct sprig_loop *loop);

#endif

/* courier.c - the thread that sends queued output while the app keeps the loop; see courier.h */
#include "loop/courier.h"
#include "base/apart.h"
#include "base/clock.h"
#include "loop/loop_internal.h"
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

enum { STACK_BYTES = 256 * 1024 };

void courier_init(struct courier *courier)
{
    atomic_init(&courier->state, COURIER_HOME);
    atomic_init(&courier->n_turns, 1);
    atomic_init(&courier->is_asleep, true);
    pthread_mutex_init(&courier->lock, NULL);
    pthread_cond_init(&courier->wake, NULL);
}

void courier_forget(struct courier *courier)
{
    *courier = (struct courier){.is_running = false};
    courier_init(courier);
}

/* ---- with the list in hand ---- */

static void carry_all(struct sprig_loop *loop)
{
    struct courier *courier = &loop->courier;
    list_foreach (it, &loop->flush) {
        struct flushable *f = list_entry(it, struct flushable, link);
        if (f->ops->carry != NULL)
            f->ops->carry(f);
    }
    courier->has_carried = true;
}

static void settle_all(struct sprig_loop *loop)
{
    list_foreach_safe (it, next, &loop->flush) {
        struct flushable *f = list_entry(it, struct flushable, link);
        if (f->ops->settle != NULL)
            f->ops->settle(f);
    }
    loop->courier.has_carried = false;
}

/* ---- the thread ---- */

/* What the courier knows of the list from one tick to the next. */
struct watch {
    uint32_t tick;    /* COURIER_TICK_MS apart */
    uint32_t n_turns; /* at the last tick */
    bool waits;       /* something was lent in this turn and has not been carried */
    uint32_t since;   /* if it waits: the tick that noticed the loan */
};

/* Sleeps until the next tick; if nothing waits and nothing was lent since the last one, until it is
 * woken. False: the thread has to end. */
static bool courier_rest(struct courier *courier, const struct watch *watch)
{
    const struct timespec tick = {0, COURIER_TICK_MS * NS_PER_MS};
    pthread_mutex_lock(&courier->lock);
    atomic_store(&courier->is_asleep, true);
    if (atomic_load(&courier->lent_in) != 0 || watch->waits)
        atomic_store(&courier->is_asleep, false);
    while (atomic_load(&courier->is_asleep) && !atomic_load(&courier->must_end))
        pthread_cond_wait(&courier->wake, &courier->lock);
    pthread_mutex_unlock(&courier->lock);
    if (!atomic_load(&courier->must_end))
        nanosleep(&tick, NULL);
    return !atomic_load(&courier->must_end);
}

/* Whatever was lent in an earlier turn was sent at the end of that turn. */
static void watch_turn(struct watch *watch, const struct courier *courier)
{
    uint32_t n_turns = atomic_load(&courier->n_turns);
    if (n_turns != watch->n_turns)
        watch->waits = false;
    watch->n_turns = n_turns;
}

/* If the turn that lent something is over, its output has been sent: nothing waits, and the loop
 * may sleep for long. */
static void watch_look(struct watch *watch, struct courier *courier)
{
    uint32_t lent_in = atomic_exchange(&courier->lent_in, 0); /* read this first: turns go on
                                                               * meanwhile */
    watch->tick++;
    watch_turn(watch, courier);
    if (lent_in == watch->n_turns && !watch->waits) {
        watch->waits = true;
        watch->since = watch->tick;
    }
}

/* The courier holds the list, so no turn can end now. */
static void courier_carry(struct sprig_loop *loop, struct watch *watch)
{
    watch_turn(watch, &loop->courier);
    if (watch->waits)
        carry_all(loop);
    watch->waits = false;
}

static void *courier_run(void *arg)
{
    struct sprig_loop *loop = arg;
    struct courier *courier = &loop->courier;
    struct watch watch = {0};
    apart_leave();
    while (courier_rest(courier, &watch)) {
        uint32_t lent = COURIER_LENT;
        watch_look(&watch, courier);
        if (!watch.waits || watch.tick == watch.since ||
            !atomic_compare_exchange_strong(&courier->state, &lent, COURIER_BUSY))
            continue; /* nothing is due, or the app is between two writes: try at the next tick */
        courier_carry(loop, &watch);
        atomic_store(&courier->state, COURIER_LENT);
    }
    return NULL;
}

/* Signals must reach the thread that runs Perl, so this one blocks them all. */
static bool courier_start(struct sprig_loop *loop)
{
    struct courier *courier = &loop->courier;
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    atomic_store(&courier->is_asleep, false);
    courier->is_running = pthread_create(&courier->thread, &attr, courier_run, loop) == 0;
    atomic_store(&courier->is_asleep, !courier->is_running);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return courier->is_running;
}

static void courier_wake(struct courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    atomic_store(&courier->is_asleep, false);
    pthread_cond_signal(&courier->wake);
    pthread_mutex_unlock(&courier->lock);
}

void courier_stop(struct courier *courier)
{
    if (!courier->is_running)
        return;
    atomic_store(&courier->must_end, true);
    courier_wake(courier);
    pthread_join(courier->thread, NULL);
    courier->is_running = false;
}

/* ---- the loop's side ---- */

/* The courier is at work, or has been: waits for it and settles what it did. */
__attribute__((noinline)) static void take_back_slowly(struct sprig_loop *loop)
{
    struct courier *courier = &loop->courier;
    uint32_t lent = COURIER_LENT;
    loop_check_fork(loop); /* a forked child has no courier */
    while (atomic_load(&courier->state) != COURIER_HOME &&
           !atomic_compare_exchange_strong(&courier->state, &lent, COURIER_HOME)) {
        lent = COURIER_LENT;
        sched_yield();
    }
    if (courier->has_carried)
        settle_all(loop);
}

/* Kept out of sprig_loop_lend, where there is nearly always nothing to take back. */
__attribute__((noinline)) void courier_take_back(struct sprig_loop *loop)
{
    struct courier *courier = &loop->courier;
    uint32_t lent = COURIER_LENT;
    if (!atomic_compare_exchange_strong(&courier->state, &lent, COURIER_HOME) ||
        courier->has_carried)
        take_back_slowly(loop);
}

/* If the system has no thread left, everything is sent at once. */
static void carry_here(struct sprig_loop *loop)
{
    courier_take_back(loop);
    carry_all(loop);
    settle_all(loop);
}

__attribute__((noinline)) static void courier_rouse(struct sprig_loop *loop)
{
    if (loop->courier.is_running)
        courier_wake(&loop->courier);
    else if (!courier_start(loop))
        carry_here(loop);
}

void sprig_loop_lend(struct sprig_loop *loop)
{
    struct courier *courier = &loop->courier;
    loop_take_back(loop);
    if (list_empty(&loop->flush))
        return;
    uint32_t turn = atomic_load_explicit(&courier->n_turns, memory_order_relaxed);
    atomic_store_explicit(&courier->lent_in, turn, memory_order_release);
    atomic_exchange(&courier->state, COURIER_LENT);
    if (atomic_load(&courier->is_asleep))
        courier_rouse(loop);
}

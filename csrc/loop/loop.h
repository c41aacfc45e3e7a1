/* loop.h - one event base, and the two phases of a pass.
 *
 * Phase 1: event_base_loop(ONCE). Its callbacks are pure C and only append to the ready queue.
 * Phase 2: the ready queue runs, one object at a time. Only this phase enters Perl, so nested
 * passes, die, exit and fork never meet a running event_base_loop.
 *
 * Also here: the wake-up descriptor, the timer heap, deadline lists, signals, the fork guard, and
 * the descriptor for foreign loops. Knows nothing of sockets or HTTP. */
#ifndef SPRIG_LOOP_H
#define SPRIG_LOOP_H

#include "base/list.h"
#include "sprig.h"
#include <event2/event.h>
#include <event2/event_struct.h>

/* An object that can be in the ready queue. Embed it; `what` collects reasons until the object
 * runs. */
struct ready {
    struct list_link link;
    uint32_t what;
    void (*run)(struct ready *r, uint32_t what);
};

void ready_init(struct ready *r, void (*run)(struct ready *r, uint32_t what));

/* Queues the object, or only adds the reason if it is queued already. Legal in both phases and
 * between passes, where it also wakes a foreign loop. */
void ready_add(struct sprig_loop *loop, struct ready *r, uint32_t what);

/* Like ready_add, but for the batch that is running: for objects that became ready because of what
 * runs now, and cannot go round in a circle. Between batches it waits for the next one. */
void ready_add_now(struct sprig_loop *loop, struct ready *r, uint32_t what);

/* Removes it from the queue and forgets its reasons. */
void ready_cancel(struct ready *r);

/* Parks it until no app call is active (sprig_loop_count_app_call), and then queues it. Until then
 * nothing else may trigger it: a level-triggered event would come again and again. */
void ready_park(struct sprig_loop *loop, struct ready *r, uint32_t what);

/* A one-shot timer on CLOCK_MONOTONIC. Equal times run in the order of starting; never early. */
struct timer {
    uint64_t at;   /* ns */
    uint64_t seq;  /* order among equal times */
    size_t slot;   /* index in the heap, TIMER_OFF while stopped */
    bool has_room; /* timer_reserve */
    struct ready ready;
};
#define TIMER_OFF ((size_t)-1)

void timer_init(struct timer *t, void (*run)(struct ready *r, uint32_t what));
/* Reserves room so that this timer can be started at any time; for timers that something depends
 * on. Returns 0 or SPRIG_E_NOMEM. timer_release gives the room back, and stops the timer. */
int timer_reserve(struct sprig_loop *loop, struct timer *t);
void timer_release(struct sprig_loop *loop, struct timer *t);
/* (Re)starts the timer for the absolute time `at` (ns, sprig_loop_now). Returns 0 or SPRIG_E_NOMEM;
 * always 0 with reserved room. */
int timer_start(struct sprig_loop *loop, struct timer *t, uint64_t at);
/* Stops it, even if it is due and queued already. Harmless if it is stopped. */
void timer_stop(struct sprig_loop *loop, struct timer *t);

/* Deadlines of one kind: all have the same length, so a FIFO list is sorted, and one timer that
 * looks at its head serves them all. The timer runs only while the list is not empty. */
struct deadline {
    struct list_link link; /* linked = armed */
    uint64_t at;           /* ns */
};

struct deadline_list {
    struct list_link head;
    uint64_t length_ns; /* 0: this kind is off, deadline_set only disarms */
    struct sprig_loop *loop;
    struct timer timer;
    void (*expire)(struct deadline *d); /* phase 2; the deadline is disarmed already */
};

/* SPRIG_E_NOMEM or 0. */
int deadline_list_init(struct deadline_list *l, struct sprig_loop *loop, double seconds,
                       void (*expire)(struct deadline *d));
/* Applies to deadlines set from now on. Shorter ones wait behind longer ones from before, so until
 * those are gone they may be late by the difference. */
void deadline_list_set_length(struct deadline_list *l, double seconds);
void deadline_list_clear(struct deadline_list *l); /* disarms all; also after a failed init */
void deadline_init(struct deadline *d);
/* Arms for now + length of this list, moving it from any other list. */
void deadline_set(struct deadline_list *l, struct deadline *d);
void deadline_clear(struct deadline *d);

/* Registers or removes a libevent event; nothing else calls event_add and event_del. In a forked
 * child, loop_check_fork must run first, and these call it. Return 0 or SPRIG_E_SYS (EPERM: the
 * descriptor cannot be polled, such as a regular file). */
int loop_event_add(struct sprig_loop *loop, struct event *ev);
void loop_event_del(struct sprig_loop *loop, struct event *ev);
struct event_base *loop_base(struct sprig_loop *loop);
/* True if events may be edge-triggered (EV_ET): the backend supports it, and no other loop watches
 * our descriptors for us (sprig_loop_set_interest). */
bool loop_has_edges(const struct sprig_loop *loop);

/* CLOCK_MONOTONIC in ns, read again if something has run since that may have taken long: Perl, or a
 * turn that did not read it. */
uint64_t loop_clock(struct sprig_loop *loop);
/* The same, read now. */
uint64_t loop_clock_read(struct sprig_loop *loop);

/* Called at every entry. In a forked child, the first call gives the process its own event base and
 * descriptors. Returns the generation, which grows with each fork: an object that remembers an
 * older one belongs to the parent. */
uint32_t loop_check_fork(struct sprig_loop *loop);

/* Called in a forked child once it has its own base, to drop what belongs to the parent. */
struct fork_hook {
    struct list_link link;
    void (*on_fork)(struct fork_hook *h);
};
void loop_on_fork(struct sprig_loop *loop, struct fork_hook *h);

/* Called when somebody wants this process to describe its connections (base/stats.h). */
struct look_hook {
    struct list_link link;
    void (*on_look)(struct look_hook *h);
};
void loop_on_look(struct sprig_loop *loop, struct look_hook *h);

/* Bytes that any object may use within one step of phase 2, until Perl is entered. */
enum { LOOP_READ_BUFFER_BYTES = 64 * 1024 };
char *loop_read_buffer(struct sprig_loop *loop);

/* Queues an object whose memory `reap` releases after the current pass, when no frame can use it
 * any more. If `reap` returns false, the object stays queued (an outer frame has pinned it). */
struct reapable {
    struct list_link link;
    bool (*reap)(struct reapable *r);
};
void loop_reap_later(struct sprig_loop *loop, struct reapable *r);

/* Releases what is queued, unless a pass is under way, which does so at its end. Call it when
 * something ends: another loop may never give us a pass again. */
void loop_reap_now(struct sprig_loop *loop);

/* Queues output work for the end of this pass (once; see flushable_init). `flush` is called with
 * the link removed. If the pass takes long, `carry` sends from another thread what is in memory,
 * and touches nothing else; `settle` then does what follows from that (courier.h). Give both or
 * neither. */
struct flushable;
struct flushable_ops {
    void (*flush)(struct flushable *f);
    void (*carry)(struct flushable *f);
    void (*settle)(struct flushable *f);
};
struct flushable {
    struct list_link link;
    const struct flushable_ops *ops;
};
static inline void flushable_init(struct flushable *f, const struct flushable_ops *ops)
{
    list_init(&f->link);
    f->ops = ops;
}
void loop_flush_later(struct sprig_loop *loop, struct flushable *f);

/* Call this before you touch that list or anything on it: takes the list back if it is lent
 * (sprig_loop_lend). */
void loop_recall(struct sprig_loop *loop);

/* Passes that have begun so far, those within others included. */
uint32_t loop_n_passes(const struct sprig_loop *loop);

/* loop_check_fork and loop_recall. */
void loop_enter(struct sprig_loop *loop);

/* True while an app call is active (see sprig_loop_count_app_call). */
bool loop_is_in_app(const struct sprig_loop *loop);

#endif

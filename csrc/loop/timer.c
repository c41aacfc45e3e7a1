/* timer.c - the timer heap and the deadline lists; see loop.h and timer.h */
#include "loop/timer.h"

#include "base/clock.h"
#include "loop/loop_internal.h"

#include <stdlib.h>
#include <time.h>

void timer_heap_init(struct timer_heap *heap)
{
    *heap = (struct timer_heap){.slots = NULL};
}

void timer_heap_clear(struct timer_heap *heap)
{
    for (size_t i = 0; i < heap->n; i++)
        heap->slots[i]->slot = TIMER_OFF;
    free(heap->slots);
    timer_heap_init(heap);
}

/* The sequence number makes the order total: timers with equal times run in the order in which they
 * started. */
static bool timer_before(const struct timer *a, const struct timer *b)
{
    return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

static void heap_put(struct timer_heap *heap, size_t slot, struct timer *t)
{
    heap->slots[slot] = t;
    t->slot = slot;
}

/* Moves t from `slot` towards the root. */
static void heap_rise(struct timer_heap *heap, size_t slot, struct timer *t)
{
    while (slot > 0) {
        size_t parent = (slot - 1) / 2;
        if (!timer_before(t, heap->slots[parent]))
            break;
        heap_put(heap, slot, heap->slots[parent]);
        slot = parent;
    }
    heap_put(heap, slot, t);
}

/* Moves t from `slot` towards the leaves. */
static void heap_sink(struct timer_heap *heap, size_t slot, struct timer *t)
{
    for (;;) {
        size_t child = 2 * slot + 1;
        if (child >= heap->n)
            break;
        if (child + 1 < heap->n && timer_before(heap->slots[child + 1], heap->slots[child]))
            child++;
        if (!timer_before(heap->slots[child], t))
            break;
        heap_put(heap, slot, heap->slots[child]);
        slot = child;
    }
    heap_put(heap, slot, t);
}

/* Makes room for n timers. */
static int heap_grow(struct timer_heap *heap, size_t n)
{
    if (n <= heap->capacity)
        return 0;
    size_t capacity = heap->capacity ? heap->capacity * 2 : 64;
    struct timer **slots = realloc(heap->slots, capacity * sizeof(struct timer *));
    if (slots == NULL)
        return SPRIG_E_NOMEM;
    heap->slots = slots;
    heap->capacity = capacity;
    return 0;
}

/* Running timers with reserved room are counted twice here, which only makes the heap grow early.
 */
static int heap_insert(struct timer_heap *heap, struct timer *t)
{
    if (!t->has_room && heap_grow(heap, heap->n + heap->n_reserved + 1) != 0)
        return SPRIG_E_NOMEM;
    t->seq = heap->seq++;
    heap_rise(heap, heap->n++, t);
    return 0;
}

/* Takes t out of its slot; the last timer fills the gap and moves up or down. */
static void heap_remove(struct timer_heap *heap, struct timer *t)
{
    size_t gap = t->slot;
    struct timer *last = heap->slots[--heap->n];
    t->slot = TIMER_OFF;
    if (last == t)
        return;
    if (gap > 0 && timer_before(last, heap->slots[(gap - 1) / 2]))
        heap_rise(heap, gap, last);
    else
        heap_sink(heap, gap, last);
}

/* ---------------------------------------------------------------- timers ---- */

void timer_init(struct timer *t, void (*run)(struct ready *r, uint32_t what))
{
    t->at = t->seq = 0;
    t->slot = TIMER_OFF;
    t->has_room = false;
    ready_init(&t->ready, run);
}

int timer_reserve(struct sprig_loop *loop, struct timer *t)
{
    struct timer_heap *heap = &loop->timers;
    if (heap_grow(heap, heap->n + heap->n_reserved + 1) != 0)
        return SPRIG_E_NOMEM;
    t->has_room = true;
    heap->n_reserved++;
    return 0;
}

void timer_release(struct sprig_loop *loop, struct timer *t)
{
    timer_stop(loop, t);
    loop->timers.n_reserved -= t->has_room;
    t->has_room = false;
}

int timer_start(struct sprig_loop *loop, struct timer *t, uint64_t at)
{
    timer_stop(loop, t);
    t->at = at;
    int err = heap_insert(&loop->timers, t);
    if (err == 0 && t->slot == 0)
        loop_timer_changed(loop);
    return err;
}

void timer_stop(struct sprig_loop *loop, struct timer *t)
{
    ready_cancel(&t->ready);
    if (t->slot != TIMER_OFF)
        heap_remove(&loop->timers, t);
}

uint64_t timers_next(const struct sprig_loop *loop)
{
    return loop->timers.n > 0 ? loop->timers.slots[0]->at : TIMERS_NONE;
}

void timers_queue_due(struct sprig_loop *loop)
{
    struct timer_heap *heap = &loop->timers;
    uint64_t now = sprig_loop_now(loop);
    while (heap->n > 0 && heap->slots[0]->at <= now) {
        struct timer *t = heap->slots[0];
        heap_remove(heap, t);
        ready_add(loop, &t->ready, 1);
    }
}

/* ------------------------------------------------------------- deadlines ---- */

/* An app may have blocked since the loop last read its clock, and between passes of a foreign loop
 * the clock always lags; the coarse clock is a few milliseconds behind but costs next to nothing.
 */
static uint64_t deadline_clock(struct sprig_loop *loop)
{
#ifdef CLOCK_MONOTONIC_COARSE
    (void)loop;
    return clock_ns(CLOCK_MONOTONIC_COARSE);
#else
    return sprig_loop_now_update(loop);
#endif
}

/* The timer is not moved when the head of the list changes: it fires at the time of a head that may
 * be gone, looks again, and sleeps for the rest. So setting a deadline touches only the list. The
 * timer is restarted before anything expires, because a nested pass may serve the rest of the list.
 */
static void deadline_list_run(struct ready *r, uint32_t what)
{
    (void)what;
    struct timer *timer = list_entry(r, struct timer, ready);
    struct deadline_list *l = list_entry(timer, struct deadline_list, timer);
    uint64_t now = sprig_loop_now(l->loop);
    struct list_link *first;
    while ((first = list_first(&l->head)) != NULL) {
        struct deadline *d = list_entry(first, struct deadline, link);
        timer_start(l->loop, &l->timer, d->at);
        if (d->at > now)
            return;
        list_remove(&d->link);
        l->expire(d);
    }
}

void deadline_list_set_length(struct deadline_list *l, double seconds)
{
    l->length_ns = seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
}

int deadline_list_init(struct deadline_list *l, struct sprig_loop *loop, double seconds,
                       void (*expire)(struct deadline *d))
{
    list_init(&l->head);
    deadline_list_set_length(l, seconds);
    l->loop = loop;
    l->expire = expire;
    timer_init(&l->timer, deadline_list_run);
    return timer_reserve(loop, &l->timer);
}

void deadline_list_clear(struct deadline_list *l)
{
    struct list_link *first;
    while ((first = list_first(&l->head)) != NULL)
        list_remove(first);
    timer_release(l->loop, &l->timer);
}

void deadline_init(struct deadline *d)
{
    list_init(&d->link);
    d->at = 0;
}

void deadline_set(struct deadline_list *l, struct deadline *d)
{
    list_remove(&d->link);
    if (l->length_ns == 0)
        return;
    d->at = deadline_clock(l->loop) + l->length_ns;
    list_append(&l->head, &d->link);
    if (l->timer.slot == TIMER_OFF && !list_linked(&l->timer.ready.link))
        timer_start(l->loop, &l->timer, d->at);
}

void deadline_clear(struct deadline *d)
{
    list_remove(&d->link);
}

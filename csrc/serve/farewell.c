/* farewell.c - see farewell.h */
#include "serve/farewell.h"

enum { TURN_MS = 20, EACH_MS = 10 };

static void next_turn(struct farewells *all)
{
    timer_start(all->loop, &all->timer, sprig_loop_now(all->loop) + TURN_MS * 1000 * 1000ull);
}

/* How many to notify in one turn. */
static uint32_t share_of_turn(const struct farewells *all)
{
    double ms = (double)all->n_waiting * EACH_MS, most_ms = all->seconds * 1000;
    uint32_t n_turns = (uint32_t)((ms < most_ms ? ms : most_ms) / TURN_MS) + 1;
    return (all->n_waiting + n_turns - 1) / n_turns + 1;
}

/* Each call may do anything, so nothing is remembered across it. */
static void run_turn(struct ready *r, uint32_t what)
{
    (void)what;
    struct timer *timer = list_entry(r, struct timer, ready);
    struct farewells *all = list_entry(timer, struct farewells, timer);
    struct list_link told, *first;
    list_init(&told);
    list_splice(&told, &all->told);
    for (uint32_t n = share_of_turn(all); n > 0; n--) {
        if ((first = list_first(&all->waiting)) == NULL)
            break;
        struct farewell *f = list_entry(first, struct farewell, link);
        list_remove(first);
        list_append(&all->told, first);
        f->say(f);
    }
    while ((first = list_first(&told)) != NULL) {
        struct farewell *f = list_entry(first, struct farewell, link);
        list_remove(first);
        f->is_told = true;
        f->say(f);
    }
    if (!list_empty(&all->waiting) || !list_empty(&all->told))
        next_turn(all);
}

int farewells_init(struct farewells *all, struct sprig_loop *loop)
{
    *all = (struct farewells){.loop = loop};
    list_init(&all->waiting);
    list_init(&all->told);
    timer_init(&all->timer, run_turn);
    return timer_reserve(loop, &all->timer);
}

void farewells_clear(struct farewells *all)
{
    struct list_link *first;
    while ((first = list_first(&all->waiting)) != NULL || (first = list_first(&all->told)) != NULL)
        list_remove(first);
    timer_release(all->loop, &all->timer);
}

void farewell_wait(struct farewells *all, struct farewell *f, void (*say)(struct farewell *f))
{
    *f = (struct farewell){.say = say};
    list_init(&f->link);
    list_append(&all->waiting, &f->link);
    if (all->has_begun && all->timer.slot == TIMER_OFF)
        next_turn(all);
}

void farewells_begin(struct farewells *all, double seconds)
{
    all->has_begun = true;
    all->seconds = seconds;
    list_foreach (it, &all->waiting)
        all->n_waiting++;
    if (all->n_waiting > 0)
        next_turn(all);
}

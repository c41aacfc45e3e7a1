/* timer_test.c - the timer heap and the deadline lists, driven by passes of a real loop. */
#include "base/clock.h"
#include "loop/loop_internal.h"
#include "tap.h"
#include <stdlib.h>
#include <time.h>

enum { MANY = 2000 };

static struct sprig_loop *loop;

/* A timer that notes its turn. */
struct noted {
    struct timer timer;
    int id;
};

static int turns[MANY * 2];
static int n_turns;
static int n_early;

static void noted_run(struct ready *r, uint32_t what)
{
    (void)what;
    struct timer *t = list_entry(r, struct timer, ready);
    n_early += t->at > clock_monotonic_ns();
    turns[n_turns++] = list_entry(t, struct noted, timer)->id;
}

static struct noted *noted_new(int n)
{
    struct noted *all = calloc((size_t)n, sizeof *all);
    for (int i = 0; i < n; i++) {
        timer_init(&all[i].timer, noted_run);
        all[i].id = i;
    }
    n_turns = n_early = 0;
    return all;
}

static void run_until(int n)
{
    for (int i = 0; n_turns < n && i < 10000; i++)
        sprig_loop_pass(loop, true);
}

static bool is_rising(void)
{
    for (int i = 1; i < n_turns; i++)
        if (turns[i] <= turns[i - 1])
            return false;
    return true;
}

static void equal_times_run_in_the_order_of_starting(void)
{
    struct noted *all = noted_new(MANY);
    uint64_t at = clock_monotonic_ns();
    for (int i = 0; i < MANY; i++)
        timer_start(loop, &all[i].timer, at);
    ok(timers_next(loop) == at, "the earliest time is known");
    run_until(MANY);
    ok(n_turns == MANY && is_rising(), "equal times run in the order of starting");
    ok(timers_next(loop) == TIMERS_NONE, "and nothing is left");
    free(all);
}

/* The id is made the rank of the time, so the turns have to rise. */
static void times_run_in_their_order(void)
{
    struct noted *all = noted_new(MANY);
    uint64_t base = clock_monotonic_ns();
    for (int i = 0; i < MANY; i++) {
        int k = (int)(((long)i * 7919) % MANY); /* 7919 is prime: every k comes once */
        timer_start(loop, &all[k].timer, base + (uint64_t)k * 10000);
    }
    for (int i = 0; i < MANY; i += 3)
        timer_stop(loop, &all[i].timer);
    run_until(MANY - (MANY + 2) / 3);
    ok(is_rising() && n_turns == MANY - (MANY + 2) / 3, "times run in their order");
    bool any_stopped = false;
    for (int i = 0; i < n_turns; i++)
        any_stopped = any_stopped || turns[i] % 3 == 0;
    ok(!any_stopped, "stopped timers do not run");
    ok(n_early == 0, "none runs early");
    free(all);
}

static void a_restart_moves_it(void)
{
    struct noted *all = noted_new(2);
    uint64_t now = clock_monotonic_ns();
    timer_start(loop, &all[0].timer, now + 3 * NS_PER_MS);
    timer_start(loop, &all[1].timer, now + 6 * NS_PER_MS);
    timer_start(loop, &all[0].timer, now + 9 * NS_PER_MS);
    run_until(2);
    ok(n_turns == 2 && turns[0] == 1 && turns[1] == 0, "a restart moves it");
    free(all);
}

static struct noted *victim;

static void stop_victim(struct ready *r, uint32_t what)
{
    noted_run(r, what);
    timer_stop(loop, &victim->timer);
}

static void a_due_timer_can_still_be_stopped(void)
{
    struct noted *all = noted_new(3);
    victim = &all[1];
    all[0].timer.ready.run = stop_victim;
    for (int i = 0; i < 3; i++)
        timer_start(loop, &all[i].timer, 0);
    run_until(2);
    sprig_loop_pass(loop, false);
    ok(n_turns == 2 && turns[1] == 2, "a timer that is due and queued can still be stopped");
    free(all);
}

static void start_again(struct ready *r, uint32_t what)
{
    noted_run(r, what);
    timer_start(loop, list_entry(r, struct timer, ready), 0);
}

static void a_timer_cannot_starve_the_loop(void)
{
    struct noted *all = noted_new(1);
    all[0].timer.ready.run = start_again;
    timer_start(loop, &all[0].timer, 0);
    sprig_loop_pass(loop, true);
    sprig_loop_pass(loop, true);
    ok(n_turns == 2, "a timer that restarts itself for now runs once a pass");
    timer_stop(loop, &all[0].timer);
    free(all);
}

static void a_timer_with_room_can_always_be_started(void)
{
    struct noted *all = noted_new(MANY);
    struct timer_heap *heap = &loop->timers;
    is_int(timer_reserve(loop, &all[0].timer), 0, "room is reserved");
    uint64_t far = sprig_loop_now(loop) + 1000ull * 1000 * NS_PER_MS;
    bool has_room = true;
    for (int i = 1; i < MANY; i++) {
        timer_start(loop, &all[i].timer, far);
        has_room = has_room && heap->n < heap->capacity;
    }
    ok(has_room, "and kept free, however many are started");
    heap->n_reserved += heap->capacity; /* memory is short: nobody may grow the heap */
    struct timer **slots = heap->slots;
    is_int(timer_start(loop, &all[0].timer, far), 0, "it starts");
    ok(heap->slots == slots, "without memory");
    heap->n_reserved -= heap->capacity;
    for (int i = 0; i < MANY; i++)
        timer_release(loop, &all[i].timer);
    ok(heap->n == 0 && heap->n_reserved == 0, "room is given back");
    free(all);
}

/* ------------------------------------------------------------- deadlines ---- */

struct patient {
    struct deadline deadline;
    int id;
};

static struct deadline_list list;
static struct patient patients[4];

static void patient_expire(struct deadline *d)
{
    turns[n_turns++] = list_entry(d, struct patient, deadline)->id;
}

static void deadlines_setup(double seconds)
{
    n_turns = 0;
    deadline_list_init(&list, loop, seconds, patient_expire);
    for (int i = 0; i < 4; i++) {
        deadline_init(&patients[i].deadline);
        patients[i].id = i;
        deadline_set(&list, &patients[i].deadline);
    }
}

static void deadlines_expire_in_order(void)
{
    uint64_t before = clock_monotonic_ns();
    deadlines_setup(0.030);
    deadline_clear(&patients[1].deadline);
    deadline_set(&list, &patients[0].deadline); /* to the end */
    run_until(3);
    ok(n_turns == 3 && turns[0] == 2 && turns[1] == 3 && turns[2] == 0,
       "deadlines expire in the order of setting, cleared ones do not");
    ok(clock_monotonic_ns() - before >= 20 * NS_PER_MS, "after their length");
    ok(!list_linked(&patients[2].deadline.link), "an expired one is disarmed");
    deadline_list_clear(&list);
}

static void expire_rearms(struct deadline *d)
{
    patient_expire(d);
    if (n_turns < 6)
        deadline_set(&list, d);
}

static void deadlines_can_be_set_while_expiring(void)
{
    deadlines_setup(0.002);
    list.expire = expire_rearms;
    run_until(9);
    ok(n_turns >= 9, "deadlines can be set again while they expire");
    deadline_list_clear(&list);
    ok(timers_next(loop) == TIMERS_NONE, "a cleared list needs no timer");
}

static void length_zero_is_off(void)
{
    deadlines_setup(0);
    ok(!list_linked(&patients[0].deadline.link) && timers_next(loop) == TIMERS_NONE,
       "a list of length 0 arms nothing");
}

int main(void)
{
    loop = sprig_loop_new();
    equal_times_run_in_the_order_of_starting();
    times_run_in_their_order();
    a_restart_moves_it();
    a_due_timer_can_still_be_stopped();
    a_timer_cannot_starve_the_loop();
    a_timer_with_room_can_always_be_started();
    deadlines_expire_in_order();
    deadlines_can_be_set_while_expiring();
    length_zero_is_off();
    sprig_loop_free(loop);
    return done_testing();
}

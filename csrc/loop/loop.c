/* loop.c - passes, the ready queue, wake-ups, and what a fork does to a loop; see loop.h */
#include "base/clock.h"
#include "base/hot.h"
#include "loop/loop_internal.h"

#include "base/stats.h"
#include "loop/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#endif

/* Incremented in each forked child; the only thing here that is process-wide by nature. */
static volatile sig_atomic_t fork_count;

static void fork_in_child(void)
{
    fork_count++;
}

uint32_t sprig_fork_count(void)
{
    return (uint32_t)fork_count;
}

/* ------------------------------------------------------------ ready queue ---- */

void ready_init(struct ready *r, void (*run)(struct ready *r, uint32_t what))
{
    list_init(&r->link);
    r->what = 0;
    r->run = run;
}

/* Between passes nobody looks at our queues: ring, so that the foreign loop gives us a pass. */
static void loop_ring_host(struct sprig_loop *loop)
{
    if (loop->depth > 0 || !loop->is_hosted || loop->is_rung)
        return;
    loop->is_rung = true;
    uint64_t one = 1;
    ssize_t ignored = write(loop->wake_send_fd, &one, sizeof one);
    (void)ignored;
}

void ready_add(struct sprig_loop *loop, struct ready *r, uint32_t what)
{
    r->what |= what;
    if (list_linked(&r->link))
        return;
    list_append(&loop->ready, &r->link);
    loop_ring_host(loop);
}

void ready_add_now(struct sprig_loop *loop, struct ready *r, uint32_t what)
{
    r->what |= what;
    if (!list_linked(&r->link))
        list_append(&loop->batch, &r->link);
    loop_ring_host(loop);
}

void ready_cancel(struct ready *r)
{
    list_remove(&r->link);
    r->what = 0;
}

void ready_park(struct sprig_loop *loop, struct ready *r, uint32_t what)
{
    r->what |= what;
    list_remove(&r->link);
    list_append(&loop->parked, &r->link);
}

static bool loop_is_ready(const struct sprig_loop *loop)
{
    return !list_empty(&loop->ready) || !list_empty(&loop->batch);
}

void sprig_loop_count_app_call(struct sprig_loop *loop, int delta)
{
    loop->n_app_calls = (uint32_t)((int)loop->n_app_calls + delta);
    if (loop->n_app_calls > 0 || list_empty(&loop->parked))
        return;
    list_splice(&loop->ready, &loop->parked);
    loop_ring_host(loop);
}

bool loop_is_in_app(const struct sprig_loop *loop)
{
    return loop->n_app_calls > 0;
}

/* ------------------------------------------------------- waking and timers ---- */

void sprig_loop_wake(struct sprig_loop *loop)
{
    if (!loop->sleeping && !(loop->is_hosted && loop->depth == 0))
        return;
    int saved = errno;
    uint64_t one = 1;
    ssize_t ignored = write(loop->wake_send_fd, &one, sizeof one);
    (void)ignored;
    errno = saved;
}

static void loop_on_wake_event(evutil_socket_t fd, short what, void *arg)
{
    (void)what, (void)arg;
    char bytes[64];
    while (read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        ;
}

static int loop_open_wake(struct sprig_loop *loop)
{
#ifdef __linux__
    loop->wake_fd = loop->wake_send_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return loop->wake_fd;
#else
    int ends[2];
    if (pipe(ends) == -1)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    }
    loop->wake_fd = ends[0];
    loop->wake_send_fd = ends[1];
    return ends[0];
#endif
}

static void loop_on_timer_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct sprig_loop *loop = arg;
    loop->timer_armed = 0; /* it has fired: the next time must be set anew */
}

static void loop_open_timer(struct sprig_loop *loop)
{
    loop->timer_armed = UINT64_MAX;
#ifdef __linux__
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
#else
    loop->timer_fd = -1;
#endif
    short events = loop->timer_fd == -1 ? EV_TIMEOUT : EV_READ | EV_PERSIST;
    event_assign(&loop->timer_event, loop->base, loop->timer_fd, events, loop_on_timer_event, loop);
    if (loop->timer_fd != -1)
        event_add(&loop->timer_event, NULL);
}

static int loop_open_descriptors(struct sprig_loop *loop)
{
    if (loop_open_wake(loop) == -1)
        return SPRIG_E_SYS;
    event_assign(&loop->wake_event, loop->base, loop->wake_fd, EV_READ | EV_PERSIST,
                 loop_on_wake_event, loop);
    event_add(&loop->wake_event, NULL);
    loop_open_timer(loop);
    return 0;
}

static void loop_close_descriptors(struct sprig_loop *loop)
{
    event_del(&loop->wake_event);
    event_del(&loop->timer_event);
    close(loop->wake_fd);
    if (loop->wake_send_fd != loop->wake_fd)
        close(loop->wake_send_fd);
    if (loop->timer_fd != -1)
        close(loop->timer_fd);
}

/* Without a timerfd, libevent's own timer has to do; it counts whole coarse milliseconds. */
static void loop_set_timer(struct sprig_loop *loop, uint64_t at)
{
#ifdef __linux__
    struct itimerspec its = {{0, 0}, {0, 0}};
    if (at != UINT64_MAX) {
        its.it_value.tv_sec = (time_t)(at / NS_PER_S);
        its.it_value.tv_nsec = (long)(at % NS_PER_S);
        if (at == 0)
            its.it_value.tv_nsec = 1; /* all zero would disarm it */
    }
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
#else
    event_del(&loop->timer_event);
    if (at != UINT64_MAX) {
        uint64_t left = at > loop->now ? (at - loop->now) / 1000 + 1 : 0;
        struct timeval tv = {(time_t)(left / 1000000), (suseconds_t)(left % 1000000)};
        event_add(&loop->timer_event, &tv);
    }
#endif
    loop->timer_armed = at;
}

/* Arming the timer too early costs one idle wake-up; moving it for every cancelled timer would cost
 * a system call each. */
static void loop_arm_timer(struct sprig_loop *loop)
{
    uint64_t next = timers_next(loop);
    if (next < loop->timer_armed || (loop->timer_armed == 0 && next != 0))
        loop_set_timer(loop, next);
    if (loop->interest.host.on_timeout != NULL) {
        double left = next > loop->now ? (double)(next - loop->now) / 1e9 : 0;
        interest_timeout(&loop->interest, next == UINT64_MAX ? -1 : left);
    }
}

void loop_timer_changed(struct sprig_loop *loop)
{
    if (loop->depth > 0 || !loop->is_hosted)
        return;
    sprig_loop_now_update(loop); /* between passes the clock stands still */
    loop_arm_timer(loop);
}

uint64_t sprig_loop_now_update(struct sprig_loop *loop)
{
    loop->clock = loop->now = clock_monotonic_ns();
    loop->clock_is_old = false;
    return loop->now;
}

uint64_t loop_clock_read(struct sprig_loop *loop)
{
    loop->clock = clock_monotonic_ns();
    loop->clock_is_old = false;
    return loop->clock;
}

uint64_t loop_clock(struct sprig_loop *loop)
{
    return loop->clock_is_old ? loop_clock_read(loop) : loop->clock;
}

uint64_t sprig_loop_now(struct sprig_loop *loop)
{
    return loop->now;
}

/* ------------------------------------------------------------------ a pass ---- */

/* Records in the shared counters that the current pass is over, and that the next one begins now,
 * or that none does (0), because the loop falls asleep. */
static void loop_note_pass(struct sprig_loop *loop, uint64_t now)
{
    if (loop->pass_began != 0) {
        uint64_t ns = loop->now - loop->pass_began;
        stats_pass(ns);
        if (ns >= watchdog_limit_ns) /* a message is waiting, so one more pass is needed */
            loop->is_to_go_on = watchdog_pass_over(ns);
    }
    loop->pass_began = now;
    __atomic_store_n(&stats_own->busy_since_ns, now, __ATOMIC_RELAXED);
    if (now != 0 && atomic_load_explicit(&watchdog_sleeps, memory_order_relaxed))
        watchdog_wake();
}

/* Perl code that no pass has called delays no client that this loop knows of. */
static void loop_note_end(struct sprig_loop *loop)
{
    __atomic_store_n(&stats_own->busy_since_ns, 0, __ATOMIC_RELAXED);
    if (!loop->is_hosted)
        return;
    sprig_loop_now_update(loop);
    loop_note_pass(loop, 0);
}

/* Phase 1. `sleeping` is set before the last look at pending signals: a signal that arrives in
 * between rings the descriptor, so it cannot be slept through. */
static void loop_wait(struct sprig_loop *loop, bool block)
{
    bool sleep = block && !loop_is_ready(loop) && !idle_any(loop) && !always_any(loop) &&
                 timers_next(loop) > sprig_loop_now_update(loop);
    loop->is_to_go_on = false;
    if (sleep) {
        loop_note_pass(loop, 0);
        sleep = !loop->is_to_go_on;
    }
    if (sleep) {
        loop_arm_timer(loop);
        loop->sleeping = 1;
        if (signals_pending(loop) ||
            (loop->hooks.is_pending != NULL && loop->hooks.is_pending(loop->hooks.arg)))
            sleep = false;
    }
    log_defer();
    event_base_loop(loop->base, EVLOOP_ONCE | (sleep ? 0 : EVLOOP_NONBLOCK));
    log_undefer();
    loop->sleeping = 0;
}

static void loop_collect(struct sprig_loop *loop)
{
    sprig_loop_now_update(loop);
    loop_note_pass(loop, loop->now);
    sprig_loop_look(loop);
    signals_queue_pending(loop);
    timers_queue_due(loop);
    always_queue(loop);
    if (!loop_is_ready(loop))
        idle_queue_all(loop);
}

/* Phase 2: runs what was ready at the start, so that a queue that feeds itself cannot starve I/O.
 * The batch is a member, not a local: a nested pass goes on with it, and so does the next pass if
 * an exit or a dying signal handler left this one. */
static int loop_run_ready(struct sprig_loop *loop)
{
    int n_run = 0;
    list_splice(&loop->batch, &loop->ready);
    while (!list_empty(&loop->batch)) {
        struct ready *r = list_entry(loop->batch.next, struct ready, link);
        uint32_t what = r->what;
        uint64_t clock = loop->clock;
        ready_cancel(r);
        loop_take_back(loop); /* what ran before may have left output with the courier */
        r->run(r, what);
        loop->clock_is_old |= loop->clock == clock;
        n_run++;
    }
    return n_run;
}

void loop_recall(struct sprig_loop *loop)
{
    loop_take_back(loop);
}

void loop_enter(struct sprig_loop *loop)
{
    if (__builtin_expect(loop->generation != (uint32_t)fork_count, 0))
        loop_check_fork(loop);
    loop_take_back(loop);
}

HOT static void loop_flush_all(struct sprig_loop *loop)
{
    courier_turn(&loop->courier);
    for (;;) {
        loop_take_back(loop);
        if (list_empty(&loop->flush))
            return;
        struct flushable *f = list_entry(loop->flush.next, struct flushable, link);
        list_remove(&f->link);
        f->ops->flush(f);
    }
}

static void loop_reap_all(struct sprig_loop *loop)
{
    struct list_link pinned;
    if (list_empty(&loop->reap))
        return;
    list_init(&pinned);
    while (!list_empty(&loop->reap)) {
        struct reapable *r = list_entry(loop->reap.next, struct reapable, link);
        list_remove(&r->link);
        if (!r->reap(r))
            list_append(&pinned, &r->link);
    }
    list_splice(&loop->reap, &pinned);
}

void loop_reap_now(struct sprig_loop *loop)
{
    if (loop->depth == 0)
        loop_reap_all(loop);
}

int sprig_loop_pass(struct sprig_loop *loop, bool block)
{
    loop_check_fork(loop);
    loop_take_back(loop);
    bool is_nested = loop->depth > 0;
    if (is_nested && loop->hooks.on_nested_enter != NULL)
        loop->hooks.on_nested_enter(loop->hooks.arg);
    loop->depth++;
    loop->n_passes++;
    loop->is_rung = false;
    loop_flush_all(loop); /* what was written between passes */
    loop_reap_all(loop);  /* and what was closed, since somebody may be waiting for that */
    loop_wait(loop, block);
    if (loop->hooks.on_wake != NULL)
        loop->hooks.on_wake(loop->hooks.arg);
    loop_collect(loop);
    int n_run = loop_run_ready(loop);
    loop_flush_all(loop);
    log_deliver();
    loop_reap_all(loop);
    if (loop->is_hosted)
        loop_arm_timer(loop);
    loop->depth--;
    if (loop->depth == 0)
        loop_note_end(loop);
    if (loop->is_hosted &&
        (loop->is_to_go_on || loop_is_ready(loop) || idle_any(loop) || always_any(loop)))
        loop_ring_host(loop);
    if (is_nested && loop->hooks.on_nested_leave != NULL)
        loop->hooks.on_nested_leave(loop->hooks.arg);
    return n_run;
}

uint32_t sprig_loop_depth(const struct sprig_loop *loop)
{
    return loop->depth;
}

uint32_t loop_n_passes(const struct sprig_loop *loop)
{
    return loop->n_passes;
}

void sprig_loop_set_depth(struct sprig_loop *loop, uint32_t depth)
{
    loop_take_back(loop);
    loop->clock_is_old = true;
    if (depth == 0 && loop->depth != 0)
        loop_note_end(loop);
    loop->depth = depth;
}

void loop_flush_later(struct sprig_loop *loop, struct flushable *f)
{
    if (list_linked(&f->link))
        return;
    loop_take_back(loop);
    list_append(&loop->flush, &f->link);
    loop_ring_host(loop);
}

void loop_reap_later(struct sprig_loop *loop, struct reapable *r)
{
    if (!list_linked(&r->link))
        list_append(&loop->reap, &r->link);
    loop_ring_host(loop);
}

/* ---------------------------------------------------------------- libevent ---- */

int loop_event_add(struct sprig_loop *loop, struct event *ev)
{
    loop_check_fork(loop);
    if (event_add(ev, NULL) != 0)
        return SPRIG_E_SYS;
    interest_change(&loop->interest, event_get_fd(ev), event_get_events(ev), 1);
    return 0;
}

void loop_event_del(struct sprig_loop *loop, struct event *ev)
{
    loop_check_fork(loop);
    if (!event_pending(ev, EV_READ | EV_WRITE | EV_CLOSED, NULL))
        return;
    event_del(ev);
    interest_change(&loop->interest, event_get_fd(ev), event_get_events(ev), -1);
}

struct event_base *loop_base(struct sprig_loop *loop)
{
    return loop->base;
}

static void loop_on_libevent_log(int severity, const char *message)
{
    (void)severity;
    sprig_log(SPRIG_LOG_DEBUG, "libevent: %s", message);
}

/* ------------------------------------------------- driven by a foreign loop ---- */

#ifdef __linux__
/* Is fd the epoll instance that watches our wake-up descriptor? Repeating libevent's own
 * registration changes nothing, and any other descriptor refuses it. */
static bool loop_is_our_epoll(struct sprig_loop *loop, int fd)
{
    struct epoll_event ee;
    memset(&ee, 0, sizeof ee);
    ee.events = EPOLLIN;
    ee.data.fd = loop->wake_fd;
    return epoll_ctl(fd, EPOLL_CTL_MOD, loop->wake_fd, &ee) == 0;
}

static int loop_find_poll_fd(struct sprig_loop *loop)
{
    if (strcmp(event_base_get_method(loop->base), "epoll") != 0)
        return -1;
    if (loop->poll_fd != -1 && loop_is_our_epoll(loop, loop->poll_fd))
        return loop->poll_fd;
    long n_max = sysconf(_SC_OPEN_MAX);
    for (int fd = 0; fd < n_max && fd < 4096; fd++)
        if (loop_is_our_epoll(loop, fd))
            return fd;
    return -1;
}
#else
static int loop_find_poll_fd(struct sprig_loop *loop)
{
    (void)loop;
    return -1;
}
#endif

int sprig_loop_poll_fd(struct sprig_loop *loop)
{
    int saved = errno; /* the search below sets errno */
    loop_check_fork(loop);
    loop->poll_fd = loop_find_poll_fd(loop);
    if (loop->poll_fd != -1) {
        loop->is_hosted = true;
        sprig_loop_now_update(loop);
        loop_arm_timer(loop);
        if (loop_is_ready(loop) || !list_empty(&loop->flush))
            loop_ring_host(loop);
    }
    errno = saved;
    return loop->poll_fd;
}

void sprig_loop_set_interest(struct sprig_loop *loop, const struct sprig_loop_interest *interest)
{
    loop_check_fork(loop);
    interest_set(&loop->interest, interest, loop->base);
    loop->is_hosted = true;
    sprig_loop_now_update(loop);
    loop_arm_timer(loop);
}

void sprig_loop_set_hooks(struct sprig_loop *loop, const struct sprig_loop_hooks *hooks)
{
    loop->hooks = *hooks;
}

/* --------------------------------------------------------------------- fork ---- */

/* The child gets its own epoll instance, wake-up descriptor and timer. The order matters: until
 * event_reinit, every event_del would reach into the parent's epoll set. */
static void loop_after_fork(struct sprig_loop *loop)
{
    courier_forget(&loop->courier);
    event_reinit(loop->base);
    loop_close_descriptors(loop);
    loop_open_descriptors(loop);
    loop->is_rung = false; /* that was the parent's descriptor */
    list_foreach_safe (it, next, &loop->fork_hooks) {
        struct fork_hook *h = list_entry(it, struct fork_hook, link);
        h->on_fork(h);
    }
}

uint32_t loop_check_fork(struct sprig_loop *loop)
{
    if (__builtin_expect(loop->generation != (uint32_t)fork_count, 0)) {
        loop->generation = (uint32_t)fork_count;
        loop_after_fork(loop);
    }
    return loop->generation;
}

void loop_on_fork(struct sprig_loop *loop, struct fork_hook *h)
{
    list_append(&loop->fork_hooks, &h->link);
}

/* ---------------------------------------------------------------- describing ---- */

void loop_on_look(struct sprig_loop *loop, struct look_hook *h)
{
    list_append(&loop->look_hooks, &h->link);
}

void sprig_loop_look(struct sprig_loop *loop)
{
    struct stats *s = stats_own;
    uint32_t n_asked = __atomic_load_n(&s->n_asked, __ATOMIC_ACQUIRE);
    if (n_asked == s->n_answered)
        return;
    loop_check_fork(loop);
    loop_take_back(loop);
    s->n_conns = s->n_conns_left_out = 0;
    list_foreach (it, &loop->look_hooks) {
        struct look_hook *h = list_entry(it, struct look_hook, link);
        h->on_look(h);
    }
    __atomic_store_n(&s->n_answered, n_asked, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------- new and free ---- */

static void sigpipe_ignored(int signo)
{
    (void)signo;
}

/* A handler, not SIG_IGN: programs started by exec would inherit SIG_IGN and not notice a closed
 * pipe. */
static void loop_tame_sigpipe(void)
{
    struct sigaction old, act;
    if (sigaction(SIGPIPE, NULL, &old) == -1 || old.sa_handler != SIG_DFL)
        return;
    memset(&act, 0, sizeof act);
    act.sa_handler = sigpipe_ignored;
    act.sa_flags = SA_RESTART;
    sigaction(SIGPIPE, &act, NULL);
}

/* The environment must not switch on the changelist: a foreign loop that polls our epoll descriptor
 * would miss events. */
static struct event_base *loop_new_base(void)
{
    static bool is_set_up;
    if (!is_set_up) {
        event_set_log_callback(loop_on_libevent_log);
        pthread_atfork(NULL, NULL, fork_in_child);
        is_set_up = true;
    }
    struct event_config *config = event_config_new();
    if (config == NULL)
        return NULL;
    event_config_set_flag(config,
                          EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
                              EVENT_BASE_FLAG_NO_CACHE_TIME); /* the loop has its own timers */
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static void loop_init_lists(struct sprig_loop *loop)
{
    list_init(&loop->ready);
    list_init(&loop->batch);
    list_init(&loop->parked);
    list_init(&loop->flush);
    list_init(&loop->reap);
    list_init(&loop->fork_hooks);
    list_init(&loop->look_hooks);
    timer_heap_init(&loop->timers);
    signal_table_init(&loop->signals);
    watcher_lists_init(&loop->watchers);
    courier_init(&loop->courier);
}

struct sprig_loop *sprig_loop_new(void)
{
    struct sprig_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return NULL;
    loop_init_lists(loop);
    loop->poll_fd = loop->timer_fd = loop->wake_fd = -1;
    loop->base = loop_new_base();
    loop->generation = (uint32_t)fork_count;
    loop->read_buffer = malloc(LOOP_READ_BUFFER_BYTES);
    if (loop->base == NULL || loop->read_buffer == NULL || loop_open_descriptors(loop) != 0) {
        sprig_loop_free(loop);
        return NULL;
    }
    sprig_loop_now_update(loop);
    loop_tame_sigpipe();
    return loop;
}

void sprig_loop_free(struct sprig_loop *loop)
{
    if (loop->wake_fd != -1) {
        loop_check_fork(loop);
        loop_take_back(loop);
        courier_stop(&loop->courier);
        loop_reap_all(loop);
        loop_close_descriptors(loop);
    }
    if (loop->base != NULL)
        event_base_free(loop->base);
    timer_heap_clear(&loop->timers);
    signal_table_clear(&loop->signals);
    watcher_lists_clear(&loop->watchers);
    interest_clear(&loop->interest);
    free(loop->read_buffer);
    free(loop);
}

char *loop_read_buffer(struct sprig_loop *loop)
{
    return loop->read_buffer;
}

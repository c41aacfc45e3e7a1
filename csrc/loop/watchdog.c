/* watchdog.c - see watchdog.h */
#include "loop/watchdog.h"

#include "base/apart.h"
#include "base/clock.h"
#include "base/stats.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MIN_MS = 10, TICK_MAX_MS = 250, STACK_BYTES = 256 * 1024 };

/* How long the process gets after ABRT. */
enum { ABORT_MS = 1000 };

_Atomic bool watchdog_sleeps = false;
uint64_t watchdog_limit_ns = UINT64_MAX;

static struct {
    struct sprig_watchdog how;
    _Atomic uint64_t limit_ns, timeout_ns; /* UINT64_MAX: none */
    bool is_running;                       /* the thread runs in this process */
    bool is_ready;                         /* lock and handlers are initialised */
    uint32_t worker;                       /* its number; 0: not a worker */
    _Atomic bool may_end;                  /* block_timeout applies: somebody will start it again */
    pthread_mutex_t lock;                  /* for the condition and what was reported */
    pthread_cond_t wake;
    char told[STATS_REQUEST_BYTES * 4 + 8]; /* what blocks: was reported, so its end will be */
    struct log_request told_id;             /* the request it belongs to */
} dog = {.limit_ns = UINT64_MAX, .timeout_ns = UINT64_MAX};

/* What the thread has reported about the current pass. */
struct told {
    uint64_t since; /* start of that pass; 0: nothing reported */
    uint64_t next;  /* report again after this duration */
    bool is_ended;  /* ABRT was sent */
};

static void pause_ms(uint64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000 * NS_PER_MS)};
    nanosleep(&t, NULL);
}

/* ------------------------------------------------------------------ what it says ---- */

static const char *whom(char *buf, size_t n)
{
    snprintf(buf, n, dog.worker > 0 ? "worker %u" : "the event loop", dog.worker);
    return buf;
}

/* The request comes from a client, so it is escaped as in all messages. */
static void what(char *buf, size_t n)
{
    const struct stats *s = stats_own;
    uint32_t len = __atomic_load_n(&s->n_request, __ATOMIC_ACQUIRE);
    if (len == 0 || len > STATS_REQUEST_BYTES)
        snprintf(buf, n, "a callback");
    else
        log_escape(buf, n, span_make(s->request, len));
}

static void find_place(void)
{
    char place[STATS_PLACE_BYTES] = "";
    if (dog.how.place != NULL)
        dog.how.place(place, sizeof place, dog.how.arg);
    memcpy(stats_own->place, place, sizeof place);
}

static void tell_blocked(uint64_t ns)
{
    char line[1024], who[32];
    const char *place = stats_own->place;
    struct sprig_span id = log_request_id();
    what(dog.told, sizeof dog.told);
    dog.told_id.n = (uint8_t)id.len;
    memcpy(dog.told_id.bytes, id.ptr, id.len);
    snprintf(line, sizeof line, "%s has blocked %s for %.1f s%s%s", dog.told, whom(who, sizeof who),
             (double)ns / 1e9, *place != '\0' ? " at " : "", place);
    log_clean(line);
    sprig_log_print_aside(SPRIG_LOG_WARN, line);
}

/* Called by the loop's thread. */
bool watchdog_pass_over(uint64_t ns)
{
    char who[32], name[sizeof dog.told];
    stats_add(STAT_BLOCKED, 1);
    stats_add(STAT_BLOCKED_TIME, ns);
    pthread_mutex_lock(&dog.lock);
    memcpy(name, dog.told, sizeof name);
    struct log_request of = dog.told_id, before;
    dog.told[0] = stats_own->place[0] = '\0';
    pthread_mutex_unlock(&dog.lock);
    log_request_enter(span_make(of.bytes, of.n), &before);
    if (*name != '\0')
        log_later(SPRIG_LOG_WARN, "%s no longer blocks %s: it took %.1f s", name,
                  whom(who, sizeof who), (double)ns / 1e9);
    log_request_leave(&before);
    return *name != '\0';
}

/* ------------------------------------------------------------------ what it does ---- */

/* A Perl handler for ABRT never gets to run in a blocked process, so KILL follows. */
static void end_process(uint64_t ns)
{
    char text[8192], line[256], who[32];
    size_t len = 0;
    snprintf(line, sizeof line, "%s is ended: block_timeout, it was blocked for %.1f s",
             whom(who, sizeof who), (double)ns / 1e9);
    sprig_log_print_aside(SPRIG_LOG_WARN, line);
    if (dog.how.stack != NULL)
        len = dog.how.stack(text, sizeof text, dog.how.arg);
    for (char *rest = len > 0 ? text : NULL, *frame; (frame = strsep(&rest, "\n")) != NULL;)
        if (*frame != '\0')
            sprig_log_print_aside(SPRIG_LOG_WARN, frame);
    stats_own->ends_blocked = 1;
    kill(getpid(), SIGABRT);
    pause_ms(ABORT_MS);
    kill(getpid(), SIGKILL);
}

/* Does nothing if the pass is over by now. */
static void look_closely(uint64_t since, uint64_t ns)
{
    pthread_mutex_lock(&dog.lock);
    if (__atomic_load_n(&stats_own->busy_since_ns, __ATOMIC_SEQ_CST) == since) {
        find_place();
        tell_blocked(ns);
    }
    pthread_mutex_unlock(&dog.lock);
}

static void look(struct told *told)
{
    uint64_t since = __atomic_load_n(&stats_own->busy_since_ns, __ATOMIC_RELAXED);
    uint64_t limit = atomic_load(&dog.limit_ns), now = clock_monotonic_ns();
    if (since != told->since)
        *told = (struct told){.since = since, .next = limit};
    if (since == 0 || since > now || told->is_ended)
        return;
    if (now - since >= told->next) {
        look_closely(since, now - since);
        told->next *= 2;
    }
    if (now - since >= atomic_load(&dog.timeout_ns) && atomic_load(&dog.may_end)) {
        told->is_ended = true;
        end_process(now - since);
    }
}

/* Sleeps without a tick while nothing happens. */
static void rest(void)
{
    pthread_mutex_lock(&dog.lock);
    atomic_store(&watchdog_sleeps, true);
    if (__atomic_load_n(&stats_own->busy_since_ns, __ATOMIC_SEQ_CST) != 0)
        atomic_store(&watchdog_sleeps, false);
    while (atomic_load(&watchdog_sleeps))
        pthread_cond_wait(&dog.wake, &dog.lock);
    pthread_mutex_unlock(&dog.lock);
}

static uint64_t tick_ms(void)
{
    uint64_t ms = atomic_load(&dog.limit_ns) / NS_PER_MS / 4;
    return ms < TICK_MIN_MS ? TICK_MIN_MS : ms > TICK_MAX_MS ? TICK_MAX_MS : ms;
}

static void *run(void *arg)
{
    struct told told = {.since = 0};
    bool was_idle = false;
    (void)arg;
    apart_leave();
    for (;;) {
        look(&told);
        if (told.since == 0 && was_idle)
            rest();
        was_idle = told.since == 0;
        pause_ms(tick_ms());
    }
    return NULL;
}

/* ------------------------------------------------------------------ start and fork ---- */

/* A forked child has no such thread; its first pass starts one, if it ever runs the loop. */
static void on_fork(void)
{
    dog.is_running = false;
    dog.worker = 0;
    atomic_store(&dog.may_end, false);
    pthread_mutex_init(&dog.lock, NULL);
    pthread_cond_init(&dog.wake, NULL);
    atomic_store(&watchdog_sleeps, atomic_load(&dog.limit_ns) != UINT64_MAX);
}

static void start_thread(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    dog.is_running = pthread_create(&thread, &attr, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
}

/* If the system has no thread left, nothing is reported and passes go on as usual. */
void watchdog_wake(void)
{
    pthread_mutex_lock(&dog.lock);
    atomic_store(&watchdog_sleeps, false);
    if (dog.is_running)
        pthread_cond_signal(&dog.wake);
    else
        start_thread();
    pthread_mutex_unlock(&dog.lock);
}

void sprig_watchdog_may_end(bool may_end)
{
    atomic_store(&dog.may_end, may_end || dog.worker > 0);
}

static uint64_t in_ns(double seconds)
{
    return seconds > 0 ? (uint64_t)(seconds * 1e9) : UINT64_MAX;
}

void sprig_watchdog_start(const struct sprig_watchdog *how)
{
    if (!dog.is_ready) {
        pthread_mutex_init(&dog.lock, NULL);
        pthread_cond_init(&dog.wake, NULL);
        pthread_atfork(NULL, NULL, on_fork);
    }
    dog.is_ready = true;
    dog.how = *how;
    dog.worker = how->worker;
    if (how->worker > 0)
        atomic_store(&dog.may_end, true);
    watchdog_limit_ns = in_ns(how->block_warning);
    uint64_t timeout = in_ns(how->block_timeout);
    atomic_store(&dog.timeout_ns, timeout);
    atomic_store(&dog.limit_ns, watchdog_limit_ns < timeout ? watchdog_limit_ns : timeout);
    if (!dog.is_running)
        atomic_store(&watchdog_sleeps, atomic_load(&dog.limit_ns) != UINT64_MAX);
}

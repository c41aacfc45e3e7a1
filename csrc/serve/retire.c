/* retire.c - see retire.h */
#include "serve/retire.h"

#include "base/clock.h"
#include "loop/timer.h"
#include "serve/server.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

/* How long a worker serves if it exceeds max_rss from the start. */
enum { RETIRE_PAUSE_MS = 60 * 1000 };

/* A random number below n; 0 if n is 0. */
static uint64_t draw(uint64_t n)
{
    uint64_t random;
    if (n == 0)
        return 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = clock_monotonic_ns();
    return random % n;
}

/* This process's resident memory; 0: the system does not say. */
static uint64_t read_rss(void)
{
    char text[128];
    unsigned long long size, resident;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "%llu %llu", &size, &resident) != 2)
        return 0;
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void tell(const struct sprig_server *server, const char *why)
{
    sprig_log(SPRIG_LOG_INFO,
              "%s: this worker has served %llu requests, has %.1fM of memory, and is replaced", why,
              (unsigned long long)server->counters.n_requests, (double)read_rss() / (1 << 20));
}

static void run_ready(struct ready *r, uint32_t what)
{
    (void)what;
    struct retire *retire = list_entry(r, struct retire, ready);
    struct sprig_server *server = list_entry(retire, struct sprig_server, retire);
    if (server->handler.on_retire != NULL)
        tell(server, retire->why);
    if (server->handler.on_retire != NULL)
        server->handler.on_retire(server, retire->why, server->arg);
}

void retire_now(struct sprig_server *server, const char *why)
{
    struct retire *r = &server->retire;
    if (r->why != NULL)
        return;
    r->why = why;
    timer_stop(server->loop, &r->timer);
    ready_add(server->loop, &r->ready, 1);
}

static void look(struct sprig_server *server)
{
    struct retire *r = &server->retire;
    uint64_t now = sprig_loop_now(server->loop);
    if (r->at_ns != 0 && now >= r->at_ns)
        retire_now(server, "max_lifetime");
    else if (r->at_rss != 0 && read_rss() >= r->at_rss)
        retire_now(server, "max_rss");
    if (r->why != NULL || server->is_leaving)
        return;
    uint64_t next = r->at_rss != 0 ? now + RETIRE_LOOK_MS * UINT64_C(1000000) : r->at_ns;
    timer_start(server->loop, &r->timer, next);
}

/* The limit is less than a new worker's memory. Its successors will not be smaller: without a
 * pause, workers would be replaced all the time. */
static void wait_longer(struct sprig_server *server)
{
    struct retire *r = &server->retire;
    sprig_log(SPRIG_LOG_WARN,
              "max_rss = %lluK is less than the %lluK that a worker has before its first request: "
              "give more; until then each is replaced after %d seconds",
              (unsigned long long)server->config.max_rss >> 10,
              (unsigned long long)read_rss() >> 10, RETIRE_PAUSE_MS / 1000);
    timer_start(server->loop, &r->timer,
                sprig_loop_now(server->loop) + RETIRE_PAUSE_MS * UINT64_C(1000000));
}

static void run_timer(struct ready *ready, uint32_t what)
{
    (void)what;
    struct timer *timer = list_entry(ready, struct timer, ready);
    look(list_entry(list_entry(timer, struct retire, timer), struct sprig_server, retire));
}

void retire_init(struct sprig_server *server)
{
    struct retire *r = &server->retire;
    uint64_t max = server->config.max_requests;
    ready_init(&r->ready, run_ready);
    timer_init(&r->timer, run_timer);
    r->at_request = max == 0 ? 0 : max + draw(max / 10 + 1);
}

void retire_configure(struct sprig_server *server)
{
    struct retire *r = &server->retire;
    uint64_t rss = server->config.max_rss;
    uint64_t ns = (uint64_t)(server->config.max_lifetime * 1e9);
    r->at_rss = rss - draw(rss / 10);
    r->at_ns = ns == 0 ? 0 : sprig_loop_now_update(server->loop) + ns + draw(ns / 10);
    timer_stop(server->loop, &r->timer);
    if (r->why != NULL || (r->at_rss == 0 && r->at_ns == 0))
        return;
    if (r->at_rss != 0 && server->counters.n_requests == 0 && read_rss() >= r->at_rss)
        wait_longer(server);
    else
        look(server);
}

void retire_clear(struct sprig_server *server)
{
    timer_stop(server->loop, &server->retire.timer);
    ready_cancel(&server->retire.ready);
}

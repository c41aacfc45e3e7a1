/* watcher.c - io, timer and idle watchers for the bridge; see sprig.h and watcher.h */
#include "loop/watcher.h"

#include "base/clock.h"
#include "loop/loop_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One watched descriptor has one event for all its watchers. libevent counts watchers by descriptor
 * and does not notice that a number was closed and used again while an old watcher was alive; here
 * every new watcher registers the descriptor anew, so it always sees the current file. */
struct watched_fd {
    struct event event;
    struct list_link watchers; /* of struct sprig_io, oldest first */
    struct list_link always;   /* in watcher_lists.always, if the kernel cannot poll it */
    struct sprig_loop *loop;   /* borrowed */
    int fd;
    int what; /* union of what the watchers want; 0 = not registered */
};

struct sprig_io {
    struct list_link link; /* in watched_fd.watchers */
    struct ready ready;
    struct watched_fd *on; /* borrowed */
    int what;
    sprig_io_cb *cb;
    void *arg;
};

struct sprig_timer {
    struct timer timer;
    struct sprig_loop *loop; /* borrowed */
    uint64_t interval;       /* ns; 0 = once */
    sprig_timer_cb *cb;
    void *arg;
};

struct sprig_idle {
    struct list_link link; /* in watcher_lists.idles */
    struct ready ready;
    struct sprig_loop *loop; /* borrowed */
    sprig_idle_cb *cb;
    void *arg;
};

void watcher_lists_init(struct watcher_lists *lists)
{
    lists->by_fd = NULL;
    lists->n_fds = 0;
    list_init(&lists->always);
    list_init(&lists->idles);
}

void watcher_lists_clear(struct watcher_lists *lists)
{
    free(lists->by_fd);
    watcher_lists_init(lists);
}

/* ------------------------------------------------------------ descriptors ---- */

static void fd_queue(struct watched_fd *on, int what)
{
    list_foreach (it, &on->watchers) {
        struct sprig_io *io = list_entry(it, struct sprig_io, link);
        if (io->what & what)
            ready_add(on->loop, &io->ready, (uint32_t)(io->what & what));
    }
}

/* Phase 1. */
static void fd_on_event(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    fd_queue(arg, (events & EV_READ ? SPRIG_READ : 0) | (events & EV_WRITE ? SPRIG_WRITE : 0));
}

bool always_any(const struct sprig_loop *loop)
{
    return !list_empty(&loop->watchers.always);
}

void always_queue(struct sprig_loop *loop)
{
    list_foreach (it, &loop->watchers.always) {
        struct watched_fd *on = list_entry(it, struct watched_fd, always);
        fd_queue(on, on->what);
    }
}

static struct watched_fd *fd_get(struct sprig_loop *loop, int fd)
{
    struct watcher_lists *lists = &loop->watchers;
    if ((size_t)fd >= lists->n_fds) {
        size_t n = lists->n_fds ? lists->n_fds : 64;
        while (n <= (size_t)fd)
            n *= 2;
        struct watched_fd **by_fd = realloc(lists->by_fd, n * sizeof(struct watched_fd *));
        if (by_fd == NULL)
            return NULL;
        memset(by_fd + lists->n_fds, 0, (n - lists->n_fds) * sizeof(struct watched_fd *));
        lists->by_fd = by_fd;
        lists->n_fds = n;
    }
    if (lists->by_fd[fd] != NULL)
        return lists->by_fd[fd];
    struct watched_fd *on = calloc(1, sizeof *on);
    if (on == NULL)
        return NULL;
    list_init(&on->watchers);
    list_init(&on->always);
    on->loop = loop;
    on->fd = fd;
    return lists->by_fd[fd] = on;
}

static void fd_unregister(struct watched_fd *on)
{
    if (on->what != 0 && !list_linked(&on->always))
        loop_event_del(on->loop, &on->event);
    list_remove(&on->always);
    on->what = 0;
}

/* Registers for `what`, always anew. For regular files and some devices epoll reports EPERM: they
 * never block, so they count as always ready. */
static int fd_register(struct watched_fd *on, int what)
{
    fd_unregister(on);
    short events = EV_PERSIST;
    events |= what & SPRIG_READ ? EV_READ : 0;
    events |= what & SPRIG_WRITE ? EV_WRITE : 0;
    event_assign(&on->event, loop_base(on->loop), on->fd, events, fd_on_event, on);
    errno = 0;
    if (loop_event_add(on->loop, &on->event) != 0) {
        if (errno != EPERM)
            return SPRIG_E_SYS;
        list_append(&on->loop->watchers.always, &on->always);
        sprig_loop_wake(on->loop);
    }
    on->what = what;
    return 0;
}

static int fd_wanted(const struct watched_fd *on)
{
    int what = 0;
    list_foreach (it, &on->watchers)
        what |= list_entry(it, struct sprig_io, link)->what;
    return what;
}

/* Called after a watcher has gone: registers for what is left, or forgets the descriptor. */
static void fd_settle(struct watched_fd *on)
{
    int what = fd_wanted(on);
    if (what != 0 && what == on->what)
        return;
    if (what != 0 && fd_register(on, what) == 0)
        return;
    fd_unregister(on);
    if (!list_empty(&on->watchers))
        return; /* the descriptor was closed under its watchers */
    on->loop->watchers.by_fd[on->fd] = NULL;
    free(on);
}

void watcher_forget_fd(struct sprig_loop *loop, int fd)
{
    if (fd >= 0 && (size_t)fd < loop->watchers.n_fds && loop->watchers.by_fd[fd] != NULL)
        fd_unregister(loop->watchers.by_fd[fd]);
}

/* -------------------------------------------------------------------- io ---- */

static void io_run(struct ready *r, uint32_t what)
{
    struct sprig_io *io = list_entry(r, struct sprig_io, ready);
    io->cb(io, (int)what, io->arg);
}

struct sprig_io *sprig_io_new(struct sprig_loop *loop, int fd, int what, sprig_io_cb *cb, void *arg)
{
    loop_check_fork(loop);
    if (fd < 0 || !(what & (SPRIG_READ | SPRIG_WRITE))) {
        errno = fd < 0 ? EBADF : EINVAL;
        return NULL;
    }
    struct sprig_io *io = calloc(1, sizeof *io);
    struct watched_fd *on = io != NULL ? fd_get(loop, fd) : NULL;
    if (on == NULL) {
        free(io);
        return NULL;
    }
    io->on = on;
    io->what = what;
    io->cb = cb;
    io->arg = arg;
    ready_init(&io->ready, io_run);
    list_append(&on->watchers, &io->link);
    if (fd_register(on, fd_wanted(on)) == 0)
        return io;
    int saved = errno;
    sprig_io_free(io);
    errno = saved;
    return NULL;
}

void sprig_io_free(struct sprig_io *io)
{
    loop_check_fork(io->on->loop);
    ready_cancel(&io->ready);
    list_remove(&io->link);
    fd_settle(io->on);
    free(io);
}

/* ----------------------------------------------------------------- timer ---- */

/* NaN and negative spans count as 0, infinite ones as some centuries; anything above 0 is at least
 * a nanosecond. */
static uint64_t ns_from_seconds(double seconds)
{
    if (!(seconds > 0))
        return 0;
    if (seconds < 1e-9)
        return 1;
    return seconds < 9e9 ? (uint64_t)(seconds * 1e9) : UINT64_C(9000000000000000000);
}

/* Sets the next time before it calls the callback, which may free the timer. */
static void timer_run(struct ready *r, uint32_t what)
{
    (void)what;
    struct sprig_timer *t =
        list_entry(list_entry(r, struct timer, ready), struct sprig_timer, timer);
    if (t->interval > 0) {
        uint64_t at = t->timer.at + t->interval, now = sprig_loop_now(t->loop);
        timer_start(t->loop, &t->timer, at < now ? now : at);
    }
    t->cb(t, t->arg);
}

/* Counts from the current time, not from the start of the pass: it is never early, but may be later
 * than `after` counted from sprig_loop_now. */
struct sprig_timer *sprig_timer_new(struct sprig_loop *loop, double after, double interval,
                                    sprig_timer_cb *cb, void *arg)
{
    loop_check_fork(loop);
    struct sprig_timer *t = malloc(sizeof *t);
    if (t == NULL)
        return NULL;
    timer_init(&t->timer, timer_run);
    t->loop = loop;
    t->interval = ns_from_seconds(interval);
    t->cb = cb;
    t->arg = arg;
    uint64_t at = clock_monotonic_ns() + ns_from_seconds(after);
    if ((t->interval == 0 || timer_reserve(loop, &t->timer) == 0) &&
        timer_start(loop, &t->timer, at) == 0)
        return t;
    free(t);
    errno = ENOMEM;
    return NULL;
}

void sprig_timer_free(struct sprig_timer *t)
{
    loop_check_fork(t->loop);
    timer_release(t->loop, &t->timer);
    free(t);
}

/* ------------------------------------------------------------------ idle ---- */

bool idle_any(const struct sprig_loop *loop)
{
    return !list_empty(&loop->watchers.idles);
}

void idle_queue_all(struct sprig_loop *loop)
{
    list_foreach (it, &loop->watchers.idles)
        ready_add(loop, &list_entry(it, struct sprig_idle, link)->ready, 1);
}

static void idle_run(struct ready *r, uint32_t what)
{
    (void)what;
    struct sprig_idle *w = list_entry(r, struct sprig_idle, ready);
    w->cb(w, w->arg);
}

struct sprig_idle *sprig_idle_new(struct sprig_loop *loop, sprig_idle_cb *cb, void *arg)
{
    loop_check_fork(loop);
    struct sprig_idle *w = malloc(sizeof *w);
    if (w == NULL)
        return NULL;
    *w = (struct sprig_idle){.loop = loop, .cb = cb, .arg = arg};
    ready_init(&w->ready, idle_run);
    list_append(&loop->watchers.idles, &w->link);
    sprig_loop_wake(loop);
    return w;
}

void sprig_idle_free(struct sprig_idle *w)
{
    loop_check_fork(w->loop);
    ready_cancel(&w->ready);
    list_remove(&w->link);
    free(w);
}

/* tls_relay.c - gives applications that use the socket themselves a plain one in place of the TLS
 * one; see transport_tls_relay
 *
 * An application may block in read(2) on that socket, so the loop cannot drive the TLS side
 * meanwhile. A thread does that for all relays of the process; it starts with the first of them. It
 * enters no Perl, waits only in poll, and holds the lock at all other times: the lock protects the
 * list, and makes a fork wait until no call of OpenSSL is running. */
#include "net/kept.h"
#include "net/tls_internal.h"

#include "base/err.h"
#include "base/list.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    STACK_BYTES = 256 * 1024,
    PLAIN_BYTES = 64 * 1024, /* read from the client at once */
    TAKEN_BYTES = 32 * 1024, /* read from the app at once: the transport always takes this much */
    ROUNDS = 16,             /* for one relay before the others get their turn */
    RETRY_MS = 100,          /* after running out of memory */
    REST_MS = 30 * 1000,     /* the app has left: how long the client may take nothing */
    LINGER_MS = 2 * 1000,    /* and how long it may take to end its side */
    EXIT_MS = 2 * 1000       /* how long the end of the process waits for all relays */
};

struct relay {
    struct list_link link;
    struct transport client; /* TLS */
    struct transport app;    /* our end of the pair */
    int given_fd; /* the other end as handed out: the app may have closed it and reused the number
                   */
    struct kept to_app;
    int64_t until_ms;        /* the deadline once the app has left, or all was sent */
    size_t at;               /* index of its two entries in the poll list */
    bool input_is_over : 1;  /* the client sends no more; the app learns it after the rest */
    bool output_is_over : 1; /* the app writes no more */
    bool end_is_told : 1;    /* the client was told of the end */
    bool app_has_left : 1;   /* the app does not read any more either */
    bool client_hung_up : 1; /* poll would return at once for it */
    bool is_failed : 1;      /* cut the connection off */
    bool must_reset : 1;     /* the end must not look orderly */
    bool is_busy : 1;        /* its turn ended with more to do */
};

static struct relays {
    pthread_mutex_t lock;
    pthread_t thread;
    struct list_link list;
    struct tls_io *io;  /* owned; used by the thread */
    char *plain;        /* owned; PLAIN_BYTES; used by the thread */
    struct pollfd *fds; /* owned; used by the thread */
    size_t n_fds, room;
    int wake[2];
    bool is_running;
    bool must_end; /* the process ends: send what can be sent, and nothing else */
    bool has_hooks;
} relays = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------------- one relay ---- */

static bool is_later(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK;
}

static void relay_free(struct relay *r)
{
    list_remove(&r->link);
    r->app.ops->hang_up(&r->app, true);
    r->app.ops->close(&r->app);
    if (r->must_reset)
        r->client.ops->reset(&r->client);
    r->client.ops->hang_up(&r->client, false); /* close_notify was sent, or must not be */
    r->client.ops->close(&r->client);
    kept_clear(&r->to_app);
    free(r);
}

static void relay_lose_app(struct relay *r)
{
    if (!r->app_has_left)
        r->until_ms = clock_ms() + (r->end_is_told ? LINGER_MS : REST_MS);
    r->app_has_left = true;
    kept_clear(&r->to_app);
}

/* True: the app took some of what waits, or all of it was dropped. */
static bool relay_give(struct relay *r)
{
    struct sprig_span rest = kept_span(&r->to_app);
    struct iovec iov = {(char *)rest.ptr, rest.len};
    ssize_t n = r->app.ops->writev(&r->app, &iov, 1, false);
    if (n > 0)
        kept_advance(&r->to_app, (size_t)n);
    else if (!is_later(errno))
        relay_lose_app(r);
    return n > 0;
}

static bool relay_pass_on(struct relay *r, const char *bytes, size_t n)
{
    struct iovec iov = {(char *)bytes, n};
    ssize_t sent = r->app.ops->writev(&r->app, &iov, 1, false);
    if (sent == -1 && !is_later(errno))
        relay_lose_app(r);
    size_t n_sent = sent > 0 ? (size_t)sent : 0;
    if (!r->app_has_left && n_sent < n && !kept_append(&r->to_app, bytes + n_sent, n - n_sent))
        r->is_failed = true;
    return true;
}

/* Moves data from the client. If the app has left, nobody wants it; but a close with unread data
 * would reset what was sent last. */
static bool relay_input(struct relay *r)
{
    if (r->to_app.len > 0)
        return relay_give(r);
    if (r->input_is_over)
        return false;
    ssize_t n = r->app_has_left ? r->client.ops->discard(&r->client, relays.plain, PLAIN_BYTES)
                                : r->client.ops->recv(&r->client, relays.plain, PLAIN_BYTES);
    if (n > 0)
        return r->app_has_left || relay_pass_on(r, relays.plain, (size_t)n);
    if (n == 0) {
        r->input_is_over = true;
        r->app.ops->finish(&r->app);
    } else if (!is_later(errno)) {
        r->is_failed = true;
    }
    return false;
}

static void relay_tell_end(struct relay *r)
{
    if (r->client.ops->end(&r->client) == 0) {
        transport_plain.finish(&r->client);
        r->end_is_told = true;
        r->until_ms = clock_ms() + LINGER_MS;
    } else if (!is_later(errno)) {
        r->is_failed = true;
    }
}

/* Moves data from the app. True: something was written. */
static bool relay_output(struct relay *r)
{
    if (r->client.has_unsent && r->client.ops->flush(&r->client) == -1) {
        r->is_failed = r->is_failed || !is_later(errno);
        return false;
    }
    if (r->output_is_over) {
        if (!r->end_is_told)
            relay_tell_end(r);
        return false;
    }
    ssize_t n = r->app.ops->recv(&r->app, relays.plain, TAKEN_BYTES);
    r->output_is_over = n == 0;
    if (n <= 0) {
        r->is_failed = r->is_failed || (n == -1 && !is_later(errno));
        return n == 0;
    }
    struct iovec iov = {relays.plain, (size_t)n};
    if (r->client.ops->writev(&r->client, &iov, 1, false) != n)
        r->is_failed = true;
    if (r->app_has_left)
        r->until_ms = clock_ms() + REST_MS;
    return true;
}

/* Moves data both ways until nothing more can be done. */
static void relay_run(struct relay *r)
{
    bool moves = true;
    for (int i = 0; i < ROUNDS && moves && !r->is_failed; i++) {
        bool has_read = relay_input(r);
        moves = (!r->is_failed && relay_output(r)) || has_read;
    }
    r->is_busy = moves;
}

static bool relay_is_over(const struct relay *r)
{
    if (r->is_failed || r->must_reset || (r->input_is_over && r->end_is_told))
        return true;
    if (relays.must_end)
        return !r->is_busy && !r->client.has_unsent;
    return r->app_has_left && clock_ms() >= r->until_ms;
}

/* True if every holder of the other end has closed it, or neither side sends any more. Other
 * systems report the same when only one side has ended. */
static bool pair_is_over(short events)
{
#ifdef __linux__
    return (events & (POLLHUP | POLLERR)) != 0;
#else
    (void)events;
    return false;
#endif
}

/* ------------------------------------------------------------------------ the thread ---- */

static struct pollfd wanted_of_client(const struct relay *r)
{
    struct pollfd p = {.fd = r->client.fd};
    if (!r->input_is_over && r->to_app.len == 0)
        p.events |= POLLIN;
    if (r->client.has_unsent)
        p.events |= POLLOUT;
    if (p.events == 0 && r->client_hung_up)
        p.fd = -1;
    return p;
}

static struct pollfd wanted_of_app(const struct relay *r)
{
    struct pollfd p = {.fd = r->app_has_left ? -1 : r->app.fd};
    if (!r->output_is_over && !r->client.has_unsent)
        p.events |= POLLIN;
    if (r->to_app.len > 0)
        p.events |= POLLOUT;
    return p;
}

static bool make_room(size_t n)
{
    if (n <= relays.room)
        return true;
    struct pollfd *grown = realloc(relays.fds, n * 2 * sizeof *grown);
    if (grown == NULL)
        return false;
    relays.fds = grown;
    relays.room = n * 2;
    return true;
}

/* How long poll may wait for this relay: ms, or -1. */
static int patience_of(const struct relay *r, int64_t now)
{
    if (r->is_busy)
        return 0;
    if (!r->app_has_left)
        return -1;
    return r->until_ms > now ? (int)(r->until_ms - now) : 0;
}

/* Fills the poll list. Returns the timeout. */
static int prepare(void)
{
    int timeout = relays.must_end ? RETRY_MS : -1;
    int64_t now = clock_ms();
    relays.n_fds = 1;
    relays.fds[0] = (struct pollfd){.fd = relays.wake[0], .events = POLLIN};
    list_foreach (it, &relays.list) {
        struct relay *r = list_entry(it, struct relay, link);
        if (!make_room(relays.n_fds + 2))
            return RETRY_MS;
        r->at = relays.n_fds;
        relays.fds[relays.n_fds++] = wanted_of_client(r);
        relays.fds[relays.n_fds++] = wanted_of_app(r);
        int patience = patience_of(r, now);
        if (patience >= 0 && (timeout < 0 || patience < timeout))
            timeout = patience;
    }
    return timeout;
}

/* Takes note of what poll has found. */
static void relay_look(struct relay *r)
{
    const struct pollfd *client = &relays.fds[r->at], *app = &relays.fds[r->at + 1];
    if ((client->revents & POLLERR) && !(client->events & POLLIN))
        r->is_failed = true;
    if (client->revents & POLLHUP)
        r->client_hung_up = true;
    if (pair_is_over(app->revents))
        relay_lose_app(r);
}

static bool relay_is_due(struct relay *r, bool was_polled)
{
    if (!was_polled || r->is_busy || r->must_reset || relays.must_end)
        return true;
    return relays.fds[r->at].revents != 0 || relays.fds[r->at + 1].revents != 0;
}

static void serve(size_t n_polled)
{
    char bytes[64];
    while (read(relays.wake[0], bytes, sizeof bytes) > 0)
        ;
    list_foreach_safe (it, next, &relays.list) {
        struct relay *r = list_entry(it, struct relay, link);
        bool was_polled = r->at != 0 && r->at < n_polled;
        if (was_polled)
            relay_look(r);
        if (relay_is_due(r, was_polled))
            relay_run(r);
        r->at = 0;
        if (relay_is_over(r))
            relay_free(r);
    }
}

static void *relays_run(void *arg)
{
    (void)arg;
    int64_t until_ms = 0;
    pthread_mutex_lock(&relays.lock);
    while (!relays.must_end || (!list_empty(&relays.list) && clock_ms() < until_ms)) {
        int timeout = prepare();
        size_t n_polled = relays.n_fds;
        pthread_mutex_unlock(&relays.lock);
        if (poll(relays.fds, n_polled, timeout) == -1)
            n_polled = 0; /* the kernel has no memory: try all */
        pthread_mutex_lock(&relays.lock);
        if (relays.must_end && until_ms == 0)
            until_ms = clock_ms() + EXIT_MS;
        serve(n_polled);
    }
    pthread_mutex_unlock(&relays.lock);
    return NULL;
}

/* ----------------------------------------------------------------- start, fork and end ---- */

static void wake_up(void)
{
    (void)!write(relays.wake[1], "", 1); /* a full pipe means it is awake */
}

static void before_fork(void)
{
    pthread_mutex_lock(&relays.lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&relays.lock);
}

/* In a forked child the thread, and all it works on, belongs to the parent. */
static void in_child(void)
{
    pthread_mutex_init(&relays.lock, NULL);
    if (!relays.is_running)
        return;
    list_foreach (it, &relays.list) {
        struct relay *r = list_entry(it, struct relay, link);
        close(r->client.fd);
        close(r->app.fd);
    }
    close(relays.wake[0]);
    close(relays.wake[1]);
    list_init(&relays.list);
    relays.fds = NULL; /* the thread may have been in poll with it */
    relays.room = 0;
    relays.is_running = false;
}

/* What the app has written before the end is still sent, as from a socket of its own. */
static void at_exit(void)
{
    if (!relays.is_running)
        return;
    pthread_mutex_lock(&relays.lock);
    relays.must_end = true;
    wake_up();
    pthread_mutex_unlock(&relays.lock);
    pthread_join(relays.thread, NULL);
    relays.is_running = false;
}

static bool start_thread(void)
{
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals must reach the thread that runs Perl */
    int rc = pthread_create(&relays.thread, &attr, relays_run, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    errno = rc;
    return rc == 0;
}

static void make_private(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static bool open_wake(void)
{
    if (pipe(relays.wake) == -1)
        return false;
    make_private(relays.wake[0]);
    make_private(relays.wake[1]);
    return true;
}

static bool get_buffers(void)
{
    if (relays.io == NULL)
        relays.io = tls_io_new();
    if (relays.plain == NULL)
        relays.plain = malloc(PLAIN_BYTES);
    return relays.io != NULL && relays.plain != NULL && make_room(1);
}

static bool relays_start(void)
{
    if (relays.is_running)
        return true;
    if (!get_buffers() || !open_wake())
        return false;
    list_init(&relays.list);
    if (!start_thread()) {
        close(relays.wake[0]);
        close(relays.wake[1]);
        return false;
    }
    relays.is_running = true;
    if (!relays.has_hooks)
        relays.has_hooks =
            pthread_atfork(before_fork, after_fork, in_child) == 0 && atexit(at_exit) == 0;
    return true;
}

/* ------------------------------------------------------------------- from the outside ---- */

/* Opens the relay's socket pair: our end is r->app, the other is returned. -1: see errno. */
static int relay_open(struct relay *r)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == -1)
        return -1;
    make_private(ends[0]);
    make_private(ends[1]);
    transport_plain_init(&r->app, ends[0], AF_UNIX);
    return ends[1];
}

static int give_up(struct relay *r, int fd)
{
    int error = errno;
    if (fd != -1) {
        close(fd);
        close(r->app.fd);
    }
    if (r != NULL)
        kept_clear(&r->to_app);
    free(r);
    errno = error;
    return SPRIG_E_SYS;
}

/* The newest relay with this descriptor: the app must have closed the older ones. */
static struct relay *relay_of(int fd)
{
    for (struct list_link *it = relays.list.prev; it != &relays.list; it = it->prev)
        if (list_entry(it, struct relay, link)->given_fd == fd)
            return list_entry(it, struct relay, link);
    return NULL;
}

/* Also resets the app's side, if it has the socket. */
static void relayed_reset(struct transport *t)
{
    pthread_mutex_lock(&relays.lock);
    struct relay *r = relay_of(t->fd);
    if (r != NULL)
        r->must_reset = true;
    wake_up();
    pthread_mutex_unlock(&relays.lock);
    shutdown(t->fd, SHUT_RDWR);
}

static void become_plain(struct transport *t, int fd)
{
    static struct transport_ops relayed;
    relayed = transport_plain;
    relayed.reset = relayed_reset;
    transport_plain_init(t, fd, AF_UNIX);
    t->ops = &relayed;
    t->resets_by_input = false;
}

int transport_tls_relay(struct transport *t, struct sprig_span input)
{
    struct relay *r = calloc(1, sizeof *r);
    if (r == NULL || (input.len > 0 && !kept_append(&r->to_app, input.ptr, input.len)))
        return give_up(r, -1);
    int fd = relay_open(r);
    if (fd == -1 || !relays_start())
        return give_up(r, fd);
    transport_tls_move(&r->client, t, relays.io);
    list_init(&r->link);
    become_plain(t, fd);
    r->given_fd = fd;
    pthread_mutex_lock(&relays.lock);
    list_append(&relays.list, &r->link);
    wake_up();
    pthread_mutex_unlock(&relays.lock);
    return 0;
}

static bool relay_is_ending(const struct relay *r)
{
    struct pollfd p = {.fd = r->app.fd};
    if (r->app_has_left || (poll(&p, 1, 0) == 1 && pair_is_over(p.revents)))
        return true; /* the thread takes care of its end */
    return r->end_is_told && clock_ms() < r->until_ms;
}

unsigned tls_relays_ending(void)
{
    unsigned n = 0;
    if (!relays.is_running)
        return 0;
    pthread_mutex_lock(&relays.lock);
    list_foreach (it, &relays.list)
        n += relay_is_ending(list_entry(it, struct relay, link));
    pthread_mutex_unlock(&relays.lock);
    return n;
}

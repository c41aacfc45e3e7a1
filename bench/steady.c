/* steady.c - asks at a constant rate, whether answers come or not, and tells how long they took;
 * SprigBench::Steady compiles and starts it.
 *
 *   steady PORT PATH RATE CONNECTIONS SECONDS
 *
 * Request i is due at the time i/RATE, and its latency counts from then on, also if it had to wait
 * for a connection that was free: a server that stops for a second is charged for all that would
 * have been asked meanwhile, not for one request on each connection. What was not answered in the
 * end counts with its age. Keeps one processor busy. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_BYTES = 8192, READ_BYTES = 65536, EVENTS = 256, PATIENCE_MS = 2000 };

struct client {
    int fd;          /* -1: not connected */
    bool is_busy;    /* a request is on its way */
    uint64_t due;    /* of that request, ns */
    bool has_served; /* an earlier one on this connection was answered */
    char head[HEAD_BYTES];
    size_t n_head;   /* bytes of the response while its head is not whole */
    uint64_t n_left; /* of the body */
    bool has_head, closes, until_close, is_chunked;
    char last[5]; /* the last bytes of a body in chunks */
};

struct run {
    struct sockaddr_in address;
    char request[1024];
    size_t n_request;
    int epoll;
    struct client *clients;
    size_t n_clients;
    uint64_t start, interval, n_due, n_all; /* ns between requests; sent so far; to be sent */
    uint64_t *latency;                      /* of those that were answered */
    uint64_t n_answered, n_failed;
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void client_close(struct client *c)
{
    if (c->fd != -1)
        close(c->fd);
    c->fd = -1;
    c->is_busy = c->has_served = false;
}

/* Non-blocking from the start: what is sent before it is connected waits for the next event. */
static bool client_open(struct run *r, struct client *c)
{
    int one = 1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd == -1)
        return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if ((connect(c->fd, (struct sockaddr *)&r->address, sizeof r->address) == -1 &&
         errno != EINPROGRESS) ||
        epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &event) == -1) {
        client_close(c);
        return false;
    }
    return true;
}

static void client_gone(struct run *r, struct client *c);

static void client_send(struct run *r, struct client *c)
{
    ssize_t n = send(c->fd, r->request, r->n_request, MSG_NOSIGNAL);
    if (n == -1 && (errno == EPIPE || errno == ECONNRESET)) {
        client_gone(r, c);
    } else if (n != (ssize_t)r->n_request && errno != EAGAIN && errno != ENOTCONN) {
        r->n_failed++;
        client_close(c);
    }
}

static void client_begin(struct run *r, struct client *c)
{
    c->due = r->start + r->n_due++ * r->interval;
    c->n_head = 0;
    c->has_head = c->closes = c->until_close = c->is_chunked = false;
    memset(c->last, 0, sizeof c->last);
    if (c->fd == -1 && !client_open(r, c)) {
        r->n_failed++;
        return;
    }
    c->is_busy = true;
    client_send(r, c);
}

static void client_answered(struct run *r, struct client *c)
{
    r->latency[r->n_answered++] = now_ns() - c->due;
    c->is_busy = false;
    c->has_served = true;
    if (c->closes)
        client_close(c);
}

static const char *field(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at != NULL ? at + strlen(name) : NULL;
}

/* What the head says of the body. */
static void client_read_head(struct client *c)
{
    const char *length = field(c->head, "\r\nContent-Length:");
    c->has_head = true;
    c->closes = field(c->head, "\r\nConnection: close") != NULL ||
                (strncmp(c->head, "HTTP/1.0", 8) == 0 &&
                 field(c->head, "\r\nConnection: keep-alive") == NULL);
    c->is_chunked = field(c->head, "\r\nTransfer-Encoding: chunked") != NULL;
    c->n_left = length != NULL ? strtoull(length, NULL, 10) : 0;
    c->until_close = length == NULL && !c->is_chunked;
    c->closes |= c->until_close;
}

/* True: the body is whole. */
static bool client_take_body(struct client *c, const char *bytes, size_t n)
{
    if (c->is_chunked) {
        for (size_t i = n > 5 ? n - 5 : 0; i < n; i++) {
            memmove(c->last, c->last + 1, 4);
            c->last[4] = bytes[i];
        }
        return memcmp(c->last, "0\r\n\r\n", 5) == 0;
    }
    c->n_left -= n < c->n_left ? n : c->n_left;
    return !c->until_close && c->n_left == 0;
}

/* True: the response is whole. */
static bool client_take(struct client *c, const char *bytes, size_t n)
{
    if (c->has_head)
        return client_take_body(c, bytes, n);
    size_t room = HEAD_BYTES - 1 - c->n_head, n_copied = n < room ? n : room;
    memcpy(c->head + c->n_head, bytes, n_copied);
    c->head[c->n_head + n_copied] = '\0';
    const char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL) {
        c->n_head += n_copied;
        return false;
    }
    size_t n_of_head = (size_t)(end + 4 - c->head) - c->n_head;
    client_read_head(c);
    return client_take_body(c, bytes + n_of_head, n - n_of_head);
}

/* A server may close a connection between requests without a word: then the one that was on its way
 * is sent again, as browsers do. */
static bool client_again(struct run *r, struct client *c)
{
    bool may = c->is_busy && c->has_served && c->n_head == 0 && !c->has_head;
    if (!may)
        return false;
    client_close(c);
    if (!client_open(r, c))
        return false;
    c->is_busy = true;
    return true;
}

static void client_gone(struct run *r, struct client *c)
{
    if (client_again(r, c))
        return;
    if (c->is_busy && c->until_close && c->has_head)
        client_answered(r, c);
    else if (c->is_busy || c->fd == -1)
        r->n_failed++;
    client_close(c);
}

static void client_read(struct run *r, struct client *c)
{
    static char bytes[READ_BYTES];
    for (;;) {
        ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
        if (n == -1 && (errno == EAGAIN || errno == ENOTCONN))
            return;
        if (n <= 0) {
            client_gone(r, c);
            return;
        }
        if (c->is_busy && client_take(c, bytes, (size_t)n)) {
            client_answered(r, c);
            return;
        }
    }
}

static void client_on_event(struct run *r, struct client *c, uint32_t events)
{
    bool was_waiting = c->is_busy && c->n_head == 0 && !c->has_head;
    if (events & (EPOLLERR | EPOLLHUP))
        client_gone(r, c);
    else if ((events & EPOLLOUT) && !(events & EPOLLIN) && was_waiting)
        client_send(r, c); /* connected */
    if (c->fd != -1 && (events & EPOLLIN))
        client_read(r, c);
}

/* Gives what is due to clients that are free. */
static void begin_due(struct run *r, uint64_t now, size_t *at)
{
    size_t n_tried = 0;
    while (r->n_due < r->n_all && r->start + r->n_due * r->interval <= now &&
           n_tried < r->n_clients) {
        struct client *c = &r->clients[(*at)++ % r->n_clients];
        if (c->is_busy) {
            n_tried++;
            continue;
        }
        n_tried = 0;
        client_begin(r, c);
    }
}

static void run_all(struct run *r, uint64_t end)
{
    struct epoll_event events[EVENTS];
    size_t at = 0;
    while (r->n_answered + r->n_failed < r->n_all && now_ns() < end + PATIENCE_MS * 1000000ull) {
        begin_due(r, now_ns(), &at);
        int n = epoll_wait(r->epoll, events, EVENTS, 0);
        for (int i = 0; i < n; i++)
            client_on_event(r, events[i].data.ptr, events[i].events);
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Those without an answer are as old as they are. */
static void add_unanswered(struct run *r, uint64_t now)
{
    uint64_t n = r->n_answered;
    for (size_t i = 0; i < r->n_clients; i++)
        if (r->clients[i].is_busy && n < r->n_all)
            r->latency[n++] = now - r->clients[i].due;
    for (uint64_t i = r->n_due; i < r->n_all && n < r->n_all; i++)
        r->latency[n++] = now - (r->start + i * r->interval);
    r->n_due = n; /* how many there are */
}

static double ms_at(const struct run *r, double share)
{
    uint64_t i = (uint64_t)(share * (double)r->n_due);
    return r->n_due > 0 ? (double)r->latency[i < r->n_due ? i : r->n_due - 1] / 1e6 : 0;
}

int main(int argc, char **argv)
{
    struct run r = {.address = {.sin_family = AF_INET}};
    if (argc != 6) {
        fprintf(stderr, "Usage: steady PORT PATH RATE CONNECTIONS SECONDS\n");
        return 2;
    }
    uint64_t rate = strtoull(argv[3], NULL, 10), seconds = strtoull(argv[5], NULL, 10);
    r.address.sin_port = htons((uint16_t)atoi(argv[1]));
    r.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r.n_request = (size_t)snprintf(r.request, sizeof r.request,
                                   "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[2]);
    r.n_clients = strtoul(argv[4], NULL, 10);
    r.n_all = rate * seconds;
    r.epoll = epoll_create1(0);
    r.clients = calloc(r.n_clients, sizeof *r.clients);
    r.latency = calloc(r.n_all + 1, sizeof *r.latency);
    if (rate == 0 || r.n_clients == 0 || r.clients == NULL || r.latency == NULL || r.epoll == -1)
        return 2;
    r.interval = 1000000000u / rate;
    for (size_t i = 0; i < r.n_clients; i++)
        r.clients[i].fd = -1;
    r.start = now_ns();
    run_all(&r, r.start + seconds * 1000000000u);
    double elapsed = (double)(now_ns() - r.start) / 1e9;
    uint64_t n_answered = r.n_answered;
    add_unanswered(&r, now_ns());
    qsort(r.latency, r.n_due, sizeof *r.latency, by_size);
    printf("answered %llu failed %llu of %llu in %.3f s, ms: p50 %.3f p90 %.3f p99 %.3f p999 %.3f "
           "max %.3f\n",
           (unsigned long long)n_answered, (unsigned long long)r.n_failed,
           (unsigned long long)r.n_all, elapsed, ms_at(&r, 0.5), ms_at(&r, 0.9), ms_at(&r, 0.99),
           ms_at(&r, 0.999), ms_at(&r, 1));
    return 0;
}

/* admission.c - limits on connections and on requests in progress; see admission.h */
#include "serve/admission.h"

#include "base/clock.h"
#include "base/cloexec.h"
#include "base/stats.h"
#include "loop/timer.h"
#include "serve/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

enum { N_CLIENT_BUCKETS = 1024 };

/* The longest Retry-After. */
enum { RETRY_MAX_SECONDS = 120 };

/* How many connections to look at when searching for one to close. */
enum { ADMISSION_LOOKS = 16 };

/* The shortest interval between two log messages saying that idle connections make room for new
 * ones. */
enum { CROWDED_SECONDS = 60 };

/* ----------------------------------------------------------------- start and end ---- */

/* Raises the limit of descriptors as far as the system allows, and returns it. */
static uint64_t admission_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
        return 1024;
    rlim_t wanted = limit.rlim_max < ADMISSION_MAX_FILES ? limit.rlim_max : ADMISSION_MAX_FILES;
    if (limit.rlim_cur < wanted) {
        struct rlimit raised = {wanted, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit.rlim_cur = wanted;
    }
    return limit.rlim_cur;
}

static uint32_t admission_room(uint64_t n_files)
{
    uint64_t reserve = ADMISSION_RESERVE + n_files / 8;
    uint64_t room = n_files > 2 * reserve ? n_files - reserve : n_files / 2;
    return room > UINT32_MAX ? UINT32_MAX : room > 0 ? (uint32_t)room : 1;
}

static int admission_open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void admission_configure(struct sprig_server *server)
{
    struct admission *a = &server->admission;
    uint64_t n_files = admission_raise_files(), before = a->max_connections;
    a->max_connections = server->config.max_connections;
    if (a->max_connections == 0)
        a->max_connections = admission_room(n_files);
    stats_add(STAT_CONNECTIONS_LIMIT, a->max_connections - before);
    if (server->config.max_connections_per_ip == 0 || a->clients != NULL)
        return;
    a->clients = calloc(N_CLIENT_BUCKETS, sizeof(struct client_count *));
    if (getrandom(&a->seed, sizeof a->seed, GRND_NONBLOCK) != sizeof a->seed)
        a->seed = clock_monotonic_ns();
}

void admission_init(struct sprig_server *server)
{
    struct admission *a = &server->admission;
    list_init(&a->waiting);
    a->spare_fd = admission_open_spare();
    admission_configure(server);
}

void admission_clear(struct sprig_server *server)
{
    if (server->admission.spare_fd != -1)
        close(server->admission.spare_fd);
    free(server->admission.clients); /* empty, because all connections have left */
    stats_add(STAT_CONNECTIONS_LIMIT, -(uint64_t)server->admission.max_connections);
}

void admission_forget(struct sprig_server *server)
{
    struct admission *a = &server->admission;
    a->n_open = a->n_turned_away = a->n_in_flight = 0;
    list_init(&a->waiting);
}

/* ------------------------------------------------------------ addresses of clients ---- */

struct client_count {
    struct client_count *next; /* in the same bucket */
    uint64_t net[2];           /* an IPv4 address, or the first 64 bits of an IPv6 one */
    uint32_t n;                /* connections */
};

/* A client with one IPv6 address mostly has 2^64, so the network counts. False: not limited. */
static bool client_key(const struct sockaddr *sa, uint64_t net[2])
{
    net[0] = net[1] = 0;
    if (sa->sa_family == AF_INET) {
        net[0] = 1;
        memcpy(&net[1], &((const struct sockaddr_in *)sa)->sin_addr, 4);
        return true;
    }
    if (sa->sa_family != AF_INET6)
        return false;
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)sa)->sin6_addr;
    net[0] = IN6_IS_ADDR_V4MAPPED(in6) ? 1 : 2;
    memcpy(&net[1], IN6_IS_ADDR_V4MAPPED(in6) ? in6->s6_addr + 12 : in6->s6_addr,
           IN6_IS_ADDR_V4MAPPED(in6) ? 4 : 8);
    return true;
}

static struct client_count **client_slot(struct admission *a, const uint64_t net[2])
{
    uint64_t hash = (net[1] ^ a->seed) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ (hash >> 29) ^ net[0]) * 0xbf58476d1ce4e5b9u;
    struct client_count **slot = &a->clients[(hash >> 32) % N_CLIENT_BUCKETS];
    while (*slot != NULL && ((*slot)->net[0] != net[0] || (*slot)->net[1] != net[1]))
        slot = &(*slot)->next;
    return slot;
}

/* True if this address now has more connections than allowed. */
static bool client_enter(struct sprig_conn *c, const struct sockaddr *sa)
{
    struct admission *a = &c->server->admission;
    uint64_t net[2];
    if (a->clients == NULL || !client_key(sa, net) ||
        cidr_list_has(&c->server->trusted_proxies, span_str(c->remote_host)))
        return false;
    struct client_count **slot = client_slot(a, net);
    if (*slot == NULL && (*slot = calloc(1, sizeof **slot)) != NULL)
        memcpy((*slot)->net, net, sizeof net);
    c->client_count = *slot;
    uint32_t max = c->server->config.max_connections_per_ip;
    return c->client_count != NULL && ++c->client_count->n > max && max != 0;
}

static void client_leave(struct sprig_conn *c)
{
    struct client_count *count = c->client_count;
    c->client_count = NULL;
    if (count == NULL || --count->n > 0)
        return;
    *client_slot(&c->server->admission, count->net) = count->next;
    free(count);
}

/* ------------------------------------------------------------------- connections ---- */

/* An unused one among the oldest connections that wait for this deadline. */
static struct sprig_conn *unused_of_deadline(struct deadline_list *list)
{
    int looks = 0;
    list_foreach (it, &list->head) {
        struct sprig_conn *c = list_entry(it, struct sprig_conn, deadline.link);
        if (conn_is_unused(c))
            return c;
        if (++looks == ADMISSION_LOOKS)
            break;
    }
    return NULL;
}

/* The same when the deadline is off and its list therefore empty. */
static struct sprig_conn *unused_of_all(struct sprig_server *server)
{
    int looks = 0;
    list_foreach (it, &server->conns) {
        struct sprig_conn *c = list_entry(it, struct sprig_conn, link);
        if (conn_is_unused(c))
            return c;
        if (++looks == ADMISSION_LOOKS)
            break;
    }
    return NULL;
}

/* The connection that has been idle longest, or one that has never been used. */
struct sprig_conn *admission_idle(struct sprig_server *server)
{
    struct sprig_conn *c = unused_of_deadline(&server->keepalive_deadlines);
    if (c == NULL && server->config.keepalive_timeout <= 0)
        c = unused_of_all(server);
    if (c == NULL)
        c = unused_of_deadline(&server->header_deadlines);
    return c;
}

/* Logs the first at once, then one line a second: a flood of clients must not flood the log. */
static void admission_tell(struct sprig_server *server, enum stats_number number,
                           const char *reason, uint32_t n)
{
    struct admission *a = &server->admission;
    uint64_t now = clock_monotonic_ns();
    stats_add(number, n);
    server->counters.n_refused += n;
    a->n_untold += n;
    if (a->told_ns != 0 && now - a->told_ns < NS_PER_S)
        return;
    a->told_ns = now;
    log_later(SPRIG_LOG_WARN, "503 for %u connection%s: %s", a->n_untold,
              a->n_untold == 1 ? "" : "s", reason);
    a->n_untold = 0;
}

/* Clients that got their 503 hold a descriptor while they linger. Returns the oldest one, if there
 * are too many. */
static struct sprig_conn *admission_oldest_away(struct sprig_server *server)
{
    int looks = 0;
    if (server->admission.n_turned_away < ADMISSION_AWAY)
        return NULL;
    list_foreach (it, &server->linger_deadlines.head) {
        struct sprig_conn *c = list_entry(it, struct sprig_conn, deadline.link);
        if (c->is_turned_away)
            return c;
        if (++looks > ADMISSION_LOOKS)
            break;
    }
    return NULL;
}

static struct admission_answer admission_turn_away(struct sprig_conn *c, enum stats_number number,
                                                   const char *reason)
{
    struct admission *a = &c->server->admission;
    struct admission_answer answer = {ADMISSION_TURN_AWAY, admission_oldest_away(c->server)};
    a->n_open--;
    a->n_turned_away++;
    c->is_turned_away = true;
    client_leave(c);
    admission_tell(c->server, number, reason, 1);
    return answer;
}

/* Idle connections were closed for new ones, which a proxy's connection pool takes for errors. */
static void admission_tell_crowded(struct sprig_server *server)
{
    struct admission *a = &server->admission;
    uint64_t now = clock_monotonic_ns();
    if (a->crowded_ns != 0 && now - a->crowded_ns < CROWDED_SECONDS * NS_PER_S)
        return;
    a->crowded_ns = now;
    log_later(SPRIG_LOG_WARN,
              "max_connections: all %u are in use, so idle ones are closed for new ones; "
              "let the proxy keep fewer idle connections, or raise max_connections",
              a->max_connections);
}

struct admission_answer admission_enter(struct sprig_conn *c, const struct sockaddr *peer)
{
    struct admission *a = &c->server->admission;
    struct admission_answer answer = {ADMISSION_ENTER, NULL};
    a->n_open++;
    if (client_enter(c, peer))
        return admission_turn_away(c, STAT_SHED_IP, "max_connections_per_ip");
    if (a->n_open <= a->max_connections)
        return answer;
    answer.to_close = admission_idle(c->server);
    if (answer.to_close == NULL)
        return admission_turn_away(c, STAT_SHED_FULL, "max_connections");
    admission_tell_crowded(c->server);
    return answer;
}

void admission_leave(struct sprig_conn *c)
{
    if (c->listener == NULL)
        return; /* it never entered */
    client_leave(c);
    if (c->is_turned_away)
        c->server->admission.n_turned_away--;
    else
        c->server->admission.n_open--;
}

/* ------------------------------------------------------------- out of descriptors ---- */

static const char busy_answer[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                  "Content-Type: text/plain\r\n"
                                  "Connection: close\r\n"
                                  "Retry-After: " ADMISSION_RETRY_AFTER "\r\n"
                                  "Content-Length: 19\r\n\r\n"
                                  "Service Unavailable";

/* Reads what has already arrived, so that the close is not a reset; does not wait for more. */
static void answer_and_close(int fd, bool is_tls, char *buffer)
{
    if (!is_tls)
        (void)!send(fd, busy_answer, sizeof busy_answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_WR);
    while (recv(fd, buffer, LOOP_READ_BUFFER_BYTES, MSG_DONTWAIT) == LOOP_READ_BUFFER_BYTES)
        ;
    close(fd);
}

void admission_answer_busy(struct sprig_server *server, int listener_fd, bool is_tls, int max)
{
    struct admission *a = &server->admission;
    uint32_t n = 0;
    if (a->spare_fd != -1)
        close(a->spare_fd);
    for (int fd; (int)n < max; n++) {
        fd = cloexec_accept(listener_fd, NULL, NULL);
        if (fd == -1)
            break;
        answer_and_close(fd, is_tls, loop_read_buffer(server->loop));
    }
    a->spare_fd = admission_open_spare();
    admission_tell(server, STAT_SHED_FILES, "no descriptor is left: raise the limit of open files",
                   n);
}

/* ---------------------------------------------------------------- requests in progress ---- */

bool admission_take_slot(struct sprig_exchange *ex)
{
    struct sprig_server *server = ex->conn->server;
    struct admission *a = &server->admission;
    uint32_t max = server->config.max_requests_in_flight;
    if (ex->has_slot || ex->conn->listener == NULL)
        return true;
    if (max != 0 && a->n_in_flight >= max) {
        exchange_wait(ex, &a->waiting);
        return false;
    }
    exchange_stop_waiting(ex);
    ex->has_slot = true;
    a->n_in_flight++;
    return true;
}

void admission_leave_slot(struct sprig_exchange *ex)
{
    struct sprig_server *server = ex->conn->server;
    struct admission *a = &server->admission;
    exchange_stop_waiting(ex);
    if (!ex->has_slot)
        return;
    ex->has_slot = false;
    a->n_in_flight--;
    struct list_link *first = list_first(&a->waiting);
    if (first == NULL)
        return;
    struct sprig_exchange *next = list_entry(first, struct sprig_exchange, wait);
    admission_take_slot(next);
    exchange_resume(next);
}

/* Estimates the wait: each waiting request takes the average time, and as many as there are slots
 * run at once. */
struct retry_after admission_retry_after(const struct sprig_server *server)
{
    struct retry_after after = {ADMISSION_RETRY_AFTER};
    const struct stats_times *t = &stats_own->times[TIMES_REQUEST];
    uint64_t n = 0, n_waiting = stats_own->n[STAT_WAITING];
    for (int i = 0; i <= N_BOUNDS; i++)
        n += t->n[i];
    if (n == 0 || n_waiting == 0)
        return after;
    uint32_t slots = server->config.max_requests_in_flight;
    double seconds = (double)t->sum_ns / 1e9 / (double)n * (double)n_waiting / (slots ? slots : 1);
    unsigned whole = seconds < RETRY_MAX_SECONDS ? (unsigned)seconds + 1 : RETRY_MAX_SECONDS;
    snprintf(after.text, sizeof after.text, "%u", whole);
    return after;
}

bool admission_is_stale(struct sprig_exchange *ex)
{
    double limit = ex->conn->server->config.queue_timeout;
    ex->app_ns = loop_clock(ex->conn->server->loop);
    uint64_t waited = ex->app_ns - ex->complete_ns + ex->queued_ns;
    return limit > 0 && (double)waited > limit * 1e9;
}

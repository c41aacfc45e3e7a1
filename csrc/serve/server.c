/* server.c - a server: what its listeners and connections share, how it leaves and ends; see
 * sprig.h */
#include "serve/server.h"

#include "base/board.h"
#include "base/notify.h"
#include "base/privileges.h"
#include "base/stats.h"
#include "loop/timer.h"
#include "net/tls.h"
#include "serve/accesslog.h"
#include "serve/conn.h"
#include "serve/errorlog.h"
#include "serve/listener.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

static void server_run_left(struct ready *r, uint32_t what)
{
    (void)what;
    struct sprig_server *server = list_entry(r, struct sprig_server, left);
    sprig_server_flush_log(server);
    if (server->handler.on_left != NULL && list_empty(&server->conns))
        server->handler.on_left(server, server->arg);
}

/* on_end may run a nested pass, which frees closed connections. So each one in turn is moved to the
 * end of the list and then visited; none is remembered across the call. */
static void server_visit_conns(struct sprig_server *server, void (*visit)(struct sprig_conn *c))
{
    for (uint32_t n = server->counters.n_connections; n > 0; n--) {
        struct list_link *first = list_first(&server->conns);
        if (first == NULL)
            return;
        list_remove(first);
        list_append(&server->conns, first);
        visit(list_entry(first, struct sprig_conn, link));
    }
}

static void server_start_leaving(struct sprig_server *server)
{
    timer_start(server->loop, &server->leaving,
                sprig_loop_now(server->loop) + LEAVING_MS * 1000 * 1000ull);
}

static void server_run_leaving(struct ready *r, uint32_t what)
{
    (void)what;
    struct timer *timer = list_entry(r, struct timer, ready);
    struct sprig_server *server = list_entry(timer, struct sprig_server, leaving);
    server_start_leaving(server);
    server_visit_conns(server, conn_close_gone);
}

/* Runs in this very batch, so that none of them can be parked again before another app call has
 * begun. */
static void server_run_unparked(struct ready *r, uint32_t what)
{
    (void)what;
    struct sprig_server *server = list_entry(r, struct sprig_server, unparked);
    struct list_link *first;
    while ((first = list_first(&server->parked)) != NULL) {
        struct sprig_exchange *ex = list_entry(first, struct sprig_exchange, wait);
        exchange_stop_waiting(ex);
        exchange_resume(ex);
    }
}

void server_park(struct sprig_exchange *ex)
{
    struct sprig_server *server = ex->conn->server;
    exchange_wait(ex, &server->parked);
    ready_park(server->loop, &server->unparked, 1);
}

/* A leaving server leaves its slot to the next one. */
static void server_show(const struct sprig_server *server)
{
    if (server->board != NULL && !server->is_leaving)
        board_set(server->board, server->slot, server->counters.n_connections);
}

/* Counts one connection more or less. */
static void server_count_conn(struct sprig_server *server, int delta)
{
    server->counters.n_connections += (uint32_t)delta;
    stats_add(STAT_CONNECTIONS, (uint64_t)(int64_t)delta);
    server_show(server);
}

/* The parent's connections are nothing to the child. Listeners stay active in the child, as servers
 * that fork after listening expect. */
static void server_on_fork(struct fork_hook *h)
{
    struct sprig_server *server = list_entry(h, struct sprig_server, fork_hook);
    server->board = NULL; /* only the parent is a worker */
    list_foreach_safe (it, next, &server->conns) {
        struct sprig_conn *c = list_entry(it, struct sprig_conn, link);
        if (c->state == CONN_CLOSED)
            continue;
        conn_abandon(c);
        server->counters.n_connections--;
        server->has_strays = true;
    }
    admission_forget(server);
    list_init(&server->parked);
    refusals_forget(&server->refusals);
    if (server->access_log != NULL)
        access_log_forget(server->access_log);
}

static void server_expire_stream(struct deadline *d)
{
    struct stream_deadline *stream = list_entry(d, struct stream_deadline, deadline);
    stream->expire(stream);
}

static int server_init_timers(struct sprig_server *server)
{
    struct deadline_list *const all[] = {
        &server->header_deadlines,    &server->body_deadlines,      &server->write_deadlines,
        &server->keepalive_deadlines, &server->linger_deadlines,    &server->leave_deadlines,
        &server->queue_deadlines,     &server->handshake_deadlines, &server->goaway_deadlines,
        &server->first_deadlines,
    };
    struct deadline_list *const streams[] = {
        &server->stream_body_deadlines,
        &server->stream_write_deadlines,
        &server->stream_queue_deadlines,
        &server->rest_deadlines,
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        rc |= deadline_list_init(all[i], server->loop, 0, conn_expire);
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
        rc |= deadline_list_init(streams[i], server->loop, 0, server_expire_stream);
    deadline_list_set_length(&server->linger_deadlines, LINGER_SECONDS);
    deadline_list_set_length(&server->rest_deadlines, REST_SECONDS);
    timer_init(&server->leaving, server_run_leaving);
    return rc | farewells_init(&server->farewells, server->loop) |
           timer_reserve(server->loop, &server->leaving);
}

static void server_clear_timers(struct sprig_server *server)
{
    deadline_list_clear(&server->header_deadlines);
    deadline_list_clear(&server->body_deadlines);
    deadline_list_clear(&server->write_deadlines);
    deadline_list_clear(&server->keepalive_deadlines);
    deadline_list_clear(&server->linger_deadlines);
    deadline_list_clear(&server->leave_deadlines);
    deadline_list_clear(&server->first_deadlines);
    deadline_list_clear(&server->queue_deadlines);
    deadline_list_clear(&server->handshake_deadlines);
    farewells_clear(&server->farewells);
    deadline_list_clear(&server->goaway_deadlines);
    deadline_list_clear(&server->stream_body_deadlines);
    deadline_list_clear(&server->stream_write_deadlines);
    deadline_list_clear(&server->stream_queue_deadlines);
    deadline_list_clear(&server->rest_deadlines);
    timer_release(server->loop, &server->leaving);
}

/* Offsets in a head have 32 bits, so even "no limit" has one. */
static uint32_t server_limit(uint32_t option)
{
    return option != 0 ? option : 1024 * 1024 * 1024;
}

void server_configure(struct sprig_server *server)
{
    const struct sprig_config *config = &server->config;
    char bad[64]; /* unused: the configuration was checked */
    server->limits.max_request_line = server_limit(config->max_request_line);
    server->limits.max_header_bytes = server_limit(config->max_header_bytes);
    server->limits.max_headers = config->max_headers;
    deadline_list_set_length(&server->header_deadlines, config->header_timeout);
    deadline_list_set_length(&server->body_deadlines, config->body_timeout);
    deadline_list_set_length(&server->write_deadlines, config->write_timeout / WRITE_TICKS);
    deadline_list_set_length(&server->keepalive_deadlines, config->keepalive_timeout);
    deadline_list_set_length(&server->queue_deadlines, config->queue_timeout);
    deadline_list_set_length(&server->handshake_deadlines, config->tls_handshake_timeout);
    deadline_list_set_length(&server->stream_body_deadlines, config->body_timeout);
    deadline_list_set_length(&server->stream_write_deadlines, config->write_timeout);
    deadline_list_set_length(&server->stream_queue_deadlines, config->queue_timeout);
    cidr_list_read(&server->trusted_proxies, config->trusted_proxies, bad, sizeof bad);
}

static bool server_reap_conn(struct reapable *r);

struct sprig_server *server_new(struct sprig_loop *loop, const struct sprig_config *config,
                                const struct protocols *protocols,
                                const struct sprig_handler *handler, void *arg)
{
    struct sprig_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return NULL;
    if (sprig_config_copy(&server->config, config) != 0) {
        free(server);
        return NULL;
    }
    server->loop = loop;
    server->protocols = protocols;
    server->handler = *handler;
    server->arg = arg;
    list_init(&server->listeners);
    list_init(&server->closed_listeners);
    list_init(&server->conns);
    list_init(&server->pulses);
    server->reap_conn = server_reap_conn;
    outq_pool_init(&server->outq_pool);
    ready_init(&server->left, server_run_left);
    list_init(&server->parked);
    ready_init(&server->unparked, server_run_unparked);
    retire_init(server);
    if (server_init_timers(server) != 0) {
        server_clear_timers(server);
        sprig_config_clear(&server->config);
        free(server);
        errno = ENOMEM;
        return NULL;
    }
    server_configure(server);
    admission_init(server);
    refusals_init(&server->refusals, loop);
    privileges_set_umask(&server->config);
    server->fork_hook.on_fork = server_on_fork;
    loop_on_fork(loop, &server->fork_hook);
    retire_configure(server);
    server->look_hook.on_look = server_describe;
    loop_on_look(loop, &server->look_hook);
    error_log_attach(loop);
    return server;
}

void sprig_server_share(struct sprig_server *server, struct sprig_board *board, uint32_t slot)
{
    server->board = board;
    server->slot = slot;
    server_show(server);
}

static void server_close_listeners(struct sprig_server *server)
{
    while (!list_empty(&server->listeners))
        sprig_listener_close(list_entry(server->listeners.next, struct sprig_listener, link));
}

static void server_free_listeners(struct sprig_server *server)
{
    while (!list_empty(&server->closed_listeners)) {
        struct list_link *l = server->closed_listeners.next;
        list_remove(l);
        free(list_entry(l, struct sprig_listener, link));
    }
}

static void server_close_conn(struct sprig_conn *c)
{
    conn_close(c, SPRIG_END_GONE);
}

static void server_release(struct sprig_server *server)
{
    server_free_listeners(server);
    sprig_server_give_back_signals(server);
    if (server->access_log != NULL)
        access_log_close(server->access_log);
    server->access_log = NULL;
    ready_cancel(&server->left);
    retire_clear(server);
    ready_cancel(&server->unparked);
    server_clear_timers(server);
    tls_context_release(server->tls);
    tls_io_free(server->tls_io);
    admission_clear(server);
    cidr_list_clear(&server->trusted_proxies);
    exchange_pool_clear(server->free_exchanges);
    server->free_exchanges = NULL;
    scratch_clear(&server->scratch);
    outq_pool_clear(&server->outq_pool);
    if (server->has_strays)
        return; /* the parent's connections point here, and stack frames of the app may know them */
    sprig_config_clear(&server->config);
    free(server);
}

/* A leaving server ends with its last connection. */
static void server_conn_gone(struct sprig_server *server)
{
    if (!list_empty(&server->conns))
        return;
    if (server->is_freed) {
        server_release(server);
    } else if (server->is_leaving) {
        timer_stop(server->loop, &server->leaving);
        ready_add(server->loop, &server->left, 1);
    }
}

static bool server_reap_conn(struct reapable *r)
{
    struct sprig_conn *c = list_entry(r, struct sprig_conn, reap);
    struct sprig_server *server = c->server;
    if (c->pins > 0)
        return false;
    conn_free(c);
    server_count_conn(server, -1);
    server_conn_gone(server);
    return true;
}

void server_enter(struct sprig_conn *c, const struct sockaddr *peer)
{
    struct sprig_server *server = c->server;
    server_count_conn(server, 1);
    if (peer == NULL)
        return;
    server->counters.n_accepted++;
    stats_add(STAT_ACCEPTED, 1);
    struct admission_answer answer = admission_enter(c, peer);
    if (answer.to_close != NULL && answer.what == ADMISSION_ENTER)
        stats_add(STAT_EVICTED, 1);
    if (answer.to_close != NULL)
        conn_make_room(answer.to_close);
    if (answer.what == ADMISSION_TURN_AWAY)
        c->protocol->turn_away(c);
}

/* Connections refer to their server until they are reaped, including those that frames on the stack
 * still use; the last one frees the server. */
void sprig_server_free(struct sprig_server *server)
{
    struct sprig_loop *loop = server->loop;
    loop_check_fork(loop);
    list_remove(&server->fork_hook.link);
    list_remove(&server->look_hook.link);
    server_close_listeners(server);
    server_visit_conns(server, server_close_conn);
    sprig_server_flush_log(server);
    refusals_clear(&server->refusals);
    server->is_freed = true;
    server_conn_gone(server);
    loop_reap_now(loop);
}

void sprig_server_hand_over(struct sprig_server *server)
{
    server->is_replaced = true;
}

/* Sets how much time clients still have. An idle connection is not closed at once, because its next
 * request may be on its way and would be lost. A connection without a request so far was opened for
 * one, and its client may be slow, so it has longer, and again as long after its handshake.
 * Likewise, the last HTTP/2 stream is not announced before the client has acknowledged that the
 * announcement will come, unless that takes too long. */
static void server_set_leave_times(struct sprig_server *server)
{
    bool is_replaced = server->is_replaced;
    deadline_list_set_length(&server->leave_deadlines, is_replaced ? 2 : 0.2);
    deadline_list_set_length(&server->first_deadlines, is_replaced ? 5 : 1);
    deadline_list_set_length(&server->goaway_deadlines, is_replaced ? 5 : 1);
}

void sprig_server_leave(struct sprig_server *server)
{
    loop_check_fork(server->loop);
    server_set_leave_times(server);
    if (server->is_alone && !server->is_leaving)
        notify_stopping();
    server->is_leaving = true;
    stats_begin_to_end();
    list_foreach (it, &server->listeners)
        listener_take_waiting(list_entry(it, struct sprig_listener, link));
    server_close_listeners(server);
    list_foreach_safe (it, next, &server->conns) {
        struct sprig_conn *c = list_entry(it, struct sprig_conn, link);
        if (c->state == CONN_OPEN)
            c->protocol->server_leaves(c);
    }
    farewells_begin(&server->farewells, server->config.graceful_timeout / 2);
    server_start_leaving(server);
    server_conn_gone(server);
}

int sprig_server_adopt(struct sprig_server *server, int fd)
{
    static const struct sockaddr peer = {.sa_family = AF_UNIX};
    loop_check_fork(server->loop);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    struct sprig_conn *c = conn_new(server, NULL, fd, &peer);
    if (c == NULL)
        return SPRIG_E_NOMEM;
    server_enter(c, NULL);
    return 0;
}

void sprig_server_counters(const struct sprig_server *server, struct sprig_counters *out)
{
    *out = server->counters;
}

int sprig_server_drop_privileges(struct sprig_server *server, char *why, size_t n)
{
    return privileges_drop(&server->config, why, n);
}

const struct sprig_config *sprig_server_config(const struct sprig_server *server)
{
    return &server->config;
}

int server_open_log(struct sprig_loop *loop, const struct sprig_config *config,
                    struct access_log **log, char *why, size_t n)
{
    *log = NULL;
    if (config->access_log == NULL)
        return 0;
    const char *format = config->access_log_format ? config->access_log_format : "combined";
    *log = access_log_open(loop, config->access_log, format, config->log_buffer_bytes, why, n);
    return *log ? 0 : SPRIG_E_SYS;
}

int sprig_server_open_log(struct sprig_server *server, char *why, size_t n)
{
    if (server->access_log != NULL)
        return 0;
    return server_open_log(server->loop, &server->config, &server->access_log, why, n);
}

void sprig_server_flush_log(struct sprig_server *server)
{
    if (server->access_log != NULL)
        access_log_flush(server->access_log);
}

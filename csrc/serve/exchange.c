/* exchange.c - one request from its head to its end, over any protocol: sprig_exchange_* */
#include "base/clock.h"
#include "serve/conn.h"

#include "base/tempfile.h"
#include "http/queue_time.h"
#include "net/tls.h"
#include "serve/accesslog.h"
#include "serve/counting.h"
#include "serve/dev_hosts.h"
#include "serve/feed.h"
#include "serve/listener.h"
#include "serve/request_id.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

enum { EXCHANGE_POOL_MAX = 64 };

/* -------------------------------------------------------------------- life ---- */

/* Stands in for a forgotten request, which is one whose client had offered an upgrade. */
static struct incoming forgotten = {.request = {.upgrade = true}, .body = {.fd = -1}};

static struct sprig_exchange *exchange_new(void)
{
    struct sprig_exchange *ex = malloc(sizeof *ex);
    struct incoming *in = calloc(1, sizeof *in);
    if (ex != NULL && in != NULL) {
        body_init(&in->body);
        ex->in = in;
        return ex;
    }
    free(ex);
    free(in);
    return NULL;
}

static void exchange_free(struct sprig_exchange *ex)
{
    if (ex->in != &forgotten)
        free(ex->in);
    free(ex->names);
    free(ex);
}

/* A pooled exchange has an empty `in`. */
struct sprig_exchange *exchange_start(struct sprig_conn *c, struct outq *out)
{
    struct sprig_server *server = c->server;
    struct sprig_exchange *ex = server->free_exchanges;
    if (ex != NULL) {
        server->free_exchanges = ex->next_free;
        server->n_free_exchanges--;
    } else if ((ex = exchange_new()) == NULL) {
        return NULL;
    }
    memset(ex, 0, offsetof(struct sprig_exchange, in));
    list_init(&ex->wait);
    ex->conn = c;
    ex->out = out;
    ex->is_over = conn_is_broken(c);
    server->counters.n_exchanges++;
    return ex;
}

/* Wraps everything that the bridge does for a request, so that messages logged meanwhile carry its
 * id. */
static void exchange_enter(struct sprig_exchange *ex, struct log_request *before)
{
    before->is_other = ex->n_request_id > 0;
    if (before->is_other)
        log_request_enter(exchange_request_id(ex), before);
}

static void exchange_leave(const struct log_request *before)
{
    if (before->is_other)
        log_request_leave(before);
}

void exchange_end(struct sprig_exchange *ex, enum sprig_end why)
{
    struct sprig_server *server = ex->conn->server;
    if (ex->is_started) {
        struct log_request before;
        ex->is_started = false;
        exchange_enter(ex, &before);
        server->handler.on_end(ex, why, server->arg);
        exchange_leave(&before);
    }
    counting_end(ex, why);
    if (ex->feed != NULL)
        feed_free(ex);
    if (ex->record != NULL)
        conn_log_end(ex, why);
    admission_leave_slot(ex);
    ex->conn = NULL;
    ex->app = NULL;
    server->counters.n_exchanges--;
    bool is_forgotten = ex->in == &forgotten;
    if (!is_forgotten) {
        request_clear(&ex->in->request);
        body_clear(&ex->in->body);
        if (ex->in->trailers.bytes != NULL)
            trailers_clear(&ex->in->trailers);
        ex->in->body_mem = span_make(NULL, 0);
        ex->in->client[0] = '\0';
    }
    if (is_forgotten || server->n_free_exchanges >= EXCHANGE_POOL_MAX) {
        exchange_free(ex);
        return;
    }
    ex->next_free = server->free_exchanges;
    server->free_exchanges = ex;
    server->n_free_exchanges++;
}

void exchange_pool_clear(struct sprig_exchange *free_list)
{
    while (free_list != NULL) {
        struct sprig_exchange *next = free_list->next_free;
        exchange_free(free_list);
        free_list = next;
    }
}

/* ---------------------------------------------------------------- what is awaited ---- */

void exchange_tell_body(struct sprig_exchange *ex, struct sprig_span bytes, bool is_last)
{
    struct sprig_server *server = ex->conn->server;
    struct log_request before;
    exchange_enter(ex, &before);
    server->handler.on_body(ex, bytes, is_last, server->arg);
    exchange_leave(&before);
}

void exchange_resume(struct sprig_exchange *ex)
{
    ex->conn->protocol->wake(ex, CONN_EV_RESUME);
}

void exchange_wait(struct sprig_exchange *ex, struct list_link *list)
{
    if (list_linked(&ex->wait))
        return;
    list_append(list, &ex->wait);
    stats_add(STAT_WAITING, 1);
}

void exchange_stop_waiting(struct sprig_exchange *ex)
{
    if (!list_linked(&ex->wait))
        return;
    list_remove(&ex->wait);
    stats_add(STAT_WAITING, (uint64_t)-1);
}

void exchange_tell_drained(struct sprig_exchange *ex)
{
    struct sprig_server *server = ex->conn->server;
    if (!ex->is_started || ex->response.ended)
        return;
    if (ex->out->size > server->config.low_water_bytes)
        return; /* more was written meanwhile; the flush that sends it comes back here */
    ex->want_drain = ex->was_high = false;
    struct log_request before;
    exchange_enter(ex, &before);
    server->handler.on_drain(ex, server->arg);
    exchange_leave(&before);
}

void exchange_tell_notified(struct sprig_exchange *ex)
{
    struct sprig_server *server = ex->conn->server;
    if (!ex->is_started || !ex->notify)
        return;
    ex->notify = false;
    struct log_request before;
    exchange_enter(ex, &before);
    server->handler.on_notify(ex, server->arg);
    exchange_leave(&before);
}

void exchange_tell_gone(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    if (ex->gone_told || !ex->is_started || ex->response.ended)
        return;
    ex->gone_told = true;
    struct log_request before;
    conn_pin(c);
    exchange_enter(ex, &before);
    c->server->handler.on_gone(ex, c->server->arg);
    exchange_leave(&before);
    conn_unpin(c);
}

/* If others write to this exchange, the app would never end it, so it fails at once. */
void exchange_peer_gone(struct sprig_exchange *ex)
{
    if (ex->gone_told || !ex->is_started || ex->response.ended)
        return;
    if (feed_is_watched(ex) && !ex->is_over) {
        ex->conn->protocol->fail(ex);
        return;
    }
    ex->gone_early = !ex->response.head_out;
    exchange_tell_gone(ex);
}

/* ------------------------------------------------------------------ its head and body ---- */

/* A trusted proxy says when it received the request. */
static void exchange_read_queue_time(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    struct sprig_span start = request_header(&ex->in->request, SPAN_LIT("x-request-start"));
    if (start.ptr == NULL || !cidr_list_has(&c->server->trusted_proxies, span_str(c->remote_host)))
        return;
    ex->queued_ns = queue_time_read(start, clock_real_ns());
}

void exchange_take_head(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    c->n_requests++;
    if (!cidr_list_is_empty(&c->server->trusted_proxies))
        exchange_read_queue_time(ex);
    if (c->listener != NULL)
        server_count_request(c->server);
    if (c->server->access_log != NULL)
        conn_log_request(ex);
}

/* "/up" covers /up, /up/ and /up/x, not /upper. */
static bool is_below(struct sprig_span path, struct sprig_span top)
{
    if (top.len > 0 && top.ptr[top.len - 1] == '/')
        top.len--;
    return path.len >= top.len && memcmp(path.ptr, top.ptr, top.len) == 0 &&
           (path.len == top.len || path.ptr[top.len] == '/');
}

bool exchange_must_stream(const struct sprig_exchange *ex)
{
    const struct sprig_request *request = &ex->in->request;
    const struct sprig_server *server = ex->conn->server;
    const char *top = server->config.streaming_input;
    if ((!request->chunked && request->content_length == 0) || request->upgrade)
        return false;
    if (server->handler.streams != NULL && server->handler.streams(request, server->arg))
        return true;
    return top != NULL && is_below(request->path, span_str(top));
}

int exchange_store_body(struct sprig_exchange *ex, struct sprig_span piece, const char **reason)
{
    const struct sprig_config *config = &ex->conn->server->config;
    if (config->max_body_bytes != 0 && ex->in->body.size + piece.len > config->max_body_bytes) {
        *reason = "max_body_bytes: the body is too large";
        return 413;
    }
    int rc = body_append(&ex->in->body, piece, config->body_buffer_bytes,
                         ex->in->request.content_length, config->temp_dir);
    if (rc == 0)
        return 0;
    int error = rc == SPRIG_E_SYS ? errno : 0;
    *reason = "the body cannot be stored";
    log_later(SPRIG_LOG_ERROR, "cannot store a request body in temp_dir %s: %s",
              tempfile_dir(config->temp_dir), error != 0 ? strerror(error) : sprig_err_text(rc));
    return error == ENOSPC || error == EDQUOT ? 507 : 500;
}

bool exchange_body_is_slow(const struct sprig_exchange *ex)
{
    const struct sprig_server *server = ex->conn->server;
    double elapsed = (double)(sprig_loop_now(server->loop) - ex->body_started_ns) / 1e9 - 10;
    return server->config.min_body_rate != 0 && elapsed > 0 &&
           (double)ex->in->body.size < elapsed * server->config.min_body_rate;
}

/* ------------------------------------------------------------------------ its turn ---- */

static bool exchange_must_hold(const struct sprig_server *server)
{
    return loop_is_in_app(server->loop) && server->config.nested == SPRIG_NESTED_HOLD;
}

enum exchange_turn exchange_take_turn(struct sprig_exchange *ex)
{
    if (exchange_must_hold(ex->conn->server)) {
        server_park(ex);
        return TURN_LATER;
    }
    if (admission_is_stale(ex))
        return TURN_STALE;
    return admission_take_slot(ex) ? TURN_NOW : TURN_LATER;
}

int exchange_park(struct sprig_exchange *ex, const char **reason)
{
    struct sprig_span mem = ex->in->body_mem;
    ex->in->body_mem = span_make(NULL, 0);
    *reason = "there is no memory for a request that waits";
    if (request_own(&ex->in->request) != 0)
        return 503;
    return mem.len > 0 ? exchange_store_body(ex, mem, reason) : 0;
}

void exchange_call_app(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    size_t n_head = ex->in->request.head.len;
    ex->is_started = true;
    counting_start(ex);
    struct log_request before;
    exchange_request_id(ex); /* the head will be gone later */
    exchange_enter(ex, &before);
    if (!c->server->config.dev || !dev_hosts_refuse(ex))
        c->server->handler.on_request(ex, c->server->arg);
    exchange_leave(&before);
    stats_leave();
    /* not earlier: a message may enter Perl while the request is still in the shared buffer */
    sprig_log(SPRIG_LOG_DEBUG, "parsed request from %s: head of %zu bytes", conn_client(c), n_head);
}

/* ----------------------------------------------------------------- the request ---- */

const struct sprig_request *sprig_exchange_request(struct sprig_exchange *ex)
{
    return &ex->in->request;
}

struct sprig_server *sprig_exchange_server(struct sprig_exchange *ex)
{
    return ex->conn->server;
}

void *sprig_exchange_app(const struct sprig_exchange *ex)
{
    return ex->app;
}

void sprig_exchange_set_app(struct sprig_exchange *ex, void *app)
{
    ex->app = app;
}

void sprig_exchange_take_body(struct sprig_exchange *ex, struct sprig_body *body)
{
    body->size = ex->in->body_mem.len + ex->in->body.size;
    body->fd = body_take_fd(&ex->in->body);
    body->mem = ex->in->body_mem;
    if (body->fd == -1 && body->mem.len == 0)
        body->mem = span_make(ex->in->body.mem, (size_t)ex->in->body.size);
    else if (body->fd != -1)
        body->mem = span_make(NULL, 0);
}

void sprig_exchange_remote(struct sprig_exchange *ex, struct sprig_span *host,
                           struct sprig_span *port)
{
    const struct sprig_conn *c = ex->conn;
    if (conn_proxied(c) != NULL) {
        *host = span_str(conn_proxied(c)->remote_host);
        *port = span_str(conn_proxied(c)->remote_port);
        return;
    }
    *host = span_make(c->remote_host, c->remote_port_at - 1u);
    *port = span_str(c->remote_host + c->remote_port_at);
}

const struct sprig_address *sprig_exchange_local(struct sprig_exchange *ex)
{
    static const struct sprig_address inside = {"unix/", "0", true, false};
    const struct sprig_listener *listener = ex->conn->listener;
    return listener != NULL ? &listener->address : &inside;
}

void sprig_exchange_forwarded(struct sprig_exchange *ex, struct sprig_forwarded *out)
{
    struct sprig_conn *c = ex->conn;
    const struct sprig_config *config = &c->server->config;
    struct sprig_span host, port;
    sprig_exchange_remote(ex, &host, &port);
    struct cidr_list trusted = c->server->trusted_proxies;
    if (conn_proxied(c) != NULL && trusted.hops > 0)
        trusted.hops--; /* that hop sent the PROXY header */
    enum sprig_proxy_headers which =
        c->origin == ORIGIN_HIDDEN ? SPRIG_PROXY_NONE : config->proxy_headers;
    proxy_forwarded(&ex->in->request, &trusted, which, host, out);
    if (out->remote_host.ptr == NULL) {
        out->remote_host = host;
        out->remote_port = port;
    } else if (ex->in->client[0] == '\0') { /* the head will be gone when messages need it */
        snprintf(ex->in->client, sizeof ex->in->client, "%.*s", (int)out->remote_host.len,
                 out->remote_host.ptr);
    }
    if (out->port.ptr == NULL && conn_proxied(c) != NULL)
        out->port = span_str(conn_proxied(c)->local_port);
}

struct sprig_span sprig_exchange_request_id(struct sprig_exchange *ex)
{
    return exchange_request_id(ex);
}

bool sprig_exchange_is_tls(const struct sprig_exchange *ex)
{
    return ex->conn->transport.tls != NULL || ex->conn->is_relayed;
}

bool sprig_exchange_has_trailers(const struct sprig_exchange *ex)
{
    return ex->in->trailers.n_bytes > 0;
}

void sprig_exchange_trailers(const struct sprig_exchange *ex, sprig_pair_cb *tell, void *arg)
{
    struct sprig_span lines = trailers_lines(&ex->in->trailers), name, value;
    while (trailers_next(&lines, &name, &value))
        tell(name, value, arg);
}

void sprig_exchange_describe_tls(const struct sprig_exchange *ex, sprig_pair_cb *tell, void *arg)
{
    transport_tls_describe(&ex->conn->transport, tell, arg);
}

bool sprig_exchange_wants_user(const struct sprig_exchange *ex)
{
    return ex->record != NULL && access_record_wants_user(ex->record);
}

void sprig_exchange_set_user(struct sprig_exchange *ex, struct sprig_span user)
{
    if (ex->record != NULL)
        access_record_user(ex->record, user);
}

bool sprig_exchange_is_streaming(const struct sprig_exchange *ex)
{
    return ex->streams;
}

void sprig_exchange_read_body(struct sprig_exchange *ex, bool on)
{
    if (loop_check_fork(ex->conn->server->loop) != ex->conn->generation || ex->is_over ||
        !ex->body_open || ex->body_wanted == on)
        return;
    ex->body_wanted = on;
    ex->conn->protocol->read_body(ex, on);
}

int sprig_exchange_open_tunnel(struct sprig_exchange *ex, bool may_spill)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    if (ex->response.status != 101 || ex->response.ended)
        return SPRIG_E_STATE;
    ex->is_tunnel = ex->streams = ex->body_open = true;
    ex->body_wanted = false;
    ex->keeps_output = !may_spill;
    ex->body_left = UINT64_MAX;
    ex->response.framing = FRAMING_CLOSE;
    ex->response.bodyless = false;
    ex->conn->server->had_tunnels = true;
    admission_leave_slot(ex); /* it may last for hours and is mostly idle */
    return 0;
}

/* ------------------------------------------------- a request that is history ---- */

void sprig_exchange_forget_request(struct sprig_exchange *ex)
{
    struct incoming *in = ex->in;
    size_t n_client = strlen(in->client) + 1, n = ex->n_label + (size_t)ex->n_request_id;
    if (!ex->is_tunnel || in == &forgotten || (ex->names = malloc(n + n_client)) == NULL)
        return;
    memcpy(ex->names, in->label, ex->n_label);
    memcpy(ex->names + ex->n_label, in->request_id, ex->n_request_id);
    memcpy(ex->names + n, in->client, n_client);
    request_clear(&in->request);
    body_clear(&in->body);
    free(in);
    ex->in = &forgotten;
}

struct sprig_span exchange_label(const struct sprig_exchange *ex)
{
    return span_make(ex->names != NULL ? ex->names : ex->in->label, ex->n_label);
}

struct sprig_span exchange_client(const struct sprig_exchange *ex)
{
    return span_str(ex->names != NULL ? ex->names + ex->n_label + ex->n_request_id
                                      : ex->in->client);
}

/* ---------------------------------------------------------------- its end ---- */

void sprig_exchange_end_after_flush(struct sprig_exchange *ex)
{
    ex->end_after_flush = true;
}

void sprig_exchange_notify(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    if (loop_check_fork(c->server->loop) != c->generation || c->state != CONN_OPEN)
        return;
    ex->notify = true;
    c->protocol->wake(ex, CONN_EV_NOTIFY);
}

bool exchange_is_over(struct sprig_exchange *ex)
{
    loop_enter(ex->conn->server->loop); /* this may abandon the connection */
    return ex->is_over;
}

bool sprig_exchange_is_live(const struct sprig_exchange *ex)
{
    return !ex->is_over;
}

void sprig_exchange_keep_input(struct sprig_exchange *ex)
{
    ex->keeps_input = true;
}

bool sprig_exchange_is_gone(const struct sprig_exchange *ex)
{
    return ex->is_over || ex->conn->peer_shut;
}

void exchange_lose(struct sprig_exchange *ex, enum sprig_loss loss, const char *detail)
{
    if (ex == NULL || ex->loss != SPRIG_LOSS_CLOSED || ex->loss_detail != NULL)
        return;
    ex->loss = (uint8_t)loss;
    ex->loss_detail = detail;
}

void exchange_lose_by(struct sprig_exchange *ex, int status, const char *reason)
{
    if (status == 408)
        exchange_lose(ex, SPRIG_LOSS_READ_TIMEOUT, reason);
    else if (status == 413)
        exchange_lose(ex, SPRIG_LOSS_TOO_LARGE, reason);
    else if (status < 500)
        exchange_lose(ex, SPRIG_LOSS_PROTOCOL, reason);
}

enum sprig_loss sprig_exchange_loss(const struct sprig_exchange *ex, const char **detail)
{
    bool is_own = ex->loss != SPRIG_LOSS_CLOSED || ex->loss_detail != NULL;
    *detail = is_own ? ex->loss_detail : ex->conn->loss_detail;
    return (enum sprig_loss)(is_own ? ex->loss : ex->conn->loss);
}

bool sprig_exchange_owns_socket(const struct sprig_exchange *ex)
{
    return ex->conn->protocol->take_socket != NULL;
}

int sprig_exchange_share_socket(struct sprig_exchange *ex, int first_fd, int *fd,
                                struct sprig_span *unread)
{
    struct sprig_conn *c = ex->conn;
    errno = EBADF;
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    if (c->transport.tls != NULL && conn_relay(c, c->protocol->unread(ex)) != 0)
        return SPRIG_E_SYS;
    *fd = fcntl(c->transport.fd, F_DUPFD_CLOEXEC, first_fd);
    if (*fd == -1)
        return SPRIG_E_SYS;
    sprig_response_flush(ex); /* what the app writes must follow a queued 101 */
    ex->has_socket = c->input_is_apps = true;
    conn_set_reading(c, false);
    conn_take_unread(c);
    *unread = c->is_relayed ? span_make(NULL, 0) : c->protocol->unread(ex);
    return 0;
}

unsigned sprig_sockets_ending(void)
{
    return tls_relays_ending();
}

int sprig_exchange_detach(struct sprig_exchange *ex, int *fd, struct sprig_span *unread)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    if (!sprig_exchange_owns_socket(ex))
        return SPRIG_E_STATE;
    return ex->conn->protocol->take_socket(ex, fd, unread);
}

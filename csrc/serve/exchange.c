/* exchange.c - one request and its response, as the bridge sees it: sprig_exchange_*,
 * sprig_response_* */
#include "serve/conn.h"

#include "serve/accesslog.h"
#include "serve/feed.h"
#include "serve/listener.h"
#include <stdlib.h>
#include <unistd.h>

enum { EXCHANGE_POOL_MAX = 64 };

/* -------------------------------------------------------------------- life ---- */

struct sprig_exchange *exchange_start(struct sprig_conn *c)
{
    struct sprig_server *server = c->server;
    struct sprig_exchange *ex = server->free_exchanges;
    if (ex != NULL) {
        server->free_exchanges = ex->next_free;
        server->n_free_exchanges--;
    } else if ((ex = malloc(sizeof *ex)) == NULL) {
        return NULL;
    }
    memset(ex, 0, sizeof *ex);
    body_init(&ex->body);
    list_init(&ex->wait);
    ex->conn = c;
    ex->out = &c->out;
    ex->is_over = c->is_broken;
    c->ex = ex;
    server->counters.n_exchanges++;
    return ex;
}

void exchange_end(struct sprig_conn *c, enum sprig_end why)
{
    struct sprig_exchange *ex = c->ex;
    struct sprig_server *server = c->server;
    if (ex == NULL)
        return;
    c->ex = NULL; /* first: on_end may run Perl, and that a nested pass */
    if (ex->is_started) {
        ex->is_started = false;
        server->handler.on_end(ex, why, server->arg);
    }
    if (ex->feed != NULL)
        feed_free(ex);
    if (ex->record != NULL)
        conn_log_end(ex, why);
    admission_leave_slot(ex);
    request_clear(&ex->request);
    body_clear(&ex->body);
    ex->conn = NULL;
    ex->app = NULL;
    server->counters.n_exchanges--;
    if (server->n_free_exchanges >= EXCHANGE_POOL_MAX) {
        free(ex);
        return;
    }
    ex->next_free = server->free_exchanges;
    server->free_exchanges = ex;
    server->n_free_exchanges++;
}

void exchange_resume(struct sprig_exchange *ex)
{
    ex->conn->protocol->resume(ex);
}

void exchange_pool_clear(struct sprig_exchange *free_list)
{
    while (free_list != NULL) {
        struct sprig_exchange *next = free_list->next_free;
        free(free_list);
        free_list = next;
    }
}

void exchange_peer_gone(struct sprig_exchange *ex)
{
    struct sprig_server *server = ex->conn->server;
    if (ex->gone_told || !ex->is_started || ex->response.ended)
        return;
    ex->gone_told = true;
    ex->left_early = !ex->response.head_out;
    conn_pin(ex->conn);
    struct sprig_conn *c = ex->conn;
    server->handler.on_gone(ex, server->arg);
    conn_unpin(c);
}

/* ----------------------------------------------------------------- the request ---- */

const struct sprig_request *sprig_exchange_request(struct sprig_exchange *ex)
{
    return &ex->request;
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
    body->size = ex->body_mem.len + ex->body.size;
    body->fd = body_take_fd(&ex->body);
    body->mem = ex->body_mem;
    if (body->fd == -1 && body->mem.len == 0)
        body->mem = span_make(ex->body.mem, (size_t)ex->body.size);
    else if (body->fd != -1)
        body->mem = span_make(NULL, 0);
}

void sprig_exchange_remote(struct sprig_exchange *ex, struct sprig_span *host,
                           struct sprig_span *port)
{
    const struct sprig_conn *c = ex->conn;
    if (c->proxied != NULL) {
        *host = span_str(c->proxied->remote_host);
        *port = span_str(c->proxied->remote_port);
        return;
    }
    *host = span_make(c->remote_host, c->remote_port_at - 1u);
    *port = span_str(c->remote_host + c->remote_port_at);
}

const struct sprig_address *sprig_exchange_local(struct sprig_exchange *ex)
{
    static const struct sprig_address inside = {"unix/", "0", true};
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
    if (c->proxied != NULL && trusted.hops > 0)
        trusted.hops--; /* the one that sent the PROXY header */
    enum sprig_proxy_headers which = c->is_anonymous ? SPRIG_PROXY_NONE : config->proxy_headers;
    proxy_forwarded(&ex->request, &trusted, which, host, out);
    if (out->remote_host.ptr == NULL) {
        out->remote_host = host;
        out->remote_port = port;
    }
    if (out->port.ptr == NULL && c->proxied != NULL)
        out->port = span_str(c->proxied->local_port);
}

int sprig_exchange_fd(const struct sprig_exchange *ex)
{
    return ex->conn->transport.fd;
}

bool sprig_exchange_wants_user(const struct sprig_exchange *ex)
{
    return ex->record != NULL && ex->conn->server->access_log->format.has_user;
}

void sprig_exchange_set_user(struct sprig_exchange *ex, struct sprig_span user)
{
    if (ex->record != NULL)
        access_record_user(ex->conn->server->access_log, ex->record, user);
}

/* ---------------------------------------------------------------- its end ---- */

void sprig_exchange_end_after_flush(struct sprig_exchange *ex)
{
    ex->end_after_flush = true;
}

void sprig_exchange_notify(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    if (loop_guard(c->server->loop) != c->generation || c->state == CONN_CLOSED ||
        c->state == CONN_DETACHED)
        return;
    ex->notify = true;
    ready_add(c->server->loop, &c->ready, CONN_EV_NOTIFY);
}

/* True where a call on the exchange can have no effect any more; also in a forked child. */
static bool exchange_is_over(struct sprig_exchange *ex)
{
    loop_guard(ex->conn->server->loop); /* may abandon the connection */
    loop_recall(ex->conn->server->loop);
    return ex->is_over;
}

bool sprig_exchange_is_gone(const struct sprig_exchange *ex)
{
    return ex->is_over || ex->conn->peer_shut;
}

void sprig_exchange_stop_reading(struct sprig_exchange *ex)
{
    if (exchange_is_over(ex))
        return;
    ex->conn->reading_is_over = ex->conn->must_close = true;
    conn_set_reading(ex->conn, false);
    conn_take_unread(ex->conn);
}

struct sprig_span sprig_exchange_unread(const struct sprig_exchange *ex)
{
    return conn_kept_input(ex->conn);
}

int sprig_exchange_detach(struct sprig_exchange *ex, int *fd, struct sprig_span *unread)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    return ex->conn->protocol->take_socket(ex, fd, unread);
}

/* ------------------------------------------------------------------ the response ---- */

/* The response cannot go on, and must not look as if it had: for the caller the client is gone. */
static int exchange_abandon(struct sprig_exchange *ex, const char *reason)
{
    conn_break(ex->conn);
    log_later(SPRIG_LOG_ERROR, "response aborted: %s", reason);
    return SPRIG_E_CLOSED;
}

/* What a function of the response says of its failure: misuse is the caller's to handle. */
static int exchange_failed(struct sprig_exchange *ex, int rc)
{
    return rc == SPRIG_E_NOMEM ? exchange_abandon(ex, sprig_err_text(rc)) : rc;
}

/* RFC 9110 section 9.3.6: 2xx to CONNECT means that bytes are tunnelled from now on. Unless the app
 * uses the socket nobody does that: most apps do not look at the method. The app's body is dropped.
 */
static const struct sprig_head *exchange_no_tunnel(struct sprig_exchange *ex,
                                                   const struct sprig_head *head)
{
    static struct sprig_header allow = {SPAN_LIT("Allow"), SPAN_LIT("")};
    static const struct sprig_head refused = {405, &allow, 1, 0};
    if (!ex->response.is_connect || head->status < 200 || head->status > 299 ||
        ex->conn->reading_is_over)
        return head;
    ex->conn->must_close = ex->conn->must_linger = true; /* what follows is no request */
    ex->response.keep_alive = false;
    ex->response.is_dropped = true;
    return &refused;
}

int sprig_response_head(struct sprig_exchange *ex, const struct sprig_head *head, char *why,
                        size_t n)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    ex->response.no_chunks = !ex->conn->server->config.chunked_responses;
    head = exchange_no_tunnel(ex, head);
    int rc = ex->conn->protocol->head(ex, head, why, n);
    if (rc != 0)
        return exchange_failed(ex, rc);
    if (ex->record != NULL)
        conn_log_head(ex, head);
    conn_output_added(ex->conn);
    return 0;
}

int sprig_response_interim(struct sprig_exchange *ex, const struct sprig_head *head, char *why,
                           size_t n)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    int rc = ex->conn->protocol->interim(ex, head, why, n);
    if (rc == 0)
        sprig_response_flush(ex);
    return exchange_failed(ex, rc);
}

/* Common end of all writes: the high-water mark, and the log if bytes were cut. */
static int exchange_wrote(struct sprig_exchange *ex, int rc, bool was_cut)
{
    struct sprig_conn *c = ex->conn;
    if (rc == SPRIG_E_INVALID)
        return exchange_abandon(ex, "the app's own chunks are malformed");
    if (rc < 0)
        return exchange_failed(ex, rc);
    if (ex->response.cut && !was_cut)
        log_later(SPRIG_LOG_ERROR, "the app wrote more than its Content-Length: the rest was cut");
    conn_output_added(c);
    return ex->is_over ? SPRIG_E_CLOSED : ex->out->size > c->server->config.high_water_bytes;
}

int sprig_response_write(struct sprig_exchange *ex, struct sprig_span bytes)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    bool was_cut = ex->response.cut;
    return exchange_wrote(ex, response_body(&ex->response, ex->out, bytes), was_cut);
}

int sprig_response_write_pieces(struct sprig_exchange *ex, const struct sprig_span *pieces,
                                size_t n)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    bool was_cut = ex->response.cut;
    return exchange_wrote(ex, response_body_pieces(&ex->response, ex->out, pieces, n), was_cut);
}

int sprig_response_write_ref(struct sprig_exchange *ex, struct sprig_span bytes,
                             void (*release)(void *arg), void *arg)
{
    if (exchange_is_over(ex)) {
        release(arg);
        return SPRIG_E_CLOSED;
    }
    bool was_cut = ex->response.cut;
    int rc = response_body_ref(&ex->response, ex->out, bytes, release, arg);
    return exchange_wrote(ex, rc, was_cut);
}

int sprig_response_write_shared(struct sprig_exchange *ex, struct sprig_span bytes,
                                void (*release)(void *arg), void *arg)
{
    if (exchange_is_over(ex)) {
        release(arg);
        return SPRIG_E_CLOSED;
    }
    bool was_cut = ex->response.cut;
    int rc = response_body_shared(&ex->response, ex->out, bytes, release, arg);
    return exchange_wrote(ex, rc, was_cut);
}

int sprig_response_write_file(struct sprig_exchange *ex, int fd, uint64_t offset, uint64_t length,
                              void (*release)(void *arg), void *arg)
{
    if (exchange_is_over(ex)) {
        release(arg);
        return SPRIG_E_CLOSED;
    }
    bool was_cut = ex->response.cut;
    int rc = response_body_file(&ex->response, ex->out, fd, offset, length, release, arg);
    return exchange_wrote(ex, rc, was_cut);
}

int sprig_response_end(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    int rc = response_end(&ex->response, ex->out);
    if (rc == SPRIG_E_STATE && ex->response.head_out && !ex->response.ended) {
        if (sprig_exchange_is_gone(ex)) /* an app that heard of it need not go on */
            ex->conn->protocol->abort(ex);
        else
            sprig_response_abort(ex, "the body is shorter than its Content-Length");
        return rc;
    }
    if (rc == SPRIG_E_NOMEM)
        sprig_response_abort(ex, sprig_err_text(rc));
    if (rc == 0 && ex->feed != NULL)
        feed_free(ex);
    if (rc == 0)
        conn_output_added(c); /* also without new bytes: the flush settles the exchange */
    return exchange_failed(ex, rc);
}

void sprig_response_abort(struct sprig_exchange *ex, const char *reason)
{
    if (exchange_is_over(ex))
        return;
    ex->conn->protocol->abort(ex);
    sprig_log(SPRIG_LOG_ERROR, "response aborted: %s", reason);
}

bool sprig_response_has_head(const struct sprig_exchange *ex)
{
    return ex->response.head_out;
}

bool sprig_response_has_events(const struct sprig_exchange *ex)
{
    return ex->response.has_events;
}

bool sprig_response_is_bodyless(const struct sprig_exchange *ex)
{
    return ex->response.bodyless || ex->is_over;
}

uint64_t sprig_response_buffered(const struct sprig_exchange *ex)
{
    loop_recall(ex->conn->server->loop);
    return ex->out->size;
}

void sprig_response_want_drain(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    if (exchange_is_over(ex))
        return;
    ex->want_drain = true;
    if (ex->out->size <= c->server->config.low_water_bytes)
        ready_add(c->server->loop, &c->ready, CONN_EV_DRAIN);
}

void sprig_response_flush(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    if (exchange_is_over(ex) || c->is_writing || ex->out->size == 0)
        return;
    conn_flush(c);
    if (ex->response.ended && !c->is_broken)
        loop_flush_later(c->server->loop, &c->flush); /* to settle */
}

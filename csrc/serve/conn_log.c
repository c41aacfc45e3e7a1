/* conn_log.c - which requests get a line in the access log, and what it says. */
#include "serve/conn.h"

#include "base/clock.h"
#include "net/tls.h"
#include "serve/accesslog.h"
#include "serve/listener.h"
#include "serve/request_id.h"
#include <limits.h>

/* The status logged when the client left before the response, as in nginx. */
enum { STATUS_CLIENT_LEFT = 499 };

/* If an app takes longer than this to begin its response, its client may have left unnoticed. */
enum { LEFT_UNSEEN_MS = 20 };

/* How many bytes to show of input that is not a request. */
enum { RAW_MAX_BYTES = 1024 };

static const struct log_times times_unknown = {0, 0, 0};

static struct access_record *conn_record(struct sprig_conn *c, struct log_input *in)
{
    if (c->server->access_log->format.has_server) {
        in->server_name = span_str(c->listener->address.host);
        in->server_port = span_str(c->listener->address.port);
    }
    if (c->server->access_log->format.has_tls && c->transport.tls != NULL) {
        const char *protocol = "", *cipher = "";
        transport_tls_names(&c->transport, &protocol, &cipher);
        in->tls_protocol = span_str(protocol);
        in->tls_cipher = span_str(cipher);
    }
    return access_record_new(c->server->access_log, in);
}

/* Whether it is a request of the script that Sprig::Dev puts into pages. */
static bool is_of_dev(const struct sprig_server *server, const struct sprig_request *request)
{
    static const char prefix[] = "/__sprig__/";
    return server->config.dev && request->path.len >= sizeof prefix - 1 &&
           memcmp(request->path.ptr, prefix, sizeof prefix - 1) == 0;
}

void conn_log_request(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    if (c->listener == NULL || is_of_dev(c->server, &ex->in->request))
        return; /* one of our own requests, not a client's */
    struct log_input in = {.request = &ex->in->request};
    struct sprig_forwarded told;
    told.remote_host = span_make(NULL, 0);
    if (!cidr_list_is_empty(&c->server->trusted_proxies) && c->server->access_log->format.has_host)
        sprig_exchange_forwarded(ex, &told);
    in.host = told.remote_host.ptr ? told.remote_host : span_str(conn_client(c));
    if (!request_id_is_off(ex))
        in.request_id = exchange_request_id(ex);
    ex->record = conn_record(c, &in);
}

static struct access_record *conn_record_raw(struct sprig_conn *c, struct sprig_span bytes)
{
    while (bytes.len > 0 && (*bytes.ptr == '\r' || *bytes.ptr == '\n'))
        bytes.ptr++, bytes.len--;
    size_t n = 0;
    while (n < bytes.len && n < RAW_MAX_BYTES && bytes.ptr[n] != '\r' && bytes.ptr[n] != '\n')
        n++;
    struct log_input in = {.raw = span_make(bytes.ptr, n), .host = span_str(conn_client(c))};
    return conn_record(c, &in);
}

void conn_log_raw(struct sprig_exchange *ex, struct sprig_span bytes)
{
    if (ex->conn->listener != NULL)
        ex->record = conn_record_raw(ex->conn, bytes);
}

/* While an app keeps the loop, nobody notices that its client has closed, so the kernel is asked.
 * Over TCP the client may have closed only its sending side and still get the response; few do, and
 * nginx does not tell them apart either. */
static bool conn_left_unseen(const struct sprig_exchange *ex)
{
    const struct sprig_conn *c = ex->conn;
    uint64_t now = clock_ns(CLOCK_MONOTONIC_CHEAP);
    return now > ex->complete_ns + LEFT_UNSEEN_MS * NS_PER_MS &&
           c->transport.ops->closed(&c->transport) != SIDES_NONE;
}

void conn_log_head(struct sprig_exchange *ex, const struct sprig_head *head)
{
    ex->gone_early = ex->gone_early || conn_left_unseen(ex);
    access_record_headers(ex->record, head->headers, head->n_headers, head->length);
}

void conn_log_refusal(struct sprig_conn *c, struct sprig_exchange *ex, struct sprig_span bytes,
                      int status, const char *reason, uint64_t n_body)
{
    struct access_record *record = ex != NULL ? ex->record : NULL;
    if (record == NULL && c->server->access_log != NULL && c->listener != NULL && bytes.len > 0 &&
        c->origin != ORIGIN_AWAITED)
        record = conn_record_raw(c, bytes); /* an incomplete head */
    if (ex != NULL)
        ex->record = NULL;
    if (record != NULL)
        access_log_add(record, status, reason, n_body, &times_unknown);
}

static uint64_t since(uint64_t from_ns, uint64_t to_ns)
{
    return from_ns != 0 && to_ns > from_ns ? to_ns - from_ns : 0;
}

/* The times before the app was called, from there to the response, and until the response was sent.
 */
static struct log_times times_of(const struct sprig_exchange *ex)
{
    if (!ex->record->log->format.has_time)
        return times_unknown;
    uint64_t now = loop_clock(ex->conn->server->loop);
    uint64_t first = ex->first_ns != 0 ? ex->first_ns : now;
    return (struct log_times){since(ex->complete_ns, ex->app_ns) + ex->queued_ns,
                              since(ex->app_ns, first), since(first, now)};
}

/* A body that broke off counts as far as the kernel took it; the rest of the queue is framing and
 * earlier responses. */
void conn_log_end(struct sprig_exchange *ex, enum sprig_end why)
{
    const struct response *r = &ex->response;
    uint64_t n_lost = why == SPRIG_END_DONE ? 0 : ex->n_unsent;
    int status = r->head_out ? r->status : 0;
    if (ex->gone_early || (status == 0 && why == SPRIG_END_GONE))
        status = STATUS_CLIENT_LEFT;
    else if (status == 0 && why == SPRIG_END_ABORTED)
        status = 500;
    struct access_record *record = ex->record;
    struct log_times times = times_of(ex);
    ex->record = NULL;
    access_log_add(record, status, NULL, r->n_body > n_lost ? r->n_body - n_lost : 0, &times);
}

/* Leaves out the query, which may hold secrets. */
static void name_request(struct client_name *name, const struct sprig_request *r)
{
    const char *query = r->target.len > 0 ? memchr(r->target.ptr, '?', r->target.len) : NULL;
    size_t n = query != NULL ? (size_t)(query - r->target.ptr) : r->target.len;
    name->what[0] = '\0';
    if (r->target.len > 0)
        snprintf(name->what, sizeof name->what, "%.*s %.*s", (int)r->method.len, r->method.ptr,
                 (int)(n < INT_MAX ? n : INT_MAX), r->target.ptr);
}

struct client_name conn_client_name(struct sprig_conn *c, struct sprig_exchange *ex)
{
    struct client_name name;
    struct sprig_forwarded told;
    struct sprig_span host = span_str(conn_client(c));
    if (ex != NULL && exchange_client(ex).len > 0) {
        host = exchange_client(ex);
    } else if (ex != NULL && ex->in->request.n_headers > 0) {
        sprig_exchange_forwarded(ex, &told);
        host = told.remote_host;
    }
    size_t n = host.len < sizeof name.text ? host.len : sizeof name.text - 1;
    memcpy(name.text, host.ptr, n);
    name.text[n] = '\0';
    struct sprig_span id = {NULL, 0};
    if (ex != NULL && (ex->n_request_id > 0 || ex->in->request.n_headers > 0))
        id = exchange_request_id(ex);
    name.n_id = (uint8_t)id.len;
    if (id.len > 0)
        memcpy(name.id, id.ptr, id.len);
    name.what[0] = '\0';
    if (ex != NULL && ex->in->request.n_headers > 0)
        name_request(&name, &ex->in->request);
    return name;
}

void conn_tell_of(struct sprig_conn *c, const struct client_name *client, int status,
                  const char *reason)
{
    struct log_request before;
    log_request_enter(span_make(client->id, client->n_id), &before);
    refusals_tell(&c->server->refusals, status, client->text, reason, client->what);
    log_request_leave(&before);
}

void conn_tell(struct sprig_conn *c, struct sprig_exchange *ex, int status, const char *reason)
{
    struct client_name client = conn_client_name(c, ex);
    conn_tell_of(c, &client, status, reason);
}

void sprig_exchange_tell(struct sprig_exchange *ex, int status, const char *reason,
                         struct sprig_span detail)
{
    struct client_name client = conn_client_name(ex->conn, ex);
    if (detail.len > 0)
        snprintf(client.what, sizeof client.what, "%.*s",
                 (int)(detail.len < sizeof client.what ? detail.len : sizeof client.what),
                 detail.ptr);
    conn_tell_of(ex->conn, &client, status, reason);
}

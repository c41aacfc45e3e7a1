/* describe.c - lists a server's connections for the admin listener. */
#include "serve/conn.h"

#include "base/clock.h"
#include "base/stats.h"
#include <stdio.h>

static const char *state_of(const struct sprig_conn *c, const struct sprig_exchange *ex)
{
    static const char *const names[] = {
        [CONN_OPEN] = "idle",
        [CONN_LINGER] = "lingering",
        [CONN_DETACHED] = "detached",
        [CONN_CLOSED] = "closed",
    };
    if (ex == NULL || c->state != CONN_OPEN)
        return names[c->state];
    if (ex->is_half_sent)
        return "streaming";
    if (list_linked(&ex->wait))
        return "waiting";
    return ex->is_started ? "app" : "request";
}

static double seconds_since(uint64_t then_ns, uint64_t now_ns)
{
    return then_ns != 0 && then_ns < now_ns ? (double)(now_ns - then_ns) / 1e9 : 0;
}

/* The client of the request, if a proxy has named it; otherwise the peer. */
static void print_client(const struct sprig_conn *c, const struct sprig_exchange *ex, char *buf,
                         size_t n)
{
    const char *port = c->remote_host + c->remote_port_at;
    struct sprig_span client = ex != NULL ? exchange_client(ex) : span_make(NULL, 0);
    if (client.len > 0)
        snprintf(buf, n, "%.*s", (int)client.len, client.ptr);
    else
        snprintf(buf, n, "%s%s%s", conn_client(c), *port != '\0' ? " " : "",
                 conn_proxied(c) == NULL ? port : "");
}

static void describe(const struct sprig_conn *c, struct stats_conn *out, uint64_t now)
{
    const struct sprig_exchange *ex = NULL;
    if (c->state == CONN_OPEN && c->protocol->at_work != NULL)
        ex = c->protocol->at_work(c);
    *out = (struct stats_conn){.n_requests = c->n_requests};
    print_client(c, ex, out->client, sizeof out->client);
    snprintf(out->state, sizeof out->state, "%s", state_of(c, ex));
    out->buffered_bytes = c->out.size < UINT32_MAX ? (uint32_t)c->out.size : UINT32_MAX;
    if (ex == NULL)
        return;
    out->state_age = seconds_since(ex->complete_ns, now);
    struct sprig_span label = exchange_label(ex);
    const struct sprig_request *req = &ex->in->request;
    if (label.len == 0 && req->own != NULL) /* it has not been started yet */
        snprintf(out->request, sizeof out->request, "%.*s %.*s", (int)req->method.len,
                 req->method.ptr, (int)req->path.len, req->path.ptr);
    else
        snprintf(out->request, sizeof out->request, "%.*s", (int)label.len, label.ptr);
}

void server_describe(struct look_hook *h)
{
    struct sprig_server *server = list_entry(h, struct sprig_server, look_hook);
    struct stats *s = stats_own;
    uint64_t now = clock_monotonic_ns();
    list_foreach (it, &server->conns) {
        const struct sprig_conn *c = list_entry(it, struct sprig_conn, link);
        if (c->state == CONN_CLOSED)
            continue;
        if (s->n_conns >= STATS_MAX_CONNS)
            s->n_conns_left_out++;
        else
            describe(c, &s->conns[s->n_conns++], now);
    }
}

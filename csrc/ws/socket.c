/* socket.c - one WebSocket: its beginning, its end, and its timing. */
#include "ws/socket.h"

#include "serve/conn.h"

/* ---------------------------------------------------------------- beginning ---- */

static void agree_on_deflate(struct sprig_ws *ws, const struct sprig_ws_offer *offer,
                             struct sprig_ws_answer *answer)
{
    const struct sprig_ws_options *o = &ws->settings->options;
    bool takeover = o->deflate == SPRIG_WS_DEFLATE_OWN;
    uint8_t bits = takeover ? (uint8_t)o->deflate_window_bits : 15;
    answer->n_extension = 0;
    if (o->deflate == SPRIG_WS_DEFLATE_OFF || !ws_deflate_is_there())
        return;
    ws->terms = (struct ws_deflate_terms){takeover, takeover, bits, bits};
    answer->n_extension = ws_handshake_deflate(offer->extensions, &ws->terms, answer->extension);
    ws->is_compressed = answer->n_extension > 0;
}

struct sprig_ws *sprig_ws_new(struct sprig_exchange *ex, struct sprig_ws_group *group,
                              const struct sprig_ws_offer *offer,
                              const struct sprig_ws_options *options,
                              const struct sprig_ws_handler *handler, void *arg,
                              struct sprig_ws_answer *answer)
{
    struct sprig_ws *ws = calloc(1, sizeof *ws);
    if (ws == NULL || (ws->settings = ws_settings_take(group, options, handler)) == NULL) {
        free(ws);
        return NULL;
    }
    ws->ex = ex;
    ws->arg = arg;
    ws->refs = 2; /* the bridge's and the exchange's */
    list_init(&ws->link);
    list_init(&ws->watches);
    deadline_init(&ws->deadline);
    if (offer->key.len > 0)
        ws_handshake_accept(offer->key, answer->accept);
    else
        memset(answer->accept, '-', sizeof answer->accept); /* HTTP/2 needs none, and drops it */
    agree_on_deflate(ws, offer, answer);
    return ws;
}

static void send_early(struct sprig_ws *ws)
{
    struct ws_backlog *b = ws->backlog;
    if (b == NULL)
        return;
    if (b->early.n > 0)
        sprig_response_write(ws->ex, ws_buffer_span(&b->early));
    ws_backlog_drop(ws);
}

int sprig_ws_open(struct sprig_ws *ws)
{
    if (ws->state != WS_STATE_WAITING || ws->ex == NULL)
        return SPRIG_E_CLOSED;
    struct ws_settings *settings = ws->settings;
    int rc =
        sprig_exchange_open_tunnel(ws->ex, settings->options.queue_policy == SPRIG_WS_POLICY_SPILL);
    if (rc != 0)
        return rc;
    ws_ref(ws);
    ws->state = ws->is_broken ? WS_STATE_CLOSING : WS_STATE_OPEN; /* or it was closed before it
                                                                   * opened */
    ws->is_broken = false;
    send_early(ws);
    deadline_set(ws->state == WS_STATE_OPEN ? &settings->ping : &settings->close, &ws->deadline);
    ws_adjust_reading(ws);
    ws_group_enter(ws);
    ws_unref(ws);
    return 0;
}

/* --------------------------------------------------------------------- time ---- */

/* Nothing can be learnt about the peer while nothing is read. */
static bool is_deaf(const struct sprig_ws *ws)
{
    return ws->has_message || ws_has_kept(ws);
}

/* Sets the time of the next Ping or, without Pings, of the next look at a socket that is not read.
 */
static void await_ping_time(struct sprig_ws *ws)
{
    if (ws_pings(ws) || is_deaf(ws))
        deadline_set(&ws->settings->ping, &ws->deadline);
}

/* An application that does not ask for messages does not notice the client's end, either. If it has
 * not asked since the last look, and the client has closed, it will not miss anything. */
static void look_at_deaf(struct sprig_ws *ws)
{
    const struct transport *t = &ws->ex->conn->transport;
    bool is_forgotten = ws->is_unasked;
    ws->is_unasked = true;
    if (is_forgotten && t->ops->closed(t) != SIDES_NONE)
        ws_lost(ws, NULL);
    else if (ws_pings(ws) && sprig_ws_buffered(ws) == 0)
        ws_send_control(ws, WS_PING, WS_HEARTBEAT); /* the kernel learns whether anybody is there */
}

static void on_ping_time(struct sprig_ws *ws)
{
    struct ws_settings *settings = ws->settings;
    if (is_deaf(ws)) {
        look_at_deaf(ws);
    } else if (ws->is_pinged) {
        ws_lost(ws, "websocket_ping_timeout: the peer is silent");
    } else if (ws_pings(ws)) {
        ws->is_pinged = settings->options.ping_timeout > 0;
        ws_send_control(ws, WS_PING, WS_HEARTBEAT);
    }
    if (ws->state == WS_STATE_OPEN && ws->is_pinged)
        deadline_set(&settings->pong, &ws->deadline);
    else if (ws->state == WS_STATE_OPEN)
        await_ping_time(ws);
}

int sprig_ws_set_ping(struct sprig_ws *ws, double interval, double timeout)
{
    struct ws_settings *old = ws->settings;
    struct sprig_ws_options options = old->options;
    options.ping_interval = interval;
    options.ping_timeout = timeout;
    struct ws_settings *fresh = ws_settings_take(old->group, &options, old->handler);
    if (fresh == NULL)
        return SPRIG_E_NOMEM;
    ws->settings = fresh;
    if (ws->state == WS_STATE_OPEN) {
        deadline_clear(&ws->deadline);
        ws->is_pinged = false;
        deadline_set(&fresh->ping, &ws->deadline);
    }
    ws_settings_unref(old);
    return 0;
}

void ws_due(struct sprig_ws *ws)
{
    if (ws->ex == NULL || !sprig_exchange_is_live(ws->ex))
        return; /* its end is on its way; or this is a forked child, and the socket belongs to the
                 * parent */
    ws_ref(ws);
    if (ws->state == WS_STATE_CLOSING)
        ws_lost(ws, NULL);
    else if (ws->state == WS_STATE_OPEN)
        on_ping_time(ws);
    ws_unref(ws);
}

/* ---------------------------------------------------------------------- end ---- */

/* Drops everything except queued output. */
static void let_go(struct sprig_ws *ws)
{
    struct list_link *first;
    ws->state = WS_STATE_CLOSED;
    ws->has_message = false;
    deadline_clear(&ws->deadline);
    ws_group_leave(ws);
    ws_backlog_drop(ws);
    while ((first = list_first(&ws->watches)) != NULL) {
        list_remove(first);
        struct sprig_ws_watch *watch = list_entry(first, struct sprig_ws_watch, link);
        watch->on_end(watch);
    }
}

static void tell_closed(struct sprig_ws *ws, uint16_t code, struct sprig_span reason)
{
    if (ws->arg != NULL)
        ws->settings->handler->on_close(ws, code, reason, ws->arg);
}

/* Tells the bridge first, because its object ends with the exchange. The reason may be part of the
 * kept input. */
void ws_finish(struct sprig_ws *ws, uint16_t code, struct sprig_span reason)
{
    char text[WS_MAX_REASON];
    if (ws->state == WS_STATE_CLOSED)
        return;
    ws_ref(ws);
    if (reason.len > 0)
        memcpy(text, reason.ptr, reason.len);
    let_go(ws);
    tell_closed(ws, code, span_make(text, reason.len));
    if (ws->ex != NULL)
        sprig_response_end(ws->ex);
    ws_unref(ws);
}

void ws_fail(struct sprig_ws *ws, int code, const char *reason)
{
    if (ws->state == WS_STATE_CLOSED || ws->is_broken)
        return;
    ws_ref(ws);
    ws->is_broken = true;
    if (ws->state == WS_STATE_OPEN)
        ws_send_close(ws, (uint16_t)code, span_str(reason));
    if (ws->arg != NULL)
        ws->settings->handler->on_error(ws, reason, ws->arg);
    ws_finish(ws, (uint16_t)code, span_str(reason));
    ws_unref(ws);
}

void ws_lost(struct sprig_ws *ws, const char *reason)
{
    if (ws->state == WS_STATE_CLOSED)
        return;
    ws_ref(ws);
    let_go(ws);
    if (reason != NULL && ws->arg != NULL)
        ws->settings->handler->on_error(ws, reason, ws->arg);
    tell_closed(ws, WS_CLOSE_ABNORMAL, span_make(NULL, 0));
    if (ws->ex != NULL)
        sprig_response_cut(ws->ex, "the WebSocket is over");
    ws_unref(ws);
}

void sprig_ws_sever(struct sprig_ws *ws)
{
    ws->ex = NULL;
    ws_lost(ws, NULL);
    ws_unref(ws);
}

void sprig_ws_free(struct sprig_ws *ws)
{
    ws->arg = NULL;
    if (ws->state == WS_STATE_OPEN)
        sprig_ws_close(ws, WS_CLOSE_GOING_AWAY, span_make(NULL, 0));
    ws_unref(ws);
}

void ws_unref(struct sprig_ws *ws)
{
    if (--ws->refs > 0)
        return;
    let_go(ws);
    ws_deflate_end(ws->deflate);
    ws_inflate_end(ws->settings->group->zlib, ws->inflate);
    ws_settings_unref(ws->settings);
    free(ws);
}

int sprig_ws_close(struct sprig_ws *ws, uint16_t code, struct sprig_span reason)
{
    if (!sprig_ws_is_open(ws))
        return SPRIG_E_STATE;
    int rc = ws_send_close(ws, code, reason);
    if (rc != 0)
        return rc;
    if (ws->state == WS_STATE_WAITING) {
        ws->is_broken = true; /* nothing more can be sent on it */
        return 0;
    }
    ws->state = WS_STATE_CLOSING;
    ws->has_message = false;
    if (ws->backlog != NULL)
        ws_buffer_clear(&ws->backlog->message);
    deadline_set(&ws->settings->close, &ws->deadline);
    if (ws_has_kept(ws))
        ws_resume_later(ws);
    else
        ws_adjust_reading(ws);
    return 0;
}

void sprig_ws_abort(struct sprig_ws *ws)
{
    ws_lost(ws, NULL);
}

bool sprig_ws_is_open(const struct sprig_ws *ws)
{
    return ws->ex != NULL && !ws->is_broken && ws->state < WS_STATE_CLOSING;
}

struct sprig_exchange *sprig_ws_exchange(const struct sprig_ws *ws)
{
    return ws->ex;
}

void sprig_ws_watch(struct sprig_ws *ws, struct sprig_ws_watch *watch)
{
    list_append(&ws->watches, &watch->link);
}

/* ------------------------------------------------------------------ reading ---- */

void ws_adjust_reading(struct sprig_ws *ws)
{
    if (ws->ex == NULL || !ws_is_live(ws))
        return;
    sprig_exchange_read_body(ws->ex, !is_deaf(ws));
    if (ws->state == WS_STATE_OPEN && !list_linked(&ws->deadline.link))
        await_ping_time(ws);
}

void sprig_ws_want(struct sprig_ws *ws, bool on)
{
    ws->is_wanted = on;
    ws->is_unasked &= !on;
    if (on && ws_is_live(ws) && is_deaf(ws))
        ws_resume_later(ws);
}

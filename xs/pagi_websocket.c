/* pagi_websocket.c - a PAGI scope of the type websocket; see pagi_websocket.h */
#include "pagi_websocket.h"
#include "exchange.h"
#include "pagi_connection.h"
#include "pagi_receive.h"
#include "pagi_response.h"
#include "server.h"

/* ---- events from the core ---- */

static SV *message_sv(pTHX_ struct sprig_span bytes, bool is_binary)
{
    SV *sv = newSVpvn(bytes.len > 0 ? bytes.ptr : "", bytes.len);

    if (!is_binary && !is_utf8_invariant_string((const U8 *)SvPVX(sv), SvCUR(sv)))
        SvUTF8_on(sv);
    return sv;
}

static void on_message(struct sprig_ws *ws, struct sprig_span bytes, bool is_binary, void *arg)
{
    struct psgi_scope *scope = arg;
    dTHXa(scope->server->psgi->perl);
    SV *event = psgi_scope_event(aTHX_ "websocket.receive");

    PERL_UNUSED_VAR(ws);
    (void)hv_store(psgi_scope_fields(event), is_binary ? "bytes" : "text", is_binary ? 5 : 4,
                   message_sv(aTHX_ bytes, is_binary), 0);
    psgi_scope_ref(scope);
    psgi_scope_deliver(aTHX_ scope, event);
    psgi_scope_adjust(scope);
    psgi_scope_unref(aTHX_ scope);
}

static void on_pong(struct sprig_ws *ws, struct sprig_span payload, void *arg)
{
    PERL_UNUSED_VAR(ws);
    PERL_UNUSED_VAR(payload);
    PERL_UNUSED_VAR(arg);
}

/* on_close follows. */
static void on_error(struct sprig_ws *ws, const char *reason, void *arg)
{
    struct psgi_scope *scope = arg;
    dTHXa(scope->server->psgi->perl);

    PERL_UNUSED_VAR(ws);
    if (strstr(reason, "ping_timeout") != NULL)
        scope->failure = "keepalive_timeout";
    else
        scope->failure = strEQ(reason, "out of memory") ? "server_error" : "protocol_error";
    psgi_scope_keep_detail(aTHX_ scope, newSVpvn_flags(reason, strlen(reason), SVs_TEMP));
}

/* Both ends have sent Close, and the server did not begin. */
static bool is_clean(const struct psgi_scope *scope, uint16_t code)
{
    bool is_ours = scope->server->is_leaving && !scope->is_closed;

    return code != 1006 && scope->failure == NULL && !is_ours;
}

/* Why it is over, if not cleanly. */
static const char *reason_of(pTHX_ struct psgi_scope *scope)
{
    bool is_there = psgi_scope_exchange(scope) != NULL && !sprig_exchange_is_gone(scope->px->ex);

    if (scope->failure != NULL)
        return scope->failure;
    if (scope->is_closed && is_there)
        return "client_timeout"; /* the client has not answered our Close */
    return psgi_scope_loss(aTHX_ scope, scope->server->is_leaving && !scope->is_closed
                                            ? "server_shutdown"
                                            : "client_closed");
}

static void on_close(struct sprig_ws *ws, uint16_t code, struct sprig_span reason, void *arg)
{
    struct psgi_scope *scope = arg;
    dTHXa(scope->server->psgi->perl);

    PERL_UNUSED_VAR(ws);
    if (scope->close_code != 0)
        return; /* its end is already known */
    scope->close_code = code;
    psgi_scope_ref(scope);
    if (is_clean(scope, code)) {
        scope->close_reason = message_sv(aTHX_ reason, false);
        psgi_scope_served(aTHX_ scope);
    } else {
        psgi_scope_left(aTHX_ scope, reason_of(aTHX_ scope));
    }
    psgi_scope_tell_over(aTHX_ scope);
    psgi_scope_unref(aTHX_ scope);
}

static const struct sprig_ws_handler websocket_handler = {on_message, on_pong, on_error, on_close};

/* ---- accepting ---- */

static bool is_allowed(const struct psgi_scope *scope)
{
    return sprig_ws_admits(scope->px->ex, &scope->offer,
                           psgi_exchange_config(scope->px)->websocket_origins);
}

static struct sprig_ws *socket_new(struct psgi_scope *scope, struct sprig_ws_answer *answer)
{
    struct sprig_ws_group *group = psgi_server_websockets(scope->server);
    struct sprig_ws_options options;

    if (group == NULL)
        return NULL;
    sprig_ws_options_read(&options, psgi_exchange_config(scope->px));
    return sprig_ws_new(scope->px->ex, group, &scope->offer, &options, &websocket_handler, scope,
                        answer);
}

/* Leaves out a subprotocol that the client has not offered, because the client would give up. */
static bool add_protocol(pTHX_ struct psgi_scope *scope, struct psgi_event *ev,
                         struct psgi_head *head)
{
    struct sprig_span protocol;

    if (!psgi_event_text(aTHX_ ev, "subprotocol", &protocol))
        return false;
    if (protocol.len == 0)
        return true;
    if (sprig_ws_offers(&scope->offer, protocol))
        psgi_head_add(head, SPAN_LIT("Sec-WebSocket-Protocol"), protocol);
    else
        sprig_log(SPRIG_LOG_WARN, "left out subprotocol '%.*s': the client does not offer it",
                  (int)protocol.len, protocol.ptr);
    return true;
}

static bool send_101(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, struct psgi_head *head,
                     const struct sprig_ws_answer *answer)
{
    psgi_head_add(head, SPAN_LIT("Upgrade"), SPAN_LIT("websocket"));
    psgi_head_add(head, SPAN_LIT("Connection"), SPAN_LIT("Upgrade"));
    psgi_head_add(head, SPAN_LIT("Sec-WebSocket-Accept"),
                  span_make(answer->accept, SPRIG_WS_ACCEPT_LEN));
    if (answer->n_extension > 0)
        psgi_head_add(head, SPAN_LIT("Sec-WebSocket-Extensions"),
                      span_make(answer->extension, answer->n_extension));
    head->status = 101;
    return add_protocol(aTHX_ scope, ev, head) && psgi_scope_start(aTHX_ scope, ev, head);
}

static void open_socket(struct psgi_scope *scope)
{
    struct psgi_exchange *px = scope->px;

    scope->is_accepted = true;
    sprig_ws_offer_clear(&scope->offer);
    if (sprig_ws_open(scope->ws) == 0 && px->ex != NULL)
        sprig_exchange_end_after_flush(px->ex);
    psgi_scope_adjust(scope);
}

static bool refuse_page(pTHX_ struct psgi_scope *scope, struct psgi_event *ev);

static bool accept_socket(pTHX_ struct psgi_scope *scope, struct psgi_event *ev)
{
    struct sprig_ws_answer answer;
    struct psgi_head head;

    if (scope->response != RESPONSE_NEW)
        return psgi_event_refuse(aTHX_ ev, "the handshake was answered before");
    if (!psgi_event_headers(aTHX_ ev, &head))
        return false;
    if (!is_allowed(scope))
        return refuse_page(aTHX_ scope, ev);
    scope->ws = socket_new(scope, &answer);
    if (scope->ws == NULL)
        return psgi_event_refuse(aTHX_ ev, "out of memory");
    if (send_101(aTHX_ scope, ev, &head, &answer)) {
        open_socket(scope);
        return true;
    }
    struct sprig_ws *ws = scope->ws;
    scope->ws = NULL;
    sprig_ws_free(ws);
    sprig_ws_sever(ws);
    return false;
}

/* ---- refusing ---- */

static bool send_403(pTHX_ struct psgi_scope *scope, struct psgi_event *ev)
{
    struct psgi_head head = {.status = 403, .n = 0};

    head.headers = head.few;
    psgi_head_add(&head, SPAN_LIT("content-type"), SPAN_LIT("text/plain"));
    psgi_head_add(&head, SPAN_LIT("connection"), SPAN_LIT("close"));
    if (!psgi_scope_start(aTHX_ scope, ev, &head))
        return false;
    if (psgi_scope_exchange(scope) != NULL)
        sprig_response_write(scope->px->ex, SPAN_LIT("Forbidden\n"));
    scope->is_declined = true;
    psgi_scope_finish(aTHX_ scope);
    return true;
}

/* websocket_origins: tells the application, too. */
static bool refuse_page(pTHX_ struct psgi_scope *scope, struct psgi_event *ev)
{
    send_403(aTHX_ scope, ev);
    return psgi_event_refuse(aTHX_ ev, "websocket_origins: the page that asks is not allowed to");
}

static bool read_close(pTHX_ struct psgi_event *ev, uint64_t *code, struct sprig_span *reason)
{
    *code = 1000;
    if (!psgi_event_count(aTHX_ ev, "code", 65535, code) ||
        !psgi_event_text(aTHX_ ev, "reason", reason))
        return false;
    if (!sprig_ws_code_is_valid((uint32_t)*code))
        return psgi_event_refuse(aTHX_ ev, "code %d may not be sent", (int)*code);
    if (reason->len > 123)
        return psgi_event_refuse(aTHX_ ev, "reason has more than 123 bytes");
    return true;
}

static bool close_socket(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait)
{
    struct sprig_span reason;
    uint64_t code;

    PERL_UNUSED_VAR(wait);
    if (!read_close(aTHX_ ev, &code, &reason))
        return false;
    scope->is_closed = true;
    if (scope->ws != NULL)
        sprig_ws_close(scope->ws, (uint16_t)code, reason);
    return true;
}

/* ---- messages ---- */

static bool send_message(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait)
{
    struct sprig_span text;
    SV *bytes;
    int rc;

    if (!psgi_event_text(aTHX_ ev, "text", &text) || !psgi_event_bytes(aTHX_ ev, "bytes", &bytes))
        return false;
    if ((text.ptr != NULL) == (bytes != NULL))
        return psgi_event_refuse(aTHX_ ev, "give either text or bytes");
    if (scope->ws == NULL || psgi_scope_exchange(scope) == NULL)
        return true;
    if (bytes != NULL)
        text = span_make(SvPVX_const(bytes), SvCUR(bytes));
    rc = sprig_ws_send(scope->ws, text, bytes != NULL);
    if (rc >= 0 && scope->ws != NULL && psgi_scope_exchange(scope) != NULL)
        *wait =
            psgi_scope_is_full(aTHX_ scope, sprig_ws_buffered(scope->ws) >
                                                psgi_exchange_config(scope->px)->high_water_bytes);
    return true;
}

static bool keep_alive(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait)
{
    double interval = -1, timeout = 0;

    PERL_UNUSED_VAR(wait);
    if (!psgi_event_seconds(aTHX_ ev, "interval", &interval) ||
        !psgi_event_seconds(aTHX_ ev, "timeout", &timeout))
        return false;
    if (interval < 0)
        return psgi_event_refuse(aTHX_ ev, "interval is missing");
    if (scope->ws != NULL && sprig_ws_set_ping(scope->ws, interval, timeout) != 0)
        return psgi_event_refuse(aTHX_ ev, "out of memory");
    return true;
}

static bool check_order(pTHX_ struct psgi_scope *scope, struct psgi_event *ev)
{
    if (scope->is_closed)
        return psgi_event_refuse(aTHX_ ev, "the WebSocket was closed by websocket.close");
    if (!scope->is_accepted)
        return psgi_event_refuse(aTHX_ ev, scope->is_declined
                                               ? "the WebSocket was refused by http.response.start"
                                               : "send websocket.accept first");
    return true;
}

/* The events that an open WebSocket takes; NULL for others. */
typedef bool send_open(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait);

static send_open *sender_of(const struct psgi_event *ev)
{
    if (psgi_event_is(ev, "websocket.send"))
        return send_message;
    if (psgi_event_is(ev, "websocket.keepalive"))
        return keep_alive;
    return psgi_event_is(ev, "websocket.close") ? close_socket : NULL;
}

bool psgi_scope_send_websocket(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait)
{
    send_open *send = sender_of(ev);

    if (send != NULL)
        return check_order(aTHX_ scope, ev) && send(aTHX_ scope, ev, wait);
    if (psgi_event_is(ev, "websocket.accept"))
        return accept_socket(aTHX_ scope, ev);
    if (!psgi_scope_is_http_event(ev))
        return psgi_event_refuse(aTHX_ ev, "there is no such event for a websocket scope");
    if (scope->is_accepted)
        return psgi_event_refuse(aTHX_ ev, "the WebSocket was accepted before");
    return psgi_scope_send_http(aTHX_ scope, ev, wait);
}

/* ---- its end ---- */

bool psgi_scope_is_closing(const struct psgi_scope *scope)
{
    return scope->is_accepted && (scope->is_closed || scope->close_code != 0);
}

void psgi_scope_abandon_websocket(pTHX_ struct psgi_scope *scope, SV *message)
{
    enum { INTERNAL_ERROR = 1011 };

    if (scope->ws == NULL || psgi_scope_is_closing(scope))
        return;
    psgi_scope_ref(scope);
    psgi_scope_keep_detail(aTHX_ scope, message);
    scope->is_closed = true;
    scope->close_code = INTERNAL_ERROR;
    sprig_ws_close(scope->ws, INTERNAL_ERROR, SPAN_LIT("internal error"));
    psgi_scope_left(aTHX_ scope, "server_error");
    psgi_scope_tell_over(aTHX_ scope);
    psgi_scope_unref(aTHX_ scope);
}

void psgi_scope_end_websocket(struct psgi_scope *scope)
{
    struct sprig_ws *ws = scope->ws;

    if (ws == NULL)
        return;
    sprig_ws_sever(ws); /* calls on_close if it has not been called */
    scope->ws = NULL;
    sprig_ws_free(ws);
}

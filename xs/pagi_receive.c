/* pagi_receive.c - what a PAGI application gets from $receive: the request body in pieces, a
 * WebSocket's messages, and the end. */
#include "pagi_receive.h"
#include "pagi_future.h"

#include <unistd.h>

enum {
    BODY_PIECE_BYTES = 64 * 1024,  /* of a body in a file */
    QUEUED_MESSAGES_BYTES = 65536, /* of a WebSocket, not asked for yet */
    QUEUED_MESSAGES = 64
};

/* ---- events ---- */

SV *psgi_scope_event(pTHX_ const char *type)
{
    HV *hv = newHV();

    (void)hv_stores(hv, "type", newSVpv(type, 0));
    return newRV_noinc((SV *)hv);
}

/* `bytes` is taken. */
static SV *body_event(pTHX_ const struct psgi_scope *scope, SV *bytes, bool more)
{
    SV *event = psgi_scope_event(aTHX_ scope->type == SCOPE_SSE ? "sse.request" : "http.request");

    (void)hv_stores(psgi_scope_fields(event), "body", bytes);
    (void)hv_stores(psgi_scope_fields(event), "more", newSViv(more));
    return event;
}

static SV *end_event(pTHX_ const struct psgi_scope *scope)
{
    static const char *const types[] = {"http.disconnect", "sse.disconnect",
                                        "websocket.disconnect"};
    bool was_refused = scope->is_declined && scope->reason == NULL;
    enum psgi_scope_type type = was_refused ? SCOPE_HTTP : scope->type;
    SV *event = psgi_scope_event(aTHX_ types[type]);
    HV *hv = psgi_scope_fields(event);
    const char *reason = scope->reason != NULL ? scope->reason : "";

    if (type == SCOPE_WEBSOCKET)
        (void)hv_stores(hv, "code", newSVuv(scope->close_code != 0 ? scope->close_code : 1006));
    if (type != SCOPE_HTTP && scope->close_reason != NULL)
        (void)hv_stores(hv, "reason", newSVsv(scope->close_reason));
    else if (type != SCOPE_HTTP)
        (void)hv_stores(hv, "reason", newSVpv(reason, 0));
    return event;
}

/* ---- the body ---- */

void psgi_scope_take_body(pTHX_ struct psgi_scope *scope)
{
    struct sprig_body body;

    scope->body_streams = sprig_exchange_is_streaming(scope->px->ex);
    if (scope->body_streams)
        return;
    sprig_exchange_take_body(scope->px->ex, &body);
    scope->body_fd = body.fd;
    scope->body_left = body.size;
    if (body.fd < 0 && body.mem.len > 0)
        scope->body = newSVpvn(body.mem.ptr, body.mem.len);
}

/* Reads a piece of the file. A read error counts as a client that has left. */
static SV *next_piece(pTHX_ struct psgi_scope *scope)
{
    size_t n = scope->body_left < BODY_PIECE_BYTES ? (size_t)scope->body_left : BODY_PIECE_BYTES;
    SV *bytes = newSV(n + 1);
    ssize_t got = read(scope->body_fd, SvPVX(bytes), n);

    SvPOK_only(bytes);
    SvCUR_set(bytes, got > 0 ? (STRLEN)got : 0);
    *SvEND(bytes) = '\0';
    scope->body_left = got > 0 ? scope->body_left - (uint64_t)got : 0;
    if (scope->body_left == 0) {
        close(scope->body_fd);
        scope->body_fd = -1;
    }
    return bytes;
}

static SV *next_of_body(pTHX_ struct psgi_scope *scope)
{
    SV *bytes = scope->body;

    if (scope->body_fd >= 0)
        bytes = next_piece(aTHX_ scope);
    else if (bytes == NULL)
        bytes = newSVpvs("");
    scope->body = NULL;
    scope->body_is_read = scope->body_fd < 0;
    return body_event(aTHX_ scope, bytes, !scope->body_is_read);
}

static void read_on(struct psgi_scope *scope)
{
    if (scope->body_streams && !scope->body_is_read && psgi_scope_exchange(scope) != NULL)
        sprig_exchange_read_body(scope->px->ex,
                                 scope->waiting != NULL && AvFILLp(scope->waiting) >= 0);
}

void psgi_scope_body(pTHX_ struct psgi_scope *scope, struct sprig_span bytes, bool is_last)
{
    SV *piece = newSVpvn(bytes.len > 0 ? bytes.ptr : "", bytes.len);

    scope->body_is_read = is_last;
    psgi_scope_deliver(aTHX_ scope, body_event(aTHX_ scope, piece, !is_last));
    read_on(scope);
}

/* ---- waiting for events ---- */

static bool has_events(const struct psgi_scope *scope)
{
    return scope->events != NULL && AvFILLp(scope->events) >= 0;
}

/* True if nothing more will come. */
static bool is_over(const struct psgi_scope *scope)
{
    if (scope->type == SCOPE_WEBSOCKET && !scope->is_declined)
        return scope->close_code != 0 || scope->px == NULL ||
               (!scope->is_accepted && scope->reason != NULL);
    return !psgi_scope_is_connected(scope) || scope->px == NULL ||
           scope->response == RESPONSE_COMPLETE;
}

static uint64_t size_of_message(pTHX_ SV *event)
{
    SV **sv = hv_fetchs(psgi_scope_fields(event), "text", 0);

    if (sv == NULL)
        sv = hv_fetchs(psgi_scope_fields(event), "bytes", 0);
    return sv != NULL && SvPOK(*sv) ? SvCUR(*sv) : 0;
}

void psgi_scope_adjust(struct psgi_scope *scope)
{
    bool wants = !has_events(scope) || (scope->n_queued_bytes < QUEUED_MESSAGES_BYTES &&
                                        AvFILLp(scope->events) < QUEUED_MESSAGES);

    if (scope->ws != NULL)
        sprig_ws_want(scope->ws, wants);
}

/* The next event, owned by the caller; NULL: there is none yet. */
static SV *next_event(pTHX_ struct psgi_scope *scope)
{
    SV *event;

    if (scope->type == SCOPE_WEBSOCKET && !scope->connect_told) {
        scope->connect_told = true;
        return psgi_scope_event(aTHX_ "websocket.connect");
    }
    if (has_events(scope)) {
        event = av_shift(scope->events);
        if (scope->type == SCOPE_WEBSOCKET) {
            scope->n_queued_bytes -= size_of_message(aTHX_ event);
            psgi_scope_adjust(scope);
        }
        return event;
    }
    if (scope->type != SCOPE_WEBSOCKET && !scope->body_streams && !scope->body_is_read)
        return next_of_body(aTHX_ scope);
    return is_over(scope) ? end_event(aTHX_ scope) : NULL;
}

SV *psgi_scope_receive(pTHX_ struct psgi_scope *scope)
{
    SV *event = next_event(aTHX_ scope), *future;

    if (event != NULL) {
        future = psgi_future_done(aTHX_ event);
        SvREFCNT_dec(event);
        return future;
    }
    future = psgi_future_new(aTHX);
    if (scope->waiting == NULL)
        scope->waiting = newAV();
    av_push(scope->waiting, newRV_inc(SvRV(future)));
    read_on(scope);
    return future;
}

XS(psgi_scope_receive_xs)
{
    dXSARGS;
    struct psgi_scope *scope;

    psgi_get(aTHX); /* croaks in another thread, where the copy of the CV points nowhere */
    PERL_UNUSED_VAR(items);
    scope = psgi_scope_of_sub(cv);
    scope->n_calls++;
    ST(0) = sv_2mortal(psgi_scope_receive(aTHX_ scope));
    scope->n_calls--;
    XSRETURN(1);
}

/* ---- settling ---- */

/* The future may run code of the application; takes the exception. */
static void report(pTHX_ struct psgi_scope *scope, SV *error)
{
    if (error != NULL)
        psgi_scope_report(aTHX_ scope, error);
    SvREFCNT_dec(error);
}

/* The value (borrowed) may be NULL. */
static void settle(pTHX_ struct psgi_scope *scope, SV *future, SV *value)
{
    report(aTHX_ scope, psgi_future_settle(aTHX_ future, value));
}

/* The first future that still waits, skipping those that were cancelled after losing a race. Owned
 * by the caller, or NULL. */
static SV *next_waiting(pTHX_ struct psgi_scope *scope)
{
    while (scope->waiting != NULL && AvFILLp(scope->waiting) >= 0) {
        SV *future = av_shift(scope->waiting);
        if (!psgi_future_is_ready(aTHX_ future))
            return future;
        SvREFCNT_dec(future);
    }
    return NULL;
}

void psgi_scope_deliver(pTHX_ struct psgi_scope *scope, SV *event)
{
    SV *future = next_waiting(aTHX_ scope);

    if (future != NULL) {
        psgi_scope_ref(scope);
        settle(aTHX_ scope, future, event);
        SvREFCNT_dec(future);
        SvREFCNT_dec(event);
        psgi_scope_unref(aTHX_ scope);
        return;
    }
    if (scope->events == NULL)
        scope->events = newAV();
    av_push(scope->events, event);
    if (scope->type == SCOPE_WEBSOCKET)
        scope->n_queued_bytes += size_of_message(aTHX_ event);
}

void psgi_scope_tell_over(pTHX_ struct psgi_scope *scope)
{
    SV *future;

    if (scope->is_untold)
        return; /* it is told in that turn */
    psgi_scope_ref(scope);
    psgi_scope_settle_all(aTHX_ scope, &scope->blocked, NULL);
    while (is_over(scope) && (future = next_waiting(aTHX_ scope)) != NULL) {
        SV *event = end_event(aTHX_ scope);
        settle(aTHX_ scope, future, event);
        SvREFCNT_dec(event);
        SvREFCNT_dec(future);
    }
    psgi_scope_unref(aTHX_ scope);
}

static void settle_all_by(pTHX_ struct psgi_scope *scope, AV **futures, SV *value,
                          SV *(*settle_one)(pTHX_ SV *, SV *))
{
    AV *list = *futures;

    if (list == NULL)
        return;
    *futures = NULL;
    psgi_scope_ref(scope);
    for (SSize_t i = 0; i <= AvFILLp(list); i++)
        report(aTHX_ scope, settle_one(aTHX_ AvARRAY(list)[i], value));
    SvREFCNT_dec((SV *)list);
    psgi_scope_unref(aTHX_ scope);
}

void psgi_scope_settle_all(pTHX_ struct psgi_scope *scope, AV **futures, SV *value)
{
    settle_all_by(aTHX_ scope, futures, value, psgi_future_settle);
}

void psgi_scope_fail_all(pTHX_ struct psgi_scope *scope, AV **futures, SV *message)
{
    settle_all_by(aTHX_ scope, futures, message, psgi_future_fail);
}

/* pagi.c - PAGI applications: the call for a request, and its end; see pagi.h */
#include "pagi.h"
#include "base/stats.h"
#include "call.h"
#include "exchange.h"
#include "handle.h"
#include "pagi_connection.h"
#include "pagi_future.h"
#include "pagi_receive.h"
#include "pagi_request.h"
#include "pagi_response.h"
#include "pagi_send.h"
#include "pagi_sse.h"
#include "pagi_websocket.h"

/* ---- the end of the application ---- */

static void refuse(pTHX_ struct psgi_scope *scope)
{
    struct psgi_exchange *px = scope->px;

    scope->has_failed = true;
    scope->response = scope->response == RESPONSE_NEW ? RESPONSE_STARTED : scope->response;
    psgi_exchange_ref(px);
    psgi_exchange_refuse(aTHX_ px);
    psgi_exchange_unref(aTHX_ px);
}

/* The response is incomplete, and must not look complete. */
static void fail_response(pTHX_ struct psgi_scope *scope, SV *message)
{
    if (scope->is_accepted) {
        psgi_scope_abandon_websocket(aTHX_ scope, message);
    } else if (scope->reason != NULL) { /* there is nobody to tell */
        scope->has_failed = true;
        sprig_response_abort(scope->px->ex, NULL);
    } else {
        psgi_scope_keep_detail(aTHX_ scope, message);
        refuse(aTHX_ scope);
    }
}

static bool is_unfinished(const struct psgi_scope *scope)
{
    return psgi_scope_exchange(scope) != NULL && scope->response != RESPONSE_COMPLETE &&
           !scope->is_aborted;
}

/* The application died. What was delivered stays delivered. */
static void app_failed(pTHX_ struct psgi_scope *scope, SV *error)
{
    stats_add(STAT_EXCEPTIONS, 1);
    psgi_scope_report(aTHX_ scope, error);
    if (is_unfinished(scope))
        fail_response(aTHX_ scope, error);
}

static const char *what_is_missing(const struct psgi_scope *scope)
{
    if (scope->response == RESPONSE_NEW)
        return "without a response";
    if (scope->is_accepted)
        return "before its WebSocket was closed: send websocket.close, or go on until "
               "websocket.disconnect comes";
    if (scope->type == SCOPE_SSE && !scope->is_declined)
        return "before its event stream was closed: send sse.close";
    return "before its response was complete";
}

/* The application has returned: what it began must be complete, unless a file handle is still being
 * sent, or there is nobody to send it to. */
static void app_returned(pTHX_ struct psgi_scope *scope)
{
    SV *message = NULL;

    if (!is_unfinished(scope) || scope->source != NULL || psgi_scope_is_closing(scope))
        return;
    if (scope->reason == NULL) {
        message = newSVpvf("PAGI application returned %s", what_is_missing(scope));
        app_failed(aTHX_ scope, sv_2mortal(message));
    } else {
        fail_response(aTHX_ scope, NULL);
    }
}

/* The application's future is ready: gives back the count that it held. */
static void settle_app(pTHX_ struct psgi_scope *scope, SV *future)
{
    SV *failure = psgi_future_failure(aTHX_ future), *kept = scope->future;

    scope->app_is_done = true;
    scope->future = NULL;
    if (failure != NULL)
        app_failed(aTHX_ scope, failure);
    else
        app_returned(aTHX_ scope);
    SvREFCNT_dec(failure);
    SvREFCNT_dec(kept);
    psgi_scope_unref(aTHX_ scope);
}

/* ---- waiting for it ---- */

static int waiter_free(pTHX_ SV *sv, MAGIC *mg)
{
    struct psgi_scope *scope = (struct psgi_scope *)mg->mg_ptr;

    PERL_UNUSED_VAR(sv);
    mg->mg_ptr = NULL;
    if (scope != NULL && PL_phase != PERL_PHASE_DESTRUCT)
        psgi_scope_unref(aTHX_ scope);
    return 0;
}

static const MGVTBL waiter_vtbl = {
    NULL, NULL, NULL, NULL, waiter_free, NULL, psgi_magic_dup_nothing, NULL};

XS(psgi_scope_waiter);
XS(psgi_scope_waiter)
{
    dXSARGS;
    MAGIC *mg = mg_findext((SV *)cv, PERL_MAGIC_ext, &waiter_vtbl);
    struct psgi_scope *scope = mg != NULL ? (struct psgi_scope *)mg->mg_ptr : NULL;

    if (scope != NULL && !scope->app_is_done && items > 0) {
        sv_2mortal(SvREFCNT_inc_simple_NN((SV *)cv)); /* and with it its count */
        settle_app(aTHX_ scope, ST(0));
    }
    XSRETURN_EMPTY;
}

/* A code ref with its own count, given back with the code ref; owned by the caller. */
static SV *waiter_new(pTHX_ struct psgi_scope *scope)
{
    CV *cv = newXS(NULL, psgi_scope_waiter, __FILE__);
    MAGIC *mg =
        sv_magicext((SV *)cv, NULL, PERL_MAGIC_ext, &waiter_vtbl, (char *)psgi_scope_ref(scope), 0);

    mg->mg_flags |= MGf_DUP;
    return newRV_noinc((SV *)cv);
}

static void wait_for_app(pTHX_ struct psgi_scope *scope, SV *future)
{
    SV *waiter = waiter_new(aTHX_ scope), *error = NULL;

    scope->future = newSVsv(future);
    psgi_scope_ref(scope); /* until the future is ready */
    if (!psgi_call_method(aTHX_ future, "on_ready", &waiter, 1, NULL, &error) && error != NULL) {
        scope->app_is_done = true;
        app_failed(aTHX_ scope, error);
        psgi_scope_unref(aTHX_ scope);
    }
    SvREFCNT_dec(error);
    SvREFCNT_dec(waiter);
}

/* ---- the call ---- */

static void take_returned(pTHX_ struct psgi_scope *scope, SV *returned)
{
    if (returned != NULL && psgi_future_is_plainly_done(aTHX_ returned)) {
        scope->app_is_done = true;
        app_returned(aTHX_ scope);
    } else if (returned == NULL || !psgi_future_is_one(aTHX_ returned)) {
        scope->app_is_done = true;
        app_failed(aTHX_ scope, newSVpvs_flags("PAGI application returned no future: is it an "
                                               "async sub?",
                                               SVs_TEMP));
    } else if (psgi_future_is_ready(aTHX_ returned)) {
        psgi_scope_ref(scope);
        settle_app(aTHX_ scope, returned);
    } else {
        wait_for_app(aTHX_ scope, returned);
    }
}

static void call_app(pTHX_ struct psgi_scope *scope, SV *app)
{
    SV *args[3] = {newRV_inc((SV *)scope->hash.hv), newRV_inc(scope->object[SCOPE_RECEIVE]),
                   newRV_inc(scope->object[SCOPE_SEND])};
    SV *returned = NULL, *error = NULL;
    bool ok = psgi_call_for(aTHX_ scope->server, app, args, 3, &returned, &error);

    for (int i = 0; i < 3; i++)
        SvREFCNT_dec(args[i]);
    if (ok) {
        take_returned(aTHX_ scope, returned);
    } else if (error != NULL) {
        scope->app_is_done = true;
        app_failed(aTHX_ scope, error);
    }
    SvREFCNT_dec(returned);
    SvREFCNT_dec(error);
}

void psgi_scope_run(pTHX_ struct psgi_exchange *px, const struct psgi_mount *mount)
{
    struct psgi_scope *scope = psgi_scope_new(aTHX_ px, psgi_scope_receive_xs, psgi_scope_send_xs);
    SV *app = SvREFCNT_inc_simple_NN(mount->app);

    psgi_scope_ref(scope);
    psgi_scope_build(aTHX_ scope, span_make(mount->path, mount->len), mount->state);
    psgi_scope_take_body(aTHX_ scope);
    call_app(aTHX_ scope, app);
    SvREFCNT_dec(app);
    psgi_scope_unref(aTHX_ scope);
}

/* ---- from the exchange ---- */

/* Tells the application, if it is still there. */
static void source_failed(pTHX_ struct psgi_scope *scope)
{
    SV *message = sv_2mortal(newSVpvf("cannot read from fh: %s", Strerror(errno)));

    if (scope->app_is_done)
        app_failed(aTHX_ scope, message);
    else
        psgi_scope_fail_all(aTHX_ scope, &scope->blocked, message);
}

void psgi_scope_drained(pTHX_ struct psgi_scope *scope)
{
    psgi_scope_ref(scope);
    if (scope->source != NULL && !psgi_scope_pump(aTHX_ scope))
        source_failed(aTHX_ scope);
    psgi_scope_low(aTHX_ scope); /* before the waiting senders fill it again */
    if (scope->source == NULL)
        psgi_scope_settle_all(aTHX_ scope, &scope->blocked, NULL);
    psgi_scope_unref(aTHX_ scope);
}

void psgi_scope_input(pTHX_ struct psgi_scope *scope, struct sprig_span bytes, bool is_last)
{
    psgi_scope_ref(scope);
    if (scope->ws != NULL)
        sprig_ws_input(scope->ws, bytes, is_last);
    else
        psgi_scope_body(aTHX_ scope, bytes, is_last);
    psgi_scope_unref(aTHX_ scope);
}

/* If the client has closed only its sending side, it still gets what the application sends. */
void psgi_scope_gone(pTHX_ struct psgi_scope *scope)
{
    if (scope->ws != NULL)
        return; /* on_close tells of its end */
    psgi_scope_ref(scope);
    psgi_scope_left(aTHX_ scope, psgi_scope_loss(aTHX_ scope, "client_closed"));
    psgi_scope_tell_over(aTHX_ scope);
    psgi_scope_unref(aTHX_ scope);
}

/* The reason if nothing is known of the client. */
static const char *reason_of(const struct psgi_scope *scope, enum sprig_end why)
{
    if (why == SPRIG_END_ABORTED)
        return "server_error";
    return scope->server->is_leaving ? "server_shutdown" : "client_closed";
}

void psgi_scope_ended(pTHX_ struct psgi_exchange *px, enum sprig_end why)
{
    struct psgi_scope *scope = px->scope;
    bool is_served = why == SPRIG_END_DONE && scope->response == RESPONSE_COMPLETE;
    const char *reason = "server_error";

    px->scope = NULL;
    if (!scope->has_failed)
        reason = psgi_scope_loss(aTHX_ scope, reason_of(scope, why));
    psgi_scope_stop_heartbeat(scope);
    psgi_scope_end_websocket(scope);
    scope->px = NULL;
    if (is_served && !scope->has_failed)
        psgi_scope_served(aTHX_ scope);
    else
        psgi_scope_left(aTHX_ scope, reason);
    psgi_scope_tell_over(aTHX_ scope);
    psgi_scope_unref(aTHX_ scope);
}

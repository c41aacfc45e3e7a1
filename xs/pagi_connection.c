/* pagi_connection.c - pagi.connection and pagi.transport; see pagi_connection.h */
#include "pagi_connection.h"
#include "call.h"
#include "exchange.h"
#include "pagi_future.h"

/* ---- callbacks ---- */

/* Each once, in the order in which they were set; they may set more. */
static void run_all(pTHX_ struct psgi_scope *scope, enum psgi_scope_callback which, SV *arg,
                    bool once)
{
    AV *list = scope->callbacks[which];

    if (list == NULL)
        return;
    if (once)
        scope->callbacks[which] = NULL;
    else
        SvREFCNT_inc_simple_void_NN(list);
    for (SSize_t i = 0; i <= AvFILLp(list); i++)
        psgi_scope_call(aTHX_ scope, AvARRAY(list)[i], &arg, arg != NULL ? 1 : 0);
    SvREFCNT_dec((SV *)list);
}

static void forget(pTHX_ struct psgi_scope *scope, enum psgi_scope_callback which)
{
    AV *list = scope->callbacks[which];

    scope->callbacks[which] = NULL;
    SvREFCNT_dec((SV *)list);
}

/* ---- the end of the request ---- */

static SV *reason_sv(pTHX_ const struct psgi_scope *scope)
{
    return newSVpvn_flags(scope->reason, strlen(scope->reason), SVs_TEMP);
}

void psgi_scope_left(pTHX_ struct psgi_scope *scope, const char *reason)
{
    SV *future = scope->disconnect_future, *error;

    if (!psgi_scope_is_connected(scope))
        return;
    scope->reason = reason;
    psgi_scope_ref(scope);
    if (future != NULL) {
        SvREFCNT_inc_simple_void_NN(future);
        error = psgi_future_settle(aTHX_ future, reason_sv(aTHX_ scope));
        if (error != NULL)
            psgi_scope_report(aTHX_ scope, error);
        SvREFCNT_dec(error);
        SvREFCNT_dec(future);
    }
    run_all(aTHX_ scope, SCOPE_ON_DISCONNECT, reason_sv(aTHX_ scope), true);
    forget(aTHX_ scope, SCOPE_ON_COMPLETE);
    psgi_scope_unref(aTHX_ scope);
}

void psgi_scope_served(pTHX_ struct psgi_scope *scope)
{
    if (!psgi_scope_is_connected(scope))
        return;
    scope->is_served = true;
    psgi_scope_ref(scope);
    run_all(aTHX_ scope, SCOPE_ON_COMPLETE, NULL, true);
    forget(aTHX_ scope, SCOPE_ON_DISCONNECT);
    psgi_scope_unref(aTHX_ scope);
}

/* ---- what waits to be sent ---- */

void psgi_scope_high(pTHX_ struct psgi_scope *scope)
{
    if (scope->is_high)
        return;
    scope->is_high = true;
    run_all(aTHX_ scope, SCOPE_ON_HIGH_WATER, NULL, false);
}

void psgi_scope_low(pTHX_ struct psgi_scope *scope)
{
    if (!scope->is_high)
        return;
    scope->is_high = false;
    run_all(aTHX_ scope, SCOPE_ON_DRAIN, NULL, false);
}

/* ---- methods ---- */

bool psgi_connection_is_connected(pTHX_ SV *self)
{
    return psgi_scope_is_connected(psgi_scope_of(aTHX_ self, "is_connected"));
}

SV *psgi_connection_reason(pTHX_ SV *self)
{
    struct psgi_scope *scope = psgi_scope_of(aTHX_ self, "disconnect_reason");

    return scope->reason != NULL ? newSVpv(scope->reason, 0) : newSV(0);
}

SV *psgi_connection_started(pTHX_ SV *self)
{
    struct psgi_scope *scope = psgi_scope_of(aTHX_ self, "response_started");

    return newSViv(scope->response != RESPONSE_NEW);
}

SV *psgi_connection_complete(pTHX_ SV *self)
{
    struct psgi_scope *scope = psgi_scope_of(aTHX_ self, "response_complete");

    return newSViv(scope->response == RESPONSE_COMPLETE);
}

SV *psgi_connection_future(pTHX_ SV *self)
{
    struct psgi_scope *scope = psgi_scope_of(aTHX_ self, "disconnect_future");

    if (scope->disconnect_future != NULL)
        return newRV_inc(SvRV(scope->disconnect_future));
    if (scope->reason != NULL)
        return psgi_future_done(aTHX_ reason_sv(aTHX_ scope));
    if (scope->refs == 0 || scope->is_served)
        return psgi_future_new(aTHX);
    scope->disconnect_future = psgi_future_new(aTHX);
    return newRV_inc(SvRV(scope->disconnect_future));
}

/* What it waits for is the case already. */
static bool is_due(const struct psgi_scope *scope, enum psgi_scope_callback which)
{
    switch (which) {
    case SCOPE_ON_DISCONNECT:
        return scope->reason != NULL;
    case SCOPE_ON_COMPLETE:
        return scope->is_served;
    case SCOPE_ON_HIGH_WATER:
        return scope->is_high;
    default:
        return false;
    }
}

void psgi_connection_on(pTHX_ SV *self, enum psgi_scope_callback which, SV *cb)
{
    static const char *const names[] = {"on_disconnect", "on_complete", "on_high_water",
                                        "on_drain"};
    struct psgi_scope *scope = psgi_scope_of(aTHX_ self, names[which]);
    bool is_due_now = is_due(scope, which), is_of_end = which <= SCOPE_ON_COMPLETE;

    if (!psgi_is_code(aTHX_ cb))
        croak("%s: not a code reference", names[which]);
    if (is_due_now) {
        SV *arg = which == SCOPE_ON_DISCONNECT ? reason_sv(aTHX_ scope) : NULL;
        if (scope->refs > 0)
            psgi_scope_call(aTHX_ scope, cb, &arg, arg != NULL ? 1 : 0);
        else
            psgi_call(aTHX_ cb, &arg, arg != NULL ? 1 : 0, NULL, NULL);
    }
    if (scope->refs == 0 || !psgi_scope_is_connected(scope) || (is_due_now && is_of_end))
        return;
    if (scope->callbacks[which] == NULL)
        scope->callbacks[which] = newAV();
    av_push(scope->callbacks[which], newSVsv(cb));
    if (which == SCOPE_ON_COMPLETE && psgi_scope_exchange(scope) != NULL)
        sprig_exchange_end_after_flush(psgi_scope_exchange(scope));
}

UV psgi_transport_buffered(pTHX_ SV *self)
{
    struct sprig_exchange *ex = psgi_scope_exchange(psgi_scope_of(aTHX_ self, "buffered_amount"));

    return ex != NULL ? (UV)sprig_response_buffered(ex) : 0;
}

UV psgi_transport_mark(pTHX_ SV *self, bool is_high)
{
    struct psgi_scope *scope =
        psgi_scope_of(aTHX_ self, is_high ? "high_water_mark" : "low_water_mark");
    const struct sprig_config *config;

    if (psgi_scope_exchange(scope) == NULL)
        return 0;
    config = psgi_exchange_config(scope->px);
    return (UV)(is_high ? config->high_water_bytes : config->low_water_bytes);
}

/* pagi_connection.c - pagi.connection and pagi.transport; see pagi_connection.h */
#include "pagi_connection.h"
#include "call.h"
#include "exchange.h"
#include "loop.h"
#include "pagi_future.h"
#include "pagi_receive.h"

/* Up to this many disconnect futures are kept without checking them. */
enum { FEW_OBSERVERS = 16 };

/* ---- callbacks ---- */

/* Calls each once, in the order in which they were set; they may set more. */
static void run_all(pTHX_ struct psgi_scope *scope, enum psgi_scope_callback which, SV **args,
                    int n_args, bool once)
{
    AV *list = scope->callbacks[which];

    if (list == NULL)
        return;
    if (once)
        scope->callbacks[which] = NULL;
    else
        SvREFCNT_inc_simple_void_NN(list);
    for (SSize_t i = 0; i <= AvFILLp(list); i++)
        psgi_scope_call(aTHX_ scope, AvARRAY(list)[i], args, n_args);
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

/* The arguments of an on_disconnect callback: the reason, and what else is known. Mortal. */
static void end_args(pTHX_ const struct psgi_scope *scope, SV *args[2])
{
    args[0] = reason_sv(aTHX_ scope);
    args[1] = scope->detail != NULL ? sv_mortalcopy(scope->detail) : sv_newmortal();
}

void psgi_scope_keep_detail(pTHX_ struct psgi_scope *scope, SV *text)
{
    STRLEN len;
    const char *bytes;

    if (text == NULL || scope->detail != NULL || !psgi_scope_is_connected(scope))
        return;
    bytes = SvPV(text, len); /* converting an object may run code */
    while (len > 0 && isSPACE_A(bytes[len - 1]))
        len--;
    if (scope->detail == NULL)
        scope->detail = newSVpvn_flags(bytes, len, SvUTF8(text));
}

static void tell_left(pTHX_ struct psgi_scope *scope)
{
    SV *args[2];

    psgi_scope_ref(scope);
    psgi_scope_settle_all(aTHX_ scope, &scope->observers, reason_sv(aTHX_ scope));
    end_args(aTHX_ scope, args);
    run_all(aTHX_ scope, SCOPE_ON_DISCONNECT, args, 2, true);
    forget(aTHX_ scope, SCOPE_ON_COMPLETE);
    psgi_scope_unref(aTHX_ scope);
}

static void on_turn(struct sprig_timer *timer, void *arg)
{
    struct psgi_scope *scope = arg;
    dTHXa(scope->server->psgi->perl);

    sprig_timer_free(timer);
    scope->is_untold = false;
    tell_left(aTHX_ scope);
    psgi_scope_tell_over(aTHX_ scope);
    psgi_scope_unref(aTHX_ scope);
}

/* No callback may run inside the application's own call, which would have to expect that at each
 * $send. */
static bool put_off(pTHX_ struct psgi_scope *scope)
{
    if (scope->n_calls == 0 || sprig_timer_new(psgi_loop(aTHX), 0, 0, on_turn, scope) == NULL)
        return false;
    psgi_scope_ref(scope);
    scope->is_untold = true;
    return true;
}

void psgi_scope_left(pTHX_ struct psgi_scope *scope, const char *reason)
{
    if (!psgi_scope_is_connected(scope))
        return;
    scope->reason = reason;
    if (!put_off(aTHX_ scope))
        tell_left(aTHX_ scope);
}

const char *psgi_scope_loss(pTHX_ struct psgi_scope *scope, const char *otherwise)
{
    static const char *const reasons[] = {
        [SPRIG_LOSS_READ_TIMEOUT] = "client_timeout", [SPRIG_LOSS_READ_ERROR] = "read_error",
        [SPRIG_LOSS_WRITE_TIMEOUT] = "write_timeout", [SPRIG_LOSS_WRITE_ERROR] = "write_error",
        [SPRIG_LOSS_PROTOCOL] = "protocol_error",     [SPRIG_LOSS_TOO_LARGE] = "body_too_large",
        [SPRIG_LOSS_OVERFLOW] = "queue_overflow",
    };
    const char *detail = NULL;
    enum sprig_loss loss = SPRIG_LOSS_CLOSED;

    if (psgi_scope_exchange(scope) != NULL)
        loss = sprig_exchange_loss(scope->px->ex, &detail);
    if (detail != NULL)
        psgi_scope_keep_detail(aTHX_ scope, newSVpvn_flags(detail, strlen(detail), SVs_TEMP));
    return loss != SPRIG_LOSS_CLOSED ? reasons[loss] : otherwise;
}

void psgi_scope_served(pTHX_ struct psgi_scope *scope)
{
    if (!psgi_scope_is_connected(scope))
        return;
    scope->is_served = true;
    psgi_scope_ref(scope);
    run_all(aTHX_ scope, SCOPE_ON_COMPLETE, NULL, 0, true);
    forget(aTHX_ scope, SCOPE_ON_DISCONNECT);
    psgi_scope_unref(aTHX_ scope);
}

/* ---- what waits to be sent ---- */

void psgi_scope_high(pTHX_ struct psgi_scope *scope)
{
    if (scope->is_high)
        return;
    scope->is_high = true;
    run_all(aTHX_ scope, SCOPE_ON_HIGH_WATER, NULL, 0, false);
}

void psgi_scope_low(pTHX_ struct psgi_scope *scope)
{
    if (!scope->is_high)
        return;
    scope->is_high = false;
    run_all(aTHX_ scope, SCOPE_ON_DRAIN, NULL, 0, false);
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

SV *psgi_connection_detail(pTHX_ SV *self)
{
    struct psgi_scope *scope = psgi_scope_of(aTHX_ self, "disconnect_detail");

    return scope->reason != NULL && scope->detail != NULL ? newSVsv(scope->detail) : newSV(0);
}

SV *psgi_connection_started(pTHX_ SV *self)
{
    struct psgi_scope *scope = psgi_scope_of(aTHX_ self, "response_started");

    return newSViv(scope->response != RESPONSE_NEW);
}

SV *psgi_connection_complete(pTHX_ SV *self)
{
    struct psgi_scope *scope = psgi_scope_of(aTHX_ self, "response_complete");

    return newSViv(scope->is_served ||
                   (scope->response == RESPONSE_COMPLETE && scope->reason == NULL));
}

/* Futures that lost a race were cancelled, and no longer wait. */
static void drop_ready(pTHX_ AV *futures)
{
    SSize_t n = 0;

    for (SSize_t i = 0; i <= AvFILLp(futures); i++) {
        SV *future = AvARRAY(futures)[i];
        if (psgi_future_is_ready(aTHX_ future))
            SvREFCNT_dec(future);
        else
            AvARRAY(futures)[n++] = future;
    }
    AvFILLp(futures) = n - 1;
}

/* Each caller gets a future of its own, so cancelling one affects nobody else. */
SV *psgi_connection_future(pTHX_ SV *self)
{
    struct psgi_scope *scope = psgi_scope_of(aTHX_ self, "disconnect_future");
    SSize_t n;
    SV *future;

    if (scope->reason != NULL)
        return psgi_future_done(aTHX_ reason_sv(aTHX_ scope));
    future = psgi_future_new(aTHX);
    if (scope->refs == 0 || scope->is_served)
        return future;
    if (scope->observers == NULL)
        scope->observers = newAV();
    n = AvFILLp(scope->observers) + 1;
    if (n >= FEW_OBSERVERS && (n & (n - 1)) == 0)
        drop_ready(aTHX_ scope->observers);
    av_push(scope->observers, newRV_inc(SvRV(future)));
    return future;
}

/* Later calls change nothing. */
void psgi_connection_abort(pTHX_ SV *self, SV *detail)
{
    struct psgi_scope *scope = psgi_scope_of(aTHX_ self, "abort");

    if (scope->refs == 0 || psgi_scope_exchange(scope) == NULL || !psgi_scope_is_connected(scope))
        return;
    psgi_scope_ref(scope);
    psgi_scope_keep_detail(aTHX_ scope, SvOK(detail) ? detail : NULL);
    scope->is_aborted = true;
    if (scope->close_code == 0)
        scope->close_code = 1006; /* shown only by a WebSocket */
    sprig_response_cut(scope->px->ex, "the application aborted it");
    psgi_scope_left(aTHX_ scope, "app_abort");
    psgi_scope_tell_over(aTHX_ scope);
    psgi_scope_unref(aTHX_ scope);
}

/* True if what the callback waits for has already happened. */
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

static void call_now(pTHX_ struct psgi_scope *scope, enum psgi_scope_callback which, SV *cb)
{
    int n_args = which == SCOPE_ON_DISCONNECT ? 2 : 0;
    SV *args[2];

    if (n_args > 0)
        end_args(aTHX_ scope, args);
    if (scope->refs > 0)
        psgi_scope_call(aTHX_ scope, cb, args, n_args);
    else
        psgi_call(aTHX_ cb, args, n_args, NULL, NULL);
}

void psgi_connection_on(pTHX_ SV *self, enum psgi_scope_callback which, SV *cb)
{
    static const char *const names[] = {"on_disconnect", "on_complete", "on_high_water",
                                        "on_drain"};
    struct psgi_scope *scope = psgi_scope_of(aTHX_ self, names[which]);
    bool is_due_now = is_due(scope, which), is_of_end = which <= SCOPE_ON_COMPLETE;

    if (!psgi_is_code(aTHX_ cb))
        croak("%s: not a code reference", names[which]);
    if (is_due_now)
        call_now(aTHX_ scope, which, cb);
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

/* pagi_send.c - what a PAGI application sends with $send, by the type of its scope. */
#include "pagi_send.h"
#include "loop.h"
#include "pagi_connection.h"
#include "pagi_future.h"
#include "pagi_receive.h"
#include "pagi_response.h"
#include "pagi_sse.h"
#include "pagi_websocket.h"

enum { SENDS_PER_TURN = 100 };

static bool send_event(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait)
{
    if (scope->type != SCOPE_WEBSOCKET && psgi_event_is(ev, "http.fullflush")) {
        sprig_response_flush(scope->px->ex);
        return true;
    }
    switch (scope->type) {
    case SCOPE_SSE:
        return psgi_scope_send_sse(aTHX_ scope, ev, wait);
    case SCOPE_WEBSOCKET:
        return psgi_scope_send_websocket(aTHX_ scope, ev, wait);
    default:
        return psgi_scope_send_http(aTHX_ scope, ev, wait);
    }
}

/* True if the client has left, or the server has cut it off: nobody gets what is sent. But the
 * application must not send more after its own end. */
static bool is_for_nobody(const struct psgi_scope *scope)
{
    return scope->is_aborted || (psgi_scope_exchange(scope) == NULL && !scope->is_closed &&
                                 !(scope->response == RESPONSE_COMPLETE && scope->reason == NULL));
}

/* The application has already ended the response. A second sse.close does no harm. */
static bool refuse_late(pTHX_ struct psgi_scope *scope, struct psgi_event *ev)
{
    if (scope->reason != NULL || (scope->is_closed && psgi_event_is(ev, "sse.close")))
        return true;
    return psgi_event_refuse(aTHX_ ev, scope->is_closed ? "the stream was closed before"
                                                        : "the response is complete");
}

static SV *wait_in(pTHX_ struct psgi_scope *scope, AV **futures)
{
    SV *future = psgi_future_new(aTHX);

    scope->n_ready_sends = 0;
    if (*futures == NULL)
        *futures = newAV();
    av_push(*futures, newRV_inc(SvRV(future)));
    return future;
}

static void on_turn(struct sprig_timer *timer, void *arg)
{
    struct psgi_scope *scope = arg;
    dTHXa(scope->server->psgi->perl);

    sprig_timer_free(timer);
    psgi_scope_settle_all(aTHX_ scope, &scope->turns, NULL);
    psgi_scope_unref(aTHX_ scope);
}

/* Awaiting a ready future does not run the loop: an application that sends to a client as fast as
 * that reads, or to one that has left, would have the process to itself. */
static SV *give_a_turn(pTHX_ struct psgi_scope *scope)
{
    if (sprig_timer_new(psgi_loop(aTHX), 0, 0, on_turn, scope) == NULL)
        return psgi_future_ready(aTHX);
    psgi_scope_ref(scope);
    return wait_in(aTHX_ scope, &scope->turns);
}

static SV *sent(pTHX_ struct psgi_scope *scope)
{
    if (scope->server != NULL && ++scope->n_ready_sends >= SENDS_PER_TURN)
        return give_a_turn(aTHX_ scope);
    return psgi_future_ready(aTHX);
}

SV *psgi_scope_send(pTHX_ struct psgi_scope *scope, SV *event)
{
    struct psgi_event ev;
    bool wait = false, ok;

    if (is_for_nobody(scope))
        return sent(aTHX_ scope);
    ok = psgi_event_read(aTHX_ & ev, event);
    if (ok && psgi_scope_exchange(scope) == NULL)
        ok = refuse_late(aTHX_ scope, &ev);
    else if (ok)
        ok = send_event(aTHX_ scope, &ev, &wait);
    if (!ok && ev.error != NULL && scope->reason == NULL)
        return psgi_future_failed(aTHX_ ev.error);
    SvREFCNT_dec(ev.error);
    if (wait && psgi_scope_exchange(scope) != NULL)
        return wait_in(aTHX_ scope, &scope->blocked);
    return sent(aTHX_ scope);
}

/* The write may have broken the connection; the core reports that only in a turn of its own. */
static void notice_end(pTHX_ struct psgi_scope *scope)
{
    struct sprig_exchange *ex = psgi_scope_exchange(scope);

    if (ex != NULL && scope->reason == NULL && !sprig_exchange_is_live(ex))
        psgi_scope_left(aTHX_ scope, psgi_scope_loss(aTHX_ scope, "client_closed"));
}

XS(psgi_scope_send_xs)
{
    dXSARGS;
    struct psgi_scope *scope;
    SV *future;

    psgi_get(aTHX); /* croaks in another thread, where the copy of the CV points nowhere */
    scope = psgi_scope_of_sub(cv);
    if (items < 1)
        croak("Usage: $send->($event)");
    bool in_use = scope->refs > 0;
    if (in_use)
        psgi_scope_ref(scope);
    scope->n_calls++;
    future = psgi_scope_send(aTHX_ scope, ST(0));
    notice_end(aTHX_ scope);
    scope->n_calls--;
    if (in_use && scope->server != NULL)
        sprig_loop_lend(scope->server->psgi->loop);
    if (in_use)
        psgi_scope_unref(aTHX_ scope);
    ST(0) = sv_2mortal(future);
    XSRETURN(1);
}

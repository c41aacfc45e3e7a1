/* promise.c - apps that return a Future, an AnyEvent::CondVar or a promise: recognised by their
 * methods, awaited without blocking. */
#include "promise.h"
#include "call.h"
#include "exchange.h"
#include "handle.h"

/* A promise may yield a promise; more than this many in a row count as a circle. */
enum { PROMISE_DEPTH_MAX = 32 };

enum promise_kind {
    PROMISE_NONE,
    PROMISE_FUTURE,  /* on_ready, is_ready, failure, get, perhaps cancel */
    PROMISE_CONDVAR, /* cb, ready, recv */
    PROMISE_THENABLE /* then */
};

static bool has_method(pTHX_ HV *stash, const char *name)
{
    return gv_fetchmethod_autoload(stash, name, FALSE) != NULL;
}

static enum promise_kind promise_kind(pTHX_ SV *sv)
{
    HV *stash;

    if (!SvROK(sv) || !SvOBJECT(SvRV(sv)))
        return PROMISE_NONE;
    stash = SvSTASH(SvRV(sv));
    if (has_method(aTHX_ stash, "on_ready") && has_method(aTHX_ stash, "is_ready"))
        return PROMISE_FUTURE;
    if (has_method(aTHX_ stash, "cb") && has_method(aTHX_ stash, "recv"))
        return PROMISE_CONDVAR;
    if (has_method(aTHX_ stash, "then"))
        return PROMISE_THENABLE;
    return PROMISE_NONE;
}

/* Calls a method that answers yes or no; dying means no. */
static bool ask(pTHX_ SV *object, const char *method)
{
    SV *result = NULL;
    bool yes = psgi_call_method(aTHX_ object, method, NULL, 0, &result, NULL) && result != NULL &&
               SvTRUE(result);

    SvREFCNT_dec(result);
    return yes;
}

static bool is_ready(pTHX_ SV *promise, enum promise_kind kind)
{
    if (kind == PROMISE_THENABLE)
        return false;
    return ask(aTHX_ promise, kind == PROMISE_FUTURE ? "is_ready" : "ready");
}

/* ---- the outcome ---- */

/* The promise has an outcome and is no longer awaited. Owned by the caller; NULL if the exchange is
 * over or was told before. */
static SV *take_promise(struct psgi_exchange *px)
{
    SV *promise = px->ex != NULL ? px->promise : NULL;

    if (promise != NULL)
        px->promise = NULL;
    return promise;
}

static void settle_value(pTHX_ struct psgi_exchange *px, SV *value)
{
    if (px->on_value != NULL && !px->is_answered)
        px->on_value(aTHX_ px, value);
}

/* If the future only drives a delayed callback, the app may have responded to the failure itself.
 */
static void settle_error(pTHX_ struct psgi_exchange *px, SV *error)
{
    bool is_streaming = px->writer_dropped || (px->writer != NULL && !px->writer->is_used);

    if (px->on_failure != NULL)
        px->on_failure(aTHX_ px, error);
    else if (!px->is_answered || is_streaming)
        psgi_exchange_raise(aTHX_ px, error);
}

/* The result of a ready future or condvar; false: *error says why there is none. */
static bool fetch_result(pTHX_ SV *promise, enum promise_kind kind, SV **value, SV **error)
{
    if (kind == PROMISE_CONDVAR)
        return psgi_call_method(aTHX_ promise, "recv", NULL, 0, value, error);
    if (psgi_call_method(aTHX_ promise, "failure", NULL, 0, error, NULL) && *error != NULL) {
        if (SvOK(*error))
            return false;
        SvREFCNT_dec(*error);
        *error = NULL;
    }
    return psgi_call_method(aTHX_ promise, "get", NULL, 0, value, error);
}

static void settle(pTHX_ struct psgi_exchange *px, enum promise_kind kind)
{
    SV *promise = take_promise(px), *value = NULL, *error = NULL;

    if (promise == NULL)
        return;
    psgi_exchange_ref(px);
    if (fetch_result(aTHX_ promise, kind, &value, &error) && value != NULL)
        settle_value(aTHX_ px, value);
    else if (error != NULL)
        settle_error(aTHX_ px, error);
    SvREFCNT_dec(value);
    SvREFCNT_dec(error);
    SvREFCNT_dec(promise);
    psgi_exchange_unref(aTHX_ px);
}

/* ---- the callback that a promise gets ---- */

enum waiter_kind { WAIT_FUTURE, WAIT_CONDVAR, WAIT_VALUE, WAIT_ERROR };

static int waiter_free(pTHX_ SV *sv, MAGIC *mg)
{
    struct psgi_exchange *px = (struct psgi_exchange *)mg->mg_ptr;

    PERL_UNUSED_VAR(sv);
    mg->mg_ptr = NULL;
    if (px != NULL)
        psgi_exchange_unref(aTHX_ px);
    return 0;
}

static const MGVTBL waiter_vtbl = {
    NULL, NULL, NULL, NULL, waiter_free, NULL, psgi_magic_dup_nothing, NULL};

static void waiter_run(pTHX_ struct psgi_exchange *px, enum waiter_kind kind, SV *arg)
{
    SV *promise;

    if (kind == WAIT_FUTURE || kind == WAIT_CONDVAR) {
        settle(aTHX_ px, kind == WAIT_FUTURE ? PROMISE_FUTURE : PROMISE_CONDVAR);
        return;
    }
    promise = take_promise(px);
    if (promise == NULL)
        return;
    psgi_exchange_ref(px);
    if (kind == WAIT_VALUE)
        settle_value(aTHX_ px, arg);
    else
        settle_error(aTHX_ px, arg);
    SvREFCNT_dec(promise);
    psgi_exchange_unref(aTHX_ px);
}

XS(psgi_promise_waiter);
XS(psgi_promise_waiter)
{
    dXSARGS;
    MAGIC *mg = mg_findext((SV *)cv, PERL_MAGIC_ext, &waiter_vtbl);

    if (mg != NULL && mg->mg_ptr != NULL) {
        SV *arg = items > 0 ? sv_mortalcopy(ST(0)) : &PL_sv_undef;
        sv_2mortal(SvREFCNT_inc_simple_NN(
            (SV *)cv)); /* the magic, and with it px, stays until we return */
        waiter_run(aTHX_(struct psgi_exchange *) mg->mg_ptr,
                   (enum waiter_kind)CvXSUBANY(cv).any_i32, arg);
    }
    XSRETURN_EMPTY;
}

/* A code ref that settles the exchange. It holds the exchange, which holds the promise only until
 * it is over, so there is no lasting circle. Owned by the caller. */
static SV *waiter_new(pTHX_ struct psgi_exchange *px, enum waiter_kind kind)
{
    CV *cv = newXS(NULL, psgi_promise_waiter, __FILE__);
    MAGIC *mg =
        sv_magicext((SV *)cv, NULL, PERL_MAGIC_ext, &waiter_vtbl, (char *)psgi_exchange_ref(px), 0);

    mg->mg_flags |= MGf_DUP;
    CvXSUBANY(cv).any_i32 = (I32)kind;
    return newRV_noinc((SV *)cv);
}

/* Registers for the outcome. False: the promise refused, *error says why. */
static bool listen_to(pTHX_ struct psgi_exchange *px, SV *promise, enum promise_kind kind,
                      SV **error)
{
    SV *args[2] = {NULL, NULL};
    bool ok;

    if (kind == PROMISE_THENABLE) {
        args[0] = waiter_new(aTHX_ px, WAIT_VALUE);
        args[1] = waiter_new(aTHX_ px, WAIT_ERROR);
        ok = psgi_call_method(aTHX_ promise, "then", args, 2, NULL, error);
    } else {
        bool is_future = kind == PROMISE_FUTURE;
        args[0] = waiter_new(aTHX_ px, is_future ? WAIT_FUTURE : WAIT_CONDVAR);
        ok = psgi_call_method(aTHX_ promise, is_future ? "on_ready" : "cb", args, 1, NULL, error);
    }
    SvREFCNT_dec(args[0]);
    SvREFCNT_dec(args[1]);
    return ok;
}

static void await(pTHX_ struct psgi_exchange *px, SV *sv, enum promise_kind kind)
{
    SV *error = NULL;

    SvREFCNT_dec(px->promise);
    px->promise = newSVsv(sv);
    psgi_exchange_ref(px);
    if (is_ready(aTHX_ sv, kind))
        settle(aTHX_ px, kind);
    else if (!listen_to(aTHX_ px, sv, kind, &error) && error != NULL)
        settle_error(aTHX_ px, error);
    SvREFCNT_dec(error);
    psgi_exchange_unref(aTHX_ px);
}

bool psgi_promise_await(pTHX_ struct psgi_exchange *px, SV *sv, psgi_on_value *on_value)
{
    enum promise_kind kind = promise_kind(aTHX_ sv);

    if (kind == PROMISE_NONE)
        return false;
    px->on_value = on_value;
    if (++px->promise_depth > PROMISE_DEPTH_MAX)
        psgi_exchange_failf(aTHX_ px, "a promise yielded a promise, %d times", PROMISE_DEPTH_MAX);
    else
        await(aTHX_ px, sv, kind);
    return true;
}

void psgi_promise_watch(pTHX_ struct psgi_exchange *px, SV *sv)
{
    enum promise_kind kind = promise_kind(aTHX_ sv);

    /* A condvar has only one callback, and that belongs to the app. */
    if (px->ex == NULL || px->promise != NULL || kind == PROMISE_NONE || kind == PROMISE_CONDVAR)
        return;
    px->on_value = NULL;
    await(aTHX_ px, sv, kind);
}

bool psgi_promise_cancel(pTHX_ struct psgi_exchange *px)
{
    SV *promise = px->promise;

    if (promise == NULL || px->on_value == NULL ||
        !has_method(aTHX_ SvSTASH(SvRV(promise)), "cancel"))
        return false;
    px->promise = NULL; /* what it tells its waiter from now on is ignored */
    psgi_call_method(aTHX_ promise, "cancel", NULL, 0, NULL, NULL);
    SvREFCNT_dec(promise);
    return true;
}

void psgi_promise_forget(pTHX_ struct psgi_exchange *px)
{
    SV *promise;

    if (psgi_promise_cancel(aTHX_ px))
        return;
    promise = px->promise;
    px->promise = NULL;
    SvREFCNT_dec(promise);
}

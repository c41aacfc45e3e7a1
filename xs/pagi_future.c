/* pagi_future.c - the futures of a PAGI application; see pagi_future.h */
#include "pagi_future.h"
#include "call.h"

static SV *make(pTHX_ const char *method, SV *value)
{
    SV *class = newSVpvs_flags("Sprig::PAGI::Future", SVs_TEMP);
    SV *future = NULL, *error = NULL;

    if (psgi_call_method(aTHX_ class, method, &value, value != NULL ? 1 : 0, &future, &error) &&
        future != NULL)
        return future;
    SvREFCNT_dec(future);
    croak_sv(sv_2mortal(error != NULL ? error : newSVpvs("Sprig::PAGI::Future is not loaded")));
}

SV *psgi_future_ready(pTHX)
{
    struct psgi *psgi = psgi_get(aTHX);

    if (psgi->ready_future == NULL)
        psgi->ready_future = make(aTHX_ "_ready", NULL);
    return newRV_inc(SvRV(psgi->ready_future));
}

SV *psgi_future_done(pTHX_ SV *value)
{
    return make(aTHX_ "done", value);
}

SV *psgi_future_failed(pTHX_ SV *message)
{
    return make(aTHX_ "fail", sv_2mortal(message));
}

SV *psgi_future_new(pTHX)
{
    return make(aTHX_ "new", NULL);
}

static bool has_true(pTHX_ HV *hv, const char *key, I32 len)
{
    SV **sv = hv_fetch(hv, key, len, 0);

    return sv != NULL && SvTRUE_nomg(*sv);
}

/* Looks at what Future::PP keeps in its hash. */
static bool looks_done(pTHX_ SV *future)
{
    HV *hv = SvROK(future) && SvTYPE(SvRV(future)) == SVt_PVHV ? (HV *)SvRV(future) : NULL;

    return hv != NULL && !SvRMAGICAL((SV *)hv) && has_true(aTHX_ hv, "ready", 5) &&
           hv_exists(hv, "result", 6) && !hv_exists(hv, "failure", 7) &&
           !has_true(aTHX_ hv, "cancelled", 9);
}

void psgi_future_learn(pTHX_ SV *pending, SV *done, SV *failed, SV *cancelled)
{
    struct psgi *psgi = psgi_get(aTHX);
    bool is_plain = looks_done(aTHX_ done) && !looks_done(aTHX_ pending) &&
                    !looks_done(aTHX_ failed) && !looks_done(aTHX_ cancelled);

    psgi->future_class = is_plain ? SvSTASH(SvRV(done)) : NULL;
}

bool psgi_future_is_plainly_done(pTHX_ SV *future)
{
    struct psgi *psgi = psgi_get(aTHX);

    return psgi->future_class != NULL && SvROK(future) && SvOBJECT(SvRV(future)) &&
           SvSTASH(SvRV(future)) == psgi->future_class && looks_done(aTHX_ future);
}

bool psgi_future_is_ready(pTHX_ SV *future)
{
    SV *result = NULL;
    bool yes = psgi_call_method(aTHX_ future, "is_ready", NULL, 0, &result, NULL) &&
               result != NULL && SvTRUE(result);

    SvREFCNT_dec(result);
    return yes;
}

static SV *end(pTHX_ SV *future, const char *method, SV *value)
{
    SV *error = NULL;

    if (!psgi_future_is_ready(aTHX_ future))
        psgi_call_method(aTHX_ future, method, &value, value != NULL ? 1 : 0, NULL, &error);
    return error;
}

SV *psgi_future_settle(pTHX_ SV *future, SV *value)
{
    return end(aTHX_ future, "done", value);
}

SV *psgi_future_fail(pTHX_ SV *future, SV *message)
{
    return end(aTHX_ future, "fail", message);
}

SV *psgi_future_failure(pTHX_ SV *future)
{
    SV *failure = NULL;

    if (psgi_call_method(aTHX_ future, "failure", NULL, 0, &failure, NULL) && failure != NULL &&
        SvOK(failure))
        return failure;
    SvREFCNT_dec(failure);
    return NULL;
}

bool psgi_future_is_one(pTHX_ SV *sv)
{
    return SvROK(sv) && SvOBJECT(SvRV(sv)) &&
           gv_fetchmethod_autoload(SvSTASH(SvRV(sv)), "on_ready", FALSE) != NULL &&
           gv_fetchmethod_autoload(SvSTASH(SvRV(sv)), "is_ready", FALSE) != NULL;
}

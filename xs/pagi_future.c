/* pagi_future.c - the futures of a PAGI application; see pagi_future.h */
#include "pagi_future.h"
#include "call.h"
#include "keys.h"

/* ---- futures as the hashes that they are ---- */

/* What Future::PP keeps in a future. */
enum plain_key {
    PLAIN_READY,
    PLAIN_RESULT,
    PLAIN_CALLBACKS,
    PLAIN_FAILURE,
    PLAIN_CANCELLED,
    N_PLAIN
};

/* How futures look, once that is known. */
struct psgi_plain_futures {
    struct psgi_key key[N_PLAIN];
    HV *class; /* the stash of Future */
    HV *own;   /* that of Sprig::PAGI::Future */
    GV *times; /* $Future::TIMES: futures note when they were made and settled */
};

static SV *plain_get(pTHX_ const struct psgi_plain_futures *plain, HV *hv, enum plain_key which)
{
    HE *he = hv_fetch_ent(hv, plain->key[which].sv, 0, plain->key[which].hash);

    return he != NULL ? HeVAL(he) : NULL;
}

static void plain_put(pTHX_ const struct psgi_plain_futures *plain, HV *hv, enum plain_key which,
                      SV *value)
{
    (void)hv_store_ent(hv, plain->key[which].sv, value, plain->key[which].hash);
}

/* NULL: it is none, or has magic. */
static HV *plain_hash(SV *future)
{
    HV *hv = SvROK(future) && SvOBJECT(SvRV(future)) && SvTYPE(SvRV(future)) == SVt_PVHV
                 ? (HV *)SvRV(future)
                 : NULL;

    return hv != NULL && !SvRMAGICAL((SV *)hv) ? hv : NULL;
}

static bool is_true(pTHX_ SV *sv)
{
    return sv != NULL && SvTRUE_nomg(sv);
}

/* The values of one that is ready without a failure; NULL: it is something else. */
static AV *plain_result(pTHX_ const struct psgi_plain_futures *plain, HV *hv)
{
    SV *result;

    if (!is_true(aTHX_ plain_get(aTHX_ plain, hv, PLAIN_READY)))
        return NULL;
    if (HvUSEDKEYS(hv) > 2 && (plain_get(aTHX_ plain, hv, PLAIN_FAILURE) != NULL ||
                               is_true(aTHX_ plain_get(aTHX_ plain, hv, PLAIN_CANCELLED))))
        return NULL;
    result = plain_get(aTHX_ plain, hv, PLAIN_RESULT);
    return result != NULL && SvROK(result) && SvTYPE(SvRV(result)) == SVt_PVAV &&
                   !SvRMAGICAL(SvRV(result))
               ? (AV *)SvRV(result)
               : NULL;
}

static struct psgi_plain_futures *plain_new(pTHX_ HV *class)
{
    static const char *const text[] = {"ready", "result", "callbacks", "failure", "cancelled"};
    struct psgi_plain_futures *plain;

    Newxz(plain, 1, struct psgi_plain_futures);
    for (unsigned i = 0; i < N_PLAIN; i++)
        plain->key[i] = psgi_key_make(aTHX_ text[i], strlen(text[i]));
    plain->class = class;
    plain->own = gv_stashpvs("Sprig::PAGI::Future", GV_ADD);
    plain->times = gv_fetchpvs("Future::TIMES", GV_ADD, SVt_PV);
    return plain;
}

/* A new one has these two keys alone, one that was settled those two. */
static bool are_plain(pTHX_ const struct psgi_plain_futures *plain, SV *pending, SV *done,
                      SV *failed, SV *cancelled)
{
    HV *hv[] = {plain_hash(pending), plain_hash(done), plain_hash(failed), plain_hash(cancelled)};
    SV *ready, *callbacks;

    for (size_t i = 0; i < C_ARRAY_LENGTH(hv); i++)
        if (hv[i] == NULL || (plain_result(aTHX_ plain, hv[i]) != NULL) != (i == 1))
            return false;
    ready = plain_get(aTHX_ plain, hv[0], PLAIN_READY);
    callbacks = plain_get(aTHX_ plain, hv[0], PLAIN_CALLBACKS);
    return HvUSEDKEYS(hv[0]) == 2 && HvUSEDKEYS(hv[1]) == 2 && ready != NULL && SvIOK(ready) &&
           callbacks != NULL && SvROK(callbacks) && SvTYPE(SvRV(callbacks)) == SVt_PVAV;
}

bool psgi_future_learn(pTHX_ SV *pending, SV *done, SV *failed, SV *cancelled)
{
    struct psgi *psgi = psgi_get(aTHX);
    struct psgi_plain_futures *plain = plain_new(aTHX_ SvSTASH(SvRV(done)));

    if (are_plain(aTHX_ plain, pending, done, failed, cancelled))
        psgi->plain_futures = plain;
    else
        Safefree(plain);
    return psgi->plain_futures != NULL;
}

/* How they look now, or NULL. */
static const struct psgi_plain_futures *plain_now(pTHX)
{
    const struct psgi_plain_futures *plain = psgi_get(aTHX)->plain_futures;

    return plain != NULL && !SvTRUE(GvSVn(plain->times)) ? plain : NULL;
}

static SV *plain_bless(pTHX_ HV *hv, HV *class)
{
    return sv_bless(newRV_noinc((SV *)hv), class);
}

static SV *plain_done(pTHX_ const struct psgi_plain_futures *plain, HV *class, SV **values, int n)
{
    HV *hv = newHV();
    AV *result = newAV();

    for (int i = 0; i < n; i++)
        av_push(result, newSVsv(values[i]));
    plain_put(aTHX_ plain, hv, PLAIN_READY, newSViv(1));
    plain_put(aTHX_ plain, hv, PLAIN_RESULT, newRV_noinc((SV *)result));
    return plain_bless(aTHX_ hv, class);
}

static SV *plain_pending(pTHX_ const struct psgi_plain_futures *plain)
{
    HV *hv = newHV();

    plain_put(aTHX_ plain, hv, PLAIN_READY, newSViv(0));
    plain_put(aTHX_ plain, hv, PLAIN_CALLBACKS, newRV_noinc((SV *)newAV()));
    return plain_bless(aTHX_ hv, plain->own);
}

SV *psgi_future_of_class(pTHX_ SV *class, SV **values, int n)
{
    const struct psgi_plain_futures *plain = plain_now(aTHX);

    if (plain == NULL || !SvPOK(class) || !strEQ(SvPVX_const(class), "Future"))
        return NULL;
    return plain_done(aTHX_ plain, plain->class, values, n);
}

AV *psgi_future_result(pTHX_ SV *future)
{
    const struct psgi_plain_futures *plain = psgi_get(aTHX)->plain_futures;
    HV *hv = plain != NULL ? plain_hash(future) : NULL;

    return hv != NULL ? plain_result(aTHX_ plain, hv) : NULL;
}

bool psgi_future_is_plainly_done(pTHX_ SV *future)
{
    const struct psgi_plain_futures *plain = psgi_get(aTHX)->plain_futures;
    HV *hv = plain != NULL ? plain_hash(future) : NULL;

    return hv != NULL && SvSTASH((SV *)hv) == plain->class && plain_result(aTHX_ plain, hv) != NULL;
}

/* ---- made and settled ---- */

SV *psgi_future_ask(pTHX_ SV *future, const char *method, SV **args, int n)
{
    SV *value = NULL, *error = NULL;

    if (psgi_call_method(aTHX_ future, method, args, n, &value, &error) && value != NULL)
        return value;
    SvREFCNT_dec(value);
    croak_sv(sv_2mortal(error != NULL ? error : newSVpvf("there is no method %s", method)));
}

static SV *make(pTHX_ const char *method, SV *value)
{
    SV *class = newSVpvs_flags("Sprig::PAGI::Future", SVs_TEMP);

    return psgi_future_ask(aTHX_ class, method, &value, value != NULL ? 1 : 0);
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
    const struct psgi_plain_futures *plain = plain_now(aTHX);

    return plain != NULL ? plain_done(aTHX_ plain, plain->own, &value, 1)
                         : make(aTHX_ "done", value);
}

SV *psgi_future_failed(pTHX_ SV *message)
{
    return make(aTHX_ "fail", sv_2mortal(message));
}

SV *psgi_future_new(pTHX)
{
    const struct psgi_plain_futures *plain = plain_now(aTHX);

    return plain != NULL ? plain_pending(aTHX_ plain) : make(aTHX_ "new", NULL);
}

bool psgi_future_is_ready(pTHX_ SV *future)
{
    const struct psgi_plain_futures *plain = psgi_get(aTHX)->plain_futures;
    HV *hv = plain != NULL ? plain_hash(future) : NULL;
    SV *result = NULL;
    bool yes;

    if (hv != NULL && SvSTASH((SV *)hv) == plain->own)
        return is_true(aTHX_ plain_get(aTHX_ plain, hv, PLAIN_READY));
    yes = psgi_call_method(aTHX_ future, "is_ready", NULL, 0, &result, NULL) && result != NULL &&
          SvTRUE(result);

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

/* envread.c - what the env of a request says now, whatever the app has done to it. */
#include "call.h"
#include "env.h"

bool psgi_entry_is_in_chain(const HE *first, const HE *entry)
{
    while (first != NULL && first != entry)
        first = HeNEXT(first);
    return first != NULL;
}

HE *psgi_env_entry(pTHX_ const struct psgi_env *env, const struct psgi_keys *keys, int slot)
{
    if (!(env->present[slot >> 6] & psgi_slot_bit((unsigned)slot)) || HvARRAY(env->hv) == NULL ||
        !psgi_entry_is_linked(HvARRAY(env->hv), HvMAX(env->hv), env->entry[slot], &keys->key[slot]))
        return NULL;
    return HeVAL(env->entry[slot]) != &PL_sv_placeholder ? env->entry[slot] : NULL;
}

/* ---- reading the env back ---- */

struct get_job {
    HV *env;
    const char *key;
    SV *value; /* out, owned */
};

static void run_get(pTHX_ void *arg)
{
    struct get_job *job = arg;
    SV **value = hv_fetch(job->env, job->key, (I32)strlen(job->key), 0);

    if (value != NULL)
        job->value = newSVsv(*value);
}

SV *psgi_env_get(pTHX_ HV *env, const char *key)
{
    struct get_job job = {env, key, NULL};

    if (SvRMAGICAL((SV *)env) || SvREADONLY((SV *)env)) { /* the app tied or locked it */
        psgi_eval(aTHX_ run_get, &job, NULL);
        return job.value;
    }
    SV **value = hv_fetch(env, key, (I32)strlen(key), 0);
    if (value == NULL || !SvGMAGICAL(*value))
        return value != NULL ? newSVsv(*value) : NULL;
    psgi_eval(aTHX_ run_get, &job, NULL);
    return job.value;
}

bool psgi_env_has_handlers(pTHX_ struct psgi_exchange *px)
{
    HE *he = psgi_env_entry(aTHX_ px->entries, px->server->psgi->keys, KEY_CLEANUP_HANDLERS);
    SV *ref = he != NULL ? HeVAL(he) : NULL;

    if (SvRMAGICAL((SV *)px->env) || ref == NULL || SvGMAGICAL(ref) || !SvROK(ref) ||
        SvTYPE(SvRV(ref)) != SVt_PVAV)
        return true;
    return SvMAGICAL(SvRV(ref)) || AvFILLp((AV *)SvRV(ref)) >= 0;
}

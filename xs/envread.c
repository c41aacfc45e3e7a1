/* envread.c - reads an env as it is now, whatever the app has done to it. */
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

    if (SvRMAGICAL((SV *)env) || SvREADONLY((SV *)env)) { /* the app has tied or locked it */
        psgi_eval(aTHX_ run_get, &job, NULL);
        return job.value;
    }
    SV **value = hv_fetch(env, key, (I32)strlen(key), 0);
    if (value == NULL || !SvGMAGICAL(*value))
        return value != NULL ? newSVsv(*value) : NULL;
    psgi_eval(aTHX_ run_get, &job, NULL);
    return job.value;
}

/* The text of a value that runs no code; ptr NULL if it is another kind, or there is none. */
static struct sprig_span plain_text(SV *value)
{
    if (value == NULL || SvGMAGICAL(value) || !SvPOK(value))
        return span_make(NULL, 0);
    return span_make(SvPVX_const(value), SvCUR(value));
}

static SV *value_of(pTHX_ HV *env, const char *key)
{
    SV **value = hv_fetch(env, key, (I32)strlen(key), 0);

    return value != NULL ? *value : NULL;
}

/* Copies printable characters; if there is no more room, puts dots. */
static char *put_printable(char *at, const char *end, struct sprig_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (end - at < 8)
            return at + my_snprintf(at, 8, "...");
        if (c > ' ' && c < 0x7f)
            *at++ = c;
        else
            at += my_snprintf(at, 8, "\\x%02X", (unsigned char)c);
    }
    *at = '\0';
    return at;
}

/* Writes the name; returns its end. */
static const char *put_name(char name[PSGI_REQUEST_NAME_BYTES], SV *of_method, SV *of_uri)
{
    const char *end = name + PSGI_REQUEST_NAME_BYTES, *query;
    struct sprig_span method = plain_text(of_method), uri = plain_text(of_uri);

    name[0] = '\0';
    if (method.ptr == NULL || uri.ptr == NULL)
        return name;
    query = memchr(uri.ptr, '?', uri.len);
    if (query != NULL)
        uri.len = (size_t)(query - uri.ptr);
    char *at = put_printable(name, end - 16, method);
    *at++ = ' ';
    return put_printable(at, end, uri);
}

void psgi_env_request_name(pTHX_ HV *env, char name[PSGI_REQUEST_NAME_BYTES])
{
    name[0] = '\0';
    if (env != NULL && !SvRMAGICAL((SV *)env))
        put_name(name, value_of(aTHX_ env, "REQUEST_METHOD"), value_of(aTHX_ env, "REQUEST_URI"));
}

static SV *entry_value(pTHX_ const struct psgi_exchange *px, int slot)
{
    HE *he = psgi_env_entry(aTHX_ px->entries, px->server->psgi->keys, slot);

    return he != NULL ? HeVAL(he) : NULL;
}

char *psgi_env_copy_name(pTHX_ const struct psgi_exchange *px)
{
    char name[PSGI_REQUEST_NAME_BYTES];
    const char *end = put_name(name, entry_value(aTHX_ px, KEY_REQUEST_METHOD),
                               entry_value(aTHX_ px, KEY_REQUEST_URI));

    return savepvn(name, (I32)(end - name));
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

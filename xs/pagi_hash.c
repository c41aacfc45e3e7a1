/* pagi_hash.c - the hash of a PAGI scope, reused from request to request; see pagi_hash.h */
#include "pagi_hash.h"
#include "env.h"
#include "keptvalue.h"

/* The implemented versions of the specification: PAGI::Spec, PAGI::Spec::Www. */
#define CORE_VERSION "0.5"
#define WWW_VERSION  "0.6"

enum { KEPT_HEADERS_BYTES = 16384 }; /* for all headers together */

/* ---- keys ---- */

struct psgi_key *psgi_scope_keys_new(pTHX)
{
    static const char *const text[] = {
#define X(name, text) text,
        SCOPE_KEYS(X)
#undef X
    };
    struct psgi_key *keys;

    Newx(keys, N_SCOPE_KEYS, struct psgi_key);
    for (unsigned i = 0; i < N_SCOPE_KEYS; i++)
        keys[i] = psgi_key_make(aTHX_ text[i], strlen(text[i]));
    return keys;
}

/* ---- writing ---- */

void psgi_scope_hash_begin(pTHX_ struct psgi_scope_hash *hash, struct psgi *psgi)
{
    hash->written = 0;
    if (hash->hv != NULL)
        return;
    if (psgi->scope_keys == NULL)
        psgi->scope_keys = psgi_scope_keys_new(aTHX);
    hash->keys = psgi->scope_keys;
    hash->present = 0;
    hash->hv = newHV();
    hv_ksplit(hash->hv, 32);
}

SV *psgi_scope_value_new(pTHX_ struct psgi_scope_hash *hash, enum psgi_scope_key which)
{
    const struct psgi_key *key = &hash->keys[which];

    hash->entry[which] = hv_store_ent(hash->hv, key->sv, newSV(0), key->hash);
    hash->present |= UINT32_C(1) << which;
    return HeVAL(hash->entry[which]);
}

void psgi_scope_hash_end(pTHX_ struct psgi_scope_hash *hash)
{
    uint32_t stale = hash->present & ~hash->written;

    hash->present = hash->written;
    for (; stale != 0; stale &= stale - 1) {
        const struct psgi_key *key = &hash->keys[__builtin_ctz(stale)];
        (void)hv_delete_ent(hash->hv, key->sv, G_DISCARD, key->hash);
    }
}

/* ---- the parts that stay the same ---- */

HV *psgi_scope_versions_new(pTHX)
{
    HV *hv = newHV();

    (void)hv_stores(hv, "version", newSVpvs(CORE_VERSION));
    (void)hv_stores(hv, "spec_version", newSVpvs(WWW_VERSION));
    return hv;
}

HV *psgi_scope_extensions_new(pTHX_ bool has_flush)
{
    HV *hv = newHV();

    if (has_flush)
        (void)hv_stores(hv, "fullflush", newRV_noinc((SV *)newHV()));
    return hv;
}

/* The hash behind a reference, if it is a plain one with n keys that nobody else has. */
static HV *sole_hash(pTHX_ SV *sv, STRLEN n)
{
    HV *hv = (HV *)(psgi_value_is_ref(sv) ? SvRV(sv) : NULL);

    return hv != NULL && SvTYPE((SV *)hv) == SVt_PVHV && HvTOTALKEYS(hv) == n &&
                   (n == 0 || psgi_hash_is_sole(aTHX_ hv))
               ? hv
               : NULL;
}

/* A hash that never had a key has no array, either. */
static bool is_empty_hash(pTHX_ SV *sv)
{
    HV *hv = sole_hash(aTHX_ sv, 0);

    return hv != NULL && SvREFCNT((SV *)hv) == 1 && !(SvFLAGS((SV *)hv) & KEPT_MAGIC_FLAGS) &&
           !SvOOK((SV *)hv) && SvMAGIC((SV *)hv) == NULL;
}

static bool has_still(pTHX_ HV *hv, const char *key, I32 len, const char *text)
{
    SV **sv = hv_fetch(hv, key, len, 0);

    return sv != NULL && psgi_value_is_text(*sv) && SvPOK(*sv) && strEQ(SvPVX_const(*sv), text);
}

static bool is_versions(pTHX_ SV *sv)
{
    HV *hv = sole_hash(aTHX_ sv, 2);

    return hv != NULL && has_still(aTHX_ hv, "version", 7, CORE_VERSION) &&
           has_still(aTHX_ hv, "spec_version", 12, WWW_VERSION);
}

static bool is_extensions(pTHX_ SV *sv)
{
    HV *hv = sole_hash(aTHX_ sv, 1);
    SV **flush = hv != NULL ? hv_fetchs(hv, "fullflush", 0) : NULL;

    return flush != NULL && is_empty_hash(aTHX_ * flush);
}

/* ---- the parts that change ---- */

/* A string, a number, or undef. */
static bool is_plain(SV *sv)
{
    return psgi_value_is_text(sv) ||
           (SvREFCNT(sv) == 1 && (SvTYPE(sv) == SVt_NULL || SvTYPE(sv) == SVt_IV) &&
            (SvFLAGS(sv) & ~(U32)KEPT_TEXT_FLAGS) == 0);
}

static bool is_address(SV *sv)
{
    AV *av = psgi_value_array(sv, 2);

    return av != NULL && is_plain(AvARRAY(av)[0]) && is_plain(AvARRAY(av)[1]);
}

static bool is_header(SV *sv, size_t *bytes)
{
    AV *av = psgi_value_array(sv, 2);

    if (av == NULL || !psgi_value_is_text(AvARRAY(av)[0]) || !psgi_value_is_text(AvARRAY(av)[1]))
        return false;
    *bytes += SvLEN(AvARRAY(av)[0]) + SvLEN(AvARRAY(av)[1]);
    return *bytes <= KEPT_HEADERS_BYTES;
}

static bool is_headers(SV *sv)
{
    AV *av = psgi_value_list(sv);
    size_t bytes = 0;

    for (SSize_t i = 0; av != NULL && i <= AvFILLp(av); i++)
        if (!is_header(AvARRAY(av)[i], &bytes))
            return false;
    return av != NULL;
}

static bool refers_to(SV *sv, SV *object)
{
    return psgi_value_is_ref(sv) && SvRV(sv) == object;
}

/* ---- the end of a request ---- */

/* What to look for in a scope. */
struct sieve {
    SV *transport, *connection;
    struct psgi_garbage garbage;
};

/* True if the value may stay until it is overwritten. */
static bool may_stay(pTHX_ const struct sieve *sieve, enum psgi_scope_key which, SV *sv)
{
    switch (which) {
    case SCOPE_KEY_PAGI:
        return is_versions(aTHX_ sv);
    case SCOPE_KEY_CLIENT:
    case SCOPE_KEY_SERVER:
        return is_address(sv);
    case SCOPE_KEY_HEADERS:
        return is_headers(sv);
    case SCOPE_KEY_EXTENSIONS:
        return is_extensions(aTHX_ sv);
    case SCOPE_KEY_TRANSPORT:
        return refers_to(sv, sieve->transport);
    case SCOPE_KEY_CONNECTION:
        return refers_to(sv, sieve->connection);
    case SCOPE_KEY_STATE:
        return is_empty_hash(aTHX_ sv);
    case SCOPE_KEY_SUBPROTOCOLS:
        return false;
    default:
        return is_plain(sv);
    }
}

/* False: an entry is not where it was made. */
static bool sift(pTHX_ struct psgi_scope_hash *hash, struct sieve *sieve)
{
    HE *const *array = HvARRAY(hash->hv);
    STRLEN max = HvMAX(hash->hv);

    for (uint32_t bits = hash->present; bits != 0; bits &= bits - 1) {
        unsigned which = (unsigned)__builtin_ctz(bits);
        HE *entry = hash->entry[which];
        if (!psgi_entry_is_linked(array, max, entry, &hash->keys[which]))
            return false;
        SV *value = HeVAL(entry);
        if (may_stay(aTHX_ sieve, (enum psgi_scope_key)which, value))
            continue;
        psgi_throw_away(aTHX_ & sieve->garbage, value);
        HeVAL(entry) = newSV(0);
    }
    return true;
}

static bool is_own(const struct psgi_scope_hash *hash, const HE *he)
{
    for (uint32_t bits = hash->present; bits != 0; bits &= bits - 1)
        if (hash->entry[__builtin_ctz(bits)] == he)
            return true;
    return false;
}

/* Removes what the application has put there under other keys. */
static void take_out(pTHX_ struct psgi_scope_hash *hash, struct psgi_garbage *garbage)
{
    AV *keys = newAV();

    for (STRLEN i = 0; i <= HvMAX(hash->hv); i++)
        for (HE *he = HvARRAY(hash->hv)[i]; he != NULL; he = HeNEXT(he))
            if (!is_own(hash, he)) {
                av_push(keys, newSVhek(HeKEY_hek(he)));
                psgi_throw_away(aTHX_ garbage, SvREFCNT_inc_simple_NN(HeVAL(he)));
            }
    for (SSize_t i = 0; i <= AvFILLp(keys); i++)
        (void)hv_delete_ent(hash->hv, AvARRAY(keys)[i], G_DISCARD, 0);
    SvREFCNT_dec((SV *)keys);
}

static bool scrub(pTHX_ struct psgi_scope_hash *hash, struct sieve *sieve)
{
    STRLEN n = (STRLEN)__builtin_popcount(hash->present);

    if (PL_phase == PERL_PHASE_DESTRUCT || !psgi_hash_is_sole(aTHX_ hash->hv) ||
        !sift(aTHX_ hash, sieve))
        return false;
    if (HvTOTALKEYS(hash->hv) > n)
        take_out(aTHX_ hash, &sieve->garbage);
    return HvTOTALKEYS(hash->hv) == n;
}

void psgi_scope_hash_scrub(pTHX_ struct psgi_scope_hash *hash, SV *transport, SV *connection)
{
    struct sieve sieve = {transport, connection, {NULL}};
    HV *hv = hash->hv;

    if (hv == NULL)
        return;
    if (!scrub(aTHX_ hash, &sieve)) {
        hash->hv = NULL;
        SvREFCNT_dec((SV *)hv);
    }
    SvREFCNT_dec((SV *)sieve.garbage.values);
}

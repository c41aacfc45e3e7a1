/* keptvalue.h - hashes that are reused by the next request: which of their values may stay, and how
 * they are overwritten. What the application has changed in kind, or can still reach, must go. */
#ifndef SPRIG_KEPTVALUE_H
#define SPRIG_KEPTVALUE_H

#include "bridge.h"

enum {
    KEPT_TEXT_BYTES = 4096, /* longer buffers are freed */
    KEPT_BUCKETS = 256,     /* of a hash */
    KEPT_MAGIC_FLAGS = SVs_GMG | SVs_SMG | SVs_RMG | SVs_OBJECT | SVf_READONLY | SVf_PROTECT
};

/* Flags of a string, including one that was used as a number. */
#define KEPT_TEXT_FLAGS                                                                            \
    (SVTYPEMASK | SVf_POK | SVp_POK | SVf_IOK | SVp_IOK | SVf_NOK | SVp_NOK | SVf_IVisUV |         \
     SVf_UTF8 | SVf_IsCOW)

/* Nobody else has it, and it is of this kind: a single comparison. */
static inline bool psgi_value_is_sole(SV *sv, U32 flags)
{
    return ((SvREFCNT(sv) ^ 1) | (SvFLAGS(sv) ^ flags)) == 0;
}

/* A string that only the hash has, whatever its value. */
static inline bool psgi_value_is_text(SV *sv)
{
    svtype type = SvTYPE(sv);

    if (psgi_value_is_sole(sv, (U32)SVt_PV | SVf_POK | SVp_POK))
        return SvLEN(sv) <= KEPT_TEXT_BYTES;
    return SvREFCNT(sv) == 1 && (SvFLAGS(sv) & ~(U32)KEPT_TEXT_FLAGS) == 0 &&
           (type == SVt_PV || type == SVt_PVIV || type == SVt_PVNV) && SvLEN(sv) <= KEPT_TEXT_BYTES;
}

/* A plain, strong reference. */
static inline bool psgi_value_is_ref(SV *sv)
{
    return psgi_value_is_sole(sv, (U32)SVt_IV | SVf_ROK);
}

/* The array behind a reference, if nobody else has it and it is a plain one; otherwise NULL. */
static inline AV *psgi_value_list(SV *sv)
{
    AV *av = (AV *)(psgi_value_is_ref(sv) ? SvRV(sv) : NULL);

    if (av == NULL || SvREFCNT((SV *)av) != 1 || SvFLAGS((SV *)av) != ((U32)SVt_PVAV | SVpav_REAL))
        return NULL;
    return SvMAGIC((SV *)av) == NULL && AvALLOC(av) == AvARRAY(av) ? av : NULL;
}

/* The same, if it has n elements. */
static inline AV *psgi_value_array(SV *sv, SSize_t n)
{
    AV *av = psgi_value_list(sv);

    return av != NULL && AvFILLp(av) == n - 1 ? av : NULL;
}

static inline void psgi_value_set_text(pTHX_ SV *sv, struct sprig_span text)
{
    if (SvFLAGS(sv) != ((U32)SVt_PV | SVf_POK | SVp_POK) || SvLEN(sv) <= text.len) {
        sv_setpvn(sv, text.len ? text.ptr : "", text.len);
        SvPOK_only(sv);
        return;
    }
    if (text.len)
        Copy(text.ptr, SvPVX(sv), text.len, char);
    SvCUR_set(sv, text.len);
    *SvEND(sv) = '\0';
}

/* Makes an undefined value a reference to `target`, which is taken. */
static inline void psgi_value_set_ref(pTHX_ SV *sv, SV *target)
{
    PERL_UNUSED_CONTEXT;
    SvUPGRADE(sv, SVt_IV);
    SvRV_set(sv, target);
    SvROK_on(sv);
}

/* A plain hash that nobody else has, not even weakly. Resets an unfinished `each`. */
static inline bool psgi_hash_is_sole(pTHX_ HV *hv)
{
    if (SvREFCNT((SV *)hv) != 1 || (SvFLAGS((SV *)hv) & KEPT_MAGIC_FLAGS) ||
        SvMAGIC((SV *)hv) != NULL || HvHASKFLAGS(hv) || !HvSHAREKEYS(hv) ||
        HvMAX(hv) >= KEPT_BUCKETS || HvARRAY(hv) == NULL)
        return false;
    if (!SvOOK((SV *)hv))
        return true;
    if (HvNAME_get(hv) != NULL || HvAUX(hv)->xhv_backreferences != NULL)
        return false;
    (void)hv_iterinit(hv);
    return SvREFCNT((SV *)hv) == 1;
}

/* Values to be freed once everything is consistent again, because destructors may run Perl. */
struct psgi_garbage {
    AV *values; /* owned; NULL while there are none */
};

static inline void psgi_throw_away(pTHX_ struct psgi_garbage *garbage, SV *value)
{
    if (garbage->values == NULL)
        garbage->values = newAV();
    av_push(garbage->values, value);
}

#endif

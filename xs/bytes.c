/* bytes.c - the bytes of Perl values, writing them, and the handles behind values. */
#include "bytes.h"
#include "call.h"

enum { SPARE_BYTES = 64 }; /* this much unused room does not stop perl from sharing a string */

/* ---- values ---- */

bool psgi_is_plain(SV *sv)
{
    return !SvGMAGICAL(sv) && !SvROK(sv) && (SvPOK(sv) ? !SvUTF8(sv) : SvNIOK(sv) || !SvOK(sv));
}

/* Returns a new string: converting in place would turn the app's number into a string. */
static SV *string_copy(pTHX_ SV *sv)
{
    STRLEN len;
    const char *p = SvPV_nomg(sv, len);

    return newSVpvn_flags(p, len, SVs_TEMP | (SvUTF8(sv) ? SVf_UTF8 : 0));
}

/* The same for a reference: overloading may run any code. */
static SV *object_copy(pTHX_ SV *ref)
{
    struct psgi_status status;
    SV *copy;

    ENTER;
    psgi_status_keep(aTHX_ & status);
    copy = string_copy(aTHX_ ref);
    LEAVE;
    psgi_status_give_back(aTHX_ & status);
    return copy;
}

bool psgi_bytes(pTHX_ SV *sv, struct sprig_span *bytes, SV **hold)
{
    SV *copy;

    *hold = NULL;
    *bytes = SPAN_LIT("");
    SvGETMAGIC(sv);
    if (!SvOK(sv))
        return true;
    if (SvPOK(sv) && !SvUTF8(sv) && !SvROK(sv) && !SvGMAGICAL(sv)) {
        *bytes = span_make(SvPVX_const(sv), SvCUR(sv));
        return true;
    }
    copy = SvROK(sv) ? object_copy(aTHX_ sv) : string_copy(aTHX_ sv);
    if (SvUTF8(copy) && !sv_utf8_downgrade(copy, TRUE))
        return false;
    *bytes = span_make(SvPVX_const(copy), SvCUR(copy));
    *hold = SvREFCNT_inc_simple_NN(copy);
    return true;
}

/* Gives back a string that was sent by reference. A plain string has no destructor. */
static void release_sv(void *sv)
{
    dTHX;
    SvREFCNT_dec((SV *)sv);
}

/* Perl does not share a string whose buffer has much unused room. Giving up that room is cheaper
 * than a copy. */
static void make_shareable(pTHX_ SV *sv)
{
    if (!SvIsCOW(sv) && !SvREADONLY(sv) && !SvOOK(sv) && SvLEN(sv) > SvCUR(sv) + SPARE_BYTES)
        SvPV_renew(sv, SvCUR(sv) + 2);
}

/* Writes a string by reference: shares its buffer copy-on-write if perl can. `is_kept`: the app
 * keeps using that buffer, so holding it costs no memory. */
static int write_large(pTHX_ struct sprig_exchange *ex, SV *sv, bool is_kept)
{
    SV *hold;
    struct sprig_span bytes;

    make_shareable(aTHX_ sv);
    hold = newSV(0); /* newSVsv() never shares */
    sv_setsv_flags(hold, sv, SV_NOSTEAL | SV_COW_SHARED_HASH_KEYS | SV_COW_OTHER_PVS);
    bytes = span_make(SvPVX_const(hold), SvCUR(hold));
    if (is_kept && SvPVX_const(hold) == SvPVX_const(sv))
        return sprig_response_write_shared(ex, bytes, release_sv, hold);
    return sprig_response_write_ref(ex, bytes, release_sv, hold);
}

int psgi_write_bytes(pTHX_ struct sprig_exchange *ex, SV *sv)
{
    if (SvCUR(sv) >= PSGI_SHARE_MIN_BYTES)
        return write_large(aTHX_ ex, sv, false);
    return sprig_response_write(ex, span_make(SvPVX_const(sv), SvCUR(sv)));
}

int psgi_write_sv(pTHX_ struct sprig_exchange *ex, SV *sv)
{
    struct sprig_span bytes;
    SV *hold;
    int rc;

    sv = psgi_referent(sv);
    if (!psgi_bytes(aTHX_ sv, &bytes, &hold))
        return SPRIG_E_INVALID;
    if (bytes.len >= PSGI_SHARE_MIN_BYTES && hold == NULL)
        return write_large(aTHX_ ex, sv, false);
    if (bytes.len >= PSGI_SHARE_MIN_BYTES)
        return sprig_response_write_ref(ex, bytes, release_sv, hold);
    rc = bytes.len > 0 ? sprig_response_write(ex, bytes) : 0;
    SvREFCNT_dec(hold);
    return rc;
}

int psgi_write_kept(pTHX_ struct sprig_exchange *ex, SV *sv)
{
    return write_large(aTHX_ ex, sv, true);
}

IO *psgi_io_of(SV *sv)
{
    SV *target = SvROK(sv) ? SvRV(sv) : sv;

    if (isGV_with_GP(target))
        return GvIO((GV *)target);
    return SvTYPE(target) == SVt_PVIO ? (IO *)target : NULL;
}

/* bytes.h - the bytes of Perl values, writing them, and the handles behind values. */
#ifndef SPRIG_PSGI_BYTES_H
#define SPRIG_PSGI_BYTES_H

#include "bridge.h"

/* True for a string or number whose bytes are available without magic, overloading or recoding. */
bool psgi_is_plain(SV *sv);

/* The target of a body piece, if the piece is a plain reference to a string (which saves the app a
 * copy, see psgix.body.scalar_refs); otherwise the value itself. */
static inline SV *psgi_referent(SV *sv)
{
    SV *target = SvROK(sv) && !SvGMAGICAL(sv) ? SvRV(sv) : NULL;

    return target != NULL && !SvOBJECT(target) && SvTYPE(target) <= SVt_PVMG && !isREGEXP(target)
               ? target
               : sv;
}

/* The bytes of a value, downgraded from UTF-8 if flagged. False: it has wide characters. May run
 * magic and overloading: call it under psgi_eval unless the value is plain. `hold` keeps a
 * temporary copy if one was needed (owned by the caller), otherwise NULL. */
bool psgi_bytes(pTHX_ SV *sv, struct sprig_span *bytes, SV **hold);
/* Writes a value to the response; large ones by reference (sharing the string buffer if perl can).
 * Returns what sprig_response_write returns; SPRIG_E_INVALID for wide characters. */
int psgi_write_sv(pTHX_ struct sprig_exchange *ex, SV *sv);
/* Writes a non-empty byte string without magic; returns the same. */
int psgi_write_bytes(pTHX_ struct sprig_exchange *ex, SV *sv);

/* From this size on sharing a string is cheaper than copying it. */
enum { PSGI_SHARE_MIN_BYTES = 16 * 1024 };
/* Writes a string of at least that size that the app keeps using, so holding it costs no memory. */
int psgi_write_kept(pTHX_ struct sprig_exchange *ex, SV *sv);

/* The IO of a glob, a reference to one, or a reference to an IO; NULL for everything else. */
IO *psgi_io_of(SV *sv);

#endif

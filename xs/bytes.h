/* bytes.h - the bytes of Perl values, how they are written, and the handles behind them. */
#ifndef SPRIG_PSGI_BYTES_H
#define SPRIG_PSGI_BYTES_H

#include "bridge.h"

/* True for a string or number whose bytes can be had without magic, overloading or recoding. */
bool psgi_is_plain(SV *sv);

/* What a piece of a body refers to, if it is a plain reference to a string (which spares the app a
 * copy, see psgix.body.scalar_refs); else the value itself. */
static inline SV *psgi_referent(SV *sv)
{
    SV *target = SvROK(sv) && !SvGMAGICAL(sv) ? SvRV(sv) : NULL;

    return target != NULL && !SvOBJECT(target) && SvTYPE(target) <= SVt_PVMG && !isREGEXP(target)
               ? target
               : sv;
}

/* The bytes of a value: downgraded from UTF-8 where flagged. False: it has wide characters. May run
 * magic and overloading: call it under psgi_eval unless the value is plain. `hold` keeps a
 * temporary copy if one was needed (owned by the caller, else NULL). */
bool psgi_bytes(pTHX_ SV *sv, struct sprig_span *bytes, SV **hold);
/* Writes a value to the response; large ones by reference (sharing the string buffer where perl
 * can). Returns as sprig_response_write, SPRIG_E_INVALID for wide characters. */
int psgi_write_sv(pTHX_ struct sprig_exchange *ex, SV *sv);
/* Writes a byte string without magic that is not empty; returns likewise. */
int psgi_write_bytes(pTHX_ struct sprig_exchange *ex, SV *sv);

/* From here on sharing a string is cheaper than copying it. */
enum { PSGI_SHARE_MIN_BYTES = 16 * 1024 };
/* Writes a string of at least so many bytes that the app goes on using: holding it costs no memory.
 */
int psgi_write_kept(pTHX_ struct sprig_exchange *ex, SV *sv);

/* The IO of a glob, a reference to one, or a reference to an IO; NULL for everything else. */
IO *psgi_io_of(SV *sv);

#endif

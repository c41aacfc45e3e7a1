/* text.c - the characters of Perl values as UTF-8; see text.h */
#include "text.h"
#include "base/utf8.h"
#include "call.h"

/* The value itself if it is a string without magic; otherwise a mortal copy of its text. */
SV *psgi_text_sv(pTHX_ SV *value)
{
    struct psgi_status status;
    SV *copy;

    if (SvPOK(value) && !SvGMAGICAL(value) && !SvROK(value))
        return value;
    SvGETMAGIC(value);
    copy = sv_newmortal();
    if (!SvOK(value))
        return copy;
    ENTER;
    psgi_status_keep(aTHX_ & status);
    sv_copypv_nomg(copy, value);
    LEAVE;
    psgi_status_give_back(aTHX_ & status);
    return copy;
}

/* Perl's own encoding allows more than RFC 3629: halves of surrogate pairs, and code points above
 * U+10FFFF. */
struct sprig_span psgi_text_span(pTHX_ SV *plain, const char *what)
{
    struct sprig_span bytes = span_make(NULL, 0);

    if (!SvOK(plain))
        return bytes;
    bytes = span_make(SvPVX(plain), SvCUR(plain));
    if (SvUTF8(plain) && !utf8_is_valid(bytes))
        croak("%s has a character outside Unicode", what);
    if (SvUTF8(plain) || utf8_is_ascii(bytes))
        return bytes;
    plain = sv_2mortal(newSVpvn(bytes.ptr, bytes.len));
    sv_utf8_upgrade(plain);
    return span_make(SvPVX(plain), SvCUR(plain));
}

bool psgi_text_is_plain(SV **values, I32 n)
{
    for (I32 i = 0; i < n; i++)
        if (!SvPOK(values[i]) || SvGMAGICAL(values[i]) || SvROK(values[i]))
            return false;
    return true;
}

SV **psgi_text_hold(pTHX_ SV **values, I32 n)
{
    SV **held;

    Newx(held, n, SV *);
    SAVEFREEPV(held);
    for (I32 i = 0; i < n; i++)
        held[i] = sv_2mortal(SvREFCNT_inc_simple_NN(values[i]));
    return held;
}

/* text.h - the characters of Perl values as UTF-8. */
#ifndef SPRIG_PSGI_TEXT_H
#define SPRIG_PSGI_TEXT_H

#include "bridge.h"

/* Text of a value takes two steps, since what makes text of one value may be code that changes
 * another: first this for all of them, which runs magic and overloading. The value itself where it
 * is a string without any, else a mortal copy; undefined stays so. */
SV *psgi_text_sv(pTHX_ SV *value);

/* Then its bytes, borrowed from it or from a mortal; ptr NULL: it is undefined. Croaks if there is
 * what is no Unicode character; `what` names it. */
struct sprig_span psgi_text_span(pTHX_ SV *plain, const char *what);

/* True if psgi_text_sv would run no code for any of the values. */
bool psgi_text_is_plain(SV **values, I32 n);

/* The values in an array of its own, held until the caller's LEAVE and the next statement: code
 * that frees them, or moves the Perl stack, may run then. */
SV **psgi_text_hold(pTHX_ SV **values, I32 n);

#endif

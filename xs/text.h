/* text.h - the characters of Perl values as UTF-8. */
#ifndef SPRIG_PSGI_TEXT_H
#define SPRIG_PSGI_TEXT_H

#include "bridge.h"

/* Getting a value's text takes two steps, because converting one value may run code that changes
 * another. First this for all of them, which runs magic and overloading: returns the value itself
 * if it is a plain string, otherwise a mortal copy; undef stays undef. */
SV *psgi_text_sv(pTHX_ SV *value);

/* Then its bytes, borrowed from it or a mortal; ptr NULL: it is undefined. Croaks for anything that
 * is not a Unicode character; `what` names the value. */
struct sprig_span psgi_text_span(pTHX_ SV *plain, const char *what);

/* True if psgi_text_sv would run no code for any of the values. */
bool psgi_text_is_plain(SV **values, I32 n);

/* The values in a separate array, held until the caller's LEAVE and the next statement: meanwhile
 * code may run that frees them or moves the Perl stack. */
SV **psgi_text_hold(pTHX_ SV **values, I32 n);

#endif

/* utf8.h - is it UTF-8 (RFC 3629)? Asked of text that comes in pieces, and answered no at the first
 * byte with which it can no longer become valid. Surrogates, overlong forms and what lies above
 * U+10FFFF are not; U+FFFE, U+FFFF and the other non-characters are. */
#ifndef SPRIG_UTF8_H
#define SPRIG_UTF8_H

#include "base/span.h"
#include <stdint.h>

/* Where in a character the text stands. */
struct utf8 {
    uint8_t n_left;    /* bytes of it that are still to come; 0: none has begun */
    uint8_t low, high; /* the range of the next of them */
};

static inline void utf8_init(struct utf8 *u)
{
    *u = (struct utf8){0, 0x80, 0xbf};
}

/* Takes the next piece. False: it is no UTF-8; *u is of no use any more. */
bool utf8_take(struct utf8 *u, struct sprig_span bytes);

/* True if no character is left incomplete. */
static inline bool utf8_is_whole(const struct utf8 *u)
{
    return u->n_left == 0;
}

/* All of a text at once. */
bool utf8_is_valid(struct sprig_span text);

/* True if every byte is below 0x80. */
bool utf8_is_ascii(struct sprig_span text);

#endif

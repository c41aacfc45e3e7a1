/* utf8.h - checks UTF-8 (RFC 3629) in text that arrives in pieces, and says no at the first byte
 * that makes it invalid. Surrogates, overlong forms and code points above U+10FFFF are invalid;
 * U+FFFE, U+FFFF and the other non-characters are valid. */
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

/* Checks the next piece. False if it is not UTF-8; *u is then of no further use. */
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

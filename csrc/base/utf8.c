/* utf8.c - see utf8.h; the ranges are those of RFC 3629 section 4. */
#include "base/utf8.h"
#include "base/words.h"

/* Skips bytes below 0x80, many at a time. */
static const unsigned char *skip_ascii(const unsigned char *at, const unsigned char *end)
{
    while (end - at >= 16 && ((word_at(at) | word_at(at + 8)) & HIGH_BITS) == 0)
        at += 16;
    while (at < end && *at < 0x80)
        at++;
    return at;
}

/* Takes the first byte of a multibyte character: how many bytes follow, and what the next one may
 * be. */
static bool begin(struct utf8 *u, unsigned char byte)
{
    if (byte < 0xc2 || byte > 0xf4)
        return false;
    u->n_left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    u->low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    u->high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return true;
}

bool utf8_take(struct utf8 *u, struct sprig_span bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.ptr, *end = at + bytes.len;
    for (;;) {
        while (u->n_left > 0) {
            if (at == end)
                return true;
            if (*at < u->low || *at > u->high)
                return false;
            at++;
            u->n_left--;
            u->low = 0x80;
            u->high = 0xbf;
        }
        at = skip_ascii(at, end);
        if (at == end)
            return true;
        if (!begin(u, *at++))
            return false;
    }
}

bool utf8_is_valid(struct sprig_span text)
{
    struct utf8 u;
    utf8_init(&u);
    return utf8_take(&u, text) && utf8_is_whole(&u);
}

bool utf8_is_ascii(struct sprig_span text)
{
    const unsigned char *at = (const unsigned char *)text.ptr, *end = at + text.len;
    return text.len == 0 || skip_ascii(at, end) == end;
}

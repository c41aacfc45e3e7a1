/* chars.h - what each byte may be in HTTP: one table of classes, one look-up per byte. */
#ifndef SPRIG_CHARS_H
#define SPRIG_CHARS_H

#include "base/span.h"
#include "base/words.h"

/* Bits of char_classes[]. */
enum {
    CHAR_TOKEN = 1,    /* tchar: methods, field names (RFC 9110 section 5.6.2) */
    CHAR_VALUE = 2,    /* field values: HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5) */
    CHAR_LINE = 4,     /* a request line: SP, VCHAR, and 8-bit bytes of the target */
    CHAR_TARGET = 8,   /* path and query: VCHAR but '#', and 8-bit bytes, which clients send raw */
    CHAR_REGNAME = 16, /* unreserved and sub-delims (RFC 3986 section 3.2.2), without '%' */
    CHAR_HEX = 32,
    CHAR_DIGIT = 64
};

extern const unsigned char char_classes[256];

static inline bool char_is(char c, int class_bits)
{
    return (char_classes[(unsigned char)c] & class_bits) != 0;
}

/* Compares a field name, ignoring case. `lower` has the same length, and only letters and '-'. The
 * name is a token, in which no other byte turns into one of these when the lower-case bit is set.
 */
static inline bool name_is(struct sprig_span name, const char *lower)
{
    uint64_t other = 0;
    if (name.len < 8) {
        for (size_t i = 0; i < name.len; i++)
            other |= (unsigned char)((name.ptr[i] | 0x20) ^ lower[i]);
        return other == 0;
    }
    size_t last = name.len - 8;
    for (size_t at = 0; at < last; at += 8)
        other |= (word_at(name.ptr + at) | EVERY(0x20)) ^ word_at(lower + at);
    other |= (word_at(name.ptr + last) | EVERY(0x20)) ^ word_at(lower + last);
    return other == 0;
}

/* The value of a hex digit; meaningless for any other byte. */
static inline unsigned char_hex(char c)
{
    return ((unsigned char)c & 15u) + (c >= 'A' ? 9u : 0u);
}

#endif

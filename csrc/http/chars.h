/* chars.h - what each byte may be in HTTP: one table of classes, one look-up a byte. */
#ifndef SPRIG_CHARS_H
#define SPRIG_CHARS_H

#include <stdbool.h>

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

/* The value of a hex digit; meaningless for any other byte. */
static inline unsigned char_hex(char c)
{
    return ((unsigned char)c & 15u) + (c >= 'A' ? 9u : 0u);
}

#endif

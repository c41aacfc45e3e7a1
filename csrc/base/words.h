/* words.h - eight bytes of text looked at in one step. What is found may be a false alarm where
 * that is said; nothing is overlooked. */
#ifndef SPRIG_WORDS_H
#define SPRIG_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A word in which each byte is this one; and the highest bit of each. */
#define EVERY(byte) (UINT64_C(0x0101010101010101) * (unsigned char)(byte))
#define HIGH_BITS   EVERY(0x80)

static inline uint64_t word_at(const void *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* High bits of the word where a byte is zero; a byte behind such a one may be wrong. The other bits
 * mean nothing. */
static inline uint64_t word_zeros(uint64_t word)
{
    return (word - EVERY(1)) & ~word;
}

/* Likewise, where a byte is below 0x20 or DEL. */
static inline uint64_t word_controls(uint64_t word)
{
    return ((word - EVERY(0x20)) & ~word) | word_zeros(word ^ EVERY(0x7f));
}

/* Of such bits, of which there is one: how many bytes stand before the first. 0 where that cannot
 * be told from the order of bytes: each has to be looked at. */
static inline size_t word_first(uint64_t bits)
{
#if defined __BYTE_ORDER__ && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)__builtin_ctzll(bits) / 8;
#else
    (void)bits;
    return 0;
#endif
}

#endif

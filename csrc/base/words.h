/* words.h - eight bytes of text looked at in one step. What is found may be a false alarm where
 * that is said; nothing is overlooked. */
#ifndef SPRIG_WORDS_H
#define SPRIG_WORDS_H

#include <stdbool.h>
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

#endif

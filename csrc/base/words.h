/* words.h - looks at eight or sixteen bytes of text in one step. Where the comment says so, a hit
 * may be a false alarm; nothing is ever missed. */
#ifndef SPRIG_WORDS_H
#define SPRIG_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

/* Takes such bits, at least one of them set: how many bytes come before the first. 0 if the byte
 * order does not tell; then look at each byte. */
static inline size_t word_first(uint64_t bits)
{
#if defined __BYTE_ORDER__ && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)__builtin_ctzll(bits) / 8;
#else
    (void)bits;
    return 0;
#endif
}

/* ---- runs of bytes ---- */

#ifdef __SSE2__

typedef __m128i wide_word;
enum { WIDE_BYTES = sizeof(wide_word) };

static inline wide_word wide_of(int byte)
{
    return _mm_set1_epi8((char)byte);
}

/* 0xff where a byte is at most this. */
static inline wide_word wide_at_most(wide_word w, int byte)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(w, wide_of(byte)), w);
}

/* A bit for each of the bytes that are below 0x20 or DEL. */
static inline unsigned wide_controls(wide_word w)
{
    wide_word del = _mm_cmpeq_epi8(w, wide_of(0x7f));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(wide_at_most(w, 0x1f), del));
}

/* A bit for each of the bytes that are neither a letter nor '-'. */
static inline unsigned wide_others(wide_word w)
{
    wide_word from_a = _mm_sub_epi8(_mm_or_si128(w, wide_of(0x20)), wide_of('a'));
    wide_word dash = _mm_cmpeq_epi8(w, wide_of('-'));
    return 0xffffU ^ (unsigned)_mm_movemask_epi8(_mm_or_si128(wide_at_most(from_a, 25), dash));
}

#endif

/* Offset of the first byte in [at, end) that may be a control character, HTAB among them, as far as
 * words go. */
static inline size_t words_skip_text(const char *bytes, size_t at, size_t end)
{
#ifdef __SSE2__
    for (; end - at >= WIDE_BYTES; at += WIDE_BYTES) {
        unsigned found =
            wide_controls(_mm_loadu_si128((const wide_word *)(const void *)(bytes + at)));
        if (found != 0)
            return at + (size_t)__builtin_ctz(found);
    }
#endif
    for (; end - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t found = word_controls(word_at(bytes + at)) & HIGH_BITS;
        if (found != 0)
            return at + word_first(found);
    }
    return at;
}

/* Offset of the first byte in [at, end) that is neither a letter nor '-', as far as wide
 * words go. */
static inline size_t words_skip_letters(const char *bytes, size_t at, size_t end)
{
#ifdef __SSE2__
    for (; end - at >= WIDE_BYTES; at += WIDE_BYTES) {
        unsigned found =
            wide_others(_mm_loadu_si128((const wide_word *)(const void *)(bytes + at)));
        if (found != 0)
            return at + (size_t)__builtin_ctz(found);
    }
#else
    (void)bytes, (void)end;
#endif
    return at;
}

#endif

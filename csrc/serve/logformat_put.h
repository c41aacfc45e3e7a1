/* logformat_put.h - writes bytes of lines, copied or escaped, for the files of logformat. All
 * functions write to existing room, and return what follows. */
#ifndef LOGFORMAT_PUT_H
#define LOGFORMAT_PUT_H

#include "base/number.h"
#include "base/words.h"
#include "serve/logformat_items.h"

/* Each part that is written in advance has its length in front. */
enum { LOG_PART_BYTES = sizeof(uint32_t) };

/* True if one of sixteen bytes has to be escaped. */
static inline bool has_special(uint64_t first, uint64_t second)
{
#ifdef __SSE2__
    wide_word w = _mm_set_epi64x((long long)second, (long long)first);
    wide_word odd = _mm_or_si128(_mm_cmplt_epi8(w, wide_of(0x20)), /* signed: from 0x80 on, too */
                                 _mm_cmpeq_epi8(w, wide_of(0x7f)));
    wide_word marks =
        _mm_or_si128(_mm_cmpeq_epi8(w, wide_of('"')), _mm_cmpeq_epi8(w, wide_of('\\')));
    return _mm_movemask_epi8(_mm_or_si128(odd, marks)) != 0;
#else
    uint64_t marks = word_zeros(first ^ EVERY('"')) | word_zeros(first ^ EVERY('\\')) |
                     word_zeros(second ^ EVERY('"')) | word_zeros(second ^ EVERY('\\'));
    return ((first | second | marks | word_controls(first) | word_controls(second)) & HIGH_BITS) !=
           0;
#endif
}

/* One to three bytes, some of them twice, with letters beside them. */
static inline bool few_are_special(const char *bytes, size_t n)
{
    uint64_t first = (unsigned char)bytes[0], middle = (unsigned char)bytes[n / 2],
             last = (unsigned char)bytes[n - 1];
    uint64_t word = (EVERY('a') << 24) | last << 16 | middle << 8 | first;
    return has_special(word, word);
}

/* put_plain for less than a word: all or nothing. */
static inline size_t put_few(char *at, const char *bytes, size_t n)
{
    uint32_t first, last;
    if (n < sizeof first) {
        if (n == 0 || few_are_special(bytes, n))
            return 0;
        char middle = bytes[n / 2], end = bytes[n - 1];
        at[0] = bytes[0];
        at[n / 2] = middle;
        at[n - 1] = end;
        return n;
    }
    memcpy(&first, bytes, sizeof first);
    memcpy(&last, bytes + n - sizeof last, sizeof last);
    uint64_t word = (uint64_t)last << 32 | first;
    if (has_special(word, word))
        return 0;
    memcpy(at, &first, sizeof first);
    memcpy(at + n - sizeof last, &last, sizeof last);
    return n;
}

/* Writes a word from each place, or nothing. */
static inline bool put_words(char *at, const char *bytes, size_t first, size_t second)
{
    uint64_t a = word_at(bytes + first), b = word_at(bytes + second);
    if (has_special(a, b))
        return false;
    memcpy(at + first, &a, sizeof a);
    memcpy(at + second, &b, sizeof b);
    return true;
}

/* Writes the bytes up to the first that needs an escape, in steps of words; returns how many. The
 * last step overlaps the one before it. */
static inline size_t put_plain(char *at, struct sprig_span bytes)
{
    enum { WORD = sizeof(uint64_t), STEP = 2 * WORD };
    if (bytes.len < WORD)
        return put_few(at, bytes.ptr, bytes.len);
    if (bytes.len <= STEP)
        return put_words(at, bytes.ptr, 0, bytes.len - WORD) ? bytes.len : 0;
    for (size_t i = 0; i < bytes.len; i += STEP) {
        size_t from = bytes.len - i >= STEP ? i : bytes.len - STEP;
        if (!put_words(at, bytes.ptr, from, from + WORD))
            return i;
    }
    return bytes.len;
}

/* Escapes a client's bytes. Needs room for four times as many, five times in JSON. */
char *log_put_escaped(char *at, struct sprig_span bytes, bool is_json);

static inline char *put(char *at, struct sprig_span bytes)
{
    if (bytes.len)
        memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

/* Needs room for one block more; the text also has one after it. */
static inline char *put_text(char *at, struct sprig_span text)
{
    memcpy(at, text.ptr, LOG_BLOCK_BYTES);
    if (text.len > LOG_BLOCK_BYTES)
        memcpy(at + LOG_BLOCK_BYTES, text.ptr + LOG_BLOCK_BYTES, text.len - LOG_BLOCK_BYTES);
    return at + text.len;
}

/* A number below a hundred, in two digits. */
static inline char *log_put_two(char *at, unsigned n)
{
    memcpy(at, number_pairs + 2 * n, 2);
    return at + 2;
}

static inline char *log_put_status(char *at, int status)
{
    if (status == 0)
        return put(at, SPAN_LIT("-"));
    *at = (char)('0' + status / 100 % 10);
    return log_put_two(at + 1, (unsigned)(status % 100));
}

/* The process id: at most LOG_NUMBER_BYTES. */
char *log_put_pid(char *at, pid_t pid);
/* The time: CLOCK_TEXT_BYTES. now_ns: what the monotonic clock says, see struct log_output. */
char *log_put_iso_time(char *at, uint64_t now_ns);
/* Why the server itself has answered: LOG_REASON_BYTES. */
char *log_put_reason(char *at, const char *reason);

/* ---- the request ---- */

/* True if the header has this name and is not empty. */
static inline bool log_has_value(const struct sprig_header *header, struct sprig_span name)
{
    return header->name.len == name.len && header->value.len > 0 && span_ieq(header->name, name);
}

/* "1.1" */
static inline struct sprig_span log_version(const struct sprig_request *r)
{
    return r->version == 11 ? SPAN_LIT("1.1") : r->version == 10 ? SPAN_LIT("1.0") : SPAN_LIT("2");
}

/* The host that was asked for, without a port; `host` is what the request says, or empty. */
struct sprig_span log_name_asked(struct sprig_span host, const struct log_input *in);

/* ---- the format json: log_format_input and log_format_line ---- */

void log_json_input(const struct log_input *in, struct log_buffer *b);
void log_json_line(const struct log_output *out, struct log_buffer *b);

#endif

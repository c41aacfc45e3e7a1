/* logformat_put.h - the bytes of lines, for the files of logformat: copied, or escaped. All write
 * to room that is there, and return what follows. */
#ifndef LOGFORMAT_PUT_H
#define LOGFORMAT_PUT_H

#include "base/words.h"
#include "serve/logformat_items.h"

/* Before each part of what is written in advance stands its length. */
enum { LOG_PART_BYTES = sizeof(uint32_t) };

/* True if one of eight bytes has to be escaped. */
static inline bool has_special(uint64_t word)
{
    return ((word | word_controls(word) | word_zeros(word ^ EVERY('"')) |
             word_zeros(word ^ EVERY('\\'))) &
            HIGH_BITS) != 0;
}

/* One to three bytes, some of them twice, with letters beside them. */
static inline bool few_are_special(const char *bytes, size_t n)
{
    uint64_t first = (unsigned char)bytes[0], middle = (unsigned char)bytes[n / 2],
             last = (unsigned char)bytes[n - 1];
    return has_special((EVERY('a') << 24) | last << 16 | middle << 8 | first);
}

/* put_plain of less than a word: all or nothing. */
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
    if (has_special((uint64_t)last << 32 | first))
        return 0;
    memcpy(at, &first, sizeof first);
    memcpy(at + n - sizeof last, &last, sizeof last);
    return n;
}

/* Writes as many bytes as need no escape, in steps of words; returns how many. The last step
 * overlaps the one before it. */
static inline size_t put_plain(char *at, struct sprig_span bytes)
{
    enum { STEP = sizeof(uint64_t) };
    size_t i = 0;
    if (bytes.len < STEP)
        return put_few(at, bytes.ptr, bytes.len);
    for (; i < bytes.len; i += STEP) {
        size_t from = bytes.len - i >= STEP ? i : bytes.len - STEP;
        uint64_t word = word_at(bytes.ptr + from);
        if (has_special(word))
            return i;
        memcpy(at + from, &word, STEP);
    }
    return bytes.len;
}

/* Bytes that come from clients. Needs room for four times as many, five times in JSON. */
char *log_put_escaped(char *at, struct sprig_span bytes, bool is_json);

static inline char *put(char *at, struct sprig_span bytes)
{
    if (bytes.len)
        memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

/* Needs room for a block more; there is one behind the text. */
static inline char *put_text(char *at, struct sprig_span text)
{
    memcpy(at, text.ptr, LOG_BLOCK_BYTES);
    if (text.len > LOG_BLOCK_BYTES)
        memcpy(at + LOG_BLOCK_BYTES, text.ptr + LOG_BLOCK_BYTES, text.len - LOG_BLOCK_BYTES);
    return at + text.len;
}

/* Of a number, the last two digits. */
static inline char *log_put_two(char *at, unsigned n)
{
    *at++ = (char)('0' + n / 10 % 10);
    *at++ = (char)('0' + n % 10);
    return at;
}

static inline char *log_put_status(char *at, int status)
{
    if (status == 0)
        return put(at, SPAN_LIT("-"));
    *at = (char)('0' + status / 100 % 10);
    return log_put_two(at + 1, (unsigned)status % 100);
}

/* The process id: at most LOG_NUMBER_BYTES. */
char *log_put_pid(char *at, pid_t pid);
/* The time: CLOCK_TEXT_BYTES. */
char *log_put_iso_time(char *at);
/* Why the server has answered by itself: LOG_REASON_BYTES. */
char *log_put_reason(char *at, const char *reason);

/* ---- the request ---- */

/* Has the name and is not empty. */
static inline bool log_has_value(const struct sprig_header *header, struct sprig_span name)
{
    return header->name.len == name.len && header->value.len > 0 && span_ieq(header->name, name);
}

/* "1.1" */
static inline struct sprig_span log_version(const struct sprig_request *r)
{
    return r->version == 11 ? SPAN_LIT("1.1") : r->version == 10 ? SPAN_LIT("1.0") : SPAN_LIT("2");
}

/* The host that was asked for. */
struct sprig_span log_asked_name(const struct log_input *in);

/* ---- the format json: log_format_input and log_format_line ---- */

void log_json_input(const struct log_input *in, struct log_buffer *b);
void log_json_line(const struct log_output *out, struct log_buffer *b);

#endif

/* head_check.h - what the head of a response may be, and what follows from it, whatever protocol
 * carries it: names and values, the fields that the server has a say in, the framing of the body.
 *
 * For the files that write heads (response.c for HTTP/1): all is inline, so that a header is
 * checked and copied in one go.
 *
 *     struct head_walk w = {...};
 *     const struct sprig_header *h;
 *     int rc;
 *     while ((rc = head_next(&w, &h)) > 0)
 *         write h
 *     if (rc == 0)
 *         rc = head_check_seen(&w);
 */
#ifndef SPRIG_HEAD_CHECK_H
#define SPRIG_HEAD_CHECK_H

#include "base/err.h"
#include "base/log.h"
#include "base/words.h"
#include "http/chars.h"
#include "http/elements.h"
#include "http/response.h"
#include "http/status.h"
#include <stdarg.h>
#include <stdio.h>

/* ------------------------------------------------------------- refusing ---- */

/* Fills `why`; the code to return. */
__attribute__((format(printf, 3, 4), cold)) static inline int head_refuse(char *why, size_t n,
                                                                          const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, n, fmt, args);
    va_end(args);
    return SPRIG_E_INVALID;
}

/* The same for one header: "header 'X' has ...". */
__attribute__((cold)) static inline int
head_refuse_field(char *why, size_t n, struct sprig_span name, const char *problem)
{
    char shown[80];
    return head_refuse(why, n, "header '%s' %s", log_escape(shown, sizeof(shown), name), problem);
}

/* The same where the value matters as well: "header 'X' is 'Y', problem". */
__attribute__((cold)) static inline int
head_refuse_value(char *why, size_t n, const struct sprig_header *h, const char *problem)
{
    char name[80], value[80];
    return head_refuse(why, n, "header '%s' is '%s', %s", log_escape(name, sizeof(name), h->name),
                       log_escape(value, sizeof(value), h->value), problem);
}

/* ------------------------------------------------------- names and values ---- */

/* Names and values are checked in words of eight bytes, the last overlapping the one before it.
 * Only unusual ones are checked byte by byte. */
/* True if all bytes are letters or '-', as in nearly every name. A byte above 0x7f disturbs its
 * neighbours, but makes the result false anyway. */
static inline bool is_letters(uint64_t word)
{
    uint64_t lower = word | EVERY(0x20), dash = word ^ EVERY('-');
    uint64_t from_a = lower + EVERY(0x80 - 'a'), beyond_z = lower + EVERY(0x7f - 'z');
    uint64_t no_dash = dash + EVERY(0x7f);
    return (((from_a & ~beyond_z) | ~no_dash) & ~word & HIGH_BITS) == HIGH_BITS;
}

/* All bytes are of this class of chars.h. */
static inline bool all_are(struct sprig_span bytes, int class_bit)
{
    for (size_t i = 0; i < bytes.len; i++)
        if (!char_is(bytes.ptr[i], class_bit))
            return false;
    return true;
}

/* tchar only; PSGI adds that a name must not end in '-' or '_'. */
static inline bool head_is_name(struct sprig_span name)
{
    if (name.len == 0 || name.ptr[name.len - 1] == '-' || name.ptr[name.len - 1] == '_')
        return false;
    if (name.len < 8)
        return all_are(name, CHAR_TOKEN);
    size_t last = name.len - 8, at = 0;
    while (at < last && is_letters(word_at(name.ptr + at)))
        at += 8;
    if (at >= last && is_letters(word_at(name.ptr + last)))
        return true;
    return all_are(name, CHAR_TOKEN);
}

/* No CR, LF, NUL or other control character except HTAB (RFC 9110 section 5.5). */
static inline bool head_is_value(struct sprig_span value)
{
    if (value.len < 8)
        return all_are(value, CHAR_VALUE);
    size_t last = value.len - 8, at = 0;
    while (at < last && (word_controls(word_at(value.ptr + at)) & HIGH_BITS) == 0)
        at += 8;
    if (at >= last && (word_controls(word_at(value.ptr + last)) & HIGH_BITS) == 0)
        return true;
    return all_are(value, CHAR_VALUE);
}

/* ---------------------------------------------------------------- fields ---- */

/* Header fields that the server has a say in. */
enum field {
    FIELD_OTHER,
    FIELD_CONNECTION,
    FIELD_CONTENT_LENGTH,
    FIELD_DATE,
    FIELD_KEEP_ALIVE,
    FIELD_SERVER,
    FIELD_STATUS,
    FIELD_TRANSFER_ENCODING,
    FIELD_UPGRADE
};

static inline enum field head_field_of(struct sprig_span name)
{
    switch (name.len) {
    case 4:
        return name_is(name, "date") ? FIELD_DATE : FIELD_OTHER;
    case 6:
        if (name_is(name, "server"))
            return FIELD_SERVER;
        return name_is(name, "status") ? FIELD_STATUS : FIELD_OTHER;
    case 7:
        return name_is(name, "upgrade") ? FIELD_UPGRADE : FIELD_OTHER;
    case 10:
        if (name_is(name, "connection"))
            return FIELD_CONNECTION;
        return name_is(name, "keep-alive") ? FIELD_KEEP_ALIVE : FIELD_OTHER;
    case 14:
        return name_is(name, "content-length") ? FIELD_CONTENT_LENGTH : FIELD_OTHER;
    case 17:
        return name_is(name, "transfer-encoding") ? FIELD_TRANSFER_ENCODING : FIELD_OTHER;
    default:
        return FIELD_OTHER;
    }
}

/* 1*DIGIT within 63 bits; the largest offset of a file. */
static inline bool head_parse_length(struct sprig_span text, uint64_t *out)
{
    uint64_t n = 0;
    size_t i = 0;
    for (; i < text.len && i < 18 && char_is(text.ptr[i], CHAR_DIGIT); i++) /* no overflow yet */
        n = n * 10 + (unsigned char)text.ptr[i] - '0';
    for (; i < text.len; i++) {
        unsigned digit = (unsigned char)text.ptr[i] - '0';
        if (digit > 9 || n > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return text.len > 0;
}

/* ------------------------------------------------------------ walking through ---- */

/* What the app's headers say, gathered while they are copied. */
struct head_seen {
    bool date, server, close, upgrade;
    bool chunked;    /* Transfer-Encoding: chunked */
    bool events;     /* Content-Type: text/event-stream */
    bool caching;    /* Cache-Control */
    bool buffering;  /* X-Accel-Buffering */
    bool has_length; /* Content-Length */
    bool options;    /* Connection has options besides close, keep-alive and upgrade */
    uint64_t length;
};

/* A head that is being checked, header by header. */
struct head_walk {
    const struct sprig_header *at, *end;
    int status;
    uint8_t version; /* of the request */
    struct head_seen seen;
    char *why; /* gets why it is refused, why_bytes at most */
    size_t why_bytes;
};

static inline struct head_walk head_walk_of(const struct sprig_head *head, uint8_t version,
                                            char *why, size_t why_bytes)
{
    const struct sprig_header *at = head->headers;
    return (struct head_walk){.at = at,
                              .end = at != NULL ? at + head->n_headers : NULL,
                              .status = head->status,
                              .version = version,
                              .why = why,
                              .why_bytes = why_bytes};
}

/* Where the app's Upgrade may pass: to switch, and to say what would be needed. */
static inline bool status_takes_upgrade(int status)
{
    return status == 101 || status == 426;
}

static inline int see_length(struct head_walk *w, const struct sprig_header *h)
{
    uint64_t n;
    if (!head_parse_length(span_trim(h->value), &n))
        return head_refuse_value(w->why, w->why_bytes, h, "not a length in bytes");
    if (w->seen.has_length && n != w->seen.length)
        return head_refuse_value(w->why, w->why_bytes, h, "but another one differs");
    w->seen.has_length = true;
    w->seen.length = n;
    return 0;
}

/* RFC 9112 section 6.1: we can only vouch for chunked, and only in HTTP/1.1. */
static inline int see_coding(struct head_walk *w, const struct sprig_header *h)
{
    if (!span_ieq(span_trim(h->value), SPAN_LIT("chunked")))
        return head_refuse_value(w->why, w->why_bytes, h, "only 'chunked' is possible");
    if (w->seen.chunked)
        return head_refuse_field(w->why, w->why_bytes, h->name, "is given twice");
    if (w->version < 11)
        return head_refuse_field(w->why, w->why_bytes, h->name, "is not possible in HTTP/1.0");
    w->seen.chunked = true;
    return 0;
}

enum option { OPTION_NONE, OPTION_CLOSE, OPTION_KEEP_ALIVE, OPTION_UPGRADE, OPTION_OTHER };

static inline enum option head_option_of(struct sprig_span element)
{
    if (element.len == 0)
        return OPTION_NONE;
    if (span_ieq(element, SPAN_LIT("close")))
        return OPTION_CLOSE;
    if (span_ieq(element, SPAN_LIT("keep-alive")))
        return OPTION_KEEP_ALIVE;
    return span_ieq(element, SPAN_LIT("upgrade")) ? OPTION_UPGRADE : OPTION_OTHER;
}

static inline void see_connection(struct head_seen *seen, struct sprig_span list)
{
    struct sprig_span element;
    while (element_first(&list, &element)) {
        enum option option = head_option_of(element);
        seen->close |= option == OPTION_CLOSE;
        seen->options |= option == OPTION_OTHER;
    }
}

/* "text/event-stream", with or without parameters. */
static inline bool is_event_stream(struct sprig_span value)
{
    static const struct sprig_span type = SPAN_LIT("text/event-stream");
    value = span_trim(value);
    return value.len >= type.len && span_ieq(span_make(value.ptr, type.len), type) &&
           (value.len == type.len || strchr("; \t", value.ptr[type.len]) != NULL);
}

/* Fields that matter only to an event stream. Few other responses get further than the first letter
 * of the type. */
static inline void see_other(struct head_seen *seen, const struct sprig_header *h)
{
    if (h->name.len == 12 && h->value.len >= 17 && (h->value.ptr[5] | 0x20) == 'e')
        seen->events |= name_is(h->name, "content-type") && is_event_stream(h->value);
    else if (h->name.len == 13)
        seen->caching |= name_is(h->name, "cache-control");
    else if (h->name.len == 17)
        seen->buffering |= name_is(h->name, "x-accel-buffering");
}

/* Checks one valid header. > 0: copy it; 0: drop it, the server sends its own if needed; < 0:
 * refused. */
static inline int head_see(struct head_walk *w, const struct sprig_header *h)
{
    switch (head_field_of(h->name)) {
    case FIELD_OTHER:
        see_other(&w->seen, h);
        return 1;
    case FIELD_DATE:
        w->seen.date = true;
        return 1;
    case FIELD_SERVER:
        w->seen.server = true;
        return 1;
    case FIELD_UPGRADE:
        w->seen.upgrade = status_takes_upgrade(w->status);
        return w->seen.upgrade;
    case FIELD_CONTENT_LENGTH:
        return see_length(w, h);
    case FIELD_TRANSFER_ENCODING:
        return see_coding(w, h);
    case FIELD_CONNECTION:
        see_connection(&w->seen, h->value);
        return 0;
    case FIELD_KEEP_ALIVE:
        return 0;
    case FIELD_STATUS:
        return head_refuse_field(w->why, w->why_bytes, h->name, "is not allowed by PSGI");
    }
    return 0;
}

/* Finds the next header to copy. 1: *out is it; 0: there are no more; < 0: refused. */
static inline int head_next(struct head_walk *w, const struct sprig_header **out)
{
    while (w->at < w->end) {
        const struct sprig_header *h = w->at++;
        if (!head_is_name(h->name))
            return head_refuse_field(w->why, w->why_bytes, h->name, "has an invalid name");
        if (!head_is_value(h->value))
            return head_refuse_field(w->why, w->why_bytes, h->name,
                                     "has a control character in its value");
        int copied = head_see(w, h);
        *out = h;
        if (copied != 0)
            return copied;
    }
    return 0;
}

/* What only all headers together can show. */
static inline int head_check_seen(const struct head_walk *w)
{
    if (w->seen.chunked && w->seen.has_length)
        return head_refuse(w->why, w->why_bytes, "both Content-Length and Transfer-Encoding");
    if (w->status == 101 && !w->seen.upgrade)
        return head_refuse(w->why, w->why_bytes, "status 101 without an Upgrade header");
    return 0;
}

/* ------------------------------------------------------ framing and status ---- */

static inline int head_check_status(const struct response *r, int status, char *why, size_t n)
{
    if (status != 101 && (status < 200 || status > 999))
        return head_refuse(why, n, "status %d is not 101 or 200..999", status);
    if (status == 101 && !r->may_upgrade)
        return head_refuse(why, n, "status 101, but the client did not offer an upgrade");
    return 0;
}

static inline bool head_switches_or_tunnels(const struct response *r)
{
    return r->status == 101 || (r->is_connect && r->status >= 200 && r->status <= 299);
}

/* RFC 9112 section 6.3, in its order; and RFC 9110 section 9.3.6 for CONNECT. */
static inline void head_decide_framing(struct response *r, const struct head_seen *seen,
                                       uint64_t length)
{
    r->keep_alive = r->keep_alive && !seen->close && !head_switches_or_tunnels(r);
    r->bodyless = r->is_head || status_has_no_body(r->status);
    if (r->bodyless) {
        r->framing = FRAMING_NONE;
    } else if (head_switches_or_tunnels(r)) {
        r->framing = FRAMING_CLOSE;
    } else if (seen->chunked) {
        r->framing = r->version >= 20 ? FRAMING_FRAMES : FRAMING_CHUNKED;
        r->app_framed = r->app_unsure = true;
        chunk_init(&r->check, UINT32_MAX);
    } else if (seen->has_length || length != SPRIG_LENGTH_UNKNOWN) {
        r->framing = FRAMING_LENGTH;
        r->announced = r->left = seen->has_length ? seen->length : length;
    } else if (r->version >= 20) {
        r->framing = FRAMING_FRAMES;
    } else if (r->version >= 11 && !r->no_chunks) {
        r->framing = FRAMING_CHUNKED;
    } else {
        r->framing = FRAMING_CLOSE;
        r->keep_alive = false;
    }
}

/* RFC 9110 section 8.6 for responses without a body: no length with 1xx and 204, the app's with
 * 304, and for HEAD the one that GET would have. There an empty body proves nothing: many apps omit
 * it. */
static inline bool head_has_length_line(const struct response *r, const struct head_seen *seen,
                                        uint64_t length)
{
    if (r->framing == FRAMING_LENGTH)
        return true;
    if (!r->bodyless || r->status < 200 || r->status == 204 || seen->chunked)
        return false;
    if (seen->has_length)
        return true;
    return r->status != 304 && length != SPRIG_LENGTH_UNKNOWN && length > 0;
}

#endif

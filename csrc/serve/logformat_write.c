/* logformat_write.c - writes lines of the access log; see logformat.h */
#include "base/clock.h"
#include "base/number.h"
#include "base/words.h"
#include "http/date.h"
#include "serve/logformat.h"
#include "serve/logformat_items.h"
#include <stdlib.h>
#include <time.h>

/* Before each part of what is written in advance stands its length. */
enum { PART_BYTES = sizeof(uint32_t), BUFFER_BYTES = 512 };

enum { NS_PER_SECOND = 1000 * 1000 * 1000, NS_SLOW = NS_PER_SECOND / 5 };

/* ------------------------------------------------------------- writing ---- */

/* True if one of eight bytes has to be escaped. */
static inline bool has_special(uint64_t word)
{
    return ((word | word_controls(word) | word_zeros(word ^ EVERY('"')) |
             word_zeros(word ^ EVERY('\\'))) &
            HIGH_BITS) != 0;
}

static char *escape_byte(char *at, char c, bool is_json)
{
    static const char hex[] = "0123456789ABCDEF";
    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
        *at++ = c;
        return at;
    }
    *at++ = '\\';
    if (is_json)
        *at++ = '\\';
    *at++ = 'x';
    *at++ = hex[(unsigned char)c >> 4];
    *at++ = hex[c & 15];
    return at;
}

char *log_buffer_grow(struct log_buffer *b, size_t n)
{
    size_t room = b->n + n < BUFFER_BYTES ? BUFFER_BYTES : b->n + n + b->n / 2;
    char *bytes = realloc(b->bytes, room);
    if (!bytes) {
        b->is_short = true;
        return NULL;
    }
    b->bytes = bytes;
    b->room = room;
    return bytes + b->n;
}

/* Four to seven bytes as a word, some of them twice. */
static uint64_t word_of_few(struct sprig_span bytes)
{
    uint32_t first, last;
    memcpy(&first, bytes.ptr, sizeof first);
    memcpy(&last, bytes.ptr + bytes.len - sizeof last, sizeof last);
    return (uint64_t)last << 32 | first;
}

/* Writes as many bytes as need no escape, in steps of words; returns how many. The last step
 * overlaps the one before it. */
static size_t put_plain(char *at, struct sprig_span bytes)
{
    enum { STEP = sizeof(uint64_t), HALF = sizeof(uint32_t) };
    size_t i = 0;
    if (bytes.len < STEP) {
        if (bytes.len < HALF || has_special(word_of_few(bytes)))
            return 0;
        memcpy(at, bytes.ptr, HALF);
        memcpy(at + bytes.len - HALF, bytes.ptr + bytes.len - HALF, HALF);
        return bytes.len;
    }
    for (; i < bytes.len; i += STEP) {
        size_t from = bytes.len - i >= STEP ? i : bytes.len - STEP;
        uint64_t word = word_at(bytes.ptr + from);
        if (has_special(word))
            return i;
        memcpy(at + from, &word, STEP);
    }
    return bytes.len;
}

/* Needs room for so many times as many bytes; returns the end. */
static char *escape(char *at, struct sprig_span bytes, bool is_json)
{
    size_t i = 0;
    while (i < bytes.len) {
        size_t n = put_plain(at, span_make(bytes.ptr + i, bytes.len - i));
        at += n;
        i += n;
        size_t end = bytes.len - i < sizeof(uint64_t) ? bytes.len : i + sizeof(uint64_t);
        for (; i < end; i++)
            at = escape_byte(at, bytes.ptr[i], is_json);
    }
    return at;
}

void log_format_escape(struct log_buffer *b, struct sprig_span bytes)
{
    char *at = log_buffer_room(b, (b->is_json ? 5 : 4) * bytes.len);
    if (at)
        b->n = (size_t)(escape(at, bytes, b->is_json) - b->bytes);
}

static char *put(char *at, struct sprig_span bytes)
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

/* ------------------------------------------------------------------- values ---- */

/* A part that is being written. A value of JSON is a string or a number (a port). */
struct part {
    struct log_buffer *b;
    char *at;     /* NULL: there was no memory */
    char *before; /* the text before the value that is being written */
    size_t spare; /* room that there is behind `at` whatever is written: for all but the values */
    bool is_json;
};

static bool part_grow(struct part *p, size_t n)
{
    size_t begin = p->b->n;
    p->b->n = (size_t)(p->at - p->b->bytes);
    p->at = log_buffer_grow(p->b, n);
    p->b->n = begin;
    return p->at != NULL;
}

/* Room for the escapes of n bytes. False: no memory. */
static inline bool part_room(struct part *p, size_t n)
{
    size_t room = (size_t)(p->b->bytes + p->b->room - p->at), most = p->is_json ? 5 : 4;
    return room >= most * n + p->spare || part_grow(p, most * n + p->spare);
}

/* Of a value that is there `before` is not needed any more, so it need not move with the buffer. */
static inline void put_missing(struct part *p)
{
    if (p->is_json)
        p->at = p->before;
    else
        *p->at++ = '-';
}

static inline void put_quote(struct part *p)
{
    *p->at = '"';
    p->at += p->is_json;
}

static inline void put_value(struct part *p, struct sprig_span value)
{
    if (!part_room(p, value.len))
        return;
    put_quote(p);
    p->at = escape(p->at, value, p->is_json);
    put_quote(p);
}

static bool is_number(struct sprig_span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    return text.len > 0;
}

static void put_port(struct part *p, struct sprig_span port)
{
    if (!p->is_json || !is_number(port))
        put_value(p, port);
    else if (part_room(p, port.len))
        p->at = put(p->at, port);
}

static void put_path(struct part *p, struct sprig_span path)
{
    if (!part_room(p, path.len))
        return;
    put_quote(p);
    /* Decoded into the end of the room: what is written stays behind what is read. */
    char *decoded = p->at + (p->is_json ? 4 : 3) * path.len;
    size_t n = request_decode_path(path, decoded);
    p->at = escape(p->at, span_make(decoded, n), p->is_json);
    put_quote(p);
}

/* With its "?", which stands before it; nothing without one. */
static void put_query(struct part *p, struct sprig_span query)
{
    put_value(p, query.len > 0 ? span_make(query.ptr - 1, query.len + 1) : query);
}

/* Has the name and is not empty. */
static bool has_value(const struct sprig_header *header, struct sprig_span name)
{
    return header->name.len == name.len && header->value.len > 0 && span_ieq(header->name, name);
}

/* All values of that name, as the application would get them. False: there is
 * none. */
static bool put_header(struct part *p, const struct sprig_header *headers, size_t n,
                       struct sprig_span name)
{
    bool any = false;
    for (size_t i = 0; i < n && p->at; i++) {
        if (!has_value(&headers[i], name) || !part_room(p, headers[i].value.len + 1))
            continue;
        if (any)
            p->at = put(p->at, SPAN_LIT(", "));
        else
            put_quote(p);
        any = true;
        p->at = escape(p->at, headers[i].value, p->is_json);
    }
    if (any && p->at)
        put_quote(p);
    return any || !p->at;
}

/* A part has its length before it. n_fixed: what is written but for the values. */
static struct part part_begin(struct log_buffer *b, size_t n_fixed)
{
    struct part p = {b, log_buffer_room(b, PART_BYTES + n_fixed), NULL, n_fixed, b->is_json};
    if (p.at)
        p.at += PART_BYTES;
    return p;
}

static void part_end(struct part *p)
{
    struct log_buffer *b = p->b;
    if (!p->at)
        return;
    uint32_t n = (uint32_t)(p->at - (b->bytes + b->n) - PART_BYTES);
    memcpy(b->bytes + b->n, &n, sizeof n);
    b->n = (size_t)(p->at - b->bytes);
}

/* ---------------------------------------------------------- the request ---- */

/* The whole line as it came: the scan lets only one space pass between its parts. */
static struct sprig_span request_line(const struct log_input *in)
{
    const struct sprig_request *r = in->request;
    if (!r)
        return in->raw;
    const char *end = r->target.ptr + r->target.len + 1 + request_protocol(r).len;
    return span_make(r->head.ptr, (size_t)(end - r->head.ptr));
}

/* Without the protocol. */
static struct sprig_span asked(const struct log_input *in)
{
    const struct sprig_request *r = in->request;
    if (!r)
        return in->raw;
    return span_make(r->head.ptr, (size_t)(r->target.ptr + r->target.len - r->head.ptr));
}

static struct sprig_span asked_name(const struct log_input *in)
{
    struct sprig_span host = {NULL, 0};
    if (in->request)
        host = in->request->authority.ptr ? in->request->authority
                                          : request_header(in->request, SPAN_LIT("Host"));
    return host.len ? host : in->server_name;
}

/* "1.1" of "HTTP/1.1" */
static struct sprig_span version_of(struct sprig_span protocol)
{
    const char *slash = memchr(protocol.ptr, '/', protocol.len);
    if (slash == NULL)
        return protocol;
    return span_make(slash + 1, (size_t)(protocol.ptr + protocol.len - slash) - 1);
}

static const struct sprig_span nothing = {NULL, 0};

/* What is told as it is, or nothing. */
static struct sprig_span plain_value(enum log_kind kind, const struct log_input *in)
{
    const struct sprig_request *r = in->request;
    switch ((int)kind) {
    case LOG_HOST:
        return in->host;
    case LOG_LINE:
        return request_line(in);
    case LOG_NAME:
        return in->server_name;
    case LOG_PORT:
        return in->server_port;
    case LOG_ASKED_NAME:
        return asked_name(in);
    case LOG_TLS:
        return in->tls_protocol;
    case LOG_TLS_CIPHER:
        return in->tls_cipher;
    case LOG_REQUEST_ID:
        return in->request_id;
    case LOG_RAW:
        return in->raw;
    case LOG_ASKED:
        return asked(in);
    case LOG_METHOD:
        return r ? r->method : nothing;
    case LOG_PATH:
        return r ? r->path : nothing;
    case LOG_QUERY:
        return r ? r->query : nothing;
    case LOG_PROTOCOL:
        return r ? request_protocol(r) : nothing;
    case LOG_VERSION:
        return r ? version_of(request_protocol(r)) : nothing;
    }
    return nothing;
}

static void put_early(const struct log_item *item, const struct log_input *in, struct part *p)
{
    const struct sprig_request *r = in->request;
    p->before = p->at;
    p->at = put_text(p->at, item->before);
    if (item->kind == LOG_HEADER) {
        if (!r || !put_header(p, r->headers, r->n_headers, item->text))
            put_missing(p);
        return;
    }
    struct sprig_span value = plain_value(item->kind, in);
    if (item->kind == LOG_QUERY && r && !p->is_json)
        put_query(p, value);
    else if (value.len == 0)
        put_missing(p);
    else if (item->kind == LOG_PATH)
        put_path(p, value);
    else if (item->kind == LOG_PORT)
        put_port(p, value);
    else
        put_value(p, value);
}

/* One part for neighbours. */
static void put_neighbours(const struct log_item *first, const struct log_input *in,
                           struct log_buffer *b)
{
    const struct log_item *end = first + first->n_early;
    struct part p = part_begin(b, first->n_fixed);
    for (const struct log_item *item = first; item < end && p.at; item++)
        put_early(item, in, &p);
    part_end(&p);
}

void log_format_input(const struct log_format *f, const struct log_input *in, struct log_buffer *b)
{
    const struct log_item *end = f->items + f->n_items;
    for (const struct log_item *item = f->items; item < end; item += item->n_early + 1)
        if (item->n_early > 0)
            put_neighbours(item, in, b);
}

/* ---------------------------------------------------------- the response ---- */

static void put_length(struct part *p, uint64_t length)
{
    char digits[LOG_NUMBER_BYTES];
    put_value(p, span_make(digits, (size_t)(number_write(digits, length) - digits)));
}

void log_format_headers(const struct log_format *f, const struct sprig_header *headers,
                        size_t n_headers, uint64_t length, struct log_buffer *b)
{
    for (size_t i = 0; i < f->n_items; i++) {
        struct sprig_span name = f->items[i].text;
        if (f->items[i].kind != LOG_OUT_HEADER)
            continue;
        struct part p = part_begin(b, LOG_VALUE_BYTES);
        if (p.at && !put_header(&p, headers, n_headers, name)) {
            if (length != UINT64_MAX && span_ieq(name, SPAN_LIT("Content-Length")))
                put_length(&p, length);
            else
                put_missing(&p);
        }
        part_end(&p);
    }
}

/* --------------------------------------------------------------- the line ---- */

static char *put_two(char *at, int n)
{
    *at++ = (char)('0' + n / 10 % 10);
    *at++ = (char)('0' + n % 10);
    return at;
}

/* [22/Nov/2026:00:52:42 +0000], whatever the locale. */
static void write_time(char *at, const struct tm *tm)
{
    long minutes = tm->tm_gmtoff / 60;
    *at++ = '[';
    at = put_two(at, tm->tm_mday);
    *at++ = '/';
    at = put(at, span_make(date_month((unsigned)tm->tm_mon), 3));
    *at++ = '/';
    at = put_two(at, (tm->tm_year + 1900) / 100);
    at = put_two(at, tm->tm_year % 100);
    *at++ = ':';
    at = put_two(at, tm->tm_hour);
    *at++ = ':';
    at = put_two(at, tm->tm_min);
    *at++ = ':';
    at = put_two(at, tm->tm_sec);
    *at++ = ' ';
    *at++ = minutes < 0 ? '-' : '+';
    minutes = minutes < 0 ? -minutes : minutes;
    at = put_two(at, (int)(minutes / 60));
    at = put_two(at, (int)(minutes % 60));
    *at++ = ']';
}

static time_t seconds_now(void)
{
    return (time_t)(clock_ns(CLOCK_REAL_CHEAP) / NS_PER_S);
}

/* Formatted anew once a second; the zone may change meanwhile, so it is localtime, not _r. */
static char *put_time(char *at)
{
    static char text[LOG_TIME_BYTES];
    static time_t second = -1;
    time_t now = seconds_now();
    if (now != second) {
        const struct tm *tm = localtime(&now);
        if (!tm)
            return put(at, SPAN_LIT("-"));
        write_time(text, tm);
        second = now;
    }
    return put(at, span_make(text, sizeof(text)));
}

static char *put_strftime(char *at, struct sprig_span format)
{
    time_t now = seconds_now();
    const struct tm *tm = localtime(&now);
    char text[LOG_STRFTIME_BYTES];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = tm ? strftime(text, sizeof(text), format.ptr, tm) : 0;
#pragma GCC diagnostic pop
    *at++ = '[';
    at = escape(at, span_make(text, n), false);
    *at++ = ']';
    return at;
}

/* 2026-11-22T00:52:42.123Z, of the moment when the line is written. */
static char *put_iso_time(char *at)
{
    static char text[CLOCK_TEXT_BYTES]; /* of this second, made anew when it is over: */
    static uint64_t second;
    static size_t len;
    uint64_t now = clock_ns(CLOCK_REAL_CHEAP);
    unsigned ms = (unsigned)(now / NS_PER_MS % 1000);
    if (len == 0 || now / NS_PER_S != second)
        len = clock_print(now, text);
    second = now / NS_PER_S;
    at = put(at, span_make(text, len));
    at[-4] = (char)('0' + ms / 100); /* ".123Z" */
    put_two(at - 3, (int)(ms % 100));
    return at;
}

/* 00:52:42 */
static char *put_clock(char *at)
{
    time_t now = seconds_now();
    const struct tm *tm = localtime(&now);
    if (tm == NULL)
        return put(at, SPAN_LIT("-"));
    at = put_two(at, tm->tm_hour);
    *at++ = ':';
    at = put_two(at, tm->tm_min);
    *at++ = ':';
    return put_two(at, tm->tm_sec);
}

/* "0.42 ms", "1.50 s" */
static char *put_took(char *at, uint64_t ns)
{
    bool is_long = ns >= NS_PER_SECOND;
    uint64_t hundredths = ns / (is_long ? NS_PER_SECOND / 100 : NS_PER_SECOND / 100000);
    at = number_write(at, hundredths / 100);
    *at++ = '.';
    at = put_two(at, (int)(hundredths % 100));
    return put(at, is_long ? SPAN_LIT(" s") : SPAN_LIT(" ms"));
}

/* "1.000250" of 1000250 microseconds. */
static char *put_seconds(char *at, uint64_t ns)
{
    uint64_t us = ns / 1000;
    int part = (int)(us % 1000000);
    if (us == 0)
        return put(at, SPAN_LIT("0.000000")); /* often */
    at = number_write(at, us / 1000000);
    *at++ = '.';
    at = put_two(at, part / 10000);
    at = put_two(at, part / 100);
    return put_two(at, part);
}

/* Texts of our own. They may have quotes, which would end the field of a format that has some. */
static char *put_reason(char *at, const char *reason)
{
    for (size_t i = 0; reason[i] != '\0' && i < LOG_REASON_BYTES; i++)
        *at++ = (char)(reason[i] == '"' || reason[i] == '\\' ? '\'' : reason[i]);
    return at;
}

static char *put_status(char *at, int status)
{
    if (status == 0)
        return put(at, SPAN_LIT("-"));
    at[0] = (char)('0' + status / 100 % 10);
    return put_two(at + 1, status % 100);
}

static char *put_quoted(char *at, struct sprig_span bytes)
{
    *at++ = '"';
    at = put(at, bytes);
    *at++ = '"';
    return at;
}

/* NULL: it is not known. */
static char *put_late_json(const struct log_item *item, const struct log_output *out, char *at)
{
    switch ((int)item->kind) {
    case LOG_USER:
        return out->user.len > 0 ? put_quoted(at, out->user) : NULL;
    case LOG_STATUS:
        return out->status > 0 ? put_status(at, out->status) : NULL;
    case LOG_BYTES:
        return number_write(at, out->n_body);
    case LOG_MICROSECONDS:
        return put_seconds(at, out->duration_ns);
    case LOG_QUEUE_TIME:
        return put_seconds(at, out->queue_ns);
    case LOG_APP_TIME:
        return put_seconds(at, out->app_ns);
    case LOG_SEND_TIME:
        return put_seconds(at, out->send_ns);
    case LOG_PID:
        return number_write(at, (uint64_t)out->pid);
    case LOG_REFUSED:
        if (out->refused == NULL)
            return NULL;
        *at++ = '"';
        at = put_reason(at, out->refused);
        *at++ = '"';
        return at;
    case LOG_ISO_TIME:
        *at++ = '"';
        at = put_iso_time(at);
        *at++ = '"';
        return at;
    }
    return at;
}

/* Takes the next part off what was written before. */
static struct sprig_span next_part(const char **parts)
{
    uint32_t n;
    memcpy(&n, *parts, sizeof(n));
    struct sprig_span part = span_make(*parts + PART_BYTES, n);
    *parts = part.ptr + n;
    return part;
}

static char *put_late(const struct log_item *item, const struct log_output *out,
                      const char **headers, char *at)
{
    switch ((int)item->kind) {
    case LOG_USER:
        return put(at, out->user.len ? out->user : SPAN_LIT("-"));
    case LOG_TIME:
        return put_time(at);
    case LOG_STATUS:
        return put_status(at, out->status);
    case LOG_BYTES:
        return out->n_body ? number_write(at, out->n_body) : put(at, SPAN_LIT("-"));
    case LOG_SECONDS:
        return number_write(at, out->duration_ns / 1000000000);
    case LOG_MICROSECONDS:
        return number_write(at, out->duration_ns / 1000);
    case LOG_PID:
        return number_write(at, (uint64_t)out->pid);
    case LOG_OUT_HEADER:
        return put(at, *headers ? next_part(headers) : SPAN_LIT("-"));
    case LOG_STRFTIME:
        return put_strftime(at, item->text);
    case LOG_REFUSED:
        return out->refused != NULL ? put_reason(at, out->refused) : put(at, SPAN_LIT("-"));
    case LOG_ISO_TIME:
        return put_iso_time(at);
    case LOG_QUEUE_TIME:
        return number_write(at, out->queue_ns / 1000);
    case LOG_APP_TIME:
        return number_write(at, out->app_ns / 1000);
    case LOG_SEND_TIME:
        return number_write(at, out->send_ns / 1000);
    case LOG_CLOCK:
        return put_clock(at);
    case LOG_TOOK:
        return put_took(at, out->duration_ns);
    }
    return at;
}

/* "" where the item is as it is. */
static const char *colour_of(const struct log_item *item, const struct log_output *out)
{
    static const char *const of_class[] = {"31", "36", "32", "36", "33", "31"};
    if (item->kind == LOG_CLOCK)
        return "2";
    if (item->kind == LOG_STATUS)
        return of_class[out->status < 600 ? out->status / 100 : 0];
    if (item->kind == LOG_TOOK)
        return out->duration_ns >= NS_PER_SECOND ? "31" : out->duration_ns >= NS_SLOW ? "33" : "2";
    return "";
}

static char *put_coloured(const struct log_item *item, const struct log_output *out,
                          const char **headers, char *at)
{
    struct sprig_span colour = span_str(colour_of(item, out));
    if (colour.len == 0)
        return put_late(item, out, headers, at);
    at = put(at, SPAN_LIT("\033["));
    at = put(at, colour);
    *at++ = 'm';
    at = put_late(item, out, headers, at);
    return put(at, SPAN_LIT("\033[0m"));
}

void log_format_line(const struct log_format *f, const struct log_output *out, struct log_buffer *b)
{
    const char *parts = out->input, *headers = out->headers;
    size_t most = out->input_bytes + out->headers_bytes + f->most_bytes;
    if (f->has_user)
        most += f->n_items * out->user.len;
    char *at = log_buffer_room(b, most);
    if (!at)
        return;
    for (const struct log_item *item = f->items, *end = item + f->n_items; item < end; item++) {
        if (item->n_early > 0) {
            at = put(at, next_part(&parts));
            item += item->n_early - 1;
            continue;
        }
        char *value = put_text(at, item->before);
        char *value_end = f->is_json       ? put_late_json(item, out, value)
                          : f->is_coloured ? put_coloured(item, out, &headers, value)
                                           : put_late(item, out, &headers, value);
        at = value_end ? value_end : at;
    }
    b->n = (size_t)(at - b->bytes);
}

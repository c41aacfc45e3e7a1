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

/* True if nothing of it has to be escaped. The last word overlaps the one before it. */
static bool is_plain(struct sprig_span bytes)
{
    uint64_t word;
    const char *last = bytes.ptr + bytes.len - sizeof(word);
    for (const char *p = bytes.ptr; p < last; p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        if (has_special(word))
            return false;
    }
    memcpy(&word, last, sizeof(word));
    return !has_special(word);
}

/* What a byte becomes at most. */
static size_t escaped_bytes(const struct log_buffer *b)
{
    return b->is_json ? 5 : 4;
}

/* Needs room for so many times as many bytes; returns the end. */
static char *escape(char *at, struct sprig_span bytes, bool is_json)
{
    size_t i = 0;
    if (bytes.len >= sizeof(uint64_t) && is_plain(bytes)) {
        memcpy(at, bytes.ptr, bytes.len);
        return at + bytes.len;
    }
    while (i < bytes.len) {
        uint64_t word;
        if (bytes.len - i >= sizeof(word)) {
            memcpy(&word, bytes.ptr + i, sizeof(word));
            if (!has_special(word)) {
                memcpy(at, &word, sizeof(word));
                at += sizeof(word);
                i += sizeof(word);
                continue;
            }
        }
        size_t end = bytes.len - i < sizeof(word) ? bytes.len : i + sizeof(word);
        for (; i < end; i++)
            at = escape_byte(at, bytes.ptr[i], is_json);
    }
    return at;
}

void log_format_escape(struct log_buffer *b, struct sprig_span bytes)
{
    char *at = log_buffer_room(b, escaped_bytes(b) * bytes.len);
    if (at)
        b->n = (size_t)(escape(at, bytes, b->is_json) - b->bytes);
}

static char *put(char *at, struct sprig_span bytes)
{
    if (bytes.len)
        memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

static void add(struct log_buffer *b, struct sprig_span bytes)
{
    char *at = log_buffer_room(b, bytes.len);
    if (at)
        b->n = (size_t)(put(at, bytes) - b->bytes);
}

/* In place of the whole value. */
static void add_missing(struct log_buffer *b)
{
    if (b->is_json)
        b->is_missing = true;
    else
        add(b, SPAN_LIT("-"));
}

static void add_or_dash(struct log_buffer *b, struct sprig_span bytes)
{
    if (bytes.len)
        log_format_escape(b, bytes);
    else
        add_missing(b);
}

static bool is_number(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] < '0' || bytes[i] > '9')
            return false;
    return n > 0;
}

/* What is written behind `start` becomes a value of JSON: a string, a number (a port), or null. */
static void quote_value(struct log_buffer *b, size_t start, enum log_kind kind)
{
    if (!b->is_json || b->is_short)
        return;
    size_t n = b->n - start;
    if (b->is_missing) {
        b->is_missing = false;
        b->n = start;
        add(b, SPAN_LIT("null"));
    } else if ((kind != LOG_PORT || !is_number(b->bytes + start, n)) && log_buffer_room(b, 2)) {
        memmove(b->bytes + start + 1, b->bytes + start, n);
        b->bytes[start] = b->bytes[start + n + 1] = '"';
        b->n += 2;
    }
}

/* All values of that name, as the application would get them. False: there is none. */
static bool add_header(struct log_buffer *b, const struct sprig_header *headers, size_t n,
                       struct sprig_span name)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (headers[i].name.len != name.len || headers[i].value.len == 0 ||
            !span_ieq(headers[i].name, name))
            continue;
        if (any)
            add(b, SPAN_LIT(", "));
        any = true;
        log_format_escape(b, headers[i].value);
    }
    return any;
}

/* A part is one value, with its length before it. Begins one; its place. */
static size_t part_begin(struct log_buffer *b)
{
    size_t part = b->n;
    if (log_buffer_room(b, PART_BYTES))
        b->n += PART_BYTES;
    return part;
}

static void part_end(struct log_buffer *b, size_t part)
{
    uint32_t n = (uint32_t)(b->n - part - PART_BYTES);
    if (!b->is_short)
        memcpy(b->bytes + part, &n, sizeof(n));
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

static void add_path(struct log_buffer *b, struct sprig_span path)
{
    /* Decoded into the end of the room: what is written stays behind what is read. */
    size_t most = escaped_bytes(b);
    char *at = log_buffer_room(b, most * path.len);
    if (!at)
        return;
    char *decoded = at + (most - 1) * path.len;
    size_t n = request_decode_path(path, decoded);
    b->n = (size_t)(escape(at, span_make(decoded, n), b->is_json) - b->bytes);
}

/* "1.1" of "HTTP/1.1" */
static struct sprig_span version_of(struct sprig_span protocol)
{
    const char *slash = memchr(protocol.ptr, '/', protocol.len);
    if (slash == NULL)
        return protocol;
    return span_make(slash + 1, (size_t)(protocol.ptr + protocol.len - slash) - 1);
}

static void add_early(const struct log_item *item, const struct log_input *in, struct log_buffer *b)
{
    const struct sprig_request *r = in->request;
    switch ((int)item->kind) {
    case LOG_HOST:
        add_or_dash(b, in->host);
        return;
    case LOG_LINE:
        add_or_dash(b, request_line(in));
        return;
    case LOG_NAME:
        add_or_dash(b, in->server_name);
        return;
    case LOG_ASKED_NAME:
        add_or_dash(b, asked_name(in));
        return;
    case LOG_PORT:
        add_or_dash(b, in->server_port);
        return;
    case LOG_TLS:
        add_or_dash(b, in->tls_protocol);
        return;
    case LOG_TLS_CIPHER:
        add_or_dash(b, in->tls_cipher);
        return;
    case LOG_REQUEST_ID:
        add_or_dash(b, in->request_id);
        return;
    case LOG_RAW:
        add_or_dash(b, in->raw);
        return;
    case LOG_ASKED:
        add_or_dash(b, asked(in));
        return;
    }
    if (!r) {
        add_missing(b);
        return;
    }
    switch ((int)item->kind) {
    case LOG_METHOD:
        log_format_escape(b, r->method);
        return;
    case LOG_PATH:
        add_path(b, r->path);
        return;
    case LOG_QUERY:
        if (r->query.len && !b->is_json) /* url.query has none */
            add(b, SPAN_LIT("?"));
        log_format_escape(b, r->query);
        return;
    case LOG_PROTOCOL:
        add(b, request_protocol(r));
        return;
    case LOG_HEADER:
        if (!add_header(b, r->headers, r->n_headers, item->text))
            add_missing(b);
        return;
    case LOG_VERSION:
        add(b, version_of(request_protocol(r)));
        return;
    }
}

void log_format_input(const struct log_format *f, const struct log_input *in, struct log_buffer *b)
{
    const struct log_item *end = f->items + f->n_items;
    for (const struct log_item *item = f->items; item < end; item++) {
        if (item->kind == LOG_TEXT || item->kind >= LOG_LATE)
            continue;
        size_t part = part_begin(b);
        add_early(item, in, b);
        quote_value(b, part + PART_BYTES, item->kind);
        part_end(b, part);
    }
}

/* ---------------------------------------------------------- the response ---- */

static void add_length(struct log_buffer *b, uint64_t length)
{
    char *at = log_buffer_room(b, LOG_NUMBER_BYTES);
    if (at)
        b->n = (size_t)(number_write(at, length) - b->bytes);
}

void log_format_headers(const struct log_format *f, const struct sprig_header *headers,
                        size_t n_headers, uint64_t length, struct log_buffer *b)
{
    for (size_t i = 0; i < f->n_items; i++) {
        struct sprig_span name = f->items[i].text;
        if (f->items[i].kind != LOG_OUT_HEADER)
            continue;
        size_t part = part_begin(b);
        if (!add_header(b, headers, n_headers, name)) {
            if (length != UINT64_MAX && span_ieq(name, SPAN_LIT("Content-Length")))
                add_length(b, length);
            else
                add_missing(b);
        }
        quote_value(b, part + PART_BYTES, LOG_OUT_HEADER);
        part_end(b, part);
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
    at = number_write(at, us / 1000000);
    *at++ = '.';
    for (uint64_t unit = 100000; unit > 0; unit /= 10)
        *at++ = (char)('0' + us / unit % 10);
    return at;
}

/* Texts of our own. They may have quotes, which would end the field of a format that has some. */
static char *put_reason(char *at, const char *reason)
{
    for (size_t i = 0; reason[i] != '\0' && i < LOG_REASON_BYTES; i++)
        *at++ = (char)(reason[i] == '"' || reason[i] == '\\' ? '\'' : reason[i]);
    return at;
}

/* The forms that differ from those of text. */
static char *put_late_json(const struct log_item *item, const struct log_output *out, char *at)
{
    switch ((int)item->kind) {
    case LOG_USER:
        if (!out->user.len)
            return put(at, SPAN_LIT("null"));
        *at++ = '"';
        at = put(at, out->user);
        *at++ = '"';
        return at;
    case LOG_STATUS:
        return out->status ? number_write(at, (uint64_t)out->status) : put(at, SPAN_LIT("null"));
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
            return put(at, SPAN_LIT("null"));
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

static char *put_status(char *at, int status)
{
    if (status == 0)
        return put(at, SPAN_LIT("-"));
    at[0] = (char)('0' + status / 100 % 10);
    return put_two(at + 1, status % 100);
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
    const struct log_item *end = f->items + f->n_items;
    for (const struct log_item *item = f->items; item < end; item++) {
        if (item->kind == LOG_TEXT)
            at = put(at, item->text);
        else if (item->kind < LOG_LATE)
            at = put(at, next_part(&parts));
        else if (f->is_json)
            at = put_late_json(item, out, at);
        else if (f->is_coloured)
            at = put_coloured(item, out, &headers, at);
        else
            at = put_late(item, out, &headers, at);
    }
    b->n = (size_t)(at - b->bytes);
}

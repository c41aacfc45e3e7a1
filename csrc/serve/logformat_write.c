/* logformat_write.c - writes lines of the access log; see logformat.h */
#include "base/number.h"
#include "base/words.h"
#include "http/date.h"
#include "serve/logformat.h"
#include "serve/logformat_items.h"
#include <stdlib.h>
#include <time.h>

#ifdef CLOCK_REALTIME_COARSE
#define LOG_CLOCK CLOCK_REALTIME_COARSE
#else
#define LOG_CLOCK CLOCK_REALTIME
#endif

/* Before each part of what is written in advance stands its length. */
enum { PART_BYTES = sizeof(uint32_t), BUFFER_BYTES = 512 };

/* ------------------------------------------------------------- writing ---- */

/* True if one of eight bytes has to be escaped. */
static inline bool has_special(uint64_t word)
{
    return ((word | word_controls(word) | word_zeros(word ^ EVERY('"')) |
             word_zeros(word ^ EVERY('\\'))) &
            HIGH_BITS) != 0;
}

static char *escape_byte(char *at, char c)
{
    static const char hex[] = "0123456789ABCDEF";
    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
        *at++ = c;
        return at;
    }
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

/* Needs room for four times as many bytes; returns the end. */
static char *escape(char *at, struct sprig_span bytes)
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
            at = escape_byte(at, bytes.ptr[i]);
    }
    return at;
}

void log_format_escape(struct log_buffer *b, struct sprig_span bytes)
{
    char *at = log_buffer_room(b, 4 * bytes.len);
    if (at)
        b->n = (size_t)(escape(at, bytes) - b->bytes);
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

static void add_or_dash(struct log_buffer *b, struct sprig_span bytes)
{
    if (bytes.len)
        log_format_escape(b, bytes);
    else
        add(b, SPAN_LIT("-"));
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
    const char *end = r->target.ptr + r->target.len + sizeof(" HTTP/1.1") - 1;
    return span_make(r->head.ptr, (size_t)(end - r->head.ptr));
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
    char *at = log_buffer_room(b, 4 * path.len);
    if (!at)
        return;
    char *decoded = at + 3 * path.len;
    size_t n = request_decode_path(path, decoded);
    b->n = (size_t)(escape(at, span_make(decoded, n)) - b->bytes);
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
    }
    if (!r) {
        add(b, SPAN_LIT("-"));
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
        add(b, r->query.len ? SPAN_LIT("?") : r->query);
        log_format_escape(b, r->query);
        return;
    case LOG_PROTOCOL:
        add(b, request_protocol(r));
        return;
    case LOG_HEADER:
        if (!add_header(b, r->headers, r->n_headers, item->text))
            add(b, SPAN_LIT("-"));
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
                add(b, SPAN_LIT("-"));
        }
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
    struct timespec now = {0};
    clock_gettime(LOG_CLOCK, &now);
    return now.tv_sec;
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
    at = escape(at, span_make(text, n));
    *at++ = ']';
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
    }
    return at;
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
        else
            at = put_late(item, out, &headers, at);
    }
    b->n = (size_t)(at - b->bytes);
}

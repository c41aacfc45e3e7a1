/* response.c - checks and serialises heads, decides the framing of the body. */
#include "response.h"
#include "chars.h"
#include "date.h"
#include "elements.h"
#include "err.h"
#include "log.h"
#include "status.h"
#include <stdarg.h>
#include <stdio.h>

/* Bytes of a head besides the app's own header lines and the Server line: status line, Date,
 * Content-Length or Transfer-Encoding, Connection, the empty line. */
enum { HEAD_FIXED_BYTES = 256 };

/* ------------------------------------------------------------ checking ---- */

/* Fills `why`; the code to return. */
__attribute__((format(printf, 3, 4), cold)) static int refuse(char *why, size_t n, const char *fmt,
                                                              ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, n, fmt, args);
    va_end(args);
    return SPRIG_E_INVALID;
}

/* The same for one header: "header 'X' has ...". */
__attribute__((cold)) static int refuse_header(char *why, size_t n, struct sprig_span name,
                                               const char *problem)
{
    char shown[80];
    return refuse(why, n, "header '%s' %s", log_escape(shown, sizeof(shown), name), problem);
}

/* The same where the value matters as well: "header 'X' is 'Y', problem". */
__attribute__((cold)) static int refuse_value(char *why, size_t n, const struct sprig_header *h,
                                              const char *problem)
{
    char name[80], value[80];
    return refuse(why, n, "header '%s' is '%s', %s", log_escape(name, sizeof(name), h->name),
                  log_escape(value, sizeof(value), h->value), problem);
}

/* Names and values are looked at in words of eight bytes, the last word overlapping the one before
 * it; only what is unusual is looked at byte by byte. */
#define EVERY(byte) (UINT64_C(0x0101010101010101) * (unsigned char)(byte))
#define HIGH        EVERY(0x80)

static inline uint64_t word_at(const char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

/* True if one of the bytes is below 0x20 or DEL. */
static inline bool has_control(uint64_t word)
{
    uint64_t del = word ^ EVERY(0x7f);
    return ((((word - EVERY(0x20)) & ~word) | ((del - EVERY(1)) & ~del)) & HIGH) != 0;
}

/* True if all bytes are letters or '-', as in nearly every name. A byte above 0x7f disturbs its
 * neighbours, but makes the result false anyway. */
static inline bool is_letters(uint64_t word)
{
    uint64_t lower = word | EVERY(0x20), dash = word ^ EVERY('-');
    uint64_t from_a = lower + EVERY(0x80 - 'a'), beyond_z = lower + EVERY(0x7f - 'z');
    uint64_t no_dash = dash + EVERY(0x7f);
    return (((from_a & ~beyond_z) | ~no_dash) & ~word & HIGH) == HIGH;
}

/* All bytes are of this class of chars.h. */
static bool all_are(struct sprig_span bytes, int class_bit)
{
    for (size_t i = 0; i < bytes.len; i++)
        if (!char_is(bytes.ptr[i], class_bit))
            return false;
    return true;
}

/* tchar only; PSGI adds that a name does not end in '-' or '_'. */
static bool is_name(struct sprig_span name)
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

/* No CR, LF, NUL or other control character but HTAB (RFC 9110 section 5.5). */
static bool is_value(struct sprig_span value)
{
    if (value.len < 8)
        return all_are(value, CHAR_VALUE);
    size_t last = value.len - 8, at = 0;
    while (at < last && !has_control(word_at(value.ptr + at)))
        at += 8;
    if (at >= last && !has_control(word_at(value.ptr + last)))
        return true;
    return all_are(value, CHAR_VALUE);
}

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

/* `lower` has as many bytes as the name, letters and '-' only; the name is a token, in which
 * nothing else becomes one of these by setting the bit of lower case. */
static inline bool name_is(struct sprig_span name, const char *lower)
{
    uint64_t other = 0;
    if (name.len < 8) {
        for (size_t i = 0; i < name.len; i++)
            other |= (unsigned char)((name.ptr[i] | 0x20) ^ lower[i]);
        return other == 0;
    }
    size_t last = name.len - 8;
    for (size_t at = 0; at < last; at += 8)
        other |= (word_at(name.ptr + at) | EVERY(0x20)) ^ word_at(lower + at);
    other |= (word_at(name.ptr + last) | EVERY(0x20)) ^ word_at(lower + last);
    return other == 0;
}

static enum field field_of(struct sprig_span name)
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
static bool parse_length(struct sprig_span text, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned char)text.ptr[i] - '0';
        if (digit > 9 || n > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return text.len > 0;
}

/* ------------------------------------------------------------- writing ---- */

static inline char *put(char *at, const char *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

#define PUT_LIT(at, s) put((at), "" s, sizeof(s) - 1)

static char *put_decimal(char *at, uint64_t n)
{
    char digits[20];
    size_t i = sizeof(digits);
    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    return put(at, digits + i, sizeof(digits) - i);
}

static char *put_header(char *at, struct sprig_span name, struct sprig_span value)
{
    at = put(at, name.ptr, name.len);
    at = PUT_LIT(at, ": ");
    if (value.len)
        at = put(at, value.ptr, value.len);
    return PUT_LIT(at, "\r\n");
}

/* A reason phrase may be empty, the space before it must not be missing (RFC 9112 section 4). */
static char *put_status_line(char *at, uint8_t minor, int status)
{
    char *version = at;
    if (status == 200) {
        at = PUT_LIT(at, "HTTP/1.1 200 OK\r\n");
    } else {
        const char *reason = status_reason(status);
        at = PUT_LIT(at, "HTTP/1.1 ");
        at = put_decimal(at, (uint64_t)status);
        *at++ = ' ';
        at = put(at, reason, strlen(reason));
        at = PUT_LIT(at, "\r\n");
    }
    version[7] = (char)('0' + minor);
    return at;
}

/* ---------------------------------------------------------- the app's head ---- */

/* What the app's headers say, gathered while they are copied. */
struct seen {
    bool date, server, close, upgrade;
    bool chunked;    /* Transfer-Encoding: chunked */
    bool has_length; /* Content-Length */
    bool options;    /* Connection has options besides close, keep-alive and upgrade */
    uint64_t length;
};

/* One head on its way into the queue. */
struct writer {
    char *at;
    int status;
    uint8_t minor;
    struct seen seen;
    char *why;
    size_t why_bytes;
};

/* Where the app's Upgrade may pass: to switch, and to say what would be needed. */
static bool status_takes_upgrade(int status)
{
    return status == 101 || status == 426;
}

static int see_length(struct writer *w, const struct sprig_header *h)
{
    uint64_t n;
    if (!parse_length(span_trim(h->value), &n))
        return refuse_value(w->why, w->why_bytes, h, "not a length in bytes");
    if (w->seen.has_length && n != w->seen.length)
        return refuse_value(w->why, w->why_bytes, h, "but another one says otherwise");
    w->seen.has_length = true;
    w->seen.length = n;
    return 0;
}

/* RFC 9112 section 6.1: chunked is the only coding we can vouch for, and only in HTTP/1.1. */
static int see_coding(struct writer *w, const struct sprig_header *h)
{
    if (!span_ieq(span_trim(h->value), SPAN_LIT("chunked")))
        return refuse_value(w->why, w->why_bytes, h, "only 'chunked' is possible");
    if (w->seen.chunked)
        return refuse_header(w->why, w->why_bytes, h->name, "is there twice");
    if (w->minor == 0)
        return refuse_header(w->why, w->why_bytes, h->name, "is not possible in HTTP/1.0");
    w->seen.chunked = true;
    return 0;
}

enum option { OPTION_NONE, OPTION_CLOSE, OPTION_KEEP_ALIVE, OPTION_UPGRADE, OPTION_OTHER };

static enum option option_of(struct sprig_span element)
{
    if (element.len == 0)
        return OPTION_NONE;
    if (span_ieq(element, SPAN_LIT("close")))
        return OPTION_CLOSE;
    if (span_ieq(element, SPAN_LIT("keep-alive")))
        return OPTION_KEEP_ALIVE;
    return span_ieq(element, SPAN_LIT("upgrade")) ? OPTION_UPGRADE : OPTION_OTHER;
}

static void see_connection(struct seen *seen, struct sprig_span list)
{
    struct sprig_span element;
    while (element_first(&list, &element)) {
        enum option option = option_of(element);
        seen->close |= option == OPTION_CLOSE;
        seen->options |= option == OPTION_OTHER;
    }
}

/* Looks at one valid header. > 0: it is to be copied; 0: it is dropped, the server sends its own if
 * one is needed; < 0: refused. */
static int see_header(struct writer *w, const struct sprig_header *h)
{
    switch (field_of(h->name)) {
    case FIELD_OTHER:
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
        return refuse_header(w->why, w->why_bytes, h->name, "is not allowed by PSGI");
    }
    return 0;
}

/* Checks and copies the app's headers. */
static int put_app_headers(struct writer *w, const struct sprig_head *head)
{
    const struct sprig_header *end = head->headers + head->n_headers;
    for (const struct sprig_header *h = head->headers; h < end; h++) {
        if (!is_name(h->name))
            return refuse_header(w->why, w->why_bytes, h->name, "has an invalid name");
        if (!is_value(h->value))
            return refuse_header(w->why, w->why_bytes, h->name,
                                 "has a control character in its value");
        int copied = see_header(w, h);
        if (copied < 0)
            return copied;
        if (copied)
            w->at = put_header(w->at, h->name, h->value);
    }
    return 0;
}

/* The most that the head can need. */
static size_t head_bound(const struct sprig_head *head, struct sprig_span server)
{
    size_t n = HEAD_FIXED_BYTES + server.len;
    for (size_t i = 0; i < head->n_headers; i++)
        n += head->headers[i].name.len + head->headers[i].value.len + sizeof(": \r\n") - 1;
    return n;
}

/* --------------------------------------------------- framing and connection ---- */

static bool is_switch_or_tunnel(const struct response *r)
{
    return r->status == 101 || (r->is_connect && r->status >= 200 && r->status <= 299);
}

/* RFC 9112 section 6.3, in its order; and RFC 9110 section 9.3.6 for CONNECT. */
static void decide_framing(struct response *r, const struct seen *seen, uint64_t length)
{
    r->keep_alive = r->keep_alive && !seen->close && !is_switch_or_tunnel(r);
    r->bodyless = r->is_head || status_has_no_body(r->status);
    if (r->bodyless) {
        r->framing = FRAMING_NONE;
    } else if (is_switch_or_tunnel(r)) {
        r->framing = FRAMING_CLOSE;
    } else if (seen->chunked) {
        r->framing = FRAMING_CHUNKED;
        r->app_framed = r->app_unsure = true;
        chunk_init(&r->check, UINT32_MAX);
    } else if (seen->has_length || length != SPRIG_LENGTH_UNKNOWN) {
        r->framing = FRAMING_LENGTH;
        r->announced = r->left = seen->has_length ? seen->length : length;
    } else if (r->minor > 0 && !r->no_chunks) {
        r->framing = FRAMING_CHUNKED;
    } else {
        r->framing = FRAMING_CLOSE;
        r->keep_alive = false;
    }
}

/* RFC 9110 section 8.6 for the responses without a body: none with 1xx and 204, the app's with 304,
 * with HEAD what GET would have got. There an empty body says nothing: many apps leave it out. */
static bool has_length_line(const struct response *r, const struct seen *seen, uint64_t length)
{
    if (r->framing == FRAMING_LENGTH)
        return true;
    if (!r->bodyless || r->status < 200 || r->status == 204 || seen->chunked)
        return false;
    if (seen->has_length)
        return true;
    return r->status != 304 && length != SPRIG_LENGTH_UNKNOWN && length > 0;
}

static char *put_framing(char *at, const struct response *r, const struct seen *seen,
                         uint64_t length)
{
    if (has_length_line(r, seen, length)) {
        at = PUT_LIT(at, "Content-Length: ");
        at = put_decimal(at, seen->has_length ? seen->length : length);
        return PUT_LIT(at, "\r\n");
    }
    bool of_get = seen->chunked && r->is_head && !status_has_no_body(r->status);
    if (r->framing == FRAMING_CHUNKED || of_get)
        at = PUT_LIT(at, "Transfer-Encoding: chunked\r\n");
    return at;
}

/* The app's own connection options, without those that are the server's business. No space behind
 * the commas: the result is never longer than what the app gave. */
static char *put_options(char *at, const struct sprig_head *head)
{
    for (size_t i = 0; i < head->n_headers; i++) {
        struct sprig_span list = head->headers[i].value, element;
        if (field_of(head->headers[i].name) != FIELD_CONNECTION)
            continue;
        while (element_first(&list, &element)) {
            if (option_of(element) != OPTION_OTHER)
                continue;
            at = put(at, element.ptr, element.len);
            *at++ = ',';
        }
    }
    return at;
}

/* One Connection line or none. Persistence is the default of HTTP/1.1 only (RFC 9112 section 9.3);
 * where the connection closes it is always said. */
static char *put_connection(char *at, const struct response *r, const struct seen *seen,
                            const struct sprig_head *head)
{
    bool close = !r->keep_alive && !is_switch_or_tunnel(r);
    bool keep = r->keep_alive && r->minor == 0;
    if (!close && !keep && !seen->upgrade && !seen->options)
        return at;
    at = PUT_LIT(at, "Connection: ");
    if (close)
        at = PUT_LIT(at, "close,");
    if (keep)
        at = PUT_LIT(at, "keep-alive,");
    if (seen->upgrade)
        at = PUT_LIT(at, "Upgrade,");
    if (seen->options)
        at = put_options(at, head);
    return PUT_LIT(at - 1, "\r\n"); /* over the last comma */
}

static char *put_server_lines(char *at, const struct seen *seen, struct sprig_span server)
{
    if (!seen->date) {
        at = PUT_LIT(at, "Date: ");
        at = put(at, date_now(), DATE_LEN);
        at = PUT_LIT(at, "\r\n");
    }
    if (server.len && !seen->server)
        at = put_header(at, SPAN_LIT("Server"), server);
    return at;
}

/* --------------------------------------------------------------- the head ---- */

void response_init(struct response *r, const struct sprig_request *req, bool may_keep_alive)
{
    *r = (struct response){.minor = 1};
    if (!req)
        return;
    r->minor = req->minor;
    r->is_head = req->is_head;
    r->is_connect = span_eq(req->method, SPAN_LIT("CONNECT"));
    r->may_upgrade = req->upgrade && req->minor > 0;
    r->keep_alive = req->keep_alive && may_keep_alive;
}

static int check_status(const struct response *r, int status, char *why, size_t n)
{
    if (status != 101 && (status < 200 || status > 999))
        return refuse(why, n, "status %d is not 101 or 200..999", status);
    if (status == 101 && !r->may_upgrade)
        return refuse(why, n, "status 101, but the client did not offer an upgrade");
    return 0;
}

/* What only all headers together can show. */
static int check_seen(const struct writer *w)
{
    if (w->seen.chunked && w->seen.has_length)
        return refuse(w->why, w->why_bytes, "both Content-Length and Transfer-Encoding");
    if (w->status == 101 && !w->seen.upgrade)
        return refuse(w->why, w->why_bytes, "status 101 without an Upgrade header");
    return 0;
}

/* Writes the whole head at w->at and fills in *r. */
static int put_head(struct writer *w, struct response *r, const struct sprig_head *head,
                    struct sprig_span server)
{
    w->at = put_status_line(w->at, r->minor, head->status);
    int err = put_app_headers(w, head);
    if (err || (err = check_seen(w)))
        return err;
    r->status = head->status;
    decide_framing(r, &w->seen, head->length);
    w->at = put_framing(w->at, r, &w->seen, head->length);
    w->at = put_connection(w->at, r, &w->seen, head);
    w->at = put_server_lines(w->at, &w->seen, server);
    w->at = PUT_LIT(w->at, "\r\n");
    return 0;
}

int response_head(struct response *r, struct outq *q, const struct sprig_head *head,
                  const char *server_header, char *why, size_t n)
{
    if (r->head_out)
        return SPRIG_E_STATE;
    int err = check_status(r, head->status, why, n);
    if (err)
        return err;
    struct sprig_span server = span_str(server_header);
    if (!is_value(server))
        return refuse_header(why, n, SPAN_LIT("Server"), "has a control character in its value");
    char *start = outq_reserve(q, head_bound(head, server));
    if (!start)
        return SPRIG_E_NOMEM;
    struct writer w = {
        .at = start, .status = head->status, .minor = r->minor, .why = why, .why_bytes = n};
    err = put_head(&w, r, head, server);
    outq_commit(q, err ? 0 : (size_t)(w.at - start));
    r->head_out = !err;
    return err;
}

int response_interim(struct response *r, struct outq *q, const struct sprig_head *head, char *why,
                     size_t n)
{
    if (r->head_out)
        return SPRIG_E_STATE;
    if (head->status < 102 || head->status > 199)
        return refuse(why, n, "status %d is not an interim one, 102..199", head->status);
    char *start = outq_reserve(q, head_bound(head, span_make(NULL, 0)));
    if (!start)
        return SPRIG_E_NOMEM;
    struct writer w = {
        .at = start, .status = head->status, .minor = r->minor, .why = why, .why_bytes = n};
    w.at = put_status_line(w.at, 1, head->status);
    int err = put_app_headers(&w, head);
    w.at = PUT_LIT(w.at, "\r\n");
    outq_commit(q, err || r->minor == 0 ? 0 : (size_t)(w.at - start));
    return err;
}

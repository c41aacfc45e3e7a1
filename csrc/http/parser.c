/* parser.c - the strict scan of a request head, incremental, and the assembly of the request. */
#include "http/parser.h"
#include "base/err.h"
#include "base/words.h"
#include "http/chars.h"
#include "http/fields.h"
#include "http/target.h"
#include <stdlib.h>

enum { EMPTY_LINES_TOLERATED = 2, CRLF_LEN = 2, FIRST_CAPACITY = 32 };

/* The result of a scan step. */
enum found { REFUSED = -1, MORE = 0, LINE = 1, HEAD = 2 };

/* One call of parser_head. */
struct scan {
    struct parser *p;
    const char *bytes;
    size_t len;
    const struct parser_limits *limits;
    struct parser_scratch *scratch;
    struct parser_refusal *why;
    uint32_t n_split; /* header lines in scratch->headers: all, or the first ones */
};

static int parser_refuse(struct parser_refusal *why, int status, const char *reason)
{
    *why = (struct parser_refusal){status, reason};
    return REFUSED;
}

bool parser_backend_reads_all = false;

void parser_init(struct parser *p)
{
    *p = (struct parser){0};
}

void scratch_clear(struct parser_scratch *scratch)
{
    free(scratch->headers);
    free(scratch->uri);
    *scratch = (struct parser_scratch){0};
}

/* ------------------------------------------------------------------ bytes ---- */

/* Offset of the first byte in [at, end) that cannot be part of a field value. */
static size_t value_end(const char *bytes, size_t at, size_t end)
{
    for (at = words_skip_text(bytes, at, end); at < end && char_is(bytes[at], CHAR_VALUE);)
        at = words_skip_text(bytes, at + 1, end);
    return at;
}

static size_t class_end(const char *bytes, size_t at, size_t end, int class_bits)
{
    while (at < end && char_is(bytes[at], class_bits))
        at++;
    return at;
}

/* The byte at `at` ends a run of allowed bytes: LINE if it begins a CRLF, MORE if it might. */
static int line_end(struct scan *s, size_t at, const char *reason)
{
    s->p->scanned = (uint32_t)at;
    if (s->bytes[at] == '\n')
        return parser_refuse(s->why, 400, "bare LF");
    if (s->bytes[at] != '\r')
        return parser_refuse(s->why, 400, reason);
    if (at + 1 == s->len)
        return MORE;
    if (s->bytes[at + 1] != '\n')
        return parser_refuse(s->why, 400, "bare CR");
    s->p->line = s->p->scanned = (uint32_t)at + CRLF_LEN;
    return LINE;
}

/* ----------------------------------------------------------- request line ---- */

/* Digits and dots after "HTTP/" are a version, though perhaps not a supported one. */
static int check_version(struct scan *s, struct sprig_span version)
{
    if (span_eq(version, SPAN_LIT("HTTP/1.1")) || span_eq(version, SPAN_LIT("HTTP/1.0")))
        return LINE;
    if (span_eq(version, SPAN_LIT("HTTP/0.9")))
        return parser_refuse(s->why, 400, "HTTP/0.9");
    if (version.len < 6 || memcmp(version.ptr, "HTTP/", 5) != 0)
        return parser_refuse(s->why, 400, "malformed request line");
    for (size_t i = 5; i < version.len; i++)
        if (!char_is(version.ptr[i], CHAR_DIGIT) && version.ptr[i] != '.')
            return parser_refuse(s->why, 400, "malformed request line");
    return parser_refuse(s->why, 505, "unsupported HTTP version");
}

/* RFC 9112 section 3: method SP request-target SP HTTP-version, one space each. */
static int check_request_line(struct scan *s, struct sprig_span line)
{
    const char *end = line.ptr + line.len;
    size_t n = class_end(line.ptr, 0, line.len, CHAR_TOKEN);
    if (n == 0 || n == line.len || line.ptr[n] != ' ')
        return parser_refuse(s->why, 400, "malformed request line");
    struct sprig_span method = span_make(line.ptr, n);
    const char *target = line.ptr + n + 1;
    const char *space = memchr(target, ' ', (size_t)(end - target));
    if (!space)
        return parser_refuse(s->why, 400, "request line without a version");
    int rc = check_version(s, span_make(space + 1, (size_t)(end - space - 1)));
    if (rc < 0)
        return rc;
    const char *reason = target_check(method, span_make(target, (size_t)(space - target)));
    return reason ? parser_refuse(s->why, 400, reason) : LINE;
}

static bool starts_with(struct sprig_span s, struct sprig_span start)
{
    return s.len >= start.len && memcmp(s.ptr, start.ptr, start.len) == 0;
}

/* Names what the client sent if it seems to have the wrong port, as far as the refused byte or line
 * shows; NULL: anything else. `line` ends with that byte, or is complete. */
static const char *name_protocol(struct sprig_span line, uint32_t n_before)
{
    if (*line.ptr == 0x16) /* the first byte of a handshake record, RFC 8446 section 5.1 */
        return "TLS on an address without TLS";
    if (n_before == 4 && *line.ptr == '\0') /* after the two CRLF that begin version 2 */
        return "a PROXY header, which this address does not expect";
    if (starts_with(line, SPAN_LIT("PROXY TCP")) || starts_with(line, SPAN_LIT("PROXY UNKNOWN")))
        return "a PROXY header, which this address does not expect";
    if (span_eq(line, SPAN_LIT("PRI * HTTP/2.0"))) /* RFC 9113 section 3.4 */
        return "HTTP/2 on an address without HTTP/2";
    return NULL;
}

/* A request line was refused: gives the reason in words that help. */
static int refuse_line(struct scan *s, size_t start, size_t end)
{
    const char *name = name_protocol(span_make(s->bytes + start, end - start), (uint32_t)start);
    if (name)
        s->why->reason = name;
    return REFUSED;
}

/* Scans one line where the request line belongs: LINE also for an empty line before it. */
static int scan_request_line(struct scan *s)
{
    struct parser *p = s->p;
    if (p->line == s->len)
        return MORE;
    bool is_empty = s->bytes[p->line] == '\r';
    if (is_empty && p->line == EMPTY_LINES_TOLERATED * CRLF_LEN)
        return parser_refuse(s->why, 400, "too many empty lines before the request");
    size_t start = p->line, end = s->len;
    uint32_t max = s->limits->max_request_line;
    if (max && end - start > max)
        end = start + max;
    size_t at = class_end(s->bytes, p->scanned, end, CHAR_LINE);
    p->scanned = (uint32_t)at;
    if (at == s->len)
        return MORE;
    if (at == end && s->bytes[at] != '\r')
        return parser_refuse(s->why, 414, "request line too long");
    int rc = line_end(s, at, "invalid character in the request line");
    if (rc < 0)
        return refuse_line(s, start, at + 1);
    if (rc != LINE)
        return rc;
    p->first = is_empty ? p->line : (uint32_t)start;
    if (is_empty)
        return LINE;
    p->headers_at = p->line;
    if (check_request_line(s, span_make(s->bytes + start, at - start)) < 0)
        return refuse_line(s, start, at);
    return LINE;
}

/* ---------------------------------------------------------------- headers ---- */

static int reserve_headers(struct parser_scratch *scratch, uint32_t n)
{
    uint32_t capacity = scratch->capacity ? scratch->capacity : FIRST_CAPACITY;
    while (capacity < n)
        capacity *= 2;
    if (capacity == scratch->capacity)
        return SPRIG_OK;
    struct sprig_header *headers = realloc(scratch->headers, capacity * sizeof *headers);
    if (!headers)
        return SPRIG_E_NOMEM;
    scratch->headers = headers;
    scratch->capacity = capacity;
    return SPRIG_OK;
}

/* Notes a line that this call has seen from its start; if one was not, or memory is short,
 * split_headers() does the work. */
static void note_header(struct scan *s, size_t line, size_t colon, size_t end)
{
    struct parser_scratch *scratch = s->scratch;
    uint32_t n = s->n_split;
    if (n != s->p->n_headers || (n == scratch->capacity && reserve_headers(scratch, n + 1) < 0))
        return;
    scratch->headers[n].name = span_make(s->bytes + line, colon - line);
    scratch->headers[n].value = span_trim(span_make(s->bytes + colon + 1, end - colon - 1));
    s->n_split = n + 1;
}

/* The byte at `at` ends the name: it is the colon or an error. */
static int name_end(struct scan *s, size_t at)
{
    bool is_first = at == s->p->line;
    switch (s->bytes[at]) {
    case ':':
        if (is_first)
            return parser_refuse(s->why, 400, "empty header name");
        s->p->in_value = true;
        s->p->scanned = (uint32_t)at + 1;
        return LINE;
    case ' ':
    case '\t':
        return parser_refuse(s->why, 400,
                             !is_first              ? "space in a header name"
                             : s->p->n_headers == 0 ? "space before the first header"
                                                    : "folded header line");
    case '\r':
        return parser_refuse(s->why, 400, "header line without a colon");
    case '\n':
        return parser_refuse(s->why, 400, "bare LF");
    default:
        return parser_refuse(s->why, 400, "invalid character in a header name");
    }
}

/* Scans from p->scanned up to `end`, which is the limit or the end of the input. At the limit
 * stands a byte that is not allowed; it is looked at only if it is there. */
static int scan_field(struct scan *s, size_t end)
{
    struct parser *p = s->p;
    size_t line = p->line, colon = 0;
    if (!p->in_value) {
        size_t at = words_skip_letters(s->bytes, p->scanned, end);
        at = class_end(s->bytes, at, end, CHAR_TOKEN);
        p->scanned = (uint32_t)at;
        if (at == end)
            return MORE;
        int rc = name_end(s, at);
        if (rc < 0)
            return rc;
        colon = at;
    }
    size_t at = value_end(s->bytes, p->scanned, end);
    p->scanned = (uint32_t)at;
    if (at == end || (s->bytes[at] == '\r' && at + 1 == end))
        return MORE;
    int rc = line_end(s, at, "control character in a header");
    if (rc == LINE && colon != 0)
        note_header(s, line, colon, at);
    return rc;
}

static int scan_header_line(struct scan *s)
{
    struct parser *p = s->p;
    if (p->line == s->len)
        return MORE;
    if (s->bytes[p->line] == '\r') {
        int rc = line_end(s, p->line, "bare CR");
        return rc == LINE ? HEAD : rc;
    }
    const struct parser_limits *limits = s->limits;
    if (limits->max_headers && p->n_headers == limits->max_headers)
        return parser_refuse(s->why, 431, "too many headers");
    size_t end = s->len;
    if (limits->max_header_bytes && end - p->headers_at > limits->max_header_bytes)
        end = (size_t)p->headers_at + limits->max_header_bytes;
    int rc = scan_field(s, end);
    if (rc == MORE && end < s->len)
        return parser_refuse(s->why, 431, "headers too large");
    if (rc == LINE) {
        p->n_headers++;
        p->in_value = false;
    }
    return rc;
}

/* ------------------------------------------------------------ the request ---- */

/* Splits method SP target SP "HTTP/1." minor; the line has been checked. */
static void split_line(struct sprig_request *req, struct sprig_span line)
{
    const char *end = line.ptr + line.len - CRLF_LEN, *target_end = end - sizeof "HTTP/1.1";
    const char *space = memchr(line.ptr, ' ', line.len);
    req->method = span_make(line.ptr, (size_t)(space - line.ptr));
    req->target = span_make(space + 1, (size_t)(target_end - space - 1));
    req->version = (uint8_t)(10 + end[-1] - '0');
}

/* Splits header lines that arrived in several reads. */
static void split_headers(struct sprig_header *headers, const char *at, const char *head_end)
{
    while (*at != '\r') {
        const char *colon = memchr(at, ':', (size_t)(head_end - at));
        const char *end = memchr(at, '\r', (size_t)(head_end - at));
        *headers++ = (struct sprig_header){
            span_make(at, (size_t)(colon - at)),
            span_trim(span_make(colon + 1, (size_t)(end - colon - 1))),
        };
        at = end + CRLF_LEN;
    }
}

/* Runs the back end and the rules over a complete head. Both must accept it; if both refuse, the
 * rules give the reason, so that the answer does not depend on the library. */
static int read_head(struct scan *s, struct sprig_request *req)
{
    struct parser *p = s->p;
    struct sprig_span head = req->head;
    size_t n_line = p->headers_at - p->first;
    split_line(req, span_make(head.ptr, n_line));
    if (s->n_split != p->n_headers)
        split_headers(s->scratch->headers, head.ptr + n_line, head.ptr + head.len);
    req->headers = s->scratch->headers;
    req->n_headers = p->n_headers;
    int rc = parser_backend_head(req, n_line, s->why);
    if (fields_check(req, s->why) < 0 || rc < 0)
        return REFUSED;
    return HEAD;
}

/* Turns "?x" into "/?x", in the scratch memory. */
static int repair_uri(struct sprig_request *req, struct parser_scratch *scratch)
{
    char *uri = realloc(scratch->uri, req->uri.len + 1);
    if (!uri)
        return SPRIG_E_NOMEM;
    uri[0] = '/';
    memcpy(uri + 1, req->uri.ptr, req->uri.len);
    scratch->uri = uri;
    req->uri = span_make(uri, req->uri.len + 1);
    return SPRIG_OK;
}

static long finish(struct scan *s, struct sprig_request *req)
{
    struct parser *p = s->p;
    struct sprig_span head = span_make(s->bytes + p->first, p->line - p->first);
    *req = (struct sprig_request){.head = head};
    if (reserve_headers(s->scratch, p->n_headers) < 0)
        return parser_refuse(s->why, 503, "out of memory");
    if (read_head(s, req) < 0)
        return REFUSED;
    if (target_split(req) && repair_uri(req, s->scratch) < 0)
        return parser_refuse(s->why, 503, "out of memory");
    return (long)p->line;
}

long parser_head(struct parser *p, struct sprig_span bytes, const struct parser_limits *limits,
                 struct parser_scratch *scratch, struct sprig_request *req,
                 struct parser_refusal *why)
{
    struct scan s = {p, bytes.ptr, bytes.len, limits, scratch, why, 0};
    if (bytes.len > INT32_MAX) /* offsets have 32 bits; possible only without limits */
        return parser_refuse(why, 431, "headers too large");
    int rc = LINE;
    while (rc == LINE && p->headers_at == 0)
        rc = scan_request_line(&s);
    while (rc == LINE)
        rc = scan_header_line(&s);
    return rc == HEAD ? finish(&s, req) : rc;
}

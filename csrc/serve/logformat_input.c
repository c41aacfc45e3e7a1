/* logformat_input.c - the parts of access log lines that come from the request and the response's
 * head, written while these exist; see logformat.h */
#include "base/number.h"
#include "serve/logformat_put.h"

/* ------------------------------------------------------------------- values ---- */

/* A part while it is written. */
struct part {
    struct log_buffer *b;
    char *at;     /* NULL: there was no memory */
    size_t spare; /* room after `at` that is always there, for everything but the values */
};

static bool part_grow(struct part *p, size_t n)
{
    size_t begin = p->b->n;
    p->b->n = (size_t)(p->at - p->b->bytes);
    p->at = log_buffer_grow(p->b, n);
    p->b->n = begin;
    return p->at != NULL;
}

/* Makes room for n escaped bytes. False: out of memory. */
static inline bool part_room(struct part *p, size_t n)
{
    size_t needed = 4 * n + p->spare;
    return (size_t)(p->b->bytes + p->b->room - p->at) >= needed || part_grow(p, needed);
}

static inline void put_value(struct part *p, struct sprig_span value)
{
    if (!part_room(p, value.len))
        return;
    size_t n = put_plain(p->at, value);
    p->at += n;
    if (n < value.len)
        p->at = log_put_escaped(p->at, span_make(value.ptr + n, value.len - n), false);
}

static void put_path(struct part *p, struct sprig_span path)
{
    if (!part_room(p, path.len))
        return;
    /* Decoded into the end of the room, so that the output never overtakes the input. */
    char *decoded = p->at + 3 * path.len;
    size_t n = request_decode_path(path, decoded);
    p->at = log_put_escaped(p->at, span_make(decoded, n), false);
}

/* Includes the "?" in front of it; nothing if there is no query. */
static void put_query(struct part *p, struct sprig_span query)
{
    put_value(p, query.len > 0 ? span_make(query.ptr - 1, query.len + 1) : query);
}

/* The first header with that name; n if there is none. */
static inline size_t find_header(const struct sprig_header *headers, size_t n,
                                 struct sprig_span name)
{
    size_t i = 0;
    while (i < n && !log_has_value(&headers[i], name))
        i++;
    return i;
}

/* All values of that name from the first on, as the application would see them. */
static void put_headers(struct part *p, const struct sprig_header *first,
                        const struct sprig_header *end, struct sprig_span name)
{
    if (!part_room(p, first->value.len))
        return;
    p->at = log_put_escaped(p->at, first->value, false);
    for (const struct sprig_header *h = first + 1; h < end; h++) {
        if (!log_has_value(h, name))
            continue;
        if (!part_room(p, h->value.len + 1))
            return;
        p->at = put(p->at, SPAN_LIT(", "));
        p->at = log_put_escaped(p->at, h->value, false);
    }
}

/* Begins a part, which has its length in front. n_fixed: the bytes besides the values. */
static struct part part_begin(struct log_buffer *b, size_t n_fixed)
{
    struct part p = {b, log_buffer_room(b, LOG_PART_BYTES + n_fixed), n_fixed};
    if (p.at)
        p.at += LOG_PART_BYTES;
    return p;
}

static void part_end(struct part *p)
{
    struct log_buffer *b = p->b;
    if (!p->at)
        return;
    uint32_t n = (uint32_t)(p->at - (b->bytes + b->n) - LOG_PART_BYTES);
    memcpy(b->bytes + b->n, &n, sizeof n);
    b->n = (size_t)(p->at - b->bytes);
}

/* ---------------------------------------------------------- the request ---- */

/* The whole line as received: the scan allows only one space between its parts. */
static struct sprig_span request_line(const struct log_input *in)
{
    const struct sprig_request *r = in->request;
    if (!r)
        return in->raw;
    const char *end = r->target.ptr + r->target.len + 1 + request_protocol(r).len;
    return span_make(r->head.ptr, (size_t)(end - r->head.ptr));
}

/* The request line without the protocol. */
static struct sprig_span asked(const struct log_input *in)
{
    const struct sprig_request *r = in->request;
    if (!r)
        return in->raw;
    return span_make(r->head.ptr, (size_t)(r->target.ptr + r->target.len - r->head.ptr));
}

/* Takes "host:port", "[::1]:port" or one without a port (RFC 9110 section 7.2). */
static struct sprig_span without_port(struct sprig_span host)
{
    size_t len = host.len;
    while (len > 0 && host.ptr[len - 1] >= '0' && host.ptr[len - 1] <= '9')
        len--;
    return len > 0 && host.ptr[len - 1] == ':' ? span_make(host.ptr, len - 1) : host;
}

struct sprig_span log_name_asked(struct sprig_span host, const struct log_input *in)
{
    return host.len ? without_port(host) : in->server_name;
}

static struct sprig_span asked_name(const struct log_input *in)
{
    struct sprig_span host = {NULL, 0};
    if (in->request)
        host = in->request->authority.ptr ? in->request->authority
                                          : request_header(in->request, SPAN_LIT("Host"));
    return log_name_asked(host, in);
}

/* Our own text, so nothing in it needs an escape. */
static inline void put_version(struct part *p, struct sprig_span version)
{
    if (!part_room(p, version.len))
        return;
    p->at = put(p->at, version);
}

static const struct sprig_span nothing = {NULL, 0};

/* A value that is logged as it is, or nothing. */
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
        return r ? log_version(r) : nothing;
    }
    return nothing;
}

static inline void put_missing(struct part *p, const struct log_item *item)
{
    p->at = put_text(p->at, item->before);
    *p->at++ = '-';
}

static inline void put_early_header(const struct log_item *item, const struct sprig_request *r,
                                    struct part *p)
{
    size_t n = r ? r->n_headers : 0, i = n > 0 ? find_header(r->headers, n, item->text) : 0;
    if (i == n) {
        put_missing(p, item);
        return;
    }
    p->at = put_text(p->at, item->before);
    put_headers(p, &r->headers[i], &r->headers[n], item->text);
}

static inline void put_early(const struct log_item *item, const struct log_input *in,
                             struct part *p)
{
    if (item->kind == LOG_HEADER) {
        put_early_header(item, in->request, p);
        return;
    }
    struct sprig_span value = plain_value(item->kind, in);
    bool is_query = item->kind == LOG_QUERY && in->request;
    if (value.len == 0 && !is_query) {
        put_missing(p, item);
        return;
    }
    p->at = put_text(p->at, item->before);
    if (is_query)
        put_query(p, value);
    else if (item->kind == LOG_PATH)
        put_path(p, value);
    else if (item->kind == LOG_VERSION)
        put_version(p, value);
    else
        put_value(p, value);
}

/* One part for adjacent items. */
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
    if (f->is_json) {
        log_json_input(in, b);
        return;
    }
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

static void put_out_header(struct part *p, struct sprig_span name,
                           const struct sprig_header *headers, size_t n_headers, uint64_t length)
{
    size_t i = find_header(headers, n_headers, name);
    if (i < n_headers)
        put_headers(p, &headers[i], &headers[n_headers], name);
    else if (length != UINT64_MAX && span_ieq(name, SPAN_LIT("Content-Length")))
        put_length(p, length);
    else
        *p->at++ = '-';
}

void log_format_headers(const struct log_format *f, const struct sprig_header *headers,
                        size_t n_headers, uint64_t length, struct log_buffer *b)
{
    for (size_t i = 0; i < f->n_items; i++) {
        struct sprig_span name = f->items[i].text;
        if (f->items[i].kind != LOG_OUT_HEADER)
            continue;
        struct part p = part_begin(b, LOG_VALUE_BYTES);
        if (p.at)
            put_out_header(&p, name, headers, n_headers, length);
        part_end(&p);
    }
}

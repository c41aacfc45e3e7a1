/* parser_backend.h - what both back ends share: which lines the library reads, and comparing. */
#ifndef SPRIG_PARSER_BACKEND_H
#define SPRIG_PARSER_BACKEND_H

#include "http/chars.h"
#include "http/parser.h"

/* What a library reports of the line that it reads. */
struct collector {
    struct sprig_span target, name, value;
    bool in_name; /* the last piece was one of a name */
    bool is_done; /* the library has seen the end of the head */
};

/* The libraries may report a string in several pieces; within one buffer these are adjacent. */
static inline void collector_add(struct sprig_span *s, bool may_join, const char *at, size_t len)
{
    if (may_join && s->ptr != NULL && s->ptr + s->len == at)
        s->len += len;
    else
        *s = span_make(at, len);
}

static inline int collector_target(struct collector *c, const char *at, size_t len)
{
    collector_add(&c->target, true, at, len);
    return 0;
}

static inline int collector_name(struct collector *c, const char *at, size_t len)
{
    collector_add(&c->name, c->in_name, at, len);
    if (!c->in_name)
        c->value = span_make(NULL, 0);
    c->in_name = true;
    return 0;
}

static inline int collector_value(struct collector *c, const char *at, size_t len)
{
    collector_add(&c->value, !c->in_name, at, len);
    c->in_name = false;
    return 0;
}

/* A request line that every library accepts, with the same version. */
static inline struct sprig_span parser_stand_in(const struct sprig_request *req)
{
    return req->version > 10 ? SPAN_LIT("GET / HTTP/1.1\r\n") : SPAN_LIT("GET / HTTP/1.0\r\n");
}

/* Lines that matter to the libraries: Upgrade, Connection, Content-Length, Proxy-Connection,
 * Transfer-Encoding. Chosen by length and first letter, so a few others slip in. */
static inline bool parser_is_framing(struct sprig_span name)
{
    static const char first[18] = {
        [7] = 'u', [10] = 'c', [14] = 'c', [16] = 'p', [17] = 't',
    };
    return name.len < sizeof first && first[name.len] == (name.ptr[0] | 0x20);
}

/* "Connection: keep-alive", as browsers send with every request: it does not affect where the
 * message ends, and we do not ask the library whether the connection goes on. */
static inline bool parser_is_usual(const struct sprig_header *h)
{
    return h->name.len == 10 && h->value.len == 10 && name_is(h->value, "keep-alive");
}

/* The next line from *i on for the library to read, with its CRLF; empty if the end of the head is
 * next. */
static inline struct sprig_span parser_next_line(const struct sprig_request *req, uint32_t *i)
{
    const char *end = req->head.ptr + req->head.len - 2;
    const struct sprig_header *h = req->headers;
    while (*i < req->n_headers && (!parser_is_framing(h[*i].name) || parser_is_usual(&h[*i])) &&
           !parser_backend_reads_all)
        ++*i;
    if (*i == req->n_headers)
        return span_make(end, 0);
    const char *start = req->headers[*i].name.ptr;
    if (*i + 1 < req->n_headers)
        end = req->headers[*i + 1].name.ptr;
    return span_make(start, (size_t)(end - start));
}

/* The library has accepted the request line: both must see the same target in it. */
static inline bool collector_has_target(const struct collector *c, const struct sprig_request *req)
{
    return c->target.ptr == req->target.ptr && c->target.len == req->target.len;
}

/* It has accepted a header line: both must see the same name and value. It may report nothing for
 * an empty value. */
static inline bool collector_has_header(const struct collector *c, const struct sprig_header *h)
{
    struct sprig_span value = span_trim(c->value);
    return c->name.ptr == h->name.ptr && c->name.len == h->name.len && value.len == h->value.len &&
           (value.len == 0 || value.ptr == h->value.ptr);
}

static inline int parser_disagree(struct parser_refusal *why, const char *reason)
{
    *why = (struct parser_refusal){400, reason};
    return -400;
}

#define PARSERS_DIFFER_IN_TARGET "the parsers read two different request targets"
#define PARSERS_DIFFER_IN_HEADER "the parsers read two different headers"

#endif

/* parser_backend.h - what both back ends share: collecting the pieces that a library reports. */
#ifndef SPRIG_PARSER_BACKEND_H
#define SPRIG_PARSER_BACKEND_H

#include "http/parser.h"

/* Filled through the callbacks of one run over one head. */
struct collector {
    struct sprig_request *req;
    struct sprig_header *headers;
    uint32_t capacity;
    struct sprig_span target; /* as the library has it */
    bool in_name;             /* the last piece was one of a name */
    bool is_done;             /* the library has seen the end of the head */
};

/* The libraries may report a string in several pieces; within one buffer they are neighbours. */
static inline bool collector_join(struct sprig_span *s, const char *at, size_t len)
{
    if (s->ptr == NULL || s->ptr + s->len != at)
        return false;
    s->len += len;
    return true;
}

static inline int collector_target(struct collector *c, const char *at, size_t len)
{
    if (!collector_join(&c->target, at, len))
        c->target = span_make(at, len);
    return 0;
}

/* Non-zero stops the library. */
static inline int collector_name(struct collector *c, const char *at, size_t len)
{
    uint32_t n = c->req->n_headers;
    if (c->in_name && collector_join(&c->headers[n - 1].name, at, len))
        return 0;
    if (n == c->capacity)
        return -1;
    c->headers[n] = (struct sprig_header){span_make(at, len), span_make(at + len, 0)};
    c->req->n_headers = n + 1;
    c->in_name = true;
    return 0;
}

static inline int collector_value(struct collector *c, const char *at, size_t len)
{
    if (c->req->n_headers == 0)
        return -1;
    struct sprig_span *value = &c->headers[c->req->n_headers - 1].value;
    if (c->in_name || !collector_join(value, at, len))
        *value = span_make(at, len);
    c->in_name = false;
    return 0;
}

/* A request line that every library takes, of the same version. */
static inline struct sprig_span parser_stand_in(const struct sprig_request *req)
{
    return req->version > 10 ? SPAN_LIT("GET / HTTP/1.1\r\n") : SPAN_LIT("GET / HTTP/1.0\r\n");
}

/* The library has taken the request line: both have the same target in it. */
static inline bool collector_agrees(const struct collector *c)
{
    return c->target.ptr == c->req->target.ptr && c->target.len == c->req->target.len;
}

static inline int parser_disagree(struct parser_refusal *why)
{
    *why = (struct parser_refusal){400, "the parsers read two different request targets"};
    return -400;
}

/* Values lose the blanks at their ends. */
static inline void collector_finish(struct collector *c)
{
    c->req->headers = c->headers;
    for (uint32_t i = 0; i < c->req->n_headers; i++)
        c->headers[i].value = span_trim(c->headers[i].value);
}

#endif

/* parser_backend.h - what both back ends share: collecting the pieces that a library reports. */
#ifndef SPRIG_PARSER_BACKEND_H
#define SPRIG_PARSER_BACKEND_H

#include "parser.h"

/* Filled through the callbacks of one run over one head. */
struct collector {
    struct sprig_request *req;
    struct sprig_header *headers;
    uint32_t capacity;
    bool in_name; /* the last piece was one of a name */
    bool is_done; /* the library has seen the end of the head */
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
    if (!collector_join(&c->req->target, at, len))
        c->req->target = span_make(at, len);
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

/* The method is what stands before the first space; values lose the blanks at their ends. */
static inline void collector_finish(struct collector *c, struct sprig_span head)
{
    const char *space = memchr(head.ptr, ' ', head.len);
    c->req->method = span_make(head.ptr, space ? (size_t)(space - head.ptr) : 0);
    c->req->headers = c->headers;
    for (uint32_t i = 0; i < c->req->n_headers; i++)
        c->headers[i].value = span_trim(c->headers[i].value);
}

#endif

/* parser_http_parser.c - the back end on http-parser 2.9. */
#include "http/parser_backend.h"
#include <http_parser.h>
#include <stdio.h>

static int on_url(http_parser *hp, const char *at, size_t len)
{
    return collector_target(hp->data, at, len);
}

static int on_header_field(http_parser *hp, const char *at, size_t len)
{
    return collector_name(hp->data, at, len);
}

static int on_header_value(http_parser *hp, const char *at, size_t len)
{
    return collector_value(hp->data, at, len);
}

/* 2 ends the run exactly behind the head: bodies are read by us (body.h, chunk.h). */
static int on_headers_complete(http_parser *hp)
{
    ((struct collector *)hp->data)->is_done = true;
    return 2;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
};

/* From the request line on. Returns how many bytes it took. */
static size_t run(http_parser *hp, struct sprig_span bytes)
{
    http_parser_init(hp, HTTP_REQUEST);
    return http_parser_execute(hp, &settings, bytes.ptr, bytes.len);
}

/* The library does not take this request line: the fields, behind one that it does. */
static size_t run_behind_stand_in(http_parser *hp, const struct sprig_request *req,
                                  struct sprig_span fields)
{
    run(hp, parser_stand_in(req));
    return http_parser_execute(hp, &settings, fields.ptr, fields.len);
}

int parser_backend_head(struct sprig_span head, size_t n_line, struct sprig_header *headers,
                        uint32_t capacity, struct sprig_request *req, struct parser_refusal *why)
{
    struct collector c = {.req = req, .headers = headers, .capacity = capacity};
    http_parser hp = {.data = &c};
    req->n_headers = 0;
    /* The library's own limit of 80 KB is global; ours have been applied already. */
    http_parser_set_max_header_size(UINT32_MAX);
    size_t used = run(&hp, head);
    if (used < n_line)
        used =
            n_line + run_behind_stand_in(&hp, req, span_make(head.ptr + n_line, head.len - n_line));
    else if (!collector_agrees(&c))
        return parser_disagree(why);
    collector_finish(&c);
    switch (HTTP_PARSER_ERRNO(&hp)) {
    case HPE_OK:
        if (c.is_done && used == head.len)
            return 0;
        break;
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
        return PARSER_FRAMING;
    default:
        break;
    }
    *why = (struct parser_refusal){400, HTTP_PARSER_ERRNO(&hp) == HPE_OK
                                            ? "http-parser: head does not end where it should"
                                            : http_errno_description(HTTP_PARSER_ERRNO(&hp))};
    return -400;
}

const char *parser_backend_name(void)
{
    static char name[32];
    unsigned long v = http_parser_version();
    snprintf(name, sizeof name, "http-parser %lu.%lu.%lu", v >> 16 & 255, v >> 8 & 255, v & 255);
    return name;
}

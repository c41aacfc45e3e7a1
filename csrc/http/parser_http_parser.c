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

/* 2 stops exactly after the head: we read bodies ourselves (body.h, chunk.h). */
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

static bool take(http_parser *hp, struct sprig_span bytes)
{
    return http_parser_execute(hp, &settings, bytes.ptr, bytes.len) == bytes.len;
}

/* Takes the request line, or what stands in for it. False: the library read another target. */
static bool take_request_line(http_parser *hp, const struct sprig_request *req, size_t n_line)
{
    http_parser_init(hp, HTTP_REQUEST);
    if (take(hp, span_make(req->head.ptr, n_line)))
        return collector_has_target(hp->data, req);
    http_parser_init(hp, HTTP_REQUEST);
    take(hp, parser_stand_in(req));
    return true;
}

/* Translates an error. */
static int refuse(const http_parser *hp, struct parser_refusal *why)
{
    switch (HTTP_PARSER_ERRNO(hp)) {
    case HPE_OK:
        return parser_disagree(why, "http-parser: head does not end where it should");
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
        return PARSER_FRAMING;
    default:
        return parser_disagree(why, http_errno_description(HTTP_PARSER_ERRNO(hp)));
    }
}

int parser_backend_head(const struct sprig_request *req, size_t n_line, struct parser_refusal *why)
{
    struct collector c = {.is_done = false};
    http_parser hp = {.data = &c};
    /* The library's own limit of 80 KB is global; ours have already been applied. */
    http_parser_set_max_header_size(UINT32_MAX);
    if (!take_request_line(&hp, req, n_line))
        return parser_disagree(why, PARSERS_DIFFER_IN_TARGET);
    struct sprig_span line;
    for (uint32_t i = 0; (line = parser_next_line(req, &i)).len > 0; i++) {
        if (!take(&hp, line))
            return refuse(&hp, why);
        if (!collector_has_header(&c, &req->headers[i]))
            return parser_disagree(why, PARSERS_DIFFER_IN_HEADER);
    }
    bool has_ended = take(&hp, span_make(line.ptr, 2)) && HTTP_PARSER_ERRNO(&hp) == HPE_OK;
    return has_ended && c.is_done ? 0 : refuse(&hp, why);
}

const char *parser_backend_name(void)
{
    static char name[32];
    unsigned long v = http_parser_version();
    snprintf(name, sizeof name, "http-parser %lu.%lu.%lu", v >> 16 & 255, v >> 8 & 255, v & 255);
    return name;
}

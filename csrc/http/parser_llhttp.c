/* parser_llhttp.c - the back end on llhttp 8 and 9. */
#include "http/parser_backend.h"
#include <llhttp.h>

static int on_url(llhttp_t *ll, const char *at, size_t len)
{
    return collector_target(ll->data, at, len);
}

static int on_header_field(llhttp_t *ll, const char *at, size_t len)
{
    return collector_name(ll->data, at, len);
}

static int on_header_value(llhttp_t *ll, const char *at, size_t len)
{
    return collector_value(ll->data, at, len);
}

/* 2 makes llhttp_execute return HPE_PAUSED_UPGRADE after the head: we read bodies ourselves. */
static int on_headers_complete(llhttp_t *ll)
{
    ((struct collector *)ll->data)->is_done = true;
    return 2;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
};

static llhttp_errno_t take(llhttp_t *ll, struct sprig_span bytes)
{
    return llhttp_execute(ll, bytes.ptr, bytes.len);
}

/* After PRI the library expects the HTTP/2 preface, whatever the version. */
static bool take_line(llhttp_t *ll, struct collector *c, struct sprig_span line)
{
    llhttp_init(ll, HTTP_REQUEST, &settings);
    ll->data = c;
    return take(ll, line) == HPE_OK && llhttp_get_method(ll) != HTTP_PRI;
}

/* Translates an error; the library's reasons are static texts. */
static int refuse(const llhttp_t *ll, llhttp_errno_t err, struct parser_refusal *why)
{
    if (err == HPE_INVALID_CONTENT_LENGTH || err == HPE_UNEXPECTED_CONTENT_LENGTH ||
        err == HPE_INVALID_TRANSFER_ENCODING)
        return PARSER_FRAMING;
    const char *reason = llhttp_get_error_reason(ll);
    bool has_reason = err != HPE_OK && err != HPE_PAUSED_UPGRADE && reason && *reason;
    return parser_disagree(why, has_reason ? reason : "llhttp: head does not end where it should");
}

int parser_backend_head(const struct sprig_request *req, size_t n_line, struct parser_refusal *why)
{
    struct collector c = {.is_done = false};
    llhttp_t ll;
    llhttp_errno_t err;
    struct sprig_span line;
    if (!take_line(&ll, &c, span_make(req->head.ptr, n_line)))
        take_line(&ll, &c, parser_stand_in(req));
    else if (!collector_has_target(&c, req))
        return parser_disagree(why, PARSERS_DIFFER_IN_TARGET);
    for (uint32_t i = 0; (line = parser_next_line(req, &i)).len > 0; i++) {
        if ((err = take(&ll, line)) != HPE_OK)
            return refuse(&ll, err, why);
        if (!collector_has_header(&c, &req->headers[i]))
            return parser_disagree(why, PARSERS_DIFFER_IN_HEADER);
    }
    err = take(&ll, span_make(line.ptr, 2));
    if (err == HPE_PAUSED_UPGRADE && c.is_done && llhttp_get_error_pos(&ll) == line.ptr + 2)
        return 0;
    return refuse(&ll, err, why);
}

#define TEXT(x)  #x
#define VALUE(x) TEXT(x)

const char *parser_backend_name(void)
{
    return "llhttp " VALUE(LLHTTP_VERSION_MAJOR) "." VALUE(LLHTTP_VERSION_MINOR) "." VALUE(
        LLHTTP_VERSION_PATCH);
}

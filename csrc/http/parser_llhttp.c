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

/* 2 makes llhttp_execute return HPE_PAUSED_UPGRADE behind the head: bodies are read by us. */
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

/* Behind PRI the library expects the preface of HTTP/2, whatever the version. */
static bool take_line(llhttp_t *ll, struct collector *c, struct sprig_span line)
{
    llhttp_init(ll, HTTP_REQUEST, &settings);
    ll->data = c;
    return llhttp_execute(ll, line.ptr, line.len) == HPE_OK && llhttp_get_method(ll) != HTTP_PRI;
}

int parser_backend_head(struct sprig_span head, size_t n_line, struct sprig_header *headers,
                        uint32_t capacity, struct sprig_request *req, struct parser_refusal *why)
{
    struct collector c = {.req = req, .headers = headers, .capacity = capacity};
    llhttp_t ll;
    req->n_headers = 0;
    if (!take_line(&ll, &c, span_make(head.ptr, n_line)))
        take_line(&ll, &c, parser_stand_in(req));
    else if (!collector_agrees(&c))
        return parser_disagree(why);
    llhttp_errno_t err = llhttp_execute(&ll, head.ptr + n_line, head.len - n_line);
    collector_finish(&c);
    if (err == HPE_PAUSED_UPGRADE && c.is_done && llhttp_get_error_pos(&ll) == head.ptr + head.len)
        return 0;
    if (err == HPE_INVALID_CONTENT_LENGTH || err == HPE_UNEXPECTED_CONTENT_LENGTH ||
        err == HPE_INVALID_TRANSFER_ENCODING)
        return PARSER_FRAMING;
    /* The library's reasons are static texts. */
    const char *reason = llhttp_get_error_reason(&ll);
    bool has_reason = err != HPE_OK && err != HPE_PAUSED_UPGRADE && reason && *reason;
    *why = (struct parser_refusal){400, has_reason ? reason
                                                   : "llhttp: head does not end where it should"};
    return -400;
}

#define TEXT(x)  #x
#define VALUE(x) TEXT(x)

const char *parser_backend_name(void)
{
    return "llhttp " VALUE(LLHTTP_VERSION_MAJOR) "." VALUE(LLHTTP_VERSION_MINOR) "." VALUE(
        LLHTTP_VERSION_PATCH);
}

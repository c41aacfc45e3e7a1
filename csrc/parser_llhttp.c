/* parser_llhttp.c - the back end on llhttp 8 and 9. */
#include "parser_backend.h"
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

int parser_backend_head(struct sprig_span head, struct sprig_header *headers, uint32_t capacity,
                        struct sprig_request *req, struct parser_refusal *why)
{
    struct collector c = {.req = req, .headers = headers, .capacity = capacity};
    llhttp_t ll;
    req->n_headers = 0;
    req->target = span_make(NULL, 0);
    llhttp_init(&ll, HTTP_REQUEST, &settings);
    ll.data = &c;
    llhttp_errno_t err = llhttp_execute(&ll, head.ptr, head.len);
    collector_finish(&c, head);
    req->minor = llhttp_get_http_minor(&ll);
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

bool parser_backend_knows_method(struct sprig_span method)
{
#define METHOD(number, name, string) SPAN_LIT(#string),
    static const struct sprig_span methods[] = {HTTP_METHOD_MAP(METHOD)};
#undef METHOD
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (span_eq(method, methods[i]))
            return true;
    return false;
}

#define TEXT(x)  #x
#define VALUE(x) TEXT(x)

const char *parser_backend_name(void)
{
    return "llhttp " VALUE(LLHTTP_VERSION_MAJOR) "." VALUE(LLHTTP_VERSION_MINOR) "." VALUE(
        LLHTTP_VERSION_PATCH);
}

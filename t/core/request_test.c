/* request_test.c - a request that outlives the buffer it was read from. */
#include "http/parser.h"
#include "http/request.h"
#include "tap.h"
#include <stdlib.h>

static const struct parser_limits limits = {8192, 65536, 100};

/* Parses a heap copy of the text, so that using it after free() is noticed. */
static char *parse(const char *text, struct parser_scratch *scratch, struct sprig_request *req)
{
    struct parser p;
    struct parser_refusal why = {0, ""};
    char *buffer = strdup(text);
    parser_init(&p);
    long rc = parser_head(&p, span_str(buffer), &limits, scratch, req, &why);
    if (rc <= 0)
        diag("not parsed: %d %s", why.status, why.reason);
    return buffer;
}

/* Takes away everything that the request was borrowed from. */
static void own(struct sprig_request *req, struct parser_scratch *scratch, char *buffer)
{
    is_int(request_own(req), 0, "owned");
    char *first = req->own;
    is_int(request_own(req), 0, "owned again");
    ok(req->own == first, "... is nothing new");
    scratch_clear(scratch);
    memset(buffer, '#', strlen(buffer));
    free(buffer);
}

static void test_own(void)
{
    struct parser_scratch scratch = {0};
    struct sprig_request req;
    const char *text = "GET /a%20b?c=d HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-A:  b \r\n\r\n";
    own(&req, &scratch, parse(text, &scratch, &req));
    is_span(req.head, text, "head");
    is_span(req.method, "GET", "method");
    is_span(req.target, "/a%20b?c=d", "target");
    is_span(req.uri, "/a%20b?c=d", "uri");
    is_span(req.path, "/a%20b", "path");
    is_span(req.query, "c=d", "query");
    ok(req.authority.ptr == NULL, "no authority");
    is_int(req.n_headers, 3, "headers");
    is_span(request_header(&req, SPAN_LIT("host")), "h", "Host");
    is_span(request_header(&req, SPAN_LIT("X-EMPTY")), "", "an empty header");
    ok(request_header(&req, SPAN_LIT("x-empty")).ptr != NULL, "... is there");
    is_span(request_header(&req, SPAN_LIT("x-a")), "b", "X-A");
    ok(request_header(&req, SPAN_LIT("X-B")).ptr == NULL, "X-B is not");
    request_clear(&req);
    ok(req.own == NULL && req.n_headers == 0 && req.method.len == 0, "cleared");
    request_clear(&req);
}

static void test_absolute_form(void)
{
    struct parser_scratch scratch = {0};
    struct sprig_request req;
    own(&req, &scratch, parse("GET http://h:81?x HTTP/1.1\r\nHost: a\r\n\r\n", &scratch, &req));
    is_span(req.uri, "/?x", "a uri that is not in the head");
    is_span(req.path, "/", "path");
    is_span(req.query, "x", "query");
    is_span(req.authority, "h:81", "authority");
    request_clear(&req);
}

static void test_no_headers(void)
{
    struct parser_scratch scratch = {0};
    struct sprig_request req;
    own(&req, &scratch, parse("\r\nOPTIONS * HTTP/1.0\r\n\r\n", &scratch, &req));
    is_span(req.head, "OPTIONS * HTTP/1.0\r\n\r\n", "head without the empty line");
    is_span(req.uri, "*", "uri");
    is_span(req.path, "/", "path");
    request_clear(&req);
}

static void test_forget(void)
{
    struct parser_scratch scratch = {0};
    struct sprig_request req;
    own(&req, &scratch,
        parse("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", &scratch, &req));
    request_forget(&req);
    ok(req.own == NULL && req.headers == NULL && req.n_headers == 0 && req.head.ptr == NULL,
       "forgotten");
    ok(req.is_head && req.keep_alive && req.version == 11 && req.content_length == 3,
       "flags, lengths and version stay");
    request_clear(&req);
}

int main(void)
{
    test_own();
    test_absolute_form();
    test_no_headers();
    test_forget();
    return done_testing();
}

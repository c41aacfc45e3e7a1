/* head.c - request heads: the verdict does not depend on the cuts, nor on the lines that the
 * library does not read; spans lie within the head, and what was accepted has one framing. */
#include "fuzz.h"
#include "http/parser.h"

static struct parser_scratch scratch;

struct verdict {
    long rc;
    struct parser_refusal why;
    struct sprig_request req;
    char *bytes; /* owned; req points there */
};

static struct verdict parse(const uint8_t *data, size_t n, struct cuts *cuts,
                            const struct parser_limits *limits)
{
    struct parser p;
    struct verdict v = {.rc = 0};
    size_t at = 0;
    parser_init(&p);
    do {
        size_t step = cuts != NULL ? cuts_next(cuts) : n;
        at = step < n - at ? at + step : n;
        free(v.bytes);
        v.bytes = exact_copy(data, at);
        v.rc = parser_head(&p, span_make(v.bytes, at), limits, &scratch, &v.req, &v.why);
    } while (v.rc == 0 && at < n);
    return v;
}

static bool lies_within(struct sprig_span s, struct sprig_span head)
{
    return s.ptr >= head.ptr && s.ptr + s.len <= head.ptr + head.len;
}

static void check_request(const struct verdict *v, size_t n)
{
    const struct sprig_request *req = &v->req;
    FUZZ_CHECK((size_t)v->rc <= n);
    FUZZ_CHECK(lies_within(req->method, req->head) && lies_within(req->target, req->head));
    FUZZ_CHECK(req->path.len > 0 && req->path.ptr[0] == '/');
    FUZZ_CHECK(!(req->chunked && (req->has_content_length || req->version < 11)));
    for (uint32_t i = 0; i < req->n_headers; i++) {
        FUZZ_CHECK(lies_within(req->headers[i].name, req->head) && req->headers[i].name.len > 0);
        FUZZ_CHECK(lies_within(req->headers[i].value, req->head));
        FUZZ_CHECK(memchr(req->headers[i].value.ptr, '\r', req->headers[i].value.len) == NULL);
    }
}

static void check_copy(struct verdict *v)
{
    uint32_t n_headers = v->req.n_headers;
    uint64_t length = v->req.content_length;
    FUZZ_CHECK(request_own(&v->req) == 0);
    FUZZ_CHECK(v->req.n_headers == n_headers && v->req.content_length == length);
    char *path = malloc(v->req.path.len);
    FUZZ_CHECK(request_decode_path(v->req.path, path) <= v->req.path.len);
    free(path);
    request_clear(&v->req);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct parser_limits limits[] = {{8192, 65536, 100}, {40, 120, 4}};
    if (n < 2)
        return 0;
    struct cuts cuts = cuts_make(data);
    const struct parser_limits *l = &limits[data[1] >> 7];
    struct verdict cut = parse(data + 2, n - 2, &cuts, l);
    long cut_rc = cut.rc;
    struct verdict whole = parse(data + 2, n - 2, NULL, l);
    FUZZ_CHECK(cut_rc == whole.rc);
    FUZZ_CHECK(whole.rc >= 0 || cut.why.status == whole.why.status);
    if (whole.rc > 0) {
        check_request(&whole, n - 2);
        check_copy(&whole);
    }
    parser_backend_reads_all = true;
    struct verdict all = parse(data + 2, n - 2, NULL, l);
    parser_backend_reads_all = false;
    FUZZ_CHECK(all.rc == whole.rc && (all.rc >= 0 || all.why.status == whole.why.status));
    free(all.bytes);
    free(cut.bytes);
    free(whole.bytes);
    return 0;
}

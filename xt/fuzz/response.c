/* response.c - response heads out of whatever an app returns: what is accepted is one head of lines
 * without stray CR, LF or NUL, with at most one framing; what is refused leaves nothing behind. */
#include "http/response.h"
#include "fuzz.h"

static struct outq_pool pool;
static char wire[1 << 18];
static size_t n_wire;

static ssize_t collect(struct transport *t, const struct iovec *iov, int n, bool more)
{
    (void)t, (void)more;
    size_t before = n_wire;
    for (int i = 0; i < n; i++) {
        size_t len = iov[i].iov_len;
        if (n_wire + len > sizeof wire)
            len = sizeof wire - n_wire;
        memcpy(wire + n_wire, iov[i].iov_base, len);
        n_wire += len;
    }
    return (ssize_t)(n_wire - before);
}

static const struct transport_ops ops = {.writev = collect};
static struct transport transport = {.ops = &ops, .fd = -1};

/* Lines "name:value" of the input as headers; at most 32. */
static size_t headers_of(struct sprig_span in, struct sprig_header *headers)
{
    size_t n = 0;
    while (in.len > 0 && n < 32) {
        const char *end = memchr(in.ptr, '\1', in.len);
        size_t len = end ? (size_t)(end - in.ptr) : in.len;
        const char *colon = memchr(in.ptr, ':', len);
        size_t n_name = colon ? (size_t)(colon - in.ptr) : len;
        headers[n].name = span_make(in.ptr, n_name);
        headers[n++].value = colon ? span_make(colon + 1, len - n_name - 1) : span_make("", 0);
        in = span_make(in.ptr + len, in.len - len);
        if (in.len > 0)
            in = span_make(in.ptr + 1, in.len - 1);
    }
    return n;
}

static void check_wire(size_t n_headers)
{
    size_t n_lines = 0, at = 0;
    FUZZ_CHECK(n_wire >= 4 && memcmp(wire, "HTTP/1.", 7) == 0);
    while (at < n_wire) {
        char *end = memchr(wire + at, '\r', n_wire - at);
        FUZZ_CHECK(end != NULL && end + 1 < wire + n_wire && end[1] == '\n');
        FUZZ_CHECK(memchr(wire + at, '\n', (size_t)(end - wire) - at) == NULL);
        FUZZ_CHECK(memchr(wire + at, '\0', (size_t)(end - wire) - at) == NULL);
        FUZZ_CHECK(end != wire + at || (size_t)(end - wire) + 2 == n_wire); /* one empty line */
        n_lines++;
        at = (size_t)(end - wire) + 2;
    }
    FUZZ_CHECK(n_lines <= n_headers + 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint64_t lengths[] = {0, 5, SPRIG_LENGTH_UNKNOWN, SPRIG_LENGTH_UNKNOWN - 1};
    struct sprig_header headers[32];
    struct sprig_request req;
    struct response response;
    struct outq q;
    char why[80];
    if (n < 3 || n > 4096)
        return 0;
    char *bytes = exact_copy(data + 3, n - 3);
    memset(&req, 0, sizeof req);
    req.version = 10 + (data[2] & 1);
    req.is_head = data[2] >> 1 & 1;
    req.keep_alive = data[2] >> 2 & 1;
    size_t n_headers = headers_of(span_make(bytes, n - 3), headers);
    struct sprig_head head = {data[0] * 4 + (data[1] & 3), headers, n_headers,
                              lengths[data[2] >> 3 & 3]};
    outq_init(&q, &pool);
    response_init(&response, &req, true);
    n_wire = 0;
    int rc = response_head(&response, &q, &head, NULL, why, sizeof why);
    FUZZ_CHECK((rc == 0) == (q.size > 0));
    uint64_t n_written;
    outq_flush(&q, &transport, 0, &n_written);
    if (rc == 0)
        check_wire(n_headers);
    outq_clear(&q);
    free(bytes);
    return 0;
}

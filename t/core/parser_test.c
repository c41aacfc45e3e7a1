/* parser_test.c - every message of the corpus, whole and in pieces, and every byte in every place.
 */
#include "corpus.h"
#include "guard.h"
#include "http/parser.h"
#include "tap.h"

#define N(array) (sizeof(array) / sizeof(array[0]))

enum { TEXT_BYTES = 1024 };

static const struct parser_limits generous = {8192, 65536, 100};
static struct parser_scratch scratch;

/* ------------------------------------------------------- verdicts as text ---- */

__attribute__((format(printf, 2, 3))) static void add(char *text, const char *fmt, ...)
{
    size_t n = strlen(text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + n, TEXT_BYTES - n, fmt, args);
    va_end(args);
}

static void add_span(char *text, const char *before, struct sprig_span s)
{
    add(text, "%s%.*s", before, (int)s.len, s.len ? s.ptr : "");
}

static void add_request(char *text, const struct sprig_request *req)
{
    add_span(text, "", req->method);
    add_span(text, " ", req->uri);
    add_span(text, " ", req->path);
    add_span(text, " ", req->query.len ? req->query : SPAN_LIT("-"));
    add(text, " 1.%d%s%s", req->version - 10, req->keep_alive ? " keep" : "",
        req->upgrade ? " upgrade" : "");
    if (req->has_content_length)
        add(text, " cl=%llu", (unsigned long long)req->content_length);
    add(text, "%s%s%s", req->chunked ? " chunked" : "", req->expect_continue ? " expect" : "",
        req->is_head ? " head" : "");
    if (req->authority.ptr)
        add_span(text, " @", req->authority);
    for (uint32_t i = 0; i < req->n_headers; i++) {
        add_span(text, i ? "{" : " {", req->headers[i].name);
        add_span(text, "=", req->headers[i].value);
        add(text, "}");
    }
}

/* What one more look at the first n bytes of a message says; false while they are too few. */
static bool look(struct parser *p, const char *bytes, size_t n, size_t total,
                 const struct parser_limits *limits, char *text)
{
    struct sprig_request req;
    struct parser_refusal why;
    long rc = parser_head(p, span_make(guard_copy(bytes, n), n), limits, &scratch, &req, &why);
    text[0] = '\0';
    if (rc == 0) {
        add(text, "incomplete");
        return false;
    }
    if (rc < 0) {
        add(text, "%d %s", why.status, why.reason);
        return true;
    }
    add_request(text, &req);
    if ((size_t)rc < total)
        add(text, " +%zu", total - (size_t)rc);
    return true;
}

static void whole(const struct corpus_row *row, const struct parser_limits *limits, char *text)
{
    struct parser p;
    parser_init(&p);
    look(&p, row->bytes, row->len, row->len, limits, text);
}

/* In pieces of `step` bytes behind a first one of `first`. */
static void in_pieces(const struct corpus_row *row, const struct parser_limits *limits,
                      size_t first, size_t step, char *text)
{
    struct parser p;
    parser_init(&p);
    size_t n = first < row->len ? first : row->len;
    while (!look(&p, row->bytes, n, row->len, limits, text) && n < row->len)
        n = n + step < row->len ? n + step : row->len;
}

static void check_row(const struct corpus_row *row, const struct parser_limits *limits)
{
    char text[TEXT_BYTES], cut[TEXT_BYTES];
    whole(row, limits, text);
    is_str(text, row->verdict, "%s", row->name);
    size_t n_different = 0;
    for (size_t first = 0; first <= row->len; first++) {
        in_pieces(row, limits, first, row->len + 1, cut);
        if (strcmp(cut, row->verdict) != 0 && n_different++ == 0)
            diag("cut at %zu: %s", first, cut);
    }
    for (size_t step = 1; step < 5; step++) {
        in_pieces(row, limits, 0, step, cut);
        if (strcmp(cut, row->verdict) != 0 && n_different++ == 0)
            diag("in pieces of %zu: %s", step, cut);
    }
    is_int((long long)n_different, 0, "%s: the same for every cut", row->name);
}

static void test_corpus(void)
{
    static const struct parser_limits tight = CORPUS_LIMITS;
    for (size_t i = 0; i < N(corpus_heads); i++)
        check_row(&corpus_heads[i], &generous);
    for (size_t i = 0; i < N(corpus_limits); i++)
        check_row(&corpus_limits[i], &tight);
}

/* --------------------------------------------------- every byte in a place ---- */

/* Status of before + byte + after; 0: accepted; -1: incomplete. */
static int status_with(const char *before, unsigned char byte, const char *after)
{
    char message[256];
    size_t n = strlen(before);
    memcpy(message, before, n);
    message[n++] = (char)byte;
    memcpy(message + n, after, strlen(after));
    n += strlen(after);
    struct parser p;
    struct sprig_request req;
    struct parser_refusal why;
    parser_init(&p);
    long rc =
        parser_head(&p, span_make(guard_copy(message, n), n), &generous, &scratch, &req, &why);
    return rc > 0 ? 0 : rc == 0 ? -1 : why.status;
}

/* Exactly the bytes for which `allowed` is true are accepted there; the others are 400. */
static void check_place(const char *name, const char *before, const char *after,
                        bool (*allowed)(int c))
{
    int n_wrong = 0;
    for (int c = 0; c < 256; c++) {
        int status = status_with(before, (unsigned char)c, after);
        if (status == (allowed(c) ? 0 : 400))
            continue;
        n_wrong++;
        diag("byte 0x%02x: %d", c, status);
    }
    is_int(n_wrong, 0, "%s", name);
}

static bool is_alnum(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* ':' ends the name, which is legal here. */
static bool may_name(int c)
{
    return is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~:", c));
}

static bool may_method(int c)
{
    return c != ':' && may_name(c);
}

static bool may_value(int c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static bool may_path(int c)
{
    return c > 0x20 && c != 0x7f && c != '#' && c != '%';
}

static bool may_query(int c)
{
    return c > 0x20 && c != 0x7f && c != '#';
}

static bool may_host(int c)
{
    return is_alnum(c) || (c && strchr("-._~!$&'()*+,;=", c));
}

static bool may_length(int c)
{
    return c >= '0' && c <= '9';
}

static bool may_hex(int c)
{
    return c && strchr("0123456789abcdefABCDEF", c);
}

static void test_bytes(void)
{
    check_place("field names are tokens", "GET / HTTP/1.0\r\nX", "Y: a\r\n\r\n", may_name);
    check_place("values are visible, blank or obs-text", "GET / HTTP/1.0\r\nX: a", "b\r\n\r\n",
                may_value);
    check_place("the same in a long value", "GET / HTTP/1.0\r\nX: 0123456789abc",
                "0123456789abcdef\r\n\r\n", may_value);
    check_place("methods are tokens", "G", "T / HTTP/1.0\r\n\r\n", may_method);
    check_place("paths are visible ASCII without '#', or 8-bit", "GET /a", "b HTTP/1.0\r\n\r\n",
                may_path);
    check_place("so are queries, which may have any '%'", "GET /?a", "b HTTP/1.0\r\n\r\n",
                may_query);
    check_place("hosts", "GET / HTTP/1.0\r\nHost: a", "b\r\n\r\n", may_host);
    check_place("Content-Length", "GET / HTTP/1.0\r\nContent-Length: 1", "2\r\n\r\n", may_length);
    check_place("escapes", "GET /%4", " HTTP/1.0\r\n\r\n", may_hex);
    check_place("IPv6 addresses", "GET / HTTP/1.0\r\nHost: [2001:", "::1]\r\n\r\n", may_hex);
}

/* ------------------------------------------------------------ the library ---- */

/* Methods that both back ends know, one of them, and none. */
static void test_methods(void)
{
    static const char *const methods[] = {
        "DELETE",   "GET",        "HEAD",     "POST",   "PUT",       "OPTIONS",     "TRACE",
        "COPY",     "LOCK",       "MKCOL",    "MOVE",   "PROPFIND",  "PROPPATCH",   "SEARCH",
        "UNLOCK",   "BIND",       "REBIND",   "UNBIND", "ACL",       "REPORT",      "MKACTIVITY",
        "CHECKOUT", "MERGE",      "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PATCH",
        "PURGE",    "MKCALENDAR", "LINK",     "UNLINK", "SOURCE",    "QUERY",       "PRI",
        "LIST",     "BAN",        "PLAY",     "FOO",    "X",         "!",           "M-",
    };
    for (size_t i = 0; i < N(methods); i++) {
        char message[64], text[TEXT_BYTES], expected[64];
        int n = snprintf(message, sizeof message, "%s / HTTP/1.0\r\n\r\n", methods[i]);
        struct corpus_row row = {methods[i], message, (size_t)n, expected};
        snprintf(expected, sizeof expected, "%s / / - 1.0%s", methods[i],
                 strcmp(methods[i], "HEAD") == 0 ? " head" : "");
        whole(&row, &generous, text);
        is_str(text, expected, "method %s", methods[i]);
    }
    ok(strlen(parser_backend_name()) > 7, "library: %s", parser_backend_name());
}

/* A head of n headers, each "Xnnnnn: <value of width>". Returns its length. */
static size_t many_headers(char *to, unsigned n, unsigned width)
{
    char *at = to + sprintf(to, "GET / HTTP/1.0\r\n");
    for (unsigned i = 0; i < n; i++)
        at += sprintf(at, "X%05u: %0*u\r\n", i, (int)width, i);
    return (size_t)(at + sprintf(at, "\r\n") - to);
}

static long parse(const char *bytes, size_t n, const struct parser_limits *limits,
                  struct sprig_request *req, struct parser_refusal *why)
{
    struct parser p;
    parser_init(&p);
    return parser_head(&p, span_make(guard_copy(bytes, n), n), limits, &scratch, req, why);
}

/* The library has limits of its own (80 KB); only the configured ones may count. */
static void test_sizes(void)
{
    static char big[150 * 1024];
    static const struct parser_limits none = {0, 0, 0};
    struct sprig_request req;
    struct parser_refusal why;
    size_t n = many_headers(big, 5000, 10);
    is_int(parse(big, n, &none, &req, &why), (long long)n, "%zu bytes without limits", n);
    is_int(req.n_headers, 5000, "... have all headers");
    is_span(req.headers[4999].name, "X04999", "... the last one, too");
    n = many_headers(big, 100, 600);
    is_int(parse(big, n, &generous, &req, &why), (long long)n, "100 headers of 600 bytes");
    n = many_headers(big, 101, 1);
    is_int(parse(big, n, &generous, &req, &why), -1, "101 headers");
    is_int(why.status, 431, "... are too many");
    n = many_headers(big, 1, 100 * 1024);
    is_int(parse(big, n, &generous, &req, &why), -1, "a header of 100 KB");
    is_int(why.status, 431, "... is too large");
    is_int(parse(big, n, &none, &req, &why), (long long)n, "... unless there is no limit");
}

static void test_decoding(void)
{
    static const struct {
        const char *path, *decoded;
        size_t len;
    } rows[] = {{"/", "/", 1},         {"/a+b", "/a+b", 4},    {"/a%20b", "/a b", 4},
                {"/%2F%2f", "///", 3}, {"/%2541", "/%41", 4},  {"/%fF%00a", "/\xff\0a", 4},
                {"", "", 0},           {"%41%5a%7E", "AZ~", 3}};
    for (size_t i = 0; i < N(rows); i++) {
        char out[32];
        size_t n = request_decode_path(span_str(rows[i].path), out);
        ok(n == rows[i].len && memcmp(out, rows[i].decoded, n) == 0, "decodes '%s'", rows[i].path);
    }
}

int main(void)
{
    test_corpus();
    parser_backend_reads_all = true;
    test_corpus();
    parser_backend_reads_all = false;
    test_bytes();
    test_methods();
    test_sizes();
    test_decoding();
    scratch_clear(&scratch);
    return done_testing();
}

/* Formats of the access log, and the escaping in its lines. */
#include "base/err.h"
#include "serve/logformat.h"
#include "tap.h"

#include <stdlib.h>

static char bad[16];

static struct sprig_header headers[] = {
    {SPAN_LIT("Host"), SPAN_LIT("example")},
    {SPAN_LIT("X-A"), SPAN_LIT("1")},
    {SPAN_LIT("x-a"), SPAN_LIT("\"2\"")},
};
static const char head[] = "GET /a%22?b HTTP/1.1\r\n";
static struct sprig_request request = {
    .head = {head, sizeof(head) - 1},
    .method = {head, 3},
    .target = {head + 4, 7},
    .path = {head + 4, 5},
    .query = {head + 10, 1},
    .headers = headers,
    .n_headers = 3,
    .version = 11,
};

static void refuses(const char *format, const char *what)
{
    struct log_format f;
    is_int(log_format_read(&f, format, bad, sizeof(bad)), SPRIG_E_INVALID, "'%s'", format);
    is_str(bad, what, "... because of '%s'", what);
}

/* The line of a request; NULL: of bytes that were none. */
static void writes(const char *format, const struct sprig_request *req, const char *expected)
{
    struct log_format f;
    struct log_buffer data = {0}, line = {0};
    struct log_input in = {.request = req, .raw = SPAN_LIT("\x01z"), .host = SPAN_LIT("1.2.3.4")};
    is_int(log_format_read(&f, format, bad, sizeof(bad)), 0, "'%s' is read", format);
    log_format_input(&f, &in, &data);
    size_t headers_at = data.n;
    log_format_headers(&f, headers, 3, 77, &data);
    struct log_output out = {
        .input = data.bytes,
        .input_bytes = headers_at,
        .headers = data.bytes + headers_at,
        .headers_bytes = data.n - headers_at,
        .status = 207,
        .n_body = 1234567890123,
        .duration_ns = 2500000000,
        .pid = 99,
    };
    log_format_line(&f, &out, &line);
    is_bytes(line.bytes, line.n, expected, "... and written");
    log_format_clear(&f);
    free(data.bytes);
    free(line.bytes);
}

/* Slowly: what the fast one has to agree with. */
static size_t escape_slowly(const unsigned char *bytes, size_t n, char *out)
{
    char *at = out;
    for (size_t i = 0; i < n; i++)
        if (bytes[i] < 0x20 || bytes[i] > 0x7e || bytes[i] == '"' || bytes[i] == '\\')
            at += sprintf(at, "\\x%02X", bytes[i]);
        else
            *at++ = (char)bytes[i];
    return (size_t)(at - out);
}

/* Every byte at every place of texts of every length around a word or two. */
static void escaping(void)
{
    unsigned char bytes[20];
    char expected[81];
    unsigned n_wrong = 0;
    for (size_t n = 1; n <= sizeof(bytes); n++)
        for (size_t at = 0; at < n; at++)
            for (unsigned c = 0; c < 256; c++) {
                struct log_buffer b = {0};
                memset(bytes, 'a', n);
                bytes[at] = (unsigned char)c;
                if (at > 0)
                    bytes[at - 1] = '\\';
                size_t len = escape_slowly(bytes, n, expected);
                log_format_escape(&b, span_make((char *)bytes, n));
                n_wrong += b.n != len || memcmp(b.bytes, expected, len) != 0;
                free(b.bytes);
            }
    is_int(n_wrong, 0, "all bytes are escaped as they should be");
}

int main(void)
{
    writes("", &request, "\n");
    writes("%%%l%%", &request, "%-%\n");
    writes("%h %m %U %q %H|%r", &request, "1.2.3.4 GET /a\\x22 ?b HTTP/1.1|GET /a%22?b HTTP/1.1\n");
    writes("%s%>s%<s %b %T %D %P %u", &request, "207207207 1234567890123 2 2500000 99 -\n");
    writes("%{x_a}i %{None}i %V", &request, "1, \\x222\\x22 - example\n");
    writes("%{X-A}o %{None}o %{content-length}o", &request, "1, \\x222\\x22 - 77\n");
    writes("%h %r %m %U %q %H %{Host}i", NULL, "1.2.3.4 \\x01z - - - - -\n");
    refuses("%", "%");
    refuses("a %", "%");
    refuses("%x", "%x");
    refuses("%{a}b", "%{a}b");
    refuses("%{}i", "%{}i");
    refuses("%{a", "%{");
    escaping();
    return done_testing();
}

/* Formats of the access log, and the escaping in its lines. */
#include "base/err.h"
#include "serve/logformat_put.h"
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
        .headers = data.bytes ? data.bytes + headers_at : NULL,
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

/* Every byte at every place of texts of every length up to some words. */
static void escaping(void)
{
    unsigned char bytes[40];
    char expected[161];
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

/* What stands behind the time, which is that of the moment. */
static void writes_json(const struct log_input *in, const struct log_output *given,
                        const char *expected)
{
    static const char start[] = "{\"timestamp\":\"2026-11-22T00:52:42.123Z\"";
    struct log_format f;
    struct log_buffer data = {.is_json = true}, line = {0};
    struct log_output out = *given;
    is_int(log_format_read(&f, "json", bad, sizeof(bad)), 0, "json is read");
    log_format_input(&f, in, &data);
    out.input = data.bytes;
    out.input_bytes = data.n;
    log_format_line(&f, &out, &line);
    size_t skipped = line.n < sizeof(start) - 1 ? line.n : sizeof(start) - 1;
    is_bytes(line.bytes + skipped, line.n - skipped, expected, "... and written");
    log_format_clear(&f);
    free(data.bytes);
    free(line.bytes);
}

static void json(void)
{
    static char path[1002] = "/";
    static struct sprig_header twice[] = {{SPAN_LIT("user-agent"), SPAN_LIT("a\"")},
                                          {SPAN_LIT("User-Agent"), SPAN_LIT("")},
                                          {SPAN_LIT("User-Agent"), SPAN_LIT("b")}};
    struct log_input in = {.request = &request,
                           .host = SPAN_LIT("1.2.3.4"),
                           .server_name = SPAN_LIT("here"),
                           .server_port = SPAN_LIT("80")};
    struct log_output out = {.status = 207, .n_body = 12345, .duration_ns = 61000250999, .pid = 9};
    writes_json(&in, &out,
                ",\"client.address\":\"1.2.3.4\",\"http.request.method\":\"GET\""
                ",\"url.path\":\"/a\\\\x22\",\"url.query\":\"b\""
                ",\"network.protocol.version\":\"1.1\",\"server.address\":\"example\""
                ",\"server.port\":80,\"http.response.status_code\":207"
                ",\"http.response.body.size\":12345,\"http.server.request.duration\":61.000250"
                ",\"sprig.queue_time\":0.0,\"sprig.app_time\":0.0"
                ",\"sprig.send_time\":0.0,\"process.pid\":9}\n");
    struct log_input raw = {.raw = SPAN_LIT("\x01z"), .server_port = SPAN_LIT("http")};
    struct log_output refused = {
        .refused = "a \"b\"", .user = SPAN_LIT("me"), .queue_ns = 1999, .app_ns = 999, .pid = 10};
    writes_json(&raw, &refused,
                ",\"sprig.request.raw\":\"\\\\x01z\",\"user.name\":\"me\""
                ",\"http.response.body.size\":0,\"http.server.request.duration\":0.0"
                ",\"sprig.queue_time\":0.000001,\"sprig.app_time\":0.0"
                ",\"sprig.send_time\":0.0,\"sprig.refused\":\"a 'b'\",\"process.pid\":10}\n");
    struct sprig_request other = {
        .method = {head, 3}, .version = 20, .headers = twice, .n_headers = 3};
    struct log_input tls = {.request = &other,
                            .request_id = SPAN_LIT("id"),
                            .tls_protocol = SPAN_LIT("TLSv1.3"),
                            .tls_cipher = SPAN_LIT("X")};
    memset(path + 1, '\x01', sizeof path - 2); /* grows while it is written */
    other.path = span_make(path, 1);
    writes_json(&tls, &out,
                ",\"http.request.method\":\"GET\",\"url.path\":\"/\""
                ",\"network.protocol.version\":\"2\",\"user_agent.original\":\"a\\\\x22, b\""
                ",\"tls.protocol.version\":\"TLSv1.3\",\"tls.cipher\":\"X\""
                ",\"sprig.request_id\":\"id\",\"http.response.status_code\":207"
                ",\"http.response.body.size\":12345,\"http.server.request.duration\":61.000250"
                ",\"sprig.queue_time\":0.0,\"sprig.app_time\":0.0"
                ",\"sprig.send_time\":0.0,\"process.pid\":9}\n");
    struct log_buffer data = {.is_json = true};
    other.path = span_make(path, sizeof path - 1);
    log_json_input(&tls, &data);
    is_int(data.n > 5000 && memcmp(data.bytes + data.n - 5, ":\"id\"", 5) == 0, true,
           "what grows a lot is whole");
    free(data.bytes);
}

int main(void)
{
    json();
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

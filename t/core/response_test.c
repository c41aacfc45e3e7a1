/* response_test.c - heads and bodies of responses, byte by byte. */
#include "base/err.h"
#include "http/date.h"
#include "http/response.h"
#include "tap.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct outq_pool pool;
static struct outq q;
static struct response r;
static char why[256];

/* ------------------------------------------------------------- the stage ---- */

/* Everything that was queued, as text; the value of Date, where it is of this time, as "DATE". */
static char wire[200000];
static size_t n_wire;
static int n_calls;

static ssize_t wire_writev(struct transport *t, const struct iovec *iov, int n, bool more)
{
    (void)t, (void)more;
    size_t before = n_wire;
    n_calls++;
    for (int i = 0; i < n; i++) {
        memcpy(wire + n_wire, iov[i].iov_base, iov[i].iov_len);
        n_wire += iov[i].iov_len;
    }
    return (ssize_t)(n_wire - before);
}

static ssize_t wire_sendfile(struct transport *t, int in_fd, uint64_t *offset, size_t n)
{
    (void)t;
    ssize_t got = pread(in_fd, wire + n_wire, n, (off_t)*offset);
    *offset += (uint64_t)got;
    n_wire += (size_t)got;
    return got;
}

static const struct transport_ops wire_ops = {.writev = wire_writev, .sendfile = wire_sendfile};
static struct transport to_wire = {.ops = &wire_ops, .fd = -1};

static bool is_now(const char *date)
{
    char text[DATE_LEN];
    for (time_t now = time(NULL), at = now - 2; at <= now + 1; at++) {
        date_format(text, at);
        if (memcmp(text, date, DATE_LEN) == 0)
            return true;
    }
    return false;
}

static const char *sent(void)
{
    uint64_t n;
    n_wire = 0;
    n_calls = 0;
    if (outq_flush(&q, &to_wire, 0, &n) != OUTQ_DRAINED)
        return "not drained";
    wire[n_wire] = '\0';
    char *date = strstr(wire, "\r\nDate: ");
    if (date && is_now(date + 8)) {
        memcpy(date + 8, "DATE", 4);
        memmove(date + 12, date + 8 + DATE_LEN, n_wire + 1 - (size_t)(date + 8 + DATE_LEN - wire));
        n_wire -= DATE_LEN - 4;
    }
    return wire;
}

static void sent_is(const char *expected, const char *name)
{
    sent();
    is_bytes(wire, n_wire, expected, "%s", name);
}

static bool no_chunks; /* of the next response */

/* Starts the response to a request: a method and what was special, "GET", "HEAD 1.0 close". The
 * client keeps the connection unless it says "close" or, in HTTP/1.0, does not say "keep". */
static void start(const char *request)
{
    bool old = strstr(request, "1.0") != NULL;
    struct sprig_request req = {.version = old ? 10 : 11, .is_head = !strncmp(request, "HEAD", 4)};
    req.method = span_make(request, strcspn(request, " "));
    req.keep_alive = old ? strstr(request, "keep") != NULL : !strstr(request, "close");
    req.upgrade = strstr(request, "upgrade") != NULL;
    outq_clear(&q);
    response_init(&r, &req, strstr(request, "draining") == NULL);
    r.no_chunks = no_chunks;
}

/* Splits "Name: value|Name: value". */
static size_t split(const char *text, struct sprig_header *headers)
{
    size_t n = 0;
    while (*text) {
        size_t line = strcspn(text, "|"), name = strcspn(text, ":");
        headers[n].name = span_make(text, name);
        headers[n++].value = span_trim(span_make(text + name + 1, line - name - 1));
        text += line + (text[line] == '|');
    }
    return n;
}

static const char *server_header;

static int head(int status, const char *headers, uint64_t length)
{
    struct sprig_header split_up[20];
    struct sprig_head h = {.status = status, .headers = split_up, .length = length};
    h.n_headers = split(headers, split_up);
    strcpy(why, "untouched");
    return response_head(&r, &q, &h, server_header, why, sizeof(why));
}

static int body(const char *text)
{
    return response_body(&r, &q, span_str(text));
}

static int end(void)
{
    return response_end(&r, &q);
}

#define UNKNOWN SPRIG_LENGTH_UNKNOWN
#define DATE    "Date: DATE\r\n"

/* -------------------------------------------------------- heads, as a table ---- */

struct row {
    const char *name, *request;
    int status;
    const char *headers;
    uint64_t length;
    const char *bytes; /* of the head */
    enum framing framing;
    bool keep_alive;
};

static const struct row heads[] = {
    {"array body", "GET", 200, "Content-Type: text/plain", 13,
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n" DATE "\r\n",
     FRAMING_LENGTH, true},
    {"empty array body", "GET", 200, "", 0, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" DATE "\r\n",
     FRAMING_LENGTH, true},
    {"app's Content-Length", "GET", 200, "Content-Length: 5|X-A: b", UNKNOWN,
     "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n" DATE "\r\n", FRAMING_LENGTH, true},
    {"app's Content-Length wins over the known length", "GET", 200, "content-length: 5", 7,
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" DATE "\r\n", FRAMING_LENGTH, true},
    {"the same Content-Length twice", "GET", 200, "Content-Length: 5|Content-Length: 5", 5,
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" DATE "\r\n", FRAMING_LENGTH, true},
    {"the largest Content-Length", "GET", 200, "Content-Length: 9223372036854775807", UNKNOWN,
     "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n" DATE "\r\n", FRAMING_LENGTH,
     true},
    {"unknown length", "GET", 200, "", UNKNOWN,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" DATE "\r\n", FRAMING_CHUNKED, true},
    {"unknown length, HTTP/1.0", "GET 1.0", 200, "", UNKNOWN,
     "HTTP/1.0 200 OK\r\nConnection: close\r\n" DATE "\r\n", FRAMING_CLOSE, false},
    {"unknown length, HTTP/1.0 with keep-alive", "GET 1.0 keep", 200, "", UNKNOWN,
     "HTTP/1.0 200 OK\r\nConnection: close\r\n" DATE "\r\n", FRAMING_CLOSE, false},
    {"known length, HTTP/1.0", "GET 1.0", 200, "", 3,
     "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n" DATE "\r\n", FRAMING_LENGTH,
     false},
    {"known length, HTTP/1.0 with keep-alive", "GET 1.0 keep", 200, "", 3,
     "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n" DATE "\r\n",
     FRAMING_LENGTH, true},
    {"app's length, HTTP/1.0 with keep-alive", "GET 1.0 keep", 200, "Content-Length: 3", UNKNOWN,
     "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n" DATE "\r\n",
     FRAMING_LENGTH, true},
    {"app chunks the body", "GET", 200, "Transfer-Encoding: Chunked", UNKNOWN,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" DATE "\r\n", FRAMING_CHUNKED, true},
    {"app chunks a body of known length", "GET", 200, "transfer-encoding: chunked", 20,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" DATE "\r\n", FRAMING_CHUNKED, true},

    {"HEAD, known length", "HEAD", 200, "", 13,
     "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n" DATE "\r\n", FRAMING_NONE, true},
    {"HEAD, app's Content-Length", "HEAD", 200, "Content-Length: 13", 0,
     "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n" DATE "\r\n", FRAMING_NONE, true},
    {"HEAD, empty body: GET may have another one", "HEAD", 200, "", 0,
     "HTTP/1.1 200 OK\r\n" DATE "\r\n", FRAMING_NONE, true},
    {"HEAD, unknown length", "HEAD", 200, "", UNKNOWN, "HTTP/1.1 200 OK\r\n" DATE "\r\n",
     FRAMING_NONE, true},
    {"HEAD, app chunks the body", "HEAD", 200, "Transfer-Encoding: chunked", UNKNOWN,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" DATE "\r\n", FRAMING_NONE, true},
    {"HEAD, HTTP/1.0 with keep-alive", "HEAD 1.0 keep", 200, "", UNKNOWN,
     "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" DATE "\r\n", FRAMING_NONE, true},
    {"status 204", "GET", 204, "", 0, "HTTP/1.1 204 No Content\r\n" DATE "\r\n", FRAMING_NONE,
     true},
    {"status 204 with a length", "GET", 204, "Content-Length: 5", 5,
     "HTTP/1.1 204 No Content\r\n" DATE "\r\n", FRAMING_NONE, true},
    {"status 204 with chunks", "GET", 204, "Transfer-Encoding: chunked", UNKNOWN,
     "HTTP/1.1 204 No Content\r\n" DATE "\r\n", FRAMING_NONE, true},
    {"status 304", "GET", 304, "ETag: \"x\"", 0,
     "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n" DATE "\r\n", FRAMING_NONE, true},
    {"status 304 with a length", "GET", 304, "Content-Length: 5", 0,
     "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n" DATE "\r\n", FRAMING_NONE, true},
    {"HEAD answered by 304", "HEAD", 304, "", 7, "HTTP/1.1 304 Not Modified\r\n" DATE "\r\n",
     FRAMING_NONE, true},
    {"status 205", "GET", 205, "", 0,
     "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n" DATE "\r\n", FRAMING_LENGTH, true},

    {"client closes", "GET close", 200, "", 1,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n" DATE "\r\n", FRAMING_LENGTH,
     false},
    {"server closes", "GET draining", 200, "", 1,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n" DATE "\r\n", FRAMING_LENGTH,
     false},
    {"app closes", "GET", 200, "Connection: close", 1,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n" DATE "\r\n", FRAMING_LENGTH,
     false},
    {"app closes, HTTP/1.0 with keep-alive", "GET 1.0 keep", 200, "Connection: Close", 1,
     "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n" DATE "\r\n", FRAMING_LENGTH,
     false},
    {"app and client close", "GET close", 200, "Connection: close|Connection: close", 1,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n" DATE "\r\n", FRAMING_LENGTH,
     false},
    {"app keeps alive", "GET", 200, "Connection: Keep-Alive|Keep-Alive: timeout=5", 1,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" DATE "\r\n", FRAMING_LENGTH, true},
    {"app keeps alive against the client's will", "GET close", 200, "Connection: keep-alive", 1,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n" DATE "\r\n", FRAMING_LENGTH,
     false},
    {"app's own connection options", "GET", 200, "Connection: x-a, close ,, upgrade|X-A: 1", 1,
     "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 1\r\nConnection: close,x-a\r\n" DATE "\r\n",
     FRAMING_LENGTH, false},
    {"Upgrade offered by the app", "GET", 200, "Upgrade: h2c|Connection: Upgrade", 1,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" DATE "\r\n", FRAMING_LENGTH, true},
    {"status 426", "GET close", 426, "Upgrade: websocket", 0,
     "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"
     "Connection: close,Upgrade\r\n" DATE "\r\n",
     FRAMING_LENGTH, false},
    {"status 101", "GET upgrade", 101, "Upgrade: websocket|Connection: Upgrade|Content-Length: 0",
     0,
     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" DATE
     "\r\n",
     FRAMING_NONE, false},
    {"101, Connection left out", "GET upgrade", 101, "Upgrade: x", UNKNOWN,
     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n" DATE "\r\n",
     FRAMING_NONE, false},
    {"2xx to CONNECT opens a tunnel", "CONNECT", 200, "Content-Length: 4", 4,
     "HTTP/1.1 200 OK\r\n" DATE "\r\n", FRAMING_CLOSE, false},
    {"2xx to CONNECT, chunks", "CONNECT", 200, "Transfer-Encoding: chunked", UNKNOWN,
     "HTTP/1.1 200 OK\r\n" DATE "\r\n", FRAMING_CLOSE, false},
    {"4xx to CONNECT", "CONNECT", 404, "", 4,
     "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n" DATE "\r\n", FRAMING_LENGTH, true},

    {"app's Date", "GET", 200, "date: yesterday", 1,
     "HTTP/1.1 200 OK\r\ndate: yesterday\r\nContent-Length: 1\r\n\r\n", FRAMING_LENGTH, true},
    {"app's Server", "GET", 200, "Server: mine", 1,
     "HTTP/1.1 200 OK\r\nServer: mine\r\nContent-Length: 1\r\n" DATE "\r\n", FRAMING_LENGTH, true},
    {"order and duplicates", "GET", 200, "Set-Cookie: a=1|X: y|Set-Cookie: b=2|x: z", 1,
     "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: y\r\nSet-Cookie: b=2\r\nx: z\r\n"
     "Content-Length: 1\r\n" DATE "\r\n",
     FRAMING_LENGTH, true},
    {"empty value, tab, high bytes", "GET", 200, "A:|B: a\tb|C: gr\xc3\xbc\xdf", 1,
     "HTTP/1.1 200 OK\r\nA: \r\nB: a\tb\r\nC: gr\xc3\xbc\xdf\r\nContent-Length: 1\r\n" DATE "\r\n",
     FRAMING_LENGTH, true},
    {"every character of a name", "GET", 200, "!#$%&'*+-.^_`~09azAZ: 1", 1,
     "HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`~09azAZ: 1\r\nContent-Length: 1\r\n" DATE "\r\n",
     FRAMING_LENGTH, true},
    {"a status nobody registered", "GET", 599, "", 1,
     "HTTP/1.1 599 \r\nContent-Length: 1\r\n" DATE "\r\n", FRAMING_LENGTH, true},
    {"the highest status", "GET 1.0", 999, "", 1,
     "HTTP/1.0 999 \r\nContent-Length: 1\r\nConnection: close\r\n" DATE "\r\n", FRAMING_LENGTH,
     false},
    {"status 404", "GET", 404, "", 1, "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n" DATE "\r\n",
     FRAMING_LENGTH, true},
};

static void heads_are_serialised(void)
{
    for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        const struct row *row = &heads[i];
        start(row->request);
        int err = head(row->status, row->headers, row->length);
        if (err)
            diag("%s", why);
        sent_is(row->bytes, row->name);
        ok(r.framing == row->framing && r.keep_alive == row->keep_alive && r.head_out &&
               r.status == row->status,
           "... its framing, and what becomes of the connection");
    }
}

/* ------------------------------------------------------------- refusals ---- */

struct refusal {
    const char *request;
    int status;
    const char *headers;
    const char *why;
};

static const struct refusal refusals[] = {
    {"GET", 0, "", "status 0 is not 101 or 200..999"},
    {"GET", 99, "", "status 99 is not 101 or 200..999"},
    {"GET", 100, "", "status 100 is not 101 or 200..999"},
    {"GET", 199, "", "status 199 is not 101 or 200..999"},
    {"GET", 1000, "", "status 1000 is not 101 or 200..999"},
    {"GET", -200, "", "status -200 is not 101 or 200..999"},
    {"GET", 101, "Upgrade: x", "status 101, but the client did not offer an upgrade"},
    {"GET 1.0 upgrade", 101, "Upgrade: x", "status 101, but the client did not offer an upgrade"},
    {"GET upgrade", 101, "", "status 101 without an Upgrade header"},
    {"GET", 200, ": x", "header '' has an invalid name"},
    {"GET", 200, "X Y: x", "header 'X Y' has an invalid name"},
    {"GET", 200, "X\r\nSet-Cookie: x", "header 'X\\x0D\\x0ASet-Cookie' has an invalid name"},
    {"GET", 200, "\xc3\xbc: x", "header '\\xC3\\xBC' has an invalid name"},
    {"GET", 200, "X-: x", "header 'X-' has an invalid name"},
    {"GET", 200, "X_: x", "header 'X_' has an invalid name"},
    {"GET", 200, "sTatus: 200", "header 'sTatus' is not allowed by PSGI"},
    {"GET", 200, "X-A: b\rc", "header 'X-A' has a control character in its value"},
    {"GET", 200, "X-A: b\nc", "header 'X-A' has a control character in its value"},
    {"GET", 200, "X-A: b\x7f", "header 'X-A' has a control character in its value"},
    {"GET", 200, "Content-Length: b\x1b",
     "header 'Content-Length' has a control character in its value"},
    {"GET", 200, "Content-Length: ", "header 'Content-Length' is '', not a length in bytes"},
    {"GET", 200, "Content-Length: -1", "header 'Content-Length' is '-1', not a length in bytes"},
    {"GET", 200, "Content-Length: +1", "header 'Content-Length' is '+1', not a length in bytes"},
    {"GET", 200, "Content-Length: 1, 1",
     "header 'Content-Length' is '1, 1', not a length in bytes"},
    {"GET", 200, "Content-Length: 0x1", "header 'Content-Length' is '0x1', not a length in bytes"},
    {"GET", 200, "Content-Length: 1.5", "header 'Content-Length' is '1.5', not a length in bytes"},
    {"GET", 200, "Content-Length: 9223372036854775808",
     "header 'Content-Length' is '9223372036854775808', not a length in bytes"},
    {"GET", 200, "Content-Length: 99999999999999999999",
     "header 'Content-Length' is '99999999999999999999', not a length in bytes"},
    {"HEAD", 204, "Content-Length: x", "header 'Content-Length' is 'x', not a length in bytes"},
    {"GET", 200, "Content-Length: 1|content-length: 2",
     "header 'content-length' is '2', but another one says otherwise"},
    {"GET", 200, "Transfer-Encoding: gzip",
     "header 'Transfer-Encoding' is 'gzip', only 'chunked' is possible"},
    {"GET", 200, "Transfer-Encoding: gzip, chunked",
     "header 'Transfer-Encoding' is 'gzip, chunked', only 'chunked' is possible"},
    {"GET", 200, "Transfer-Encoding: identity",
     "header 'Transfer-Encoding' is 'identity', only 'chunked' is possible"},
    {"GET", 200, "Transfer-Encoding: chunked|Transfer-Encoding: chunked",
     "header 'Transfer-Encoding' is there twice"},
    {"GET 1.0", 200, "Transfer-Encoding: chunked",
     "header 'Transfer-Encoding' is not possible in HTTP/1.0"},
    {"GET", 200, "Transfer-Encoding: chunked|Content-Length: 5",
     "both Content-Length and Transfer-Encoding"},
};

static void invalid_heads_leave_no_trace(void)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        const struct refusal *row = &refusals[i];
        start(row->request);
        int err = head(row->status, row->headers, 1);
        is_str(why, row->why, "%s", row->why);
        ok(err == SPRIG_E_INVALID && !r.head_out && !q.head, "... and nothing is queued");
        bool right = head(500, "Content-Length: 0", 0) == 0;
        ok(right && strstr(sent(), " 500 Internal Server Error\r\n"),
           "... another head may follow");
    }
}

static void control_characters_are_found_everywhere(void)
{
    char value[40];
    bool all_right = true;
    for (size_t len = 1; len <= sizeof(value); len++)
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++) {
                memset(value, at % 2 ? 'x' : '\t', len);
                value[at] = (char)c;
                struct sprig_header h = {SPAN_LIT("X"), span_make(value, len)};
                struct sprig_head one = {.status = 200, .headers = &h, .n_headers = 1};
                start("GET");
                int err = response_head(&r, &q, &one, NULL, why, sizeof(why));
                bool bad = (c < 0x20 && c != '\t') || c == 0x7f;
                all_right = all_right && err == (bad ? SPRIG_E_INVALID : 0);
            }
    ok(all_right, "every byte at every place of a value is judged, NUL included");
}

static void a_head_of_any_size_fits(void)
{
    enum { LARGE = 60000 };
    char *value = malloc(LARGE);
    memset(value, 'v', LARGE);
    struct sprig_header h[2] = {{SPAN_LIT("Connection"), span_make(value, LARGE)},
                                {SPAN_LIT("X"), span_make(value, LARGE)}};
    for (int i = 1; i < LARGE; i += 2)
        value[i] = i % 4 == 1 ? ',' : 'v';
    struct sprig_head large = {.status = 200, .headers = h, .n_headers = 2, .length = 1};
    start("GET");
    is_int(response_head(&r, &q, &large, NULL, why, sizeof(why)), 0, "headers of 120 KB");
    const char *bytes = sent();
    ok(n_wire > LARGE && strcmp(bytes + n_wire - 4, "\r\n\r\n") == 0, "... are complete");
    free(value);
}

static void a_server_header_is_sent_if_set(void)
{
    server_header = "Sprig";
    start("GET");
    head(200, "", 1);
    sent_is("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" DATE "Server: Sprig\r\n\r\n", "Server");
    start("GET");
    head(200, "server: other", 1);
    sent_is("HTTP/1.1 200 OK\r\nserver: other\r\nContent-Length: 1\r\n" DATE "\r\n",
            "the app's goes first");
    server_header = "a\r\nb";
    start("GET");
    is_int(head(200, "", 1), SPRIG_E_INVALID, "it is checked like the app's");
    server_header = NULL;
}

static void a_response_to_no_request(void)
{
    outq_clear(&q);
    response_init(&r, NULL, true);
    head(400, "", 0);
    sent_is("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n" DATE "\r\n",
            "the answer to garbage closes the connection");
}

static void there_is_one_head(void)
{
    start("GET");
    is_int(body("x"), SPRIG_E_STATE, "no body before the head");
    is_int(end(), SPRIG_E_STATE, "no end before the head");
    is_int(head(200, "", 1), 0, "the head");
    is_int(head(200, "", 1), SPRIG_E_STATE, "no second one");
    struct sprig_head early = {.status = 103};
    is_int(response_interim(&r, &q, &early, why, sizeof(why)), SPRIG_E_STATE, "no interim one");
    sent();
    is_int(body("x"), 0, "the body");
    ok(!response_is_ended(&r), "has not ended");
    is_int(end(), 0, "the end");
    ok(response_is_ended(&r), "has ended");
    is_int(end(), SPRIG_E_STATE, "no second end");
    is_int(body("x"), SPRIG_E_STATE, "no body behind it");
    sent_is("x", "nothing of that is sent");
}

/* -------------------------------------------------------- interim heads ---- */

static int interim(int status, const char *headers)
{
    struct sprig_header split_up[20];
    struct sprig_head h = {.status = status, .headers = split_up, .length = UNKNOWN};
    h.n_headers = split(headers, split_up);
    return response_interim(&r, &q, &h, why, sizeof(why));
}

static void interim_responses(void)
{
    start("GET");
    is_int(interim(103, "Link: </a>; rel=preload|Content-Length: 3|Connection: close"), 0,
           "status 103");
    sent_is("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
            "... without framing and connection");
    is_int(interim(102, ""), 0, "another one");
    sent_is("HTTP/1.1 102 Processing\r\n\r\n", "... may follow");
    is_int(head(200, "", 1), 0, "then the final one");
    ok(r.keep_alive && r.framing == FRAMING_LENGTH, "... which they did not change");
    start("GET");
    is_int(interim(100, ""), SPRIG_E_INVALID, "100 is the server's");
    is_int(interim(101, ""), SPRIG_E_INVALID, "101 is final");
    is_int(interim(200, ""), SPRIG_E_INVALID, "200 is final");
    is_int(interim(103, "X: a\nb"), SPRIG_E_INVALID, "headers are checked");
    sent_is("", "nothing of these is sent");
    start("GET 1.0");
    is_int(interim(103, "Link: x"), 0, "for HTTP/1.0");
    sent_is("", "... it is left out");
}

/* --------------------------------------------------------------- bodies ---- */

static int n_released;

static void release(void *arg)
{
    n_released++;
    (void)arg;
}

static int body_ref(const char *text)
{
    return response_body_ref(&r, &q, span_str(text), release, NULL);
}

/* A file that holds "0123456789". */
static int file;

static int body_file(uint64_t offset, uint64_t length)
{
    return response_body_file(&r, &q, file, offset, length, release, NULL);
}

/* Starts a response and throws its head away. */
static void start_body(const char *request, int status, const char *headers, uint64_t length)
{
    start(request);
    if (head(status, headers, length) != 0)
        diag("%s", why);
    sent();
    n_released = 0;
}

static void chunks_are_made(void)
{
    start_body("GET", 200, "", UNKNOWN);
    body("hello");
    body("");
    body("0");
    sent_is("5\r\nhello\r\n1\r\n0\r\n", "a chunk for each write, none for an empty one");
    body_ref("by reference: 23 bytes.");
    sent_is("17\r\nby reference: 23 bytes.\r\n", "a reference");
    body_ref("");
    body_file(3, 5);
    body_file(0, 0);
    sent_is("5\r\n34567\r\n", "part of a file");
    is_int(n_released, 4, "references are given back");
    is_int((long long)r.n_body, 5 + 1 + 23 + 5, "body bytes are counted");
    is_int(end(), 0, "the end");
    sent_is("0\r\n\r\n", "... is the last chunk");
}

static void chunk_sizes_are_hexadecimal(void)
{
    static const size_t sizes[] = {1,    9,    10,   15,    16,    255,  256,
                                   4095, 4096, 4097, 16384, 65536, 99999};
    char *bytes = malloc(100000), line[20];
    memset(bytes, 'x', 100000);
    bool all_right = true;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        start_body("GET", 200, "", UNKNOWN);
        response_body(&r, &q, span_make(bytes, sizes[i]));
        const char *got = sent();
        size_t n = (size_t)sprintf(line, "%zx\r\n", sizes[i]);
        all_right = all_right && memcmp(got, line, n) == 0 && n_wire == n + sizes[i] + 2 &&
                    memcmp(got + n_wire - 2, "\r\n", 2) == 0 && got[n] == 'x' &&
                    got[n_wire - 3] == 'x';
    }
    ok(all_right, "chunks of all sizes");
    free(bytes);
}

static void the_announced_length_is_kept(void)
{
    start_body("GET", 200, "Content-Length: 5", UNKNOWN);
    body("he");
    body("llo");
    sent_is("hello", "as announced");
    ok(!r.cut && end() == 0, "... is complete");

    start_body("GET", 200, "Content-Length: 5", UNKNOWN);
    body("hel");
    is_int(body("lo, world"), 0, "more than announced");
    is_int(body_ref("again"), 0, "... and again");
    is_int(body_file(0, 10), 0, "... and again");
    sent_is("hello", "... is cut");
    ok(r.cut && r.n_body == 5, "... which is remembered");
    is_int(n_released, 2, "... and the references are given back");
    is_int(end(), 0, "... and complete");

    start_body("GET", 200, "", 6);
    body_ref("abc");
    body_file(2, 10);
    sent_is("abc234", "references and files are cut as well");

    start_body("GET", 200, "Content-Length: 5", UNKNOWN);
    body("hell");
    is_int(end(), SPRIG_E_STATE, "less than announced is an error");
    ok(!response_is_ended(&r), "... and not an end");
    start_body("GET", 200, "Content-Length: 1", 0);
    is_int(end(), SPRIG_E_STATE, "no body at all where one was announced");
}

static int pieces(const char *a, const char *b, const char *c)
{
    struct sprig_span all[] = {span_str(a), span_str(b), span_str(c)};
    return response_body_pieces(&r, &q, all, 3);
}

/* As if each were written by itself, whatever the framing. */
static void pieces_are_written_together(void)
{
    start_body("GET", 200, "Content-Length: 9", UNKNOWN);
    is_int(pieces("one", "", "two"), 0, "pieces of a known length");
    is_int((long long)r.left, 3, "... are counted");
    is_int(pieces("three", "four", "five"), 0, "more than was announced");
    ok(r.cut, "... is noticed");
    sent_is("onetwothr", "... and cut");
    is_int((long long)r.n_body, 9, "what was sent counts");
    is_int(end(), 0, "and is complete");
    is_int(pieces("a", "b", "c"), SPRIG_E_STATE, "nothing may follow");
    start_body("GET", 200, "", UNKNOWN);
    pieces("one", "", "three");
    sent_is("3\r\none\r\n5\r\nthree\r\n", "a chunk for each");
    start_body("HEAD", 200, "Content-Length: 9", UNKNOWN);
    is_int(pieces("one", "two", "three"), 0, "to HEAD");
    sent_is("", "... nothing is sent");
    start("GET");
    is_int(pieces("one", "two", "three"), SPRIG_E_STATE, "before the head");
    char *large = malloc(15001);
    memset(large, 'x', 15000);
    large[15000] = '\0';
    start_body("GET", 200, "Content-Length: 45000", UNKNOWN);
    pieces(large, large, large);
    sent();
    is_int((long long)n_wire, 45000, "many bytes");
    ok(strspn(wire, "x") == 45000, "... are those");
    free(large);
}

static void bodies_are_dropped_where_there_is_none(void)
{
    static const struct {
        const char *request;
        int status;
        const char *headers;
    } rows[] = {{"HEAD", 200, ""},
                {"HEAD", 200, "Content-Length: 100"},
                {"HEAD", 200, "Transfer-Encoding: chunked"},
                {"HEAD 1.0", 200, ""},
                {"GET", 204, ""},
                {"GET", 304, "Content-Length: 100"},
                {"GET upgrade", 101, "Upgrade: x"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        start_body(rows[i].request, rows[i].status, rows[i].headers, UNKNOWN);
        bool right = r.bodyless && body("a") == 0 && body_ref("b") == 0 && body_file(0, 3) == 0;
        right = right && end() == 0;
        ok(right && n_released == 2 && !*sent() && r.n_body == 0, "%s, status %d, '%s'",
           rows[i].request, rows[i].status, rows[i].headers);
    }
}

static void bodies_without_framing(void)
{
    start_body("GET 1.0", 200, "", UNKNOWN);
    body("hel");
    body_ref("lo");
    body_file(0, 3);
    is_int(end(), 0, "close-delimited");
    sent_is("hello012", "... is sent as it is");
    start_body("CONNECT", 200, "", 3);
    body("any");
    body("thing");
    is_int(end(), 0, "a tunnel");
    sent_is("anything", "... knows no length");
}

static void chunks_of_the_app_pass(void)
{
    start_body("GET", 200, "Transfer-Encoding: chunked", UNKNOWN);
    body("5\r\nhel");
    body_ref("lo\r\n0\r");
    body("\n\r\n");
    sent_is("5\r\nhello\r\n0\r\n\r\n", "as they are, however cut");
    is_int(end(), 0, "... and are complete");
    sent_is("", "... without a second last chunk");
    ok(r.keep_alive, "... and the connection stays");

    start_body("GET", 200, "Transfer-Encoding: chunked", UNKNOWN);
    body("5\r\nhello\r\n");
    is_int(end(), SPRIG_E_STATE, "without the last one the body is short");

    start_body("GET", 200, "Transfer-Encoding: chunked", UNKNOWN);
    is_int(body("0\r\n\r\nHTTP/1.1 200 OK\r\n"), 0, "what follows the last one");
    body("more");
    sent_is("0\r\n\r\n", "... is cut");
    ok(r.cut && end() == 0, "... which is remembered");

    start_body("GET", 200, "Transfer-Encoding: chunked", UNKNOWN);
    body("5\r\nhello\r\n");
    sent_is("5\r\nhello\r\n", "a chunk has passed");
    is_int(body("hello"), SPRIG_E_INVALID, "then malformed ones are refused");
    is_int(body_ref("5"), SPRIG_E_INVALID, "... for good");
    sent_is("", "... and not sent");
    is_int(n_released, 1, "... and given back");
}

/* The head says "chunked", the body is not. */
static void chunks_are_made_for_the_app(void)
{
    start_body("GET", 200, "Transfer-Encoding: chunked", UNKNOWN);
    body("hello");
    body_ref("5");
    is_int(end(), 0, "a body that consists of no chunks");
    sent_is("5\r\nhello\r\n1\r\n5\r\n0\r\n\r\n", "... gets them");
    ok(r.keep_alive, "... and the connection stays");

    start_body("GET", 200, "Transfer-Encoding: chunked", UNKNOWN);
    body("de");
    body("af");
    sent_is("", "what may be a size waits");
    body(" ears");
    is_int(end(), 0, "... until it turns out to be none");
    sent_is("4\r\ndeaf\r\n5\r\n ears\r\n0\r\n\r\n", "... and is not lost");

    start_body("GET", 200, "Transfer-Encoding: chunked", UNKNOWN);
    body("2");
    body_ref("\r");
    body("\nhi\r\n0\r\n\r\n");
    sent_is("2\r\nhi\r\n0\r\n\r\n", "a size that comes in pieces is one");
    is_int(end(), 0, "... and the body complete");

    start_body("GET", 200, "Transfer-Encoding: chunked", UNKNOWN);
    body("12345678901234567890");
    is_int(end(), 0, "more digits than a size may have");
    sent_is("14\r\n12345678901234567890\r\n0\r\n\r\n", "... are a body");

    start_body("GET", 200, "Transfer-Encoding: chunked", UNKNOWN);
    body("cafe");
    is_int(end(), 0, "digits and nothing else");
    sent_is("4\r\ncafe\r\n0\r\n\r\n", "... are a body, too");

    start_body("GET", 200, "Transfer-Encoding: chunked", UNKNOWN);
    is_int(end(), 0, "no body at all");
    sent_is("0\r\n\r\n", "... is complete");

    start_body("GET", 200, "Transfer-Encoding: chunked", UNKNOWN);
    body_file(0, 3);
    is_int(end(), 0, "a file");
    sent_is("3\r\n012\r\n0\r\n\r\n", "... is chunked as well");
}

static void without_chunks_the_connection_ends_the_body(void)
{
    start_body("GET", 200, "", UNKNOWN);
    ok(r.framing == FRAMING_CHUNKED, "a body of unknown length is chunked");
    no_chunks = true;
    start_body("GET", 200, "", UNKNOWN);
    no_chunks = false;
    ok(r.framing == FRAMING_CLOSE && !r.keep_alive, "... unless chunks are not wanted");
    body("all");
    is_int(end(), 0, "... then the connection ends it");
    sent_is("all", "... and the bytes are as they are");
}

/* ------------------------------------------------------- the whole, at random ---- */

static uint64_t random_state;

static size_t random_below(size_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(random_state >> 33) % n;
}

/* Queues a random piece of the text by a random way; returns how much. */
static size_t queue_something(const char *text, size_t left)
{
    size_t n = random_below(left < 9000 ? left + 1 : 9000);
    if (random_below(3) == 0)
        n = 0;
    if (random_below(2))
        response_body(&r, &q, span_make(text, n));
    else
        response_body_ref(&r, &q, span_make(text, n), release, NULL);
    return n;
}

/* Decodes the whole of the wire in place; SIZE_MAX if it is not one complete chunked body. */
static size_t decode_wire(void)
{
    struct chunk c;
    struct sprig_span in = span_make(wire, n_wire), data;
    size_t n = 0;
    int got;
    chunk_init(&c, 0);
    while ((got = chunk_decode(&c, &in, &data)) == CHUNK_DATA) {
        memmove(wire + n, data.ptr, data.len);
        n += data.len;
    }
    return got == CHUNK_END && in.len == 0 ? n : SIZE_MAX;
}

static void chunked_bodies_decode_to_what_was_written(void)
{
    const char *given = getenv("TEST_SEED");
    random_state = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid();
    diag("TEST_SEED=%llu", (unsigned long long)random_state);
    static char text[100000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)random_below(256);
    bool all_right = true;
    for (int run = 0; run < 50 && all_right; run++) {
        size_t size = random_below(sizeof(text)), at = 0;
        start_body("GET", 200, "", UNKNOWN);
        while (at < size)
            at += queue_something(text + at, size - at);
        all_right = end() == 0 && r.n_body == size;
        sent();
        all_right = all_right && decode_wire() == size && memcmp(wire, text, size) == 0;
    }
    ok(all_right, "bodies written in pieces of all sizes");
}

static void references_come_back_after_errors(void)
{
    start("GET");
    n_released = 0;
    is_int(body_ref("x"), SPRIG_E_STATE, "a reference before the head");
    is_int(body_file(0, 1), SPRIG_E_STATE, "a file before the head");
    is_int(n_released, 2, "... are given back");
}

static void pipelined_responses_leave_together(void)
{
    start("GET");
    head(200, "", 1);
    body("a");
    end();
    struct sprig_request req = {.version = 11, .keep_alive = true};
    response_init(&r, &req, true);
    head(404, "Date: x|X: y", 1);
    body("b");
    end();
    sent_is("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" DATE "\r\na"
            "HTTP/1.1 404 Not Found\r\nDate: x\r\nX: y\r\nContent-Length: 1\r\n\r\nb",
            "two responses in one queue");
    is_int(n_calls, 1, "leave in one call");
}

int main(void)
{
    outq_pool_init(&pool);
    outq_init(&q, &pool);
    char path[] = "/tmp/response-test-XXXXXX";
    file = mkstemp(path);
    unlink(path);
    ok(write(file, "0123456789", 10) == 10, "a file to send");
    heads_are_serialised();
    invalid_heads_leave_no_trace();
    control_characters_are_found_everywhere();
    a_head_of_any_size_fits();
    a_server_header_is_sent_if_set();
    a_response_to_no_request();
    there_is_one_head();
    interim_responses();
    chunks_are_made();
    chunk_sizes_are_hexadecimal();
    the_announced_length_is_kept();
    pieces_are_written_together();
    bodies_are_dropped_where_there_is_none();
    bodies_without_framing();
    chunks_of_the_app_pass();
    chunks_are_made_for_the_app();
    without_chunks_the_connection_ends_the_body();
    chunked_bodies_decode_to_what_was_written();
    references_come_back_after_errors();
    pipelined_responses_leave_together();
    outq_clear(&q);
    outq_pool_clear(&pool);
    close(file);
    return done_testing();
}

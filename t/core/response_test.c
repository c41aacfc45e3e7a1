/* response_test.c - heads of responses, byte by byte. */
#include "response_stage.h"

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
     "header 'content-length' is '2', but another one differs"},
    {"GET", 200, "Transfer-Encoding: gzip",
     "header 'Transfer-Encoding' is 'gzip', only 'chunked' is possible"},
    {"GET", 200, "Transfer-Encoding: gzip, chunked",
     "header 'Transfer-Encoding' is 'gzip, chunked', only 'chunked' is possible"},
    {"GET", 200, "Transfer-Encoding: identity",
     "header 'Transfer-Encoding' is 'identity', only 'chunked' is possible"},
    {"GET", 200, "Transfer-Encoding: chunked|Transfer-Encoding: chunked",
     "header 'Transfer-Encoding' is given twice"},
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

int main(void)
{
    stage_open();
    heads_are_serialised();
    invalid_heads_leave_no_trace();
    control_characters_are_found_everywhere();
    a_head_of_any_size_fits();
    a_server_header_is_sent_if_set();
    a_response_to_no_request();
    there_is_one_head();
    interim_responses();
    return stage_close();
}

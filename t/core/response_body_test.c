/* response_body_test.c - bodies of responses, byte by byte. */
#include "response_stage.h"

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
    stage_open();
    char path[] = "/tmp/response-test-XXXXXX";
    file = mkstemp(path);
    unlink(path);
    ok(write(file, "0123456789", 10) == 10, "a file to send");
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
    close(file);
    return stage_close();
}

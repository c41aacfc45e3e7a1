/* ws_frame_test.c - frames in one piece and cut anywhere, each rule of RFC 6455 section 5, closes.
 */
#include "guard.h"
#include "tap.h"
#include "ws/frame.h"

#include <stdlib.h>

enum { MAX_TEXT = 4096 };

/* What was read, as text: "text(Hel)+text(lo). ping() =1002 reason". */
struct reading {
    struct ws_reader reader;
    struct ws_limits limits;
    char text[MAX_TEXT];
    size_t n;
    bool is_over;
};

__attribute__((format(printf, 2, 3))) static void say(struct reading *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    r->n += (size_t)vsnprintf(r->text + r->n, MAX_TEXT - r->n, fmt, args);
    va_end(args);
}

/* Pieces of a message are told as one, so that cuts do not show. */
static void tell(struct reading *r, const struct ws_piece *p)
{
    static const char *const names[] = {"", "text", "binary", "",     "",    "",
                                        "", "",     "close",  "ping", "pong"};
    if (p->opcode >= WS_CLOSE || p->is_first)
        say(r, "%s%s(", p->is_compressed ? "z" : "", names[p->opcode]);
    say(r, "%.*s", (int)p->bytes.len, p->bytes.ptr);
    if (p->opcode >= WS_CLOSE || p->is_last)
        say(r, ")");
}

static void start(struct reading *r)
{
    ws_reader_init(&r->reader);
    r->n = 0;
    r->text[0] = '\0';
    r->is_over = false;
}

static void feed(struct reading *r, const char *bytes, size_t n)
{
    struct sprig_span in = span_make(guard_copy(bytes, n), n);
    struct ws_piece piece;
    int rc = WS_READ_MORE;
    while (!r->is_over && (rc = ws_read(&r->reader, &r->limits, &in, &piece)) > 0)
        tell(r, &piece);
    if (rc < 0)
        say(r, "=%d %s", -rc, r->reader.reason);
    r->is_over |= rc < 0;
}

/* A masked frame behind *at. `first` is its first byte. */
static char *frame(char *at, uint8_t first, const char *payload, size_t n)
{
    static const char mask[4] = {0x12, (char)0xab, 0x00, (char)0xff};
    char *start = at;
    at += ws_write_head(at, first, n);
    start[1] = (char)(start[1] | 0x80);
    memcpy(at, mask, 4);
    at += 4;
    for (size_t i = 0; i < n; i++)
        *at++ = (char)(payload[i] ^ mask[i & 3]);
    return at;
}

static void is_read(struct reading *r, const char *bytes, size_t n, const char *expected,
                    const char *name)
{
    start(r);
    feed(r, bytes, n);
    is_str(r->text, expected, "%s", name);
    ws_reader_clear(&r->reader);
    int n_wrong = 0;
    for (size_t cut = 1; cut < n; cut++) {
        start(r);
        feed(r, bytes, cut);
        feed(r, bytes + cut, n - cut);
        n_wrong += strcmp(r->text, expected) != 0;
        ws_reader_clear(&r->reader);
    }
    start(r);
    for (size_t i = 0; i < n; i++)
        feed(r, bytes + i, 1);
    n_wrong += strcmp(r->text, expected) != 0;
    ws_reader_clear(&r->reader);
    is_int(n_wrong, 0, "%s: the same in pieces, wherever it is cut", name);
}

static struct reading reading(uint64_t max_bytes, uint32_t max_fragments)
{
    return (struct reading){.limits = {max_bytes, max_fragments, false}};
}

static void test_messages(void)
{
    struct reading r = reading(1000, 10);
    char bytes[512], *at = frame(bytes, WS_FINAL | WS_TEXT, "Hello", 5);
    is_read(&r, bytes, (size_t)(at - bytes), "text(Hello)", "a text");
    at = frame(bytes, WS_FINAL | WS_BINARY, "", 0);
    is_read(&r, bytes, (size_t)(at - bytes), "binary()", "an empty message");
    at = frame(bytes, WS_TEXT, "Hel", 3);
    at = frame(at, WS_FINAL | WS_PING, "now", 3);
    at = frame(at, WS_CONTINUATION, "", 0);
    at = frame(at, WS_FINAL | WS_CONTINUATION, "lo", 2);
    at = frame(at, WS_FINAL | WS_CLOSE, "", 0);
    is_read(&r, bytes, (size_t)(at - bytes), "text(Helping(now)lo)close()",
            "fragments, and a ping between them");
    at = frame(bytes, WS_TEXT, "", 0);
    at = frame(at, WS_FINAL | WS_CONTINUATION, "", 0);
    at = frame(at, WS_FINAL | WS_PONG, "0123456789abcdef0", 17);
    is_read(&r, bytes, (size_t)(at - bytes), "text()pong(0123456789abcdef0)", "empty fragments");
    char payload[200];
    memset(payload, 'x', sizeof payload);
    at = frame(bytes, WS_FINAL | WS_BINARY, payload, sizeof payload);
    char expected[300];
    snprintf(expected, sizeof expected, "binary(%.200s)", payload);
    is_read(&r, bytes, (size_t)(at - bytes), expected, "a length of two bytes");
}

static void test_rules(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *expected;
    } rows[] = {
#define ROW(bytes, expected) {bytes, sizeof(bytes) - 1, expected}
        ROW("\xc1", "=1002 a reserved bit is set"),
        ROW("\xa1", "=1002 a reserved bit is set"),
        ROW("\x91", "=1002 a reserved bit is set"),
        ROW("\x83", "=1002 an unknown opcode"),
        ROW("\x87", "=1002 an unknown opcode"),
        ROW("\x8b", "=1002 an unknown opcode"),
        ROW("\x8f", "=1002 an unknown opcode"),
        ROW("\x09", "=1002 a fragmented control frame"),
        ROW("\x80", "=1002 a continuation without a message"),
        ROW("\x81\x05", "=1002 an unmasked frame"),
        ROW("\x89\xfe", "=1002 a control frame of more than 125 bytes"),
        ROW("\x88\xff", "=1002 a control frame of more than 125 bytes"),
        ROW("\x81\xfe\x00\x7d\0\0\0\0", "=1002 a length in a longer form than it needs"),
        ROW("\x81\xff\0\0\0\0\0\0\xff\xff\0\0\0\0",
            "=1002 a length in a longer form than it needs"),
        ROW("\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0", "=1002 a length of more than 63 bits"),
        ROW("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
            "=1009 websocket_max_message_bytes: the message is too large"),
        ROW("\x01\x80\0\0\0\0\x81", "text(=1002 a message inside another one"),
        ROW("\x81\x80\0\0\0\0\x80", "text()=1002 a continuation without a message"),
    };
    struct reading r = reading(1000, 10);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        is_read(&r, rows[i].bytes, rows[i].n, rows[i].expected, rows[i].expected);
}

static void test_compressed_bit(void)
{
    struct reading r = reading(1000, 10);
    char bytes[64], *at = frame(bytes, WS_COMPRESSED | WS_TEXT, "a", 1);
    at = frame(at, WS_FINAL, "b", 1);
    r.limits.compressed = true;
    is_read(&r, bytes, (size_t)(at - bytes), "ztext(ab)", "a compressed message in fragments");
    at = frame(bytes, WS_TEXT, "a", 1);
    at = frame(at, WS_FINAL | WS_COMPRESSED, "b", 1);
    is_read(&r, bytes, (size_t)(at - bytes), "text(a=1002 a compressed frame inside a message",
            "compressed from the middle on");
    at = frame(bytes, WS_FINAL | WS_COMPRESSED | WS_PING, "", 0);
    is_read(&r, bytes, (size_t)(at - bytes), "=1002 a compressed frame inside a message",
            "a compressed ping");
}

/* At the limit, and one past it. */
static void test_limits(void)
{
    char bytes[256], *at = frame(bytes, WS_TEXT, "abcde", 5);
    at = frame(at, WS_FINAL, "fgh", 3);
    size_t n = (size_t)(at - bytes);
    struct reading r = reading(8, 2);
    is_read(&r, bytes, n, "text(abcdefgh)", "as many bytes and fragments as there may be");
    r = reading(7, 2);
    is_read(&r, bytes, n, "text(abcde=1009 websocket_max_message_bytes: the message is too large",
            "one byte more");
    r = reading(8, 1);
    is_read(&r, bytes, n, "text(abcde=1008 websocket_max_fragments: too many frames in a message",
            "one fragment more");
    r = reading(0, 0);
    is_read(&r, bytes, n, "text(abcdefgh)", "no limits");
}

static void test_heads(void)
{
    static const struct {
        uint64_t n;
        const char *bytes;
        size_t len;
    } rows[] = {
        {0, "\x81\x00", 2},
        {125, "\x81\x7d", 2},
        {126, "\x81\x7e\x00\x7e", 4},
        {65535, "\x81\x7e\xff\xff", 4},
        {65536, "\x81\x7f\0\0\0\0\0\1\0\0", 10},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char head[10];
        size_t n = ws_write_head(head, WS_FINAL | WS_TEXT, rows[i].n);
        ok(n == rows[i].len && memcmp(head, rows[i].bytes, n) == 0, "the head for %llu bytes",
           (unsigned long long)rows[i].n);
    }
}

static void test_closes(void)
{
    static const struct {
        const char *payload;
        size_t n;
        int rc, code;
        const char *reason;
    } rows[] = {
        {"", 0, 0, 1005, ""},
        {"\x03", 1, 1002, 1005, ""},
        {"\x03\xe8", 2, 0, 1000, ""},
        {"\x03\xe9"
         "bye",
         5, 0, 1001, "bye"},
        {"\x03\xe8\xce", 3, 1007, 1005, ""},
        {"\x03\xe8\xce\xba", 4, 0, 1000, "\xce\xba"},
    };
    uint16_t code;
    struct sprig_span reason;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sprig_span payload = span_make(guard_copy(rows[i].payload, rows[i].n), rows[i].n);
        is_int(ws_read_close(payload, &code, &reason), rows[i].rc, "close %zu: verdict", i);
        is_int(code, rows[i].code, "close %zu: code", i);
        is_span(reason, rows[i].reason, "close %zu: reason", i);
    }
    char all[4096];
    size_t n = 0;
    for (uint32_t c = 0; c < 65536; c++)
        if (ws_close_is_valid(c) && (c < 3002 || c > 4997))
            n += (size_t)snprintf(all + n, sizeof all - n, "%u ", c);
    is_str(all, "1000 1001 1002 1003 1007 1008 1009 1010 1011 1012 1013 1014 3000 3001 4998 4999 ",
           "the codes that may be sent");
    char bytes[WS_MAX_CONTROL];
    is_int((long long)ws_write_close(bytes, 1001, SPAN_LIT("bye")), 5, "a close is written");
    ok(memcmp(bytes,
              "\x03\xe9"
              "bye",
              5) == 0,
       "as it is read");
    is_int((long long)ws_write_close(bytes, 1005, SPAN_LIT("")), 0, "one that says nothing");
}

int main(void)
{
    test_messages();
    test_rules();
    test_compressed_bit();
    test_limits();
    test_heads();
    test_closes();
    return done_testing();
}

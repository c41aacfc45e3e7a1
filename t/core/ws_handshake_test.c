/* ws_handshake_test.c - opening handshakes, SHA-1, and what is agreed on. */
#include "http/parser.h"
#include "tap.h"
#include "ws/handshake.h"
#include "ws/sha1.h"

#include <stdlib.h>

static void test_sha1(void)
{
    static const struct {
        const char *text, *hex;
    } rows[] = {
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
         "cef734ba81a024479e09eb5a75b6ddae62e6abf1"},
        {"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
         "8902d391f35bbaf08469aee6ab763e4048f3f6ba"},
        {"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
         "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
         "85843975fc0c4b3f138f1712c37de691d4078286"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char digest[SHA1_BYTES];
        char hex[2 * SHA1_BYTES + 1];
        sha1_short(span_str(rows[i].text), digest);
        for (size_t k = 0; k < SHA1_BYTES; k++)
            snprintf(hex + 2 * k, 3, "%02x", digest[k]);
        is_str(hex, rows[i].hex, "SHA-1 of '%s'", rows[i].text);
    }
}

static void test_accept(void)
{
    char accept[WS_ACCEPT_LEN];
    ws_handshake_accept(SPAN_LIT("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    is_bytes(accept, sizeof accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the example of RFC 6455");
}

/* Whether a request with these lines opens a WebSocket. */
static bool opens(const char *line, const char *fields)
{
    char head[1024];
    struct parser parser;
    struct parser_limits limits = {1000, 8000, 100};
    struct parser_scratch scratch = {0};
    struct sprig_request req = {0};
    struct parser_refusal why;
    int n = snprintf(head, sizeof head, "%s\r\nHost: a\r\n%s\r\n", line, fields);
    parser_init(&parser);
    bool is_valid =
        parser_head(&parser, span_make(head, (size_t)n), &limits, &scratch, &req, &why) > 0 &&
        ws_handshake_is_valid(&req);
    request_clear(&req);
    scratch_clear(&scratch);
    return is_valid;
}

#define GET     "GET /chat HTTP/1.1"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"

static void test_requests(void)
{
    ok(opens(GET, UPGRADE KEY VERSION), "a handshake");
    ok(opens(GET, "Upgrade: h2c, WebSocket\r\nConnection: keep-alive, upgrade\r\n" KEY VERSION),
       "in lists, of any case");
    ok(opens(GET, "Content-Length: 0\r\n" UPGRADE KEY VERSION), "an empty body");
    ok(!opens("POST /chat HTTP/1.1", UPGRADE KEY VERSION), "POST");
    ok(!opens("GET /chat HTTP/1.0", UPGRADE KEY VERSION), "HTTP/1.0");
    ok(!opens(GET, "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY VERSION), "another protocol");
    ok(!opens(GET, "Upgrade: websocket\r\n" KEY VERSION), "no Connection");
    ok(!opens(GET, UPGRADE VERSION), "no key");
    ok(!opens(GET, UPGRADE KEY), "no version");
    ok(!opens(GET, UPGRADE KEY "Sec-WebSocket-Version: 8\r\n"), "version 8");
    ok(!opens(GET, UPGRADE KEY KEY VERSION), "two keys");
    ok(!opens(GET, UPGRADE KEY VERSION VERSION), "two versions");
    ok(!opens(GET, UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n" VERSION),
       "a short key");
    ok(!opens(GET, UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ*==\r\n" VERSION),
       "a key that is no base64");
    ok(!opens(GET, UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n" VERSION),
       "a key with bits behind its end");
    ok(!opens(GET, "Content-Length: 1\r\n" UPGRADE KEY VERSION), "a body");
}

static void test_protocols(void)
{
    struct sprig_span offer = SPAN_LIT("chat.v2, chat , Superchat");
    ok(ws_handshake_offers(offer, SPAN_LIT("chat.v2")), "the first");
    ok(ws_handshake_offers(offer, SPAN_LIT("chat")), "one in the middle");
    ok(!ws_handshake_offers(offer, SPAN_LIT("superchat")), "case counts");
    ok(!ws_handshake_offers(offer, SPAN_LIT("cha")), "not a part of one");
    ok(!ws_handshake_offers(span_make(NULL, 0), SPAN_LIT("chat")), "no offer");
}

#define PMD "permessage-deflate"

static void test_deflate(void)
{
    static const struct {
        const char *offer;
        struct ws_deflate_terms wish;
        const char *answer;
    } rows[] = {
        {PMD, {true, true, 15, 15}, PMD},
        {PMD,
         {false, false, 15, 15},
         PMD "; server_no_context_takeover; client_no_context_takeover"},
        {"x-webkit-deflate-frame, " PMD, {true, true, 15, 15}, PMD},
        {PMD "; client_max_window_bits", {true, true, 15, 15}, PMD},
        {PMD "; client_max_window_bits", {true, true, 15, 12}, PMD "; client_max_window_bits=12"},
        {PMD "; client_max_window_bits=10",
         {true, true, 15, 12},
         PMD "; client_max_window_bits=10"},
        {PMD, {true, true, 11, 12}, PMD "; server_max_window_bits=11"},
        {PMD "; server_max_window_bits=10",
         {true, true, 15, 15},
         PMD "; server_max_window_bits=10"},
        {PMD ";server_max_window_bits=\"10\"",
         {true, true, 9, 15},
         PMD "; server_max_window_bits=9"},
        {PMD "; server_max_window_bits=15",
         {true, true, 15, 15},
         PMD "; server_max_window_bits=15"},
        {PMD "; server_no_context_takeover",
         {true, true, 15, 15},
         PMD "; server_no_context_takeover"},
        {PMD "; client_no_context_takeover",
         {true, true, 15, 15},
         PMD "; client_no_context_takeover"},
        {PMD "; server_max_window_bits=8", {true, true, 15, 15}, ""},
        {PMD "; server_max_window_bits=8, " PMD, {true, true, 15, 15}, PMD},
        {PMD "; server_max_window_bits", {true, true, 15, 15}, ""},
        {PMD "; server_max_window_bits=16", {true, true, 15, 15}, ""},
        {PMD "; server_max_window_bits=010", {true, true, 15, 15}, ""},
        {PMD "; server_max_window_bits=7", {true, true, 15, 15}, ""},
        {PMD "; client_max_window_bits=0", {true, true, 15, 15}, ""},
        {PMD "; client_max_window_bits=1x", {true, true, 15, 15}, ""},
        {PMD "; server_no_context_takeover=1", {true, true, 15, 15}, ""},
        {PMD "; client_no_context_takeover; client_no_context_takeover", {true, true, 15, 15}, ""},
        {PMD "; something", {true, true, 15, 15}, ""},
        {PMD ";", {true, true, 15, 15}, ""},
        {"x-" PMD, {true, true, 15, 15}, ""},
        {"", {true, true, 15, 15}, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ws_deflate_terms terms = rows[i].wish;
        char answer[WS_EXTENSION_BYTES];
        size_t n = ws_handshake_deflate(span_str(rows[i].offer), &terms, answer);
        is_bytes(answer, n, rows[i].answer, "'%s'", rows[i].offer);
        ok(n < WS_EXTENSION_BYTES, "within its room");
    }
}

int main(void)
{
    test_sha1();
    test_accept();
    test_requests();
    test_protocols();
    test_deflate();
    return done_testing();
}

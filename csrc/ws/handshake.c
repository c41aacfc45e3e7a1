/* handshake.c - see handshake.h */
#include "ws/handshake.h"

#include "base/number.h"
#include "http/elements.h"
#include "ws/sha1.h"
#include <stdlib.h>

enum { KEY_LEN = 24 };

/* --------------------------------------------------------------- the request ---- */

/* Whether any field of that name has this element. */
static bool has_element(const struct sprig_request *req, struct sprig_span name,
                        struct sprig_span wanted)
{
    for (uint32_t i = 0; i < req->n_headers; i++) {
        struct sprig_span list = req->headers[i].value, element;
        if (!span_ieq(req->headers[i].name, name))
            continue;
        while (element_first(&list, &element))
            if (span_ieq(element, wanted))
                return true;
    }
    return false;
}

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* 16 bytes in base64: the last of 22 characters holds two bits. */
static bool key_is_valid(struct sprig_span key)
{
    if (key.len != KEY_LEN || key.ptr[22] != '=' || key.ptr[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++)
        if (!is_base64(key.ptr[i]))
            return false;
    return memchr("AQgw", key.ptr[21], 4) != NULL;
}

static uint32_t n_fields(const struct sprig_request *req, struct sprig_span name)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < req->n_headers; i++)
        n += span_ieq(req->headers[i].name, name);
    return n;
}

static bool has_version(const struct sprig_request *req)
{
    struct sprig_span name = SPAN_LIT("Sec-WebSocket-Version");
    return n_fields(req, name) == 1 && span_eq(request_header(req, name), SPAN_LIT("13"));
}

/* Over HTTP/2 there is no key (RFC 8441 section 5); the rest was checked there. */
static bool is_valid_stream(const struct sprig_request *req)
{
    return req->upgrade && span_eq(req->method, SPAN_LIT("GET")) && has_version(req);
}

bool ws_handshake_is_valid(const struct sprig_request *req)
{
    if (req->version >= 20)
        return is_valid_stream(req);
    return req->upgrade && req->version == 11 && span_eq(req->method, SPAN_LIT("GET")) &&
           req->content_length == 0 && !req->chunked &&
           has_element(req, SPAN_LIT("Upgrade"), SPAN_LIT("websocket")) && has_version(req) &&
           n_fields(req, SPAN_LIT("Sec-WebSocket-Key")) == 1 &&
           key_is_valid(request_header(req, SPAN_LIT("Sec-WebSocket-Key")));
}

/* Several fields form one list (RFC 9110 section 5.3). */
static char *join_fields(const struct sprig_request *req, struct sprig_span name, size_t *len)
{
    size_t n = 0;
    for (uint32_t i = 0; i < req->n_headers; i++)
        n += req->headers[i].value.len + 1;
    char *text = malloc(n), *at = text;
    for (uint32_t i = 0; text != NULL && i < req->n_headers; i++) {
        struct sprig_span value = req->headers[i].value;
        if (!span_ieq(req->headers[i].name, name))
            continue;
        if (at > text)
            *at++ = ',';
        memcpy(at, value.ptr, value.len);
        at += value.len;
    }
    *len = (size_t)(at - text);
    return text;
}

struct sprig_span ws_handshake_field(const struct sprig_request *req, struct sprig_span name,
                                     char **own)
{
    size_t len = 0;
    *own = NULL;
    if (n_fields(req, name) < 2)
        return request_header(req, name);
    *own = join_fields(req, name, &len);
    return span_make(*own, len);
}

/* ---------------------------------------------------------------- the answer ---- */

static void put_base64(const unsigned char *bytes, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= i + 2 < n ? bytes[i + 2] : 0;
        *out++ = digits[word >> 18];
        *out++ = digits[word >> 12 & 63];
        *out++ = i + 1 < n ? digits[word >> 6 & 63] : '=';
        *out++ = i + 2 < n ? digits[word & 63] : '=';
    }
}

void ws_handshake_accept(struct sprig_span key, char out[WS_ACCEPT_LEN])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_LEN + sizeof guid - 1];
    unsigned char digest[SHA1_BYTES];
    memcpy(text, key.ptr, KEY_LEN);
    memcpy(text + KEY_LEN, guid, sizeof guid - 1);
    sha1_short(span_make(text, sizeof text), digest);
    put_base64(digest, sizeof digest, out);
}

bool ws_handshake_offers(struct sprig_span offer, struct sprig_span protocol)
{
    struct sprig_span element;
    while (element_first(&offer, &element))
        if (span_eq(element, protocol))
            return true;
    return false;
}

/* ------------------------------------------------------- permessage-deflate ---- */

/* What one offer asks for. */
struct offer {
    bool server_no_takeover, client_no_takeover, has_server_bits, has_client_bits;
    uint8_t server_bits, client_bits; /* 0: no number */
};

/* Takes the text before the separator off *text, trimmed. */
static bool take_part(struct sprig_span *text, char separator, struct sprig_span *part)
{
    if (text->ptr == NULL)
        return false;
    const char *end = memchr(text->ptr, separator, text->len);
    size_t n = end != NULL ? (size_t)(end - text->ptr) : text->len;
    *part = span_trim(span_make(text->ptr, n));
    *text = end != NULL ? span_make(end + 1, text->len - n - 1) : span_make(NULL, 0);
    return true;
}

/* 8..15, without leading zeros; may be quoted. */
static bool read_bits(struct sprig_span value, uint8_t *bits)
{
    uint64_t n;
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        value = span_make(value.ptr + 1, value.len - 2);
    if (value.len == 0 || value.ptr[0] == '0' || !number_read(value, 15, &n) || n < 8)
        return false;
    *bits = (uint8_t)n;
    return true;
}

static bool set_once(bool *flag)
{
    bool was_set = *flag;
    *flag = true;
    return !was_set;
}

/* False: unknown, given twice, or with an invalid value. */
static bool read_parameter(struct sprig_span text, struct offer *o)
{
    struct sprig_span name, value;
    take_part(&text, '=', &name);
    bool has_value = text.ptr != NULL;
    value = span_trim(text);
    if (span_ieq(name, SPAN_LIT("server_no_context_takeover")))
        return !has_value && set_once(&o->server_no_takeover);
    if (span_ieq(name, SPAN_LIT("client_no_context_takeover")))
        return !has_value && set_once(&o->client_no_takeover);
    if (span_ieq(name, SPAN_LIT("server_max_window_bits")))
        return has_value && set_once(&o->has_server_bits) && read_bits(value, &o->server_bits);
    if (span_ieq(name, SPAN_LIT("client_max_window_bits")))
        return set_once(&o->has_client_bits) && (!has_value || read_bits(value, &o->client_bits));
    return false;
}

static bool read_offer(struct sprig_span text, struct offer *o)
{
    struct sprig_span part;
    *o = (struct offer){0};
    if (!take_part(&text, ';', &part) || !span_ieq(part, SPAN_LIT("permessage-deflate")))
        return false;
    while (take_part(&text, ';', &part))
        if (!read_parameter(part, o))
            return false;
    return true;
}

/* Settles what both sides will do. False: the client wants a window of 8 bits, which the library
 * does not have. */
static bool agree(const struct offer *o, struct ws_deflate_terms *terms)
{
    if (o->server_bits == 8)
        return false;
    if (o->server_bits != 0 && o->server_bits < terms->server_bits)
        terms->server_bits = o->server_bits;
    if (!o->has_client_bits)
        terms->client_bits = 15; /* the client may not support less */
    else if (o->client_bits != 0 && o->client_bits < terms->client_bits)
        terms->client_bits = o->client_bits;
    terms->server_takeover &= !o->server_no_takeover;
    terms->client_takeover &= !o->client_no_takeover;
    return true;
}

static char *put_text(char *at, const char *text)
{
    size_t n = strlen(text);
    memcpy(at, text, n);
    return at + n;
}

/* RFC 7692 section 7.1: server_max_window_bits must be answered if it was requested, and may be
 * sent anyway; client_max_window_bits only if it was offered. */
static size_t write_terms(const struct offer *o, const struct ws_deflate_terms *terms, char *out)
{
    char *at = put_text(out, "permessage-deflate");
    if (!terms->server_takeover)
        at = put_text(at, "; server_no_context_takeover");
    if (!terms->client_takeover)
        at = put_text(at, "; client_no_context_takeover");
    if (o->has_server_bits || terms->server_bits < 15)
        at = number_write(put_text(at, "; server_max_window_bits="), terms->server_bits);
    if (o->has_client_bits && terms->client_bits < 15)
        at = number_write(put_text(at, "; client_max_window_bits="), terms->client_bits);
    return (size_t)(at - out);
}

size_t ws_handshake_deflate(struct sprig_span offer, struct ws_deflate_terms *terms,
                            char out[WS_EXTENSION_BYTES])
{
    struct sprig_span element;
    struct offer o;
    while (element_first(&offer, &element)) {
        struct ws_deflate_terms agreed = *terms;
        if (!read_offer(element, &o) || !agree(&o, &agreed))
            continue;
        *terms = agreed;
        return write_terms(&o, terms, out);
    }
    return 0;
}

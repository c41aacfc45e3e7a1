/* frame.c - see frame.h */
#include "ws/frame.h"

#include "base/utf8.h"
#include <stdlib.h>

/* ------------------------------------------------------------------ masking ---- */

/* Eight bytes of the repeated mask, starting with its byte `at`. */
static uint64_t mask_word(const unsigned char *mask, unsigned at)
{
    unsigned char bytes[8];
    uint64_t word;
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = mask[(at + i) & 3];
    memcpy(&word, bytes, 8);
    return word;
}

/* Eight bytes are exactly two rounds of the mask, so its word stays the same. */
static void unmask(char *at, size_t n, const unsigned char *mask, unsigned mask_at)
{
    uint64_t key = mask_word(mask, mask_at), word;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, at + i, 8);
        word ^= key;
        memcpy(at + i, &word, 8);
    }
    for (; i < n; i++)
        at[i] ^= (char)mask[(mask_at + i) & 3];
}

/* -------------------------------------------------------------------- heads ---- */

static unsigned opcode_of(const struct ws_reader *r)
{
    return r->head[0] & 0x0fu;
}

static bool is_control(const struct ws_reader *r)
{
    return opcode_of(r) >= WS_CLOSE;
}

static bool is_final(const struct ws_reader *r)
{
    return r->head[0] & WS_FINAL;
}

static int refuse(struct ws_reader *r, int code, const char *reason)
{
    r->reason = reason;
    return -code;
}

/* The length of the head, from its second byte. */
static unsigned head_size(unsigned char second)
{
    unsigned length = second & 0x7f;
    return 2u + (length == 126 ? 2 : length == 127 ? 8 : 0) + 4u;
}

static uint64_t big_endian(const unsigned char *at, unsigned n)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < n; i++)
        value = value << 8 | at[i];
    return value;
}

/* Checks what the first byte alone can show. */
static int check_first(struct ws_reader *r, const struct ws_limits *limits)
{
    unsigned first = r->head[0], opcode = opcode_of(r);
    if (first & 0x30 || (first & WS_COMPRESSED && !limits->compressed))
        return refuse(r, WS_CLOSE_PROTOCOL, "a reserved bit is set");
    if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG)
        return refuse(r, WS_CLOSE_PROTOCOL, "an unknown opcode");
    if (first & WS_COMPRESSED && (opcode == WS_CONTINUATION || opcode >= WS_CLOSE))
        return refuse(r, WS_CLOSE_PROTOCOL, "a compressed frame inside a message");
    if (opcode >= WS_CLOSE)
        return is_final(r) ? 0 : refuse(r, WS_CLOSE_PROTOCOL, "a fragmented control frame");
    if (opcode == WS_CONTINUATION && r->message == 0)
        return refuse(r, WS_CLOSE_PROTOCOL, "a continuation without a message");
    if (opcode != WS_CONTINUATION && r->message != 0)
        return refuse(r, WS_CLOSE_PROTOCOL, "a message inside another one");
    return 0;
}

static int check_second(struct ws_reader *r)
{
    if (!(r->head[1] & 0x80))
        return refuse(r, WS_CLOSE_PROTOCOL, "an unmasked frame");
    if (is_control(r) && (r->head[1] & 0x7f) > WS_MAX_CONTROL)
        return refuse(r, WS_CLOSE_PROTOCOL, "a control frame of more than 125 bytes");
    return 0;
}

/* Compressed bytes may be slightly more than the original. */
static uint64_t message_limit(const struct ws_reader *r, const struct ws_limits *limits)
{
    uint64_t max = limits->max_message_bytes;
    return r->is_compressed ? max + max / 64 + 64 : max;
}

/* Counts a frame: is the message still within the limits? */
static int count_frame(struct ws_reader *r, const struct ws_limits *limits)
{
    if (opcode_of(r) != WS_CONTINUATION) {
        r->message = (uint8_t)opcode_of(r);
        r->is_compressed = r->head[0] & WS_COMPRESSED;
        r->n_bytes = r->n_frames = 0;
    }
    if (limits->max_fragments != 0 && r->n_frames >= limits->max_fragments)
        return refuse(r, WS_CLOSE_POLICY, "websocket_max_fragments: too many frames in a message");
    r->n_frames++;
    uint64_t max = message_limit(r, limits);
    if (limits->max_message_bytes != 0 && (r->left > max || r->n_bytes > max - r->left))
        return refuse(r, WS_CLOSE_TOO_BIG, "websocket_max_message_bytes: the message is too large");
    r->n_bytes += r->left;
    return 0;
}

/* Takes the length, which must use the shortest of its three forms. */
static int take_length(struct ws_reader *r)
{
    unsigned n = head_size(r->head[1]) - 6;
    r->left = n == 0 ? r->head[1] & 0x7fu : big_endian(r->head + 2, n);
    if ((n == 2 && r->left < 126) || (n == 8 && r->left <= 0xffff))
        return refuse(r, WS_CLOSE_PROTOCOL, "a length in a longer form than it needs");
    if (r->left >> 63)
        return refuse(r, WS_CLOSE_PROTOCOL, "a length of more than 63 bits");
    return 0;
}

/* The head is complete. */
static int take_head(struct ws_reader *r, const struct ws_limits *limits)
{
    int rc = take_length(r);
    if (rc == 0 && !is_control(r))
        rc = count_frame(r, limits);
    r->is_in_payload = rc == 0;
    r->mask_at = 0;
    r->n_control = 0;
    return rc;
}

/* Adds bytes to the head. 1: complete, 0: not yet, or below 0. Each byte is checked as soon as it
 * arrives, so we do not wait for a peer that sends nonsense. */
static int read_head(struct ws_reader *r, const struct ws_limits *limits, struct sprig_span *in)
{
    while (in->len > 0) {
        int rc = 0;
        r->head[r->n_head++] = (unsigned char)*in->ptr;
        *in = span_make(in->ptr + 1, in->len - 1);
        if (r->n_head == 1)
            rc = check_first(r, limits);
        else if (r->n_head == 2)
            rc = check_second(r);
        else if (r->n_head == head_size(r->head[1]))
            return (rc = take_head(r, limits)) < 0 ? rc : 1;
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ----------------------------------------------------------------- payloads ---- */

/* The part of this frame's payload that the input has, unmasked. */
static struct sprig_span take_payload(struct ws_reader *r, struct sprig_span *in)
{
    size_t n = in->len < r->left ? in->len : (size_t)r->left;
    struct sprig_span bytes = span_make(in->ptr, n);
    if (n > 0)
        unmask((char *)in->ptr, n, r->head + r->n_head - 4, r->mask_at);
    r->mask_at = (uint8_t)((r->mask_at + n) & 3);
    r->left -= n;
    *in = span_make(in->ptr + n, in->len - n);
    return bytes;
}

static void end_frame(struct ws_reader *r)
{
    r->n_head = 0;
    r->is_in_payload = false;
}

static int read_data(struct ws_reader *r, struct sprig_span *in, struct ws_piece *piece)
{
    bool is_first = r->n_frames == 1 && r->left == r->n_bytes; /* none of it was taken yet */
    if (in->len == 0 && r->left > 0)
        return WS_READ_MORE;
    *piece = (struct ws_piece){.opcode = r->message, .is_compressed = r->is_compressed};
    piece->bytes = take_payload(r, in);
    piece->is_first = is_first;
    if (r->left > 0)
        return WS_READ_DATA;
    piece->is_last = is_final(r);
    piece->is_whole = is_first && piece->is_last;
    if (piece->is_last)
        r->message = 0;
    end_frame(r);
    return WS_READ_DATA;
}

/* Assembles a control frame that arrives in pieces. */
static int keep_control(struct ws_reader *r, struct sprig_span bytes)
{
    if (r->control == NULL && (r->control = malloc(WS_MAX_CONTROL)) == NULL)
        return refuse(r, WS_CLOSE_ERROR, "out of memory");
    if (bytes.len > 0)
        memcpy(r->control + r->n_control, bytes.ptr, bytes.len);
    r->n_control = (uint8_t)(r->n_control + bytes.len);
    return 0;
}

static int read_control(struct ws_reader *r, struct sprig_span *in, struct ws_piece *piece)
{
    struct sprig_span bytes = take_payload(r, in);
    bool is_cut = r->left > 0 || r->n_control > 0;
    if (is_cut && keep_control(r, bytes) < 0)
        return -WS_CLOSE_ERROR;
    if (r->left > 0)
        return WS_READ_MORE;
    *piece = (struct ws_piece){.opcode = (uint8_t)opcode_of(r)};
    piece->bytes = is_cut ? span_make(r->control, r->n_control) : bytes;
    end_frame(r);
    return WS_READ_CONTROL;
}

/* -------------------------------------------------------------- the reader ---- */

void ws_reader_init(struct ws_reader *r)
{
    *r = (struct ws_reader){0};
}

void ws_reader_clear(struct ws_reader *r)
{
    free(r->control);
    ws_reader_init(r);
}

int ws_read(struct ws_reader *r, const struct ws_limits *limits, struct sprig_span *in,
            struct ws_piece *piece)
{
    if (!r->is_in_payload) {
        int rc = read_head(r, limits, in);
        if (rc <= 0)
            return rc;
    }
    return is_control(r) ? read_control(r, in, piece) : read_data(r, in, piece);
}

/* ------------------------------------------------------------------ writing ---- */

static char *put_big_endian(char *at, uint64_t value, unsigned n)
{
    for (unsigned i = n; i-- > 0; value >>= 8)
        at[i] = (char)(value & 0xff);
    return at + n;
}

size_t ws_write_head(char *at, uint8_t first, uint64_t n)
{
    char *start = at;
    *at++ = (char)first;
    if (n < 126) {
        *at++ = (char)n;
    } else if (n <= 0xffff) {
        *at++ = 126;
        at = put_big_endian(at, n, 2);
    } else {
        *at++ = 127;
        at = put_big_endian(at, n, 8);
    }
    return (size_t)(at - start);
}

size_t ws_write_close(char *at, uint16_t code, struct sprig_span reason)
{
    if (code == WS_CLOSE_NO_CODE)
        return 0;
    at = put_big_endian(at, code, 2);
    if (reason.len > 0)
        memcpy(at, reason.ptr, reason.len);
    return 2 + reason.len;
}

bool ws_close_is_valid(uint32_t code)
{
    if (code >= 1000 && code <= 1014)
        return code != 1004 && code != WS_CLOSE_NO_CODE && code != WS_CLOSE_ABNORMAL;
    return code >= 3000 && code <= 4999;
}

int ws_read_close(struct sprig_span payload, uint16_t *code, struct sprig_span *reason)
{
    *code = WS_CLOSE_NO_CODE;
    *reason = span_make(NULL, 0);
    if (payload.len == 0)
        return 0;
    if (payload.len == 1)
        return WS_CLOSE_PROTOCOL;
    uint16_t said = (uint16_t)big_endian((const unsigned char *)payload.ptr, 2);
    if (!ws_close_is_valid(said))
        return WS_CLOSE_PROTOCOL;
    struct sprig_span text = span_make(payload.ptr + 2, payload.len - 2);
    if (!utf8_is_valid(text))
        return WS_CLOSE_NOT_UTF8;
    *code = said;
    *reason = text;
    return 0;
}

/* frame.h - frames of the WebSocket protocol (RFC 6455 section 5): read as they come, written at
 * once. Knows no socket, no text and no compression; what is read of a client is unmasked in place.
 */
#ifndef SPRIG_WS_FRAME_H
#define SPRIG_WS_FRAME_H

#include "base/span.h"
#include <stdint.h>

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
};

/* Why a connection ends (RFC 6455 section 7.4.1, and the registry of IANA). */
enum ws_close {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_NO_CODE = 1005,  /* never sent: the peer's Close said none */
    WS_CLOSE_ABNORMAL = 1006, /* never sent: there was no Close */
    WS_CLOSE_NOT_UTF8 = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_ERROR = 1011,
    WS_CLOSE_RESTART = 1012,
    WS_CLOSE_LATER = 1013
};

enum {
    WS_FINAL = 0x80,      /* of the first byte: the last frame of its message */
    WS_COMPRESSED = 0x40, /* RSV1 (RFC 7692 section 6) */
    WS_MAX_HEAD = 14,     /* bytes of a frame's head: with its mask, which servers do not send */
    WS_MAX_CONTROL = 125, /* bytes of a control frame's payload */
    WS_MAX_REASON = WS_MAX_CONTROL - 2
};

/* What a reader allows. */
struct ws_limits {
    uint64_t max_message_bytes; /* 0: no limit */
    uint32_t max_fragments;     /* frames of a message, empty ones included; 0: no limit */
    bool compressed;            /* permessage-deflate was agreed on */
};

/* The frames of one client. */
struct ws_reader {
    uint64_t left;     /* of the payload of this frame */
    uint64_t n_bytes;  /* of this message, those announced included */
    uint32_t n_frames; /* of this message */
    unsigned char head[WS_MAX_HEAD];
    uint8_t n_head;         /* bytes of `head` that are there */
    uint8_t mask_at;        /* byte of the mask for the next byte of payload */
    uint8_t message;        /* opcode of the message that is incomplete; 0: none */
    bool is_in_payload : 1; /* the head of this frame is complete */
    bool is_compressed : 1; /* this message is */
    uint8_t n_control;      /* bytes of `control` */
    char *control;          /* owned: a control frame that came in pieces; NULL mostly */
    const char *reason;     /* static text, behind an error */
};

/* What ws_read found. */
struct ws_piece {
    struct sprig_span bytes; /* unmasked */
    uint8_t opcode;          /* of a control frame, or of the message */
    bool is_compressed;
    bool is_first, is_last; /* piece of its message, empty ones included */
    bool is_whole;          /* both */
};

enum { WS_READ_MORE, WS_READ_DATA, WS_READ_CONTROL };

void ws_reader_init(struct ws_reader *r);
void ws_reader_clear(struct ws_reader *r);
/* Nothing of a frame or message has come of which there is more. */
static inline bool ws_reader_is_idle(const struct ws_reader *r)
{
    return r->n_head == 0 && r->message == 0;
}

/* Takes a piece off *in, which has to be writable. WS_READ_DATA: some of a message;
 * WS_READ_CONTROL: a whole control frame, possibly between the pieces of a message, its bytes valid
 * until the next call; WS_READ_MORE: *in is used up. Below 0: the code with which to close,
 * negated, and r->reason; then it must not be called again. */
int ws_read(struct ws_reader *r, const struct ws_limits *limits, struct sprig_span *in,
            struct ws_piece *piece);

/* Writes the head of an unmasked frame: at most 10 bytes; returns how many. `first` is the opcode
 * with WS_FINAL, WS_COMPRESSED. */
size_t ws_write_head(char *at, uint8_t first, uint64_t n);

/* The payload of a Close: a code and a reason, in that order. n is 2 + the length of the reason, or
 * 0 for WS_CLOSE_NO_CODE. `reason` has at most WS_MAX_REASON bytes. */
size_t ws_write_close(char *at, uint16_t code, struct sprig_span reason);

/* The same read: 0, or what the answer to it has to say (1002, 1007). */
int ws_read_close(struct sprig_span payload, uint16_t *code, struct sprig_span *reason);

/* True if a Close may say this code: one of the registry, or 3000..4999. */
bool ws_close_is_valid(uint32_t code);

#endif

/* frame.h - frames of the WebSocket protocol (RFC 6455 section 5): read as they arrive, written at
 * once. Knows no socket, no text and no compression; a client's bytes are unmasked in place. */
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

/* Why a connection ends (RFC 6455 section 7.4.1, and the IANA registry). */
enum ws_close {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_NO_CODE = 1005,  /* never sent: the peer's Close had no code */
    WS_CLOSE_ABNORMAL = 1006, /* never sent: there was no Close */
    WS_CLOSE_NOT_UTF8 = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_ERROR = 1011,
    WS_CLOSE_RESTART = 1012,
    WS_CLOSE_LATER = 1013
};

enum {
    WS_FINAL = 0x80,      /* in the first byte: the last frame of its message */
    WS_COMPRESSED = 0x40, /* RSV1 (RFC 7692 section 6) */
    WS_MAX_HEAD = 14,     /* longest head, including a mask, which servers do not send */
    WS_MAX_CONTROL = 125, /* longest payload of a control frame */
    WS_MAX_REASON = WS_MAX_CONTROL - 2
};

/* The limits of a reader. */
struct ws_limits {
    uint64_t max_message_bytes; /* 0: no limit */
    uint32_t max_fragments;     /* frames per message, including empty ones; 0: no limit */
    bool compressed;            /* permessage-deflate was agreed on */
};

/* The frames of one client. */
struct ws_reader {
    uint64_t left;     /* bytes left of this frame's payload */
    uint64_t n_bytes;  /* bytes of this message, including announced ones */
    uint32_t n_frames; /* frames of this message */
    unsigned char head[WS_MAX_HEAD];
    uint8_t n_head;         /* bytes in `head` */
    uint8_t mask_at;        /* index in the mask for the next payload byte */
    uint8_t message;        /* opcode of the incomplete message; 0: none */
    bool is_in_payload : 1; /* the head of this frame is complete */
    bool is_compressed : 1; /* this message is compressed */
    uint8_t n_control;      /* bytes in `control` */
    char *control;          /* owned: a control frame that arrives in pieces; mostly NULL */
    const char *reason;     /* static text, after an error */
};

/* What ws_read found. */
struct ws_piece {
    struct sprig_span bytes; /* unmasked */
    uint8_t opcode;          /* the control frame's or the message's */
    bool is_compressed;
    bool is_first, is_last; /* first or last piece of its message, including empty ones */
    bool is_whole;          /* both */
};

enum { WS_READ_MORE, WS_READ_DATA, WS_READ_CONTROL };

void ws_reader_init(struct ws_reader *r);
void ws_reader_clear(struct ws_reader *r);
/* True if no frame or message is incomplete. */
static inline bool ws_reader_is_idle(const struct ws_reader *r)
{
    return r->n_head == 0 && r->message == 0;
}

/* Takes a piece off *in, which must be writable. WS_READ_DATA: part of a message; WS_READ_CONTROL:
 * a whole control frame, perhaps between the pieces of a message; its bytes are valid until the
 * next call; WS_READ_MORE: *in is used up. Below 0: the negated code to close with, and r->reason;
 * do not call it again then. */
int ws_read(struct ws_reader *r, const struct ws_limits *limits, struct sprig_span *in,
            struct ws_piece *piece);

/* Writes the head of an unmasked frame, at most 10 bytes; returns how many. `first` is the opcode
 * with WS_FINAL, WS_COMPRESSED. */
size_t ws_write_head(char *at, uint8_t first, uint64_t n);

/* Writes the payload of a Close: the code, then the reason. Returns 2 + the length of the reason,
 * or 0 for WS_CLOSE_NO_CODE. `reason` has at most WS_MAX_REASON bytes. */
size_t ws_write_close(char *at, uint16_t code, struct sprig_span reason);

/* Reads such a payload. Returns 0, or the code for the answer (1002, 1007). */
int ws_read_close(struct sprig_span payload, uint16_t *code, struct sprig_span *reason);

/* True if a Close may have this code: one from the registry, or 3000..4999. */
bool ws_close_is_valid(uint32_t code);

#endif

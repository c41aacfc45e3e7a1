/* deflate.h - the compression of permessage-deflate (RFC 7692 section 7.2), with zlib, which is
 * optional.
 *
 * A side without context takeover keeps nothing between messages: one compressor serves all sockets
 * of a group, and a decompressor is borrowed only for the duration of a message. */
#ifndef SPRIG_WS_DEFLATE_H
#define SPRIG_WS_DEFLATE_H

#include "ws/buffer.h"
#include "ws/handshake.h"

struct ws_zlib;   /* what a group shares */
struct ws_stream; /* a compressor or decompressor of one socket */

/* False: built without zlib; then call nothing below except ws_zlib_free(NULL). */
bool ws_deflate_is_there(void);

/* NULL: out of memory. */
struct ws_zlib *ws_zlib_new(void);
void ws_zlib_free(struct ws_zlib *z);

/* Compresses a whole message and appends it to *out. *own is the socket's compressor if the server
 * keeps its window (created for the first message, freed by ws_deflate_end); otherwise it stays
 * NULL. SPRIG_E_NOMEM: *own has lost its history, so the connection must end. */
int ws_deflate(struct ws_zlib *z, struct ws_stream **own, const struct ws_deflate_terms *terms,
               unsigned memory_level, struct sprig_span message, struct ws_buffer *out);
void ws_deflate_end(struct ws_stream *own);

/* Forgets the window: the next message refers to no earlier one. NULL is allowed. */
void ws_deflate_forget(struct ws_stream *own);

/* Decompresses a piece of a message and appends it to *out, which may hold at most `max` bytes (0:
 * no limit). *own is borrowed for the first piece and given back after the last one, unless the
 * client keeps its window. Returns 0, or the negated code to close with. */
int ws_inflate(struct ws_zlib *z, struct ws_stream **own, const struct ws_deflate_terms *terms,
               struct sprig_span piece, bool is_last, uint64_t max, struct ws_buffer *out);
void ws_inflate_end(struct ws_zlib *z, struct ws_stream *own);

#endif

/* sha1.h - SHA-1 (RFC 3174) of a short text, for the opening handshake of WebSocket. It only proves
 * that the server has read the request, and protects no secret. */
#ifndef SPRIG_WS_SHA1_H
#define SPRIG_WS_SHA1_H

#include "base/span.h"

enum { SHA1_BYTES = 20, SHA1_MAX_TEXT = 119 }; /* two blocks */

/* At most SHA1_MAX_TEXT bytes. */
void sha1_short(struct sprig_span text, unsigned char out[SHA1_BYTES]);

#endif

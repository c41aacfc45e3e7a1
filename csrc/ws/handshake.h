/* handshake.h - the opening handshake of WebSocket (RFC 6455 section 4.2), and what it negotiates:
 * a subprotocol, and permessage-deflate (RFC 7692 section 7). */
#ifndef SPRIG_WS_HANDSHAKE_H
#define SPRIG_WS_HANDSHAKE_H

#include "http/request.h"

/* True if the request opens a WebSocket: GET, HTTP/1.1, an Upgrade to "websocket", version 13, a
 * key of 16 bytes, no body; or, over HTTP/2, what h2/head.c makes from an extended CONNECT. */
bool ws_handshake_is_valid(const struct sprig_request *req);

/* All values of a field as one list, in order of arrival. *own is its memory (for the caller to
 * free) if there are several fields, otherwise NULL. ptr NULL: there is none. */
struct sprig_span ws_handshake_field(const struct sprig_request *req, struct sprig_span name,
                                     char **own);

enum { WS_ACCEPT_LEN = 28 };

/* Sec-WebSocket-Accept for a key of 24 characters, without a NUL. */
void ws_handshake_accept(struct sprig_span key, char out[WS_ACCEPT_LEN]);

/* True if the offer (Sec-WebSocket-Protocol, a list) has that subprotocol. Case-sensitive. */
bool ws_handshake_offers(struct sprig_span offer, struct sprig_span protocol);

/* The agreed permessage-deflate: how each side compresses. */
struct ws_deflate_terms {
    bool server_takeover, client_takeover; /* keeps the window of earlier messages */
    uint8_t server_bits, client_bits;      /* window sizes: 9..15 and 8..15 */
};

enum { WS_EXTENSION_BYTES = 160 };

/* Looks for an acceptable offer (Sec-WebSocket-Extensions, a list). `terms` go in as the server's
 * wishes, and come out as what both sides do. Returns the length of the answer in `out`; 0: no
 * offer is acceptable, or none is for permessage-deflate. */
size_t ws_handshake_deflate(struct sprig_span offer, struct ws_deflate_terms *terms,
                            char out[WS_EXTENSION_BYTES]);

#endif

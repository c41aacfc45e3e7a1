/* protocol_h2.h - the protocol table of HTTP/2, in every build. */
#ifndef SPRIG_PROTOCOL_H2_H
#define SPRIG_PROTOCOL_H2_H

#include "serve/protocol.h"

extern const struct protocol *const protocol_h2; /* NULL: built without nghttp2 */

#endif

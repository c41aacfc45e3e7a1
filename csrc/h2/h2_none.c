/* h2_none.c - a build without nghttp2: it speaks HTTP/1 only. */
#include "h2/protocol_h2.h"

const struct protocol *const protocol_h2 = NULL;

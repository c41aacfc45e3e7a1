/* chunk.h - strict decoder of the chunked transfer coding (RFC 9112 section 7.1), no copying. */
#ifndef SPRIG_CHUNK_H
#define SPRIG_CHUNK_H

#include "base/span.h"
#include "http/trailers.h"
#include <stdint.h>

enum { CHUNK_MAX_SIZE_DIGITS = 16, CHUNK_MAX_EXTENSION_BYTES = 256 };

enum chunk_result {
    CHUNK_MORE = 0, /* all input used, the body goes on */
    CHUNK_DATA = 1, /* *data is a piece of the body */
    CHUNK_END = 2   /* the body, trailers included, is complete */
    /* < 0: -400 malformed, -431 trailers over a limit, -503 no memory for them */
};

struct chunk {
    uint64_t left;          /* data bytes of this chunk still to come */
    uint64_t total;         /* decoded bytes handed out so far */
    uint32_t max_trailers;  /* limit on the bytes of all trailer lines together, 0 = none */
    uint32_t trailer_bytes; /* of all trailer lines so far */
    uint32_t max_fields;    /* limit on what is kept of them, 0 = none */
    uint16_t n_extension;   /* bytes of the extension on this size line */
    uint8_t n_digits;       /* digits of the size seen */
    uint8_t state;
    const char *reason;        /* after a refusal: static text for the log */
    struct trailers *trailers; /* borrowed: keeps them; NULL: they are looked at only */
};

void chunk_init(struct chunk *c, uint32_t max_trailer_bytes);
/* Keeps the trailers there, max_fields at most. Call it after chunk_init, before the first byte. */
void chunk_keep_trailers(struct chunk *c, struct trailers *trailers, uint32_t max_fields);

/* Consumes from *in, which advances. On CHUNK_DATA, *data is a span into the input, borrowed and
 * never empty. Call again until CHUNK_MORE, CHUNK_END or an error. Whatever follows the body stays
 * in *in. */
int chunk_decode(struct chunk *c, struct sprig_span *in, struct sprig_span *data);

/* The bytes that the current chunk still lacks, if its size line is complete; else 0. */
uint64_t chunk_announced(const struct chunk *c);

#endif

/* trailers.h - trailers of a request (RFC 9110 section 6.5). They are kept apart from the headers,
 * which were checked without them. */
#ifndef SPRIG_TRAILERS_H
#define SPRIG_TRAILERS_H

#include "base/span.h"
#include <stdbool.h>
#include <stdint.h>

struct trailers {
    char *bytes; /* owned; NULL mostly: lines, "name: value" CRLF, the names in lower case */
    uint32_t n_bytes, room;
    uint32_t n_fields;
};

/* Adds more of the lines; the caller limits them. False if memory is short. */
bool trailers_add(struct trailers *t, struct sprig_span bytes);
void trailers_clear(struct trailers *t);

/* True if the field only makes sense before a body; ignores case. */
bool trailers_belongs_ahead(struct sprig_span name);

/* Returns all lines, or the next field of them, without white space around the value. Skips fields
 * that only make sense before a body because they frame or route the message, and names with '_',
 * as among headers. False if there are no more. */
static inline struct sprig_span trailers_lines(const struct trailers *t)
{
    return span_make(t->bytes, t->n_bytes);
}
bool trailers_next(struct sprig_span *lines, struct sprig_span *name, struct sprig_span *value);

#endif

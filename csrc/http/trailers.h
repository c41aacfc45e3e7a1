/* trailers.h - the fields behind the body of a request (RFC 9110 section 6.5). They are kept apart
 * from its headers, which have been judged without them. */
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

/* More of the lines; the caller bounds them. False: no memory. */
bool trailers_add(struct trailers *t, struct sprig_span bytes);
void trailers_clear(struct trailers *t);

/* It only means something ahead of a body; case does not count. */
bool trailers_belongs_ahead(struct sprig_span name);

/* All of the lines; and the next field of those, without white space around the value. What only
 * means something ahead of a body, since it says how the message is framed and where it goes, is
 * passed over, and so are names with '_', as among headers. False: there is none. */
static inline struct sprig_span trailers_lines(const struct trailers *t)
{
    return span_make(t->bytes, t->n_bytes);
}
bool trailers_next(struct sprig_span *lines, struct sprig_span *name, struct sprig_span *value);

#endif

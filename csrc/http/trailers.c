/* trailers.c - fields after a body: kept as lines, read one by one; see trailers.h */
#include "http/trailers.h"
#include <stdlib.h>

enum { FIRST_ALLOCATION = 256, MOST_BYTES = 1 << 30 };

bool trailers_add(struct trailers *t, struct sprig_span bytes)
{
    if (bytes.len > MOST_BYTES - t->n_bytes)
        return false;
    if (t->n_bytes + bytes.len > t->room) {
        size_t room = t->n_bytes + bytes.len + (t->room ? t->room : FIRST_ALLOCATION);
        char *grown = realloc(t->bytes, room);
        if (grown == NULL)
            return false;
        t->bytes = grown;
        t->room = (uint32_t)room;
    }
    if (bytes.len > 0)
        memcpy(t->bytes + t->n_bytes, bytes.ptr, bytes.len);
    t->n_bytes += (uint32_t)bytes.len;
    return true;
}

void trailers_clear(struct trailers *t)
{
    free(t->bytes);
    *t = (struct trailers){0};
}

/* RFC 9110 section 6.5.1: these fields decide how a message is handled before its body is read. */
bool trailers_belongs_ahead(struct sprig_span name)
{
    static const struct sprig_span ahead[] = {
        {"connection", 10},
        {"content-length", 14},
        {"expect", 6},
        {"host", 4},
        {"keep-alive", 10},
        {"proxy", 5},
        {"proxy-connection", 16},
        {"te", 2},
        {"trailer", 7},
        {"upgrade", 7},
        {"transfer-encoding", 17},
    };
    for (size_t i = 0; i < sizeof ahead / sizeof *ahead; i++)
        if (name.len == ahead[i].len && span_ieq(name, ahead[i]))
            return true;
    return memchr(name.ptr, '_', name.len) != NULL;
}

bool trailers_next(struct sprig_span *lines, struct sprig_span *name, struct sprig_span *value)
{
    while (lines->len > 0) {
        const char *end = memchr(lines->ptr, '\n', lines->len);
        if (end == NULL)
            return false;
        size_t n = (size_t)(end - lines->ptr);
        const char *colon = memchr(lines->ptr, ':', n);
        *name = span_make(lines->ptr, colon != NULL ? (size_t)(colon - lines->ptr) : 0);
        *value = colon != NULL ? span_trim(span_make(colon + 1, (size_t)(end - colon) - 2))
                               : span_make(NULL, 0);
        *lines = span_make(end + 1, lines->len - n - 1);
        if (name->len > 0 && !trailers_belongs_ahead(*name))
            return true;
    }
    return false;
}

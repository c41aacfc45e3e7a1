/* span.h - a piece of somebody else's bytes: pointer and length, no terminator, never owned. */
#ifndef SPRIG_SPAN_H
#define SPRIG_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Borrowed bytes. ptr may be NULL only if len is 0. */
struct sprig_span {
    const char *ptr;
    size_t len;
};

/* A span over a string literal; the length is a compile-time constant. */
#define SPAN_LIT(s) ((struct sprig_span){("" s), sizeof(s) - 1})

static inline struct sprig_span span_make(const char *ptr, size_t len)
{
    return (struct sprig_span){ptr, len};
}

static inline struct sprig_span span_str(const char *z)
{
    return (struct sprig_span){z, z ? strlen(z) : 0};
}

/* Equal, byte for byte. */
static inline bool span_eq(struct sprig_span a, struct sprig_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Equal, ASCII letters compared without case. */
static inline bool span_ieq(struct sprig_span a, struct sprig_span b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

/* Without leading and trailing spaces and tabs: OWS of RFC 9110 section 5.6.3. */
static inline struct sprig_span span_trim(struct sprig_span s)
{
    while (s.len > 0 && (*s.ptr == ' ' || *s.ptr == '\t'))
        s.ptr++, s.len--;
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

#endif

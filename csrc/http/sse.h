/* sse.h - formats events of a text/event-stream (WHATWG HTML, section 9.2 "Server-sent events").
 *
 * Knows neither responses nor queues. Text must be UTF-8; it is copied unchanged. */
#ifndef SPRIG_SSE_H
#define SPRIG_SSE_H

#include "base/span.h"
#include <stdint.h>

/* No reconnection time is told. */
#define SSE_NO_RETRY UINT64_MAX

/* One event; borrowed. Fields with a NULL ptr are omitted. Without data, the client dispatches
 * nothing, but still takes id and retry. An empty id makes it forget the last one. */
struct sse_event {
    struct sprig_span data; /* any text: each of its lines becomes a line of its own */
    struct sprig_span name; /* sse_is_field */
    struct sprig_span id;   /* sse_is_field */
    uint64_t retry_ms;      /* until the client connects again, or SSE_NO_RETRY */
};

/* A field that takes one line: no CR, LF or NUL. */
bool sse_is_field(struct sprig_span text);

/* Writes the event to `at`, unless that is NULL, and returns its length. Lines of data end with CR,
 * LF or CRLF, and reach the client separated by LF. */
size_t sse_write_event(const struct sse_event *event, char *at);

/* The same for a comment of any number of lines, which clients ignore. */
size_t sse_write_comment(struct sprig_span text, char *at);

#endif

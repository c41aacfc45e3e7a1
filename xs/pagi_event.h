/* pagi_event.h - the events that a PAGI application sends, read field by field. The first error is
 * kept in `error`; nothing else changes. Values with magic or overloading may run code, and may
 * die. */
#ifndef SPRIG_PAGI_EVENT_H
#define SPRIG_PAGI_EVENT_H

#include "bridge.h"

struct psgi_event {
    HV *hv;           /* borrowed */
    const char *type; /* borrowed */
    SV *error;        /* owned by the caller: why the event is refused; NULL so far */
};

/* False: it is not a hash reference with a type. */
bool psgi_event_read(pTHX_ struct psgi_event *ev, SV *sv);
static inline bool psgi_event_is(const struct psgi_event *ev, const char *type)
{
    return strEQ(ev->type, type);
}

/* Refuses the event: "http.response.start: ..."; always false. The first reason stays. */
bool psgi_event_refuse(pTHX_ struct psgi_event *ev, const char *fmt, ...);

/* A field; NULL: missing or undefined. */
SV *psgi_event_field(pTHX_ const struct psgi_event *ev, const char *name);
/* A field's truth; a missing one is false. */
bool psgi_event_flag(pTHX_ const struct psgi_event *ev, const char *name);
/* A whole number from 0 to `max`. A missing one leaves *out alone. */
bool psgi_event_count(pTHX_ struct psgi_event *ev, const char *name, uint64_t max, uint64_t *out);
/* Seconds, from 0 to a day. A missing one leaves *out alone. */
bool psgi_event_seconds(pTHX_ struct psgi_event *ev, const char *name, double *out);
/* A byte string: the field itself, or a mortal copy; NULL: missing. */
bool psgi_event_bytes(pTHX_ struct psgi_event *ev, const char *name, SV **out);
/* Text as UTF-8, borrowed from the field or a mortal; ptr NULL: missing. */
bool psgi_event_text(pTHX_ struct psgi_event *ev, const char *name, struct sprig_span *out);

/* ---- heads of responses ---- */

enum { PSGI_HEAD_FEW = 32, PSGI_HEAD_EXTRA = 6 };

struct psgi_head {
    int status;
    struct sprig_header *headers; /* `few`, or mortal; with room for PSGI_HEAD_EXTRA more */
    size_t n;
    bool has_type, has_length;
    struct sprig_header few[PSGI_HEAD_FEW + PSGI_HEAD_EXTRA];
};

/* Reads the status, required unless `initial` is a status, and the headers. Leaves out those that
 * are the server's business (Connection, Transfer-Encoding and the like). Borrowed from the event.
 */
bool psgi_event_head(pTHX_ struct psgi_event *ev, int initial, struct psgi_head *head);
/* Reads only the list of headers. */
bool psgi_event_headers(pTHX_ struct psgi_event *ev, struct psgi_head *head);
void psgi_head_add(struct psgi_head *head, struct sprig_span name, struct sprig_span value);

#endif

/* events.c - the additional methods of a Sprig::Writer whose response is a text/event-stream. */
#include "events.h"
#include "http/sse.h"
#include "text.h"
#include "writer.h"

/* Events up to this size are composed on the stack. */
enum { SMALL_EVENT_BYTES = 4096 };

/* ---- an event ---- */

/* The writer's response, or NULL if it is over. Croaks unless it is an event stream. */
static struct psgi_exchange *event_exchange(pTHX_ SV *self, const char *method)
{
    struct psgi_exchange *px = psgi_writer_exchange(aTHX_ self, method);

    if (px != NULL && !sprig_response_has_events(px->ex))
        croak("Sprig::Writer::%s: the Content-Type of the response is not text/event-stream",
              method);
    return px;
}

static uint64_t read_retry(pTHX_ struct sprig_span text)
{
    uint64_t n = 0;

    if (text.ptr == NULL)
        return SSE_NO_RETRY;
    if (text.len == 0 || text.len > 15)
        croak("Sprig::Writer::event: retry must be a whole number of milliseconds");
    for (size_t i = 0; i < text.len; i++) {
        if (!isDIGIT(text.ptr[i]))
            croak("Sprig::Writer::event: retry must be a whole number of milliseconds");
        n = n * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return n;
}

static void check_line(pTHX_ struct sprig_span text, const char *what)
{
    if (!sse_is_field(text))
        croak("Sprig::Writer::event: %s has a line end or NUL in it", what);
}

/* Indexes of `fields`. */
enum { FIELD_DATA, FIELD_NAME, FIELD_ID, FIELD_RETRY, N_FIELDS };

static int field_of(pTHX_ SV *name)
{
    static const char *const names[N_FIELDS] = {"data", "event", "id", "retry"};
    const char *text = SvPV_nolen(name);

    for (int i = 0; i < N_FIELDS; i++)
        if (strEQ(text, names[i]))
            return i;
    croak("Sprig::Writer::event: unknown field '%s': it takes data, event, id and retry", text);
}

/* All values are converted to text before any bytes are read: code might change them. */
static void read_fields(pTHX_ SV **fields, I32 n, struct sse_event *event)
{
    SV *text[N_FIELDS] = {NULL};

    if (n % 2 != 0)
        croak("Sprig::Writer::event: give names and values, as in event(data => $text)");
    if (!psgi_text_is_plain(fields, n))
        fields = psgi_text_hold(aTHX_ fields, n);
    for (I32 i = 0; i < n; i += 2)
        text[field_of(aTHX_ fields[i])] = psgi_text_sv(aTHX_ fields[i + 1]);
    for (int i = 0; i < N_FIELDS; i++)
        if (text[i] == NULL)
            text[i] = &PL_sv_undef;
    event->data = psgi_text_span(aTHX_ text[FIELD_DATA], "Sprig::Writer::event: data");
    event->name = psgi_text_span(aTHX_ text[FIELD_NAME], "Sprig::Writer::event: event");
    event->id = psgi_text_span(aTHX_ text[FIELD_ID], "Sprig::Writer::event: id");
    event->retry_ms = read_retry(aTHX_ psgi_text_span(aTHX_ text[FIELD_RETRY], "retry"));
    check_line(aTHX_ event->name, "event");
    check_line(aTHX_ event->id, "id");
}

bool psgi_writer_event(pTHX_ SV *self, SV **fields, I32 n)
{
    struct sse_event event;
    char small[SMALL_EVENT_BYTES], *bytes = small;
    size_t size;
    bool has_room;

    ENTER;
    SAVEFREESV(SvREFCNT_inc_simple_NN(SvROK(self) ? SvRV(self) : self));
    event_exchange(aTHX_ self, "event");
    read_fields(aTHX_ fields, n, &event);
    size = sse_write_event(&event, NULL);
    if (size > sizeof small) {
        Newx(bytes, size, char);
        SAVEFREEPV(bytes);
    }
    sse_write_event(&event, bytes);
    has_room = psgi_writer_send(aTHX_ self, "event", span_make(bytes, size));
    LEAVE;
    return has_room;
}

bool psgi_writer_comment(pTHX_ SV *self, SV *text)
{
    struct sprig_span span;
    bool has_room;
    char *bytes;
    size_t size;

    ENTER;
    SAVEFREESV(SvREFCNT_inc_simple_NN(SvROK(self) ? SvRV(self) : self));
    event_exchange(aTHX_ self, "comment");
    span = psgi_text_span(aTHX_ psgi_text_sv(aTHX_ text), "Sprig::Writer::comment: the text");
    size = sse_write_comment(span, NULL);
    Newx(bytes, size, char);
    SAVEFREEPV(bytes);
    sse_write_comment(span, bytes);
    has_room = psgi_writer_send(aTHX_ self, "comment", span_make(bytes, size));
    LEAVE;
    return has_room;
}

void psgi_writer_heartbeat(pTHX_ SV *self, SV *seconds)
{
    struct psgi_exchange *px = event_exchange(aTHX_ self, "heartbeat");
    NV length = looks_like_number(seconds) ? SvNV(seconds) : -1;

    if (!(length >= 0 && length <= 86400))
        croak("Sprig::Writer::heartbeat: seconds must be a number from 0 (none) to 86400");
    if (px != NULL && px->ex != NULL &&
        sprig_response_set_heartbeat(px->ex, length) == SPRIG_E_NOMEM)
        croak("Sprig::Writer::heartbeat: out of memory");
}

/* pagi_sse.c - a PAGI scope of the type sse; see pagi_sse.h */
#include "pagi_sse.h"
#include "http/sse.h"
#include "loop.h"
#include "pagi_response.h"

/* Events up to this size are composed on the stack. */
enum { SMALL_EVENT_BYTES = 4096 };

/* ---- clients that ask for events ---- */

/* Takes the text up to the separator; `list` is the rest. ; and , have no meaning in quotes. */
static struct sprig_span cut_at(struct sprig_span *list, char separator)
{
    struct sprig_span part = {list->ptr, 0};
    bool quoted = false;

    while (part.len < list->len && (quoted || list->ptr[part.len] != separator)) {
        char c = list->ptr[part.len++];
        if (c == '"')
            quoted = !quoted;
        else if (c == '\\' && quoted && part.len < list->len)
            part.len++;
    }
    size_t used = part.len < list->len ? part.len + 1 : part.len;
    *list = span_make(list->ptr + used, list->len - used);
    return span_trim(part);
}

/* "q=0", "q=0.000": never. */
static bool is_refusal(struct sprig_span parameter)
{
    if (parameter.len < 3 || (parameter.ptr[0] | 0x20) != 'q' || parameter.ptr[1] != '=')
        return false;
    for (size_t i = 2; i < parameter.len; i++)
        if (parameter.ptr[i] != '0' && parameter.ptr[i] != '.')
            return false;
    return true;
}

static bool has_events(struct sprig_span accept)
{
    while (accept.len > 0) {
        struct sprig_span range = cut_at(&accept, ',');
        bool is_it = span_ieq(cut_at(&range, ';'), SPAN_LIT("text/event-stream"));
        while (range.len > 0)
            is_it = !is_refusal(cut_at(&range, ';')) && is_it;
        if (is_it)
            return true;
    }
    return false;
}

bool psgi_scope_asks_for_events(const struct sprig_request *req)
{
    for (uint32_t i = 0; i < req->n_headers; i++) {
        const struct sprig_header *h = &req->headers[i];
        if (h->name.len == 6 && span_ieq(h->name, SPAN_LIT("accept")) && has_events(h->value))
            return true;
    }
    return false;
}

/* ---- the stream ---- */

static bool start(pTHX_ struct psgi_scope *scope, struct psgi_event *ev)
{
    struct psgi_head head;

    if (scope->response != RESPONSE_NEW)
        return psgi_event_refuse(aTHX_ ev, "the response was started before");
    if (!psgi_event_head(aTHX_ ev, 200, &head))
        return false;
    if (!head.has_type)
        psgi_head_add(&head, SPAN_LIT("content-type"), SPAN_LIT("text/event-stream"));
    return psgi_scope_start(aTHX_ scope, ev, &head);
}

static bool read_line(pTHX_ struct psgi_event *ev, const char *name, struct sprig_span *out)
{
    if (!psgi_event_text(aTHX_ ev, name, out))
        return false;
    if (out->ptr == NULL || sse_is_field(*out))
        return true;
    return psgi_event_refuse(aTHX_ ev, "%s has a line end or NUL in it", name);
}

static bool send_event(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait)
{
    struct sse_event event = {.retry_ms = SSE_NO_RETRY};
    char small[SMALL_EVENT_BYTES], *bytes = small;
    size_t size;

    if (!psgi_event_text(aTHX_ ev, "data", &event.data) ||
        !read_line(aTHX_ ev, "event", &event.name) || !read_line(aTHX_ ev, "id", &event.id) ||
        !psgi_event_count(aTHX_ ev, "retry", INT64_MAX, &event.retry_ms))
        return false;
    if (event.data.ptr == NULL)
        return psgi_event_refuse(aTHX_ ev, "data is missing");
    size = sse_write_event(&event, NULL);
    if (size > sizeof small)
        bytes = SvPVX(sv_2mortal(newSV(size)));
    sse_write_event(&event, bytes);
    if (psgi_scope_exchange(scope) != NULL)
        *wait = psgi_scope_is_full(aTHX_ scope,
                                   sprig_response_write(scope->px->ex, span_make(bytes, size)));
    return true;
}

/* ":text" and an empty line. Each further line of text begins with a colon, too. */
static SV *comment_bytes(pTHX_ struct sprig_span text)
{
    SV *bytes = newSVpvs("");

    do {
        size_t n = 0;
        while (n < text.len && text.ptr[n] != '\n' && text.ptr[n] != '\r')
            n++;
        if (n == 0 || text.ptr[0] != ':')
            sv_catpvs(bytes, ":");
        sv_catpvn(bytes, n > 0 ? text.ptr : "", n);
        sv_catpvs(bytes, "\n");
        bool is_pair = n + 1 < text.len && text.ptr[n] == '\r' && text.ptr[n + 1] == '\n';
        size_t used = n + (is_pair ? 2 : n < text.len);
        text = span_make(text.ptr + used, text.len - used);
    } while (text.len > 0);
    sv_catpvs(bytes, "\n");
    return bytes;
}

static bool send_comment(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait)
{
    struct sprig_span text;

    if (!psgi_event_text(aTHX_ ev, "comment", &text))
        return false;
    if (text.ptr == NULL)
        return psgi_event_refuse(aTHX_ ev, "comment is missing");
    SV *bytes = sv_2mortal(comment_bytes(aTHX_ text));
    if (psgi_scope_exchange(scope) != NULL)
        *wait = psgi_scope_is_full(
            aTHX_ scope,
            sprig_response_write(scope->px->ex, span_make(SvPVX(bytes), SvCUR(bytes))));
    return true;
}

/* ---- comments that the server sends by itself ---- */

void psgi_scope_stop_heartbeat(struct psgi_scope *scope)
{
    if (scope->heartbeat != NULL)
        sprig_timer_free(scope->heartbeat);
    scope->heartbeat = NULL;
}

/* Sends nothing if a slow client still has output waiting. */
static void on_heartbeat(struct sprig_timer *timer, void *arg)
{
    struct psgi_scope *scope = arg;
    struct sprig_exchange *ex = psgi_scope_exchange(scope);
    SV *text = scope->heartbeat_text;

    PERL_UNUSED_VAR(timer);
    if (ex != NULL && sprig_response_buffered(ex) == 0)
        sprig_response_write(ex, span_make(SvPVX(text), SvCUR(text)));
}

static bool set_heartbeat(pTHX_ struct psgi_scope *scope, struct psgi_event *ev)
{
    double seconds = -1;
    struct sprig_span text;

    if (!psgi_event_seconds(aTHX_ ev, "interval", &seconds) ||
        !psgi_event_text(aTHX_ ev, "comment", &text))
        return false;
    if (seconds < 0)
        return psgi_event_refuse(aTHX_ ev, "interval is missing");
    psgi_scope_stop_heartbeat(scope);
    SvREFCNT_dec(scope->heartbeat_text);
    scope->heartbeat_text = comment_bytes(aTHX_ text.ptr != NULL ? text : SPAN_LIT(""));
    if (seconds > 0)
        scope->heartbeat = sprig_timer_new(psgi_loop(aTHX), seconds, seconds, on_heartbeat, scope);
    return true;
}

/* ---- its end, and the order of events ---- */

static bool close_stream(pTHX_ struct psgi_scope *scope, struct psgi_event *ev)
{
    struct sprig_span reason;

    if (!psgi_event_text(aTHX_ ev, "reason", &reason))
        return false;
    if (reason.len > 0 && scope->close_reason == NULL)
        scope->close_reason = newSVpvn_utf8(reason.ptr, reason.len, 1);
    scope->is_closed = true;
    psgi_scope_finish(aTHX_ scope);
    return true;
}

/* An event that needs an open stream. */
static bool is_of_stream(const struct psgi_event *ev)
{
    return psgi_event_is(ev, "sse.send") || psgi_event_is(ev, "sse.comment") ||
           psgi_event_is(ev, "sse.keepalive") || psgi_event_is(ev, "sse.close");
}

static bool check_order(pTHX_ struct psgi_scope *scope, struct psgi_event *ev)
{
    if (scope->is_declined)
        return psgi_event_refuse(aTHX_ ev, "the event stream was refused by http.response.start");
    if (scope->is_closed)
        return psgi_event_refuse(aTHX_ ev, "the stream was closed by sse.close");
    if (scope->response == RESPONSE_NEW)
        return psgi_event_refuse(aTHX_ ev, "send sse.start first");
    return true;
}

bool psgi_scope_send_sse(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait)
{
    if (psgi_event_is(ev, "sse.start"))
        return start(aTHX_ scope, ev);
    if (psgi_scope_is_http_event(ev) && scope->response != RESPONSE_NEW && !scope->is_declined)
        return psgi_event_refuse(aTHX_ ev, "the event stream was started before");
    if (psgi_scope_is_http_event(ev))
        return psgi_scope_send_http(aTHX_ scope, ev, wait);
    if (!is_of_stream(ev))
        return psgi_event_refuse(aTHX_ ev, "there is no such event for an sse scope");
    if (scope->is_closed && psgi_event_is(ev, "sse.close"))
        return true;
    if (!check_order(aTHX_ scope, ev))
        return false;
    if (psgi_event_is(ev, "sse.send"))
        return send_event(aTHX_ scope, ev, wait);
    if (psgi_event_is(ev, "sse.comment"))
        return send_comment(aTHX_ scope, ev, wait);
    if (psgi_event_is(ev, "sse.keepalive"))
        return set_heartbeat(aTHX_ scope, ev);
    return close_stream(aTHX_ scope, ev);
}

/* pagi_response.c - the response of a PAGI application; see pagi_response.h */
#include "pagi_response.h"
#include "body.h"
#include "bytes.h"
#include "call.h"
#include "exchange.h"
#include "pagi_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PUMP_BYTES = 64 * 1024 };

/* ---- head and end ---- */

bool psgi_scope_start(pTHX_ struct psgi_scope *scope, struct psgi_event *ev,
                      const struct psgi_head *head)
{
    struct sprig_head plain = {head->status, head->headers, head->n, SPRIG_LENGTH_UNKNOWN};
    char why[256];
    int rc = sprig_response_head(scope->px->ex, &plain, why, sizeof why);

    if (rc == SPRIG_E_INVALID)
        return psgi_event_refuse(aTHX_ ev, "%s", why);
    if (rc == SPRIG_E_NOMEM)
        return psgi_event_refuse(aTHX_ ev, "out of memory");
    scope->px->is_answered = true;
    scope->response = RESPONSE_STARTED;
    scope->has_length = head->has_length;
    return true;
}

bool psgi_scope_is_full(pTHX_ struct psgi_scope *scope, int rc)
{
    if (rc <= 0 || psgi_scope_exchange(scope) == NULL)
        return false;
    sprig_response_want_drain(scope->px->ex);
    psgi_scope_high(aTHX_ scope);
    return true;
}

void psgi_scope_finish(pTHX_ struct psgi_scope *scope)
{
    struct psgi_exchange *px = scope->px;

    scope->response = RESPONSE_COMPLETE;
    if (px == NULL)
        return;
    psgi_exchange_ref(px);
    psgi_exchange_finish(aTHX_ px);
    psgi_exchange_unref(aTHX_ px);
}

/* Ends the body, after the last `more` or a body that is complete; trailers may follow. */
static void end_body(pTHX_ struct psgi_scope *scope)
{
    if (scope->has_trailers)
        scope->response = RESPONSE_BODY_SENT;
    else
        psgi_scope_finish(aTHX_ scope);
}

/* ---- files ---- */

/* A part of a file; the descriptor is owned until it is queued. */
struct part {
    int fd;
    uint64_t offset, length;
};

static void release_fd(void *fd)
{
    close((int)(intptr_t)fd);
}

/* Limits the part to a file of this size. */
static void cut_part(struct part *part, uint64_t size, uint64_t length)
{
    uint64_t rest = part->offset < size ? size - part->offset : 0;

    part->length = length < rest ? length : rest;
}

static bool open_file(pTHX_ struct psgi_event *ev, SV *sv, struct part *part, uint64_t length)
{
    STRLEN len;
    const char *path = SvPV_nomg(sv, len);
    struct stat st;

    if (SvROK(sv) || len == 0 || strlen(path) != len)
        return psgi_event_refuse(aTHX_ ev, "file must be a path");
    part->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (part->fd < 0)
        return psgi_event_refuse(aTHX_ ev, "cannot open file '%s': %s", path, Strerror(errno));
    if (fstat(part->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        cut_part(part, (uint64_t)st.st_size, length);
        return true;
    }
    close(part->fd);
    return psgi_event_refuse(aTHX_ ev, "'%s' is not a plain file", path);
}

static void send_part(pTHX_ struct psgi_scope *scope, const struct part *part, bool *wait)
{
    int rc = 0;

    if (sprig_response_is_bodyless(scope->px->ex) || part->length == 0)
        close(part->fd);
    else
        rc = sprig_response_write_file(scope->px->ex, part->fd, part->offset, part->length,
                                       release_fd, (void *)(intptr_t)part->fd);
    *wait = psgi_scope_is_full(aTHX_ scope, rc);
    end_body(aTHX_ scope);
}

/* ---- handles that are not plain files ---- */

static void drop_source(pTHX_ struct psgi_scope *scope)
{
    SV *source = scope->source;

    scope->source = NULL;
    SvREFCNT_dec(source);
}

static bool is_tied(IO *io)
{
    return SvRMAGICAL((SV *)io) && mg_find((SV *)io, PERL_MAGIC_tiedscalar) != NULL;
}

/* Takes the bytes that a method has put into `from`; -1: they are none, or too many. */
static SSize_t take_read(pTHX_ SV *from, char *buf, size_t n)
{
    if (!SvPOK(from) || (SvUTF8(from) && !sv_utf8_downgrade(from, true)) || SvCUR(from) > n) {
        errno = EILSEQ;
        return -1;
    }
    memcpy(buf, SvPVX(from), SvCUR(from));
    return (SSize_t)SvCUR(from);
}

/* Calls the methods of the application's class. */
static SSize_t read_tied(pTHX_ SV *fh, char *buf, size_t n)
{
    SV *args[] = {newSVpvs(""), newSVuv((UV)n)}, *result = NULL;
    SSize_t got = -1;

    SvREFCNT_inc_simple_void_NN(fh);
    errno = EIO;
    if (psgi_call_method(aTHX_ fh, "read", args, 2, &result, NULL) && result != NULL &&
        SvOK(result))
        got = take_read(aTHX_ args[0], buf, n);
    SvREFCNT_dec(result);
    SvREFCNT_dec(args[0]);
    SvREFCNT_dec(args[1]);
    SvREFCNT_dec(fh);
    return got;
}

/* Up to n bytes; 0 at the end, -1: it cannot be read. */
static SSize_t read_source(pTHX_ SV *fh, char *buf, size_t n)
{
    IO *io = psgi_io_of(fh);
    PerlIO *file = IoIFP(io);
    SSize_t got;

    if (is_tied(io))
        return read_tied(aTHX_ fh, buf, n);
    if (file == NULL)
        return -1;
    got = PerlIO_read(file, buf, n);
    return got == 0 && PerlIO_error(file) ? -1 : got;
}

static bool seek_source(pTHX_ SV *fh, uint64_t offset)
{
    SV *args[2], *result = NULL;
    bool ok;

    if (!is_tied(psgi_io_of(fh)))
        return PerlIO_seek(IoIFP(psgi_io_of(fh)), (Off_t)offset, SEEK_SET) == 0;
    args[0] = newSVuv((UV)offset);
    args[1] = newSViv(SEEK_SET);
    errno = ESPIPE;
    ok = psgi_call_method(aTHX_ fh, "seek", args, 2, &result, NULL) && result != NULL &&
         SvTRUE(result);
    SvREFCNT_dec(result);
    SvREFCNT_dec(args[0]);
    SvREFCNT_dec(args[1]);
    return ok;
}

/* Reads until the queue is full, or there is nothing more. */
bool psgi_scope_pump(pTHX_ struct psgi_scope *scope)
{
    char buf[PUMP_BYTES];
    bool ok = true;
    int rc = 0;

    while (ok && rc == 0 && psgi_scope_exchange(scope) != NULL && scope->source_left > 0) {
        size_t n = scope->source_left < sizeof buf ? (size_t)scope->source_left : sizeof buf;
        SSize_t got = read_source(aTHX_ scope->source, buf, n);
        ok = got >= 0;
        if (got <= 0 || psgi_scope_exchange(scope) == NULL)
            break;
        scope->source_left -= (uint64_t)got;
        rc = sprig_response_write(scope->px->ex, span_make(buf, (size_t)got));
    }
    if (ok && psgi_scope_is_full(aTHX_ scope, rc))
        return true;
    drop_source(aTHX_ scope);
    if (ok && psgi_scope_exchange(scope) != NULL)
        end_body(aTHX_ scope);
    return ok;
}

static bool send_stream(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, SV *fh,
                        const struct part *part, uint64_t length, bool *wait)
{
    if (part->offset > 0 && !seek_source(aTHX_ fh, part->offset))
        return psgi_event_refuse(aTHX_ ev, "cannot seek in fh: %s", Strerror(errno));
    if (sprig_response_is_bodyless(scope->px->ex)) {
        end_body(aTHX_ scope);
        return true;
    }
    scope->source = newSVsv(fh);
    scope->source_left = length;
    if (!psgi_scope_pump(aTHX_ scope))
        return psgi_event_refuse(aTHX_ ev, "cannot read from fh: %s", Strerror(errno));
    *wait = scope->source != NULL;
    return true;
}

static bool send_handle(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, SV *fh,
                        struct part *part, uint64_t length, bool *wait)
{
    IO *io = psgi_io_of(fh);
    struct psgi_body body;
    SV *error = NULL;
    bool is_file;

    if (io == NULL || (IoIFP(io) == NULL && !is_tied(io)))
        return psgi_event_refuse(aTHX_ ev, "fh is not an open file handle");
    is_file = psgi_body_inspect(aTHX_ fh, &body, &error) == 1 && body.kind == PSGI_BODY_FILE;
    SvREFCNT_dec(error);
    if (!is_file) {
        psgi_body_clear(&body);
        return send_stream(aTHX_ scope, ev, fh, part, length, wait);
    }
    if ((part->fd = psgi_body_take_fd(&body)) == -1)
        return psgi_event_refuse(aTHX_ ev, "fh: %s", Strerror(errno));
    uint64_t size = body.offset + body.length;
    if (part->offset == 0)
        part->offset = body.offset; /* from its current position */
    cut_part(part, size, length);
    send_part(aTHX_ scope, part, wait);
    return true;
}

static bool send_from(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, SV *file, SV *fh,
                      bool *wait)
{
    struct part part = {-1, 0, 0};
    uint64_t length = UINT64_MAX;

    if (!psgi_event_count(aTHX_ ev, "offset", INT64_MAX, &part.offset) ||
        !psgi_event_count(aTHX_ ev, "length", INT64_MAX, &length))
        return false;
    if (file == NULL)
        return send_handle(aTHX_ scope, ev, fh, &part, length, wait);
    if (!open_file(aTHX_ ev, file, &part, length))
        return false;
    send_part(aTHX_ scope, &part, wait);
    return true;
}

/* ---- the body ---- */

static bool write_body(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait)
{
    SV *body, *file, *fh;
    int rc = 0;

    *wait = false;
    if (scope->response == RESPONSE_NEW)
        return psgi_event_refuse(aTHX_ ev, "the response has not been started");
    if (scope->response != RESPONSE_STARTED || scope->source != NULL)
        return psgi_event_refuse(aTHX_ ev, "the body is complete");
    file = psgi_event_field(aTHX_ ev, "file");
    fh = psgi_event_field(aTHX_ ev, "fh");
    if (!psgi_event_bytes(aTHX_ ev, "body", &body))
        return false;
    if ((body != NULL) + (file != NULL) + (fh != NULL) > 1)
        return psgi_event_refuse(aTHX_ ev, "give one of body, file and fh");
    if ((file != NULL || fh != NULL) && scope->has_inline)
        return psgi_event_refuse(aTHX_ ev, "the body cannot be a file any more: a part of it was "
                                           "sent");
    if (file != NULL || fh != NULL)
        return send_from(aTHX_ scope, ev, file, fh, wait);
    bool more = psgi_event_flag(aTHX_ ev, "more");
    if (psgi_scope_exchange(scope) == NULL)
        return true; /* code in the event has ended it */
    if (body != NULL && SvCUR(body) > 0) {
        scope->has_inline = true;
        rc = psgi_write_bytes(aTHX_ scope->px->ex, body);
    }
    *wait = psgi_scope_is_full(aTHX_ scope, rc);
    if (!more && psgi_scope_exchange(scope) != NULL)
        end_body(aTHX_ scope);
    return true;
}

static bool send_trailers(pTHX_ struct psgi_scope *scope, struct psgi_event *ev)
{
    struct psgi_head head;

    if (!scope->has_trailers)
        return psgi_event_refuse(aTHX_ ev, "http.response.start had no trailers => 1");
    if (scope->response != RESPONSE_BODY_SENT)
        return psgi_event_refuse(aTHX_ ev, "the body is not complete");
    if (!psgi_event_headers(aTHX_ ev, &head))
        return false;
    if (psgi_scope_exchange(scope) == NULL)
        return true;
    char why[256];
    int rc = sprig_response_trailers(scope->px->ex, head.headers, head.n, why, sizeof why);
    if (rc == SPRIG_E_INVALID)
        return psgi_event_refuse(aTHX_ ev, "%s", why);
    if (rc == SPRIG_E_STATE)
        return psgi_event_refuse(aTHX_ ev, "a response without chunks cannot have trailers: it has "
                                           "a Content-Length, or the client speaks HTTP/1.0");
    psgi_scope_finish(aTHX_ scope);
    return true;
}

/* ---- the events ---- */

/* For a WebSocket that is refused, HTTP/2 would take such a status for acceptance. */
static bool check_refusal(pTHX_ const struct psgi_scope *scope, struct psgi_event *ev, int status)
{
    if (scope->type != SCOPE_WEBSOCKET || status >= 300)
        return true;
    return psgi_event_refuse(aTHX_ ev, "status %d does not refuse a WebSocket: use 300 or above",
                             status);
}

static bool start_response(pTHX_ struct psgi_scope *scope, struct psgi_event *ev)
{
    bool is_refusal = scope->type != SCOPE_HTTP, has_trailers;
    struct psgi_head head;

    if (scope->response != RESPONSE_NEW)
        return psgi_event_refuse(aTHX_ ev, "the response was started before");
    if (!psgi_event_head(aTHX_ ev, 0, &head) || !check_refusal(aTHX_ scope, ev, head.status))
        return false;
    has_trailers = psgi_event_flag(aTHX_ ev, "trailers");
    if (psgi_scope_exchange(scope) == NULL)
        return true;
    if (is_refusal)
        psgi_head_add(&head, SPAN_LIT("connection"), SPAN_LIT("close"));
    if (!psgi_scope_start(aTHX_ scope, ev, &head))
        return false;
    scope->is_declined = is_refusal;
    scope->has_trailers = has_trailers;
    return true;
}

bool psgi_scope_is_http_event(const struct psgi_event *ev)
{
    return strnEQ(ev->type, "http.response.", 14);
}

bool psgi_scope_send_http(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait)
{
    if (psgi_event_is(ev, "http.response.start"))
        return start_response(aTHX_ scope, ev);
    if (psgi_event_is(ev, "http.response.body"))
        return write_body(aTHX_ scope, ev, wait);
    if (psgi_event_is(ev, "http.response.trailers"))
        return send_trailers(aTHX_ scope, ev);
    return psgi_event_refuse(aTHX_ ev, "there is no such event for an http scope");
}

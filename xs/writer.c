/* writer.c - Sprig::Writer: a response's body, written piece by piece.
 *
 * The object is a plain blessed hash (apps look into it); the handle on it is what counts. It is
 * severed from the exchange at the end of the response, and then drops its callbacks, so that a
 * writer captured in its own callback does not live for ever. */
#include "writer.h"
#include "bytes.h"
#include "call.h"
#include "exchange.h"
#include "handle.h"
#include "lazyvalue.h"
#include "loop.h"
#include "report.h"
#include "socket.h"

/* Seconds until a poll_cb that had nothing is asked again. */
#define POLL_RETRY_SECONDS 0.02

/* ---- the object ---- */

static void writer_dropped(pTHX_ struct psgi_handle *handle);

static struct psgi_handle *writer_attach(pTHX_ SV *body, struct psgi_exchange *px)
{
    struct psgi_handle *handle =
        psgi_handle_attach(aTHX_ body, px, &psgi_get(aTHX)->n_writers, writer_dropped);

    handle->body = body;
    return handle;
}

static SV *writer_bless(pTHX_ HV *hv)
{
    return sv_bless(newRV_noinc((SV *)hv), psgi_get(aTHX)->writer_class);
}

/* For {handle}: looks like an AnyEvent::Handle, for apps that use that. */
static SV *facade_make(pTHX_ struct psgi_exchange *px)
{
    struct psgi_status status;
    SV *writer, *class, *facade = NULL;

    if (px->writer == NULL)
        return NULL;
    ENTER;
    psgi_status_keep(aTHX_ & status);
    load_module(PERL_LOADMOD_NOIMPORT, newSVpvs("Sprig::Writer"), NULL);
    LEAVE;
    psgi_status_give_back(aTHX_ & status);
    class = newSVpvs_flags("Sprig::Writer::Handle", SVs_TEMP);
    writer = sv_2mortal(newRV_inc(px->writer->body));
    psgi_call_method(aTHX_ class, "new", &writer, 1, &facade, NULL);
    return facade;
}

static const struct psgi_lazy_kind facade_kind = PSGI_LAZY_KIND(facade_make);

void psgi_writer_set_class(pTHX_ SV *name)
{
    struct psgi *psgi = psgi_get(aTHX);
    HV *old = psgi->writer_class;

    psgi->writer_class = (HV *)SvREFCNT_inc((SV *)gv_stashsv(name, GV_ADD));
    SvREFCNT_dec((SV *)old);
}

SV *psgi_writer_new(pTHX_ struct psgi_exchange *px)
{
    HV *hv = newHV();

    (void)hv_stores(hv, "handle", psgi_lazy_new(aTHX_ px, &facade_kind));
    px->writer = writer_attach(aTHX_(SV *) hv, px);
    px->writer->is_gone = sprig_exchange_is_gone(px->ex);
    px->writer->is_fatal = psgi_exchange_config(px)->die_on_disconnect;
    return writer_bless(aTHX_ hv);
}

SV *psgi_writer_new_severed(pTHX_ const struct psgi_handle *responder)
{
    HV *hv = newHV();
    struct psgi_handle *handle = writer_attach(aTHX_(SV *) hv, NULL);

    handle->is_gone = responder->is_gone;
    handle->is_fatal = responder->is_fatal;
    return writer_bless(aTHX_ hv);
}

static struct psgi_handle *writer_handle(pTHX_ SV *self, const char *method)
{
    struct psgi_handle *handle = psgi_handle_get(aTHX_ self);

    if (handle == NULL || handle->on_drop != writer_dropped)
        croak("Sprig::Writer::%s: not a writer", method);
    return handle;
}

/* The exchange, if bytes can still be queued for it. */
static struct psgi_exchange *writer_exchange(const struct psgi_handle *handle)
{
    return handle->px != NULL && handle->px->ex != NULL && !handle->is_used ? handle->px : NULL;
}

static void stop_retry(struct psgi_handle *handle)
{
    if (handle->retry != NULL)
        sprig_timer_free(handle->retry);
    handle->retry = NULL;
}

/* While a call of on_drain or poll_cb is due, the writer owns itself: perhaps only the callback
 * knows it, through its argument. */
static void own_itself_until_called(struct psgi_handle *handle)
{
    if (!handle->owns_itself)
        SvREFCNT_inc_simple_void_NN(handle->body);
    handle->owns_itself = true;
}

/* The body, owned by the caller; the writer no longer owns itself. */
static SV *take_body(struct psgi_handle *handle)
{
    if (!handle->owns_itself)
        SvREFCNT_inc_simple_void_NN(handle->body);
    handle->owns_itself = false;
    return handle->body;
}

static void want_drain(struct psgi_handle *handle, struct psgi_exchange *px)
{
    own_itself_until_called(handle);
    sprig_response_want_drain(px->ex);
}

/* Nothing will be written any more, so callbacks that wait for room are useless. The caller has a
 * reference to the writer. */
static void stop_producing(pTHX_ struct psgi_handle *handle)
{
    stop_retry(handle);
    psgi_handle_drop_callback(aTHX_ & handle->on_drain);
    psgi_handle_drop_callback(aTHX_ & handle->poll_cb);
    SvREFCNT_dec(take_body(handle));
}

static void writer_dropped(pTHX_ struct psgi_handle *handle)
{
    struct psgi_exchange *px = handle->px;

    stop_retry(handle);
    px->writer = NULL;
    if (handle->is_used)
        return;
    px->writer_dropped = true;
    psgi_exchange_object_dropped(aTHX_ px);
}

/* ---- write ---- */

/* A value's text, in a mortal. Overloading may run any code. */
static SV *text_copy(pTHX_ SV *value)
{
    struct psgi_status status;
    SV *copy = sv_newmortal();

    ENTER;
    psgi_status_keep(aTHX_ & status);
    sv_copypv_nomg(copy, value);
    LEAVE;
    psgi_status_give_back(aTHX_ & status);
    return copy;
}

/* A plain byte string for the value, or NULL if it is empty: the value itself if it is one already,
 * otherwise a mortal copy. Runs magic and overloading; croaks for wide characters. */
static SV *plain_bytes(pTHX_ SV *value, I32 number)
{
    SV *copy;

    value = psgi_referent(value);
    if (!SvPOK(value) || SvGMAGICAL(value) || SvROK(value) || SvUTF8(value)) {
        SvGETMAGIC(value);
        if (!SvOK(value))
            return NULL;
        copy = text_copy(aTHX_ value);
        if (SvUTF8(copy) && !sv_utf8_downgrade(copy, TRUE))
            croak("Sprig::Writer::write: wide character in argument %" IVdf
                  ": encode it first; nothing was written",
                  (IV)number);
        value = copy;
    }
    return SvCUR(value) > 0 ? value : NULL;
}

/* Replaces the values with plain ones; NULL for empty ones. Uses a separate array, because magic
 * may move the Perl stack. Holds the values: converting one may run code that frees another. */
static SV **plain_values(pTHX_ SV **values, I32 n)
{
    SV **plain;

    Newx(plain, n > 0 ? n : 1, SV *);
    SAVEFREEPV(plain);
    for (I32 i = 0; i < n; i++)
        plain[i] = sv_2mortal(SvREFCNT_inc_simple_NN(values[i]));
    for (I32 i = 0; i < n; i++)
        plain[i] = plain_bytes(aTHX_ plain[i], i + 1);
    return plain;
}

/* Nobody reads it: the client left, or a failure ended the exchange. */
static bool refuse_write(pTHX_ bool is_fatal)
{
    if (is_fatal)
        croak("Broken pipe");
    return false;
}

/* Queues all values. False: above the high-water mark, or *is_lost. */
static bool queue_values(pTHX_ struct psgi_exchange *px, SV **plain, I32 n, bool *is_lost)
{
    bool has_room = true;

    for (I32 i = 0; i < n; i++) {
        int rc;
        if (plain[i] == NULL)
            continue;
        rc = px->ex != NULL ? psgi_write_sv(aTHX_ px->ex, plain[i]) : SPRIG_E_CLOSED;
        if (rc < 0) {
            *is_lost = true;
            return false;
        }
        has_room = rc == 0;
    }
    return has_room;
}

static bool has_values(SV **plain, I32 n)
{
    for (I32 i = 0; i < n; i++)
        if (plain[i] != NULL)
            return true;
    return false;
}

/* Whether the value's bytes are available without running code. */
static bool is_simple(SV *value)
{
    return (SvFLAGS(value) & (SVf_POK | SVf_ROK | SVf_UTF8 | SVs_GMG)) == SVf_POK &&
           SvCUR(value) > 0;
}

/* Writes the bytes of a simple value (nearly always) or, without one, of the span. Holds the
 * writer, because what the write reports could run code. */
__attribute__((always_inline)) static inline bool
write_bytes(pTHX_ SV *self, struct psgi_handle *handle, SV *value, struct sprig_span bytes)
{
    struct psgi_exchange *px = psgi_exchange_ref(handle->px);
    SV *body = SvREFCNT_inc_simple_NN(SvRV(self));
    bool is_fatal = handle->is_fatal;
    int rc;

    if (value != NULL)
        bytes = span_make(SvPVX_const(value), SvCUR(value));
    handle->has_written = true;
    rc = value != NULL && bytes.len >= PSGI_SHARE_MIN_BYTES ? psgi_write_bytes(aTHX_ px->ex, value)
                                                            : sprig_response_write(px->ex, bytes);
    if (rc >= 0 && handle->on_drain != NULL && px->ex != NULL)
        want_drain(handle, px);
    sprig_loop_lend(px->server->psgi->loop);
    psgi_exchange_unref(aTHX_ px);
    SvREFCNT_dec_NN(body);
    return rc < 0 ? refuse_write(aTHX_ is_fatal) : rc == 0;
}

/* Writes any values; converting them may run code. */
__attribute__((noinline)) static bool write_values(pTHX_ SV *self, struct psgi_handle *handle,
                                                   SV **values, I32 n)
{
    SV **plain;
    struct psgi_exchange *px;
    bool is_fatal = handle->is_fatal, has_room, is_lost = false;

    ENTER;
    SAVEFREESV(SvREFCNT_inc_simple_NN(SvRV(self))); /* the values may drop it */
    plain = plain_values(aTHX_ values, n);
    if (handle->is_used) {
        warn("Sprig::Writer::write: the writer is closed");
        LEAVE;
        return false;
    }
    px = writer_exchange(handle);
    if (px == NULL) {
        LEAVE;
        return refuse_write(aTHX_ is_fatal);
    }
    psgi_exchange_ref(px);
    has_room = queue_values(aTHX_ px, plain, n, &is_lost);
    if (has_values(plain, n))
        handle->has_written = true;
    if (!is_lost && handle->on_drain != NULL && px->ex != NULL)
        want_drain(handle, px);
    sprig_loop_lend(px->server->psgi->loop);
    psgi_exchange_unref(aTHX_ px);
    LEAVE;
    return is_lost ? refuse_write(aTHX_ is_fatal) : has_room;
}

bool psgi_writer_write(pTHX_ SV *self, SV **values, I32 n)
{
    struct psgi_handle *handle = writer_handle(aTHX_ self, "write");

    if (n == 1 && is_simple(values[0]) && writer_exchange(handle) != NULL)
        return write_bytes(aTHX_ self, handle, values[0], span_make(NULL, 0));
    return write_values(aTHX_ self, handle, values, n);
}

bool psgi_writer_send(pTHX_ SV *self, const char *method, struct sprig_span bytes)
{
    struct psgi_handle *handle = writer_handle(aTHX_ self, method);

    if (handle->is_used) {
        warn("Sprig::Writer::%s: the writer is closed", method);
        return false;
    }
    if (writer_exchange(handle) == NULL)
        return refuse_write(aTHX_ handle->is_fatal);
    return write_bytes(aTHX_ self, handle, NULL, bytes);
}

struct psgi_exchange *psgi_writer_exchange(pTHX_ SV *self, const char *method)
{
    return writer_exchange(writer_handle(aTHX_ self, method));
}

/* ---- the other methods ---- */

void psgi_writer_close(pTHX_ SV *self)
{
    struct psgi_handle *handle = writer_handle(aTHX_ self, "close");
    struct psgi_exchange *px = writer_exchange(handle);
    SV *body = SvREFCNT_inc_simple_NN(SvRV(self)); /* cleanup handlers may drop it */

    handle->is_used = true;
    if (px != NULL) {
        psgi_exchange_ref(px);
        psgi_exchange_finish(aTHX_ px);
        psgi_exchange_unref(aTHX_ px);
    }
    stop_producing(aTHX_ handle);
    SvREFCNT_dec(body);
}

void psgi_writer_flush(pTHX_ SV *self)
{
    struct psgi_exchange *px = writer_exchange(writer_handle(aTHX_ self, "flush"));

    if (px != NULL)
        sprig_response_flush(px->ex);
}

SV *psgi_writer_socket(pTHX_ SV *self)
{
    struct psgi_handle *handle = writer_handle(aTHX_ self, "socket");

    if (handle->px != NULL && handle->px->ex != NULL && !sprig_exchange_owns_socket(handle->px->ex))
        return newSV(0);
    return handle->px != NULL ? psgi_socket_new(aTHX_ handle->px) : newSV(0);
}

UV psgi_writer_buffered(pTHX_ SV *self)
{
    struct psgi_handle *handle = writer_handle(aTHX_ self, "buffered");

    if (handle->px == NULL || handle->px->ex == NULL)
        return 0;
    return (UV)sprig_response_buffered(handle->px->ex);
}

/* ---- callbacks ---- */

/* Calls back with the writer, which lives until then. The caller reports an exception. */
static bool run_callback(pTHX_ struct psgi_handle *handle, SV *cb, SV **error)
{
    SV *self = newRV_inc(handle->body);
    bool ok;

    SvREFCNT_inc_simple_void_NN(cb);
    ok = psgi_call_for(aTHX_ handle->px != NULL ? handle->px->server : NULL, cb, &self, 1, NULL,
                       error);
    SvREFCNT_dec(cb);
    SvREFCNT_dec(self);
    return ok || *error == NULL;
}

/* Runs the producer of the body: if it dies, the body must not look complete. */
static bool run_producer(pTHX_ struct psgi_exchange *px, struct psgi_handle *handle, SV *cb)
{
    SV *error = NULL;

    if (run_callback(aTHX_ handle, cb, &error))
        return true;
    psgi_exchange_raise(aTHX_ px, error);
    SvREFCNT_dec(error);
    return false;
}

static void on_retry(struct sprig_timer *timer, void *arg);

/* Arranges the next turn of poll_cb: as soon as there is room if it wrote something, otherwise a
 * little later, because asking again at once would keep the loop busy. */
static void poll_again(pTHX_ struct psgi_handle *handle)
{
    struct psgi_exchange *px = writer_exchange(handle);

    if (px == NULL || handle->poll_cb == NULL || handle->retry != NULL)
        return;
    if (handle->has_written) {
        want_drain(handle, px);
        return;
    }
    handle->retry = sprig_timer_new(psgi_loop(aTHX), POLL_RETRY_SECONDS, 0, on_retry, handle);
    if (handle->retry != NULL)
        own_itself_until_called(handle);
}

/* The caller holds the writer. */
static void poll_writer(pTHX_ struct psgi_handle *handle)
{
    handle->has_written = false;
    if (run_producer(aTHX_ handle->px, handle, handle->poll_cb))
        poll_again(aTHX_ handle);
}

static void on_retry(struct sprig_timer *timer, void *arg)
{
    struct psgi_handle *handle = arg;
    struct psgi_exchange *px = writer_exchange(handle);
    PERL_UNUSED_VAR(timer);

    stop_retry(handle);
    if (px == NULL || handle->poll_cb == NULL)
        return;
    dTHXa(px->server->psgi->perl);
    psgi_exchange_ref(px);
    SV *body = take_body(handle);
    poll_writer(aTHX_ handle);
    SvREFCNT_dec(body);
    psgi_exchange_unref(aTHX_ px);
}

void psgi_writer_on_drain(pTHX_ SV *self, SV *cb)
{
    struct psgi_handle *handle = writer_handle(aTHX_ self, "on_drain");
    struct psgi_exchange *px = writer_exchange(handle);

    if (psgi_handle_set_callback(aTHX_ & handle->on_drain, cb, "Sprig::Writer::on_drain") &&
        px != NULL)
        want_drain(handle, px);
    else if (px == NULL)
        psgi_handle_drop_callback(aTHX_ & handle->on_drain);
}

void psgi_writer_poll_cb(pTHX_ SV *self, SV *cb)
{
    struct psgi_handle *handle = writer_handle(aTHX_ self, "poll_cb");
    struct psgi_exchange *px = writer_exchange(handle);

    stop_retry(handle);
    if (psgi_handle_set_callback(aTHX_ & handle->poll_cb, cb, "Sprig::Writer::poll_cb") &&
        px != NULL)
        want_drain(handle, px);
    else if (px == NULL)
        psgi_handle_drop_callback(aTHX_ & handle->poll_cb);
}

void psgi_writer_drained(pTHX_ struct psgi_exchange *px)
{
    struct psgi_handle *handle = px->writer;
    SV *body;

    if (handle == NULL || handle->is_used)
        return;
    psgi_exchange_ref(px);
    body = take_body(handle);
    if (handle->on_drain == NULL || run_producer(aTHX_ px, handle, handle->on_drain))
        if (writer_exchange(handle) != NULL && handle->poll_cb != NULL && handle->retry == NULL)
            poll_writer(aTHX_ handle);
    SvREFCNT_dec(body);
    psgi_exchange_unref(aTHX_ px);
}

/* ---- the client left ---- */

/* Calls on_disconnect, once. An exception is reported; the response is lost anyway. */
static void tell_gone(pTHX_ struct psgi_handle *handle)
{
    SV *cb = handle->on_disconnect, *error = NULL;
    struct psgi_exchange *px = handle->px;
    HV *env = px != NULL ? px->env : NULL;

    handle->on_disconnect = NULL;
    handle->wants_gone = false;
    if (cb == NULL)
        return;
    SvREFCNT_inc((SV *)env); /* the exchange may end meanwhile */
    if (px != NULL)
        psgi_exchange_ref(px);
    if (!run_callback(aTHX_ handle, cb, &error))
        psgi_report_of(aTHX_ env, px != NULL ? px->name : NULL, error);
    if (px != NULL)
        psgi_exchange_unref(aTHX_ px);
    SvREFCNT_dec((SV *)env);
    SvREFCNT_dec(error);
    SvREFCNT_dec(cb);
}

void psgi_writer_on_disconnect(pTHX_ SV *self, SV *cb)
{
    struct psgi_handle *handle = writer_handle(aTHX_ self, "on_disconnect");
    struct psgi_exchange *px = handle->px;

    if (!psgi_handle_set_callback(aTHX_ & handle->on_disconnect, cb,
                                  "Sprig::Writer::on_disconnect"))
        return;
    if (handle->is_gone && px != NULL && px->ex != NULL) {
        handle->wants_gone = true;
        sprig_exchange_notify(px->ex);
    } else if (handle->is_gone)
        tell_gone(aTHX_ handle);
    else if (px == NULL)
        psgi_handle_drop_callback(aTHX_ & handle->on_disconnect);
}

void psgi_writer_gone(pTHX_ struct psgi_exchange *px)
{
    struct psgi_handle *handle = px->writer;

    if (handle == NULL)
        return;
    psgi_exchange_ref(px);
    handle->is_gone = true;
    tell_gone(aTHX_ handle);
    psgi_exchange_unref(aTHX_ px);
}

/* ---- notices of the loop ---- */

/* The last reference went away without close: ends the body, unless an exception was the cause. */
static void settle_dropped(pTHX_ struct psgi_exchange *px)
{
    px->writer_dropped = false;
    if (px->dropped_by_die)
        sprig_response_abort(px->ex, "an exception passed the writer");
    else
        psgi_exchange_finish(aTHX_ px);
}

void psgi_writer_notified(pTHX_ struct psgi_exchange *px)
{
    if (px->writer_dropped)
        settle_dropped(aTHX_ px);
    else if (px->writer != NULL && px->writer->wants_gone)
        tell_gone(aTHX_ px->writer);
}

void psgi_writer_ended(pTHX_ struct psgi_exchange *px, bool is_gone)
{
    struct psgi_handle *handle = px->writer;
    SV *self;

    if (handle == NULL)
        return;
    self = newRV_inc(handle->body);
    if (is_gone) {
        handle->is_gone = true;
        tell_gone(aTHX_ handle);
    }
    px->writer = NULL;
    handle->px = NULL;
    stop_producing(aTHX_ handle);
    psgi_handle_drop_callback(aTHX_ & handle->on_disconnect);
    SvREFCNT_dec(self);
}

/* reader.c - Sprig::Reader: gives the app a request's body while it arrives (psgix.input.reader).
 *
 * Nothing is buffered here: without a callback, or while it is paused, the connection is not read.
 * The object is severed at the end of the exchange, and drops its callbacks as soon as none of them
 * can be called any more, so that a reader captured in its own callback does not live for ever. */
#include "reader.h"
#include "call.h"
#include "exchange.h"
#include "handle.h"
#include "report.h"

/* ---- the object ---- */

SV *psgi_reader_new(pTHX_ struct psgi_exchange *px)
{
    HV *hv = newHV();

    px->reader = psgi_handle_attach(aTHX_(SV *) hv, px, &psgi_get(aTHX)->n_readers, NULL);
    px->reader->body = (SV *)hv;
    return sv_bless(newRV_noinc((SV *)hv), gv_stashpvs("Sprig::Reader", GV_ADD));
}

static struct psgi_handle *reader_handle(pTHX_ SV *self, const char *method)
{
    struct psgi_handle *handle = psgi_handle_get(aTHX_ self);

    if (handle == NULL || handle->gauge != &psgi_get(aTHX)->n_readers)
        croak("Sprig::Reader::%s: not a reader", method);
    return handle;
}

/* Reads if somebody takes the data. */
static void adjust(const struct psgi_handle *handle)
{
    if (handle->px != NULL && handle->px->ex != NULL)
        sprig_exchange_read_body(handle->px->ex, handle->on_data != NULL && !handle->is_paused);
}

/* ---- the methods ---- */

void psgi_reader_on_data(pTHX_ SV *self, SV *cb)
{
    struct psgi_handle *handle = reader_handle(aTHX_ self, "on_data");

    if (handle->px == NULL || handle->is_used)
        return;
    psgi_handle_set_callback(aTHX_ & handle->on_data, cb, "Sprig::Reader::on_data");
    adjust(handle);
}

/* If it is set late, on_notify calls it, never this function. */
void psgi_reader_on_end(pTHX_ SV *self, SV *cb)
{
    struct psgi_handle *handle = reader_handle(aTHX_ self, "on_end");

    if (handle->px == NULL)
        return;
    psgi_handle_set_callback(aTHX_ & handle->on_end, cb, "Sprig::Reader::on_end");
    if (handle->is_used && handle->on_end != NULL && handle->px->ex != NULL)
        sprig_exchange_notify(handle->px->ex);
}

void psgi_reader_on_error(pTHX_ SV *self, SV *cb)
{
    struct psgi_handle *handle = reader_handle(aTHX_ self, "on_error");

    if (handle->px != NULL && !handle->is_used)
        psgi_handle_set_callback(aTHX_ & handle->on_error, cb, "Sprig::Reader::on_error");
}

void psgi_reader_pause(pTHX_ SV *self, bool is_paused)
{
    struct psgi_handle *handle = reader_handle(aTHX_ self, is_paused ? "pause" : "resume");

    handle->is_paused = is_paused;
    adjust(handle);
}

/* ---- callbacks ---- */

/* Calls back with the reader and perhaps a value. If the callback dies, the response fails. */
static bool run_callback(pTHX_ struct psgi_exchange *px, struct psgi_handle *handle, SV *cb,
                         SV *value)
{
    SV *args[2] = {newRV_inc(handle->body), value};
    SV *error = NULL;
    bool ok;

    SvREFCNT_inc_simple_void_NN(cb);
    ok = psgi_call_for(aTHX_ px->server, cb, args, value != NULL ? 2 : 1, NULL, &error);
    SvREFCNT_dec(cb);
    SvREFCNT_dec(args[0]);
    if (!ok && error != NULL)
        psgi_exchange_raise(aTHX_ px, error);
    SvREFCNT_dec(error);
    return ok;
}

static void forget_all(pTHX_ struct psgi_handle *handle)
{
    psgi_handle_drop_callback(aTHX_ & handle->on_data);
    psgi_handle_drop_callback(aTHX_ & handle->on_error);
    psgi_handle_drop_callback(aTHX_ & handle->on_end);
}

/* The body is complete: calls on_end now, or as soon as it is set. */
static void tell_end(pTHX_ struct psgi_exchange *px, struct psgi_handle *handle)
{
    SV *cb = handle->on_end;

    if (cb == NULL || !handle->is_used)
        return;
    handle->on_end = NULL;
    run_callback(aTHX_ px, handle, cb, NULL);
    SvREFCNT_dec(cb);
}

void psgi_reader_body(pTHX_ struct psgi_exchange *px, struct sprig_span bytes, bool is_last)
{
    struct psgi_handle *handle = px->reader;
    SV *data, *object;

    if (handle == NULL)
        return;
    object = SvREFCNT_inc_simple_NN(handle->body);
    handle->is_used = is_last;
    data = newSVpvn(bytes.ptr, bytes.len); /* copied before Perl is entered */
    if (bytes.len > 0 && handle->on_data != NULL)
        run_callback(aTHX_ px, handle, handle->on_data, data);
    SvREFCNT_dec(data);
    if (is_last) {
        psgi_handle_drop_callback(aTHX_ & handle->on_data);
        psgi_handle_drop_callback(aTHX_ & handle->on_error);
        if (px->ex != NULL)
            tell_end(aTHX_ px, handle);
    }
    SvREFCNT_dec(object);
}

void psgi_reader_notified(pTHX_ struct psgi_exchange *px)
{
    struct psgi_handle *handle = px->reader;

    if (handle == NULL || !handle->is_used)
        return;
    SV *object = SvREFCNT_inc_simple_NN(handle->body);
    tell_end(aTHX_ px, handle);
    SvREFCNT_dec(object);
}

/* The exchange is over. An incomplete body will stay incomplete; an app that has answered knows and
 * does not care. */
void psgi_reader_ended(pTHX_ struct psgi_exchange *px, enum sprig_end why)
{
    struct psgi_handle *handle = px->reader;
    SV *object, *cb, *error = NULL;

    if (handle == NULL)
        return;
    object = newRV_inc(handle->body);
    px->reader = NULL;
    handle->px = NULL;
    cb = handle->is_used || why == SPRIG_END_DONE ? NULL : handle->on_error;
    if (cb != NULL) {
        handle->on_error = NULL;
        if (!psgi_call_for(aTHX_ px->server, cb, &object, 1, NULL, &error) && error != NULL)
            psgi_exchange_report(aTHX_ px, error);
        SvREFCNT_dec(error);
        SvREFCNT_dec(cb);
    }
    forget_all(aTHX_ handle);
    SvREFCNT_dec(object);
}

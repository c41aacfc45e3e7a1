/* pump.c - a body that is read by getline while it is sent. */
#include "pump.h"
#include "bytes.h"
#include "call.h"
#include "exchange.h"
#include "report.h"

#include <perliol.h>

enum {
    RECORD_BYTES = 64 * 1024, /* $/ for getline */
    SLICE_BYTES = 64 * 1024,  /* for one pump in one turn of the loop */
    SLICE_CALLS = 64,         /* calls of getline in one turn */
    MAX_EMPTY = 8             /* empty strings from getline before a rest */
};

/* A body that is merely slow to fill its buffer (a compressor) is asked again after the others had
 * their turn; one that still has nothing after this many rests is polled less and less often. */
enum { N_SHORT_RESTS = 64 };
static const double REST_MIN_SECONDS = 0.001, REST_MAX_SECONDS = 0.05;

/* A body that is read by getline while it is sent, or that only has to be closed at the end. */
struct psgi_pump {
    SV *body; /* owned: the object of getline and close */
    struct sprig_timer *rest;
    unsigned n_empty; /* empty strings in a row */
    unsigned n_rests; /* rests in a row */
    bool is_running;  /* a frame of psgi_pump_run is on the stack */
    bool is_dropped;  /* the exchange is over: the running frame frees this */
    bool is_closed;   /* close was called */
};

/* ---- the pump ---- */

void psgi_pump_new(pTHX_ struct psgi_exchange *px, SV *body, bool is_reading)
{
    struct psgi_pump *pump;

    Newxz(pump, 1, struct psgi_pump);
    pump->body = SvROK(body) ? newRV_inc(SvRV(body)) : newRV_inc(body);
    px->server->psgi->n_pumps++;
    px->pump = pump;
    px->is_pumping = is_reading;
}

bool psgi_has_plain_layers(PerlIO *file)
{
    if (PerlIOBase(file)->flags & (PERLIO_F_UTF8 | PERLIO_F_CRLF))
        return false;
    for (PerlIO *f = file; PerlIOValid(f); f = PerlIONext(f)) {
        const char *name = PerlIOBase(f)->tab->name;
        if (strcmp(name, "unix") != 0 && strcmp(name, "perlio") != 0 && strcmp(name, "stdio") != 0)
            return false;
    }
    return true;
}

/* An open file without a class whose close is perl's own: closed without calling the method. */
static bool is_plain_file(SV *body)
{
    SV *gv = SvRV(body);
    IO *io = isGV_with_GP(gv) && !SvOBJECT(gv) ? GvIO((GV *)gv) : NULL;

    return io != NULL && !SvMAGICAL((SV *)io) && IoIFP(io) != NULL && IoDIRP(io) == NULL &&
           IoTYPE(io) == IoTYPE_RDONLY && psgi_has_plain_layers(IoIFP(io));
}

/* Objects without close are left alone. AUTOLOAD may provide it, which only `can` knows. */
static bool can_close(pTHX_ SV *body)
{
    SV *name, *found = NULL;
    bool can;

    if (!SvOBJECT(SvRV(body)))
        return psgi_io_of(body) != NULL;
    if (gv_fetchmethod_autoload(SvSTASH(SvRV(body)), "close", FALSE) != NULL)
        return true;
    name = newSVpvs("close");
    can = psgi_call_method(aTHX_ body, "can", &name, 1, &found, NULL) && found != NULL &&
          SvROK(found);
    SvREFCNT_dec(name);
    SvREFCNT_dec(found);
    return can;
}

/* Calls close, once in the body's life. False: it died; *error is owned by the caller. */
static bool pump_close(pTHX_ struct psgi_pump *pump, SV **error)
{
    bool ok = true;

    *error = NULL;
    if (pump->is_closed || PL_phase == PERL_PHASE_DESTRUCT)
        return true;
    pump->is_closed = true;
    if (is_plain_file(pump->body))
        do_close((GV *)SvRV(pump->body), TRUE);
    else if (can_close(aTHX_ pump->body))
        ok = psgi_call_method(aTHX_ pump->body, "close", NULL, 0, NULL, error);
    return ok;
}

static void pump_destroy(pTHX_ struct psgi_exchange *px, struct psgi_pump *pump)
{
    SV *error;

    if (pump->rest != NULL)
        sprig_timer_free(pump->rest);
    if (!pump_close(aTHX_ pump, &error) && error != NULL)
        psgi_exchange_report(aTHX_ px, error);
    SvREFCNT_dec(error);
    SvREFCNT_dec(pump->body);
    px->server->psgi->n_pumps--;
    Safefree(pump);
}

void psgi_pump_free(pTHX_ struct psgi_exchange *px)
{
    struct psgi_pump *pump = px->pump;

    if (pump == NULL)
        return;
    px->pump = NULL;
    px->is_pumping = false;
    if (pump->is_running)
        pump->is_dropped = true;
    else
        pump_destroy(aTHX_ px, pump);
}

static void on_rest(struct sprig_timer *timer, void *arg)
{
    struct psgi_exchange *px = arg;
    struct psgi_pump *pump = px->pump;
    dTHXa(px->server->psgi->perl);

    sprig_timer_free(timer);
    pump->rest = NULL;
    psgi_exchange_ref(px);
    psgi_pump_run(aTHX_ px);
    psgi_exchange_unref(aTHX_ px);
}

/* getline has nothing yet: asks again after a while instead of at once. */
static void pump_rest(struct psgi_exchange *px, struct psgi_pump *pump)
{
    double seconds = 0;

    pump->n_empty = 0;
    for (unsigned n = N_SHORT_RESTS; n < pump->n_rests && seconds < REST_MAX_SECONDS; n++)
        seconds = seconds > 0 ? seconds * 2 : REST_MIN_SECONDS;
    pump->n_rests++;
    if (pump->rest == NULL)
        pump->rest = sprig_timer_new(px->server->psgi->loop, seconds, 0, on_rest, px);
}

/* local $/ = \RECORD_BYTES */
static void localise_rs(pTHX)
{
    GV *gv = gv_fetchpvs("/", GV_ADD, SVt_PV);

    save_scalar(gv);
    sv_setsv_mg(GvSV(gv), sv_2mortal(newRV_noinc(newSViv(RECORD_BYTES))));
}

enum pumped { PUMPED_WAIT, PUMPED_END, PUMPED_FAILED };

struct chunk_text {
    SV *chunk; /* what getline returned */
    SV *text;  /* out, owned: the bytes; NULL: wide characters */
};

static void make_chunk_text(pTHX_ void *arg)
{
    struct chunk_text *job = arg;
    SV *sv = psgi_referent(job->chunk), *hold;
    struct sprig_span bytes;

    if (psgi_bytes(aTHX_ sv, &bytes, &hold))
        job->text = hold != NULL ? hold : newSVpvn(bytes.ptr, bytes.len);
}

/* Writes what getline returned, perhaps an object that overloads "". Converting that may end the
 * exchange, so it becomes text before anything is written. */
static enum pumped pump_write(pTHX_ struct psgi_exchange *px, SV *chunk, int *rc, SV **error)
{
    struct chunk_text job = {chunk, NULL};

    if (SvROK(chunk) && !psgi_eval(aTHX_ make_chunk_text, &job, error))
        return PUMPED_FAILED;
    if (SvROK(chunk) && job.text == NULL)
        *rc = SPRIG_E_INVALID;
    else if (px->ex != NULL)
        *rc = psgi_write_sv(aTHX_ px->ex, job.text != NULL ? job.text : chunk);
    else
        *rc = SPRIG_E_CLOSED;
    SvREFCNT_dec(job.text);
    if (*rc != SPRIG_E_INVALID)
        return PUMPED_WAIT;
    *error = newSVpvs("PSGI response has a wide character in its body");
    return PUMPED_FAILED;
}

/* Reads and sends until a slice is used up, the queue is full, or the body has ended. */
static enum pumped pump_slice(pTHX_ struct psgi_exchange *px, struct psgi_pump *pump, SV **error)
{
    uint64_t n_bytes = 0;

    for (int i = 0; i < SLICE_CALLS && n_bytes < SLICE_BYTES; i++) {
        SV *chunk;
        enum pumped pumped = PUMPED_END;
        int rc = 0;
        sprig_loop_lend(px->server->psgi->loop); /* reading may take long */
        if (!psgi_call_method(aTHX_ pump->body, "getline", NULL, 0, &chunk, error))
            return PUMPED_FAILED;
        if (px->ex != NULL && chunk != NULL && SvOK(chunk)) {
            bool is_empty = SvPOK(chunk) && SvCUR(chunk) == 0;
            n_bytes += SvPOK(chunk) ? SvCUR(chunk) : 0;
            pump->n_empty = is_empty ? pump->n_empty + 1 : 0;
            if (!is_empty)
                pump->n_rests = 0;
            pumped = pump_write(aTHX_ px, chunk, &rc, error);
        }
        SvREFCNT_dec(chunk); /* this may end the exchange */
        if (px->ex == NULL)
            return PUMPED_END;
        if (pumped == PUMPED_WAIT && sprig_response_has_excess(px->ex))
            return PUMPED_END; /* it may not end by itself */
        if (pumped != PUMPED_WAIT || rc != 0)
            return pumped; /* on_drain or on_end will follow */
        if (pump->n_empty >= MAX_EMPTY) {
            pump_rest(px, pump);
            return PUMPED_WAIT;
        }
    }
    sprig_response_want_drain(px->ex);
    return PUMPED_WAIT;
}

/* The body has ended or failed. Closes it before the last byte is sent, because closing may fail as
 * well. */
static void pump_end(pTHX_ struct psgi_exchange *px, struct psgi_pump *pump, SV *error)
{
    SV *close_error = NULL;

    px->is_pumping = false;
    if (!pump_close(aTHX_ pump, &close_error) && error == NULL)
        error = sv_2mortal(close_error);
    else
        SvREFCNT_dec(close_error);
    if (px->ex == NULL)
        return;
    if (error != NULL)
        psgi_exchange_fail(aTHX_ px, error);
    else
        psgi_exchange_finish(aTHX_ px);
}

void psgi_pump_run(pTHX_ struct psgi_exchange *px)
{
    struct psgi_pump *pump = px->pump;
    enum pumped pumped = PUMPED_END;
    SV *error = NULL;

    if (px->ex == NULL || pump == NULL || pump->is_running || !px->is_pumping || pump->rest != NULL)
        return;
    psgi_exchange_ref(px);
    pump->is_running = true;
    ENTER;
    SAVETMPS;
    if (!sprig_response_is_bodyless(px->ex)) {
        save_scalar(PL_errgv);
        localise_rs(aTHX);
        pumped = pump_slice(aTHX_ px, pump, &error);
    }
    FREETMPS;
    LEAVE;
    if (pumped != PUMPED_WAIT && !pump->is_dropped)
        pump_end(aTHX_ px, pump, error);
    pump->is_running = false;
    SvREFCNT_dec(error);
    if (pump->is_dropped)
        pump_destroy(aTHX_ px, pump);
    psgi_exchange_unref(aTHX_ px);
}

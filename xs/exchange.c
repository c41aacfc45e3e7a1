/* exchange.c - one request and its response: its life, its failure, its end. Everything about an
 * exchange builds on this; nothing here knows how an app is called or what it returns. */
#include "exchange.h"
#include "env.h"
#include "report.h"
#include "server.h"

#include "base/stats.h"

enum { SPARE_EXCHANGES = 64 };

struct psgi_exchange *psgi_exchange_new(struct psgi_server *server, struct sprig_exchange *ex)
{
    struct psgi *psgi = server->psgi;
    struct psgi_exchange *px = psgi->spare_exchanges;

    if (px != NULL) {
        psgi->spare_exchanges = px->next_spare;
        psgi->n_spare_exchanges--;
    } else {
        Newx(px, 1, struct psgi_exchange);
    }
    Zero(px, 1, struct psgi_exchange);
    px->ex = ex;
    px->server = server;
    server->refs++;
    px->refs = 1;
    list_init(&px->dropped);
    sprig_exchange_set_app(ex, px);
    server->psgi->n_exchanges++;
    return px;
}

void psgi_exchange_free(pTHX_ struct psgi_exchange *px)
{
    struct psgi *psgi = px->server->psgi;

    list_remove(&px->dropped);
    SvREFCNT_dec(px->guard);
    SvREFCNT_dec(px->promise);
    SvREFCNT_dec(px->on_complete);
    Safefree(px->name);
    psgi_server_unref(aTHX_ px->server);
    if (psgi->n_spare_exchanges >= SPARE_EXCHANGES) {
        Safefree(px);
        return;
    }
    px->next_spare = psgi->spare_exchanges;
    psgi->spare_exchanges = px;
    psgi->n_spare_exchanges++;
}

const struct sprig_config *psgi_exchange_config(const struct psgi_exchange *px)
{
    return sprig_server_config(sprig_exchange_server(px->ex));
}

void psgi_exchange_report(pTHX_ struct psgi_exchange *px, SV *message)
{
    psgi_exchange_ref(px); /* converting the message to text may end it */
    psgi_report_of(aTHX_ px->env, px->name, message);
    psgi_exchange_unref(aTHX_ px);
}

/* The response of last resort. PAGI requires that the connection ends with it. */
static void send_500(pTHX_ struct psgi_exchange *px)
{
    static const struct sprig_span text = {"Internal Server Error", 21};
    struct sprig_header headers[] = {{SPAN_LIT("Content-Type"), SPAN_LIT("text/plain")},
                                     {SPAN_LIT("Connection"), SPAN_LIT("close")}};
    struct sprig_head head = {500, headers, px->scope != NULL ? 2 : 1, text.len};
    char why[128];

    px->is_answered = true;
    if (sprig_response_head(px->ex, &head, why, sizeof why) != 0) {
        sprig_response_abort(px->ex, "there is no memory for an answer");
        return;
    }
    sprig_response_write(px->ex, text);
    psgi_exchange_finish(aTHX_ px);
}

void psgi_exchange_refuse(pTHX_ struct psgi_exchange *px)
{
    if (px->ex == NULL)
        return;
    if (!sprig_response_has_head(px->ex))
        send_500(aTHX_ px);
    else
        sprig_response_abort(px->ex, "the app failed in the middle of a response");
}

void psgi_exchange_fail(pTHX_ struct psgi_exchange *px, SV *message)
{
    psgi_exchange_ref(px);
    stats_add(STAT_EXCEPTIONS, 1);
    psgi_exchange_report(aTHX_ px, message);
    psgi_exchange_refuse(aTHX_ px);
    psgi_exchange_unref(aTHX_ px);
}

void psgi_exchange_failf(pTHX_ struct psgi_exchange *px, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    SV *message = vnewSVpvf(fmt, &ap);
    va_end(ap);
    psgi_exchange_fail(aTHX_ px, message);
    SvREFCNT_dec(message);
}

AV *psgi_exchange_cleanup_handlers(pTHX_ struct psgi_exchange *px)
{
    AV *handlers = NULL;
    SV *ref;

    if (px->env == NULL || !psgi_env_has_handlers(aTHX_ px))
        return NULL;
    ref = psgi_env_get(aTHX_ px->env, "psgix.cleanup.handlers");
    if (ref != NULL && SvROK(ref) && SvTYPE(SvRV(ref)) == SVt_PVAV && !SvRMAGICAL(SvRV(ref)) &&
        AvFILLp((AV *)SvRV(ref)) >= 0)
        handlers = (AV *)SvREFCNT_inc_simple_NN(SvRV(ref));
    SvREFCNT_dec(ref);
    return handlers;
}

int psgi_exchange_finish(pTHX_ struct psgi_exchange *px)
{
    AV *handlers;

    if (px->ex == NULL)
        return SPRIG_E_CLOSED;
    handlers = psgi_exchange_cleanup_handlers(aTHX_ px);
    if (handlers != NULL || px->on_complete != NULL)
        sprig_exchange_end_after_flush(px->ex);
    SvREFCNT_dec(handlers);
    return px->ex != NULL ? sprig_response_end(px->ex) : SPRIG_E_CLOSED;
}

/* ---- what the app's objects do to it ---- */

/* Runs within a Perl object's destructor, so the real work waits for on_notify. */
void psgi_exchange_object_dropped(pTHX_ struct psgi_exchange *px)
{
    if (px->ex == NULL || PL_phase == PERL_PHASE_DESTRUCT)
        return;
    if (!list_linked(&px->dropped))
        list_append(&px->server->psgi->dropped, &px->dropped);
    px->drop_number = ++px->server->psgi->n_dropped;
    sprig_exchange_notify(px->ex);
}

bool psgi_exchange_can_fail(const struct psgi_exchange *px)
{
    if (px->ex == NULL)
        return false;
    return !px->is_answered || px->writer_dropped || px->is_pumping ||
           (px->writer != NULL && !px->writer->is_used);
}

void psgi_exchange_raise(pTHX_ struct psgi_exchange *px, SV *error)
{
    if (!psgi_exchange_can_fail(px)) {
        psgi_exchange_report(aTHX_ px, error);
        return;
    }
    px->is_answered = true;
    psgi_exchange_fail(aTHX_ px, error);
}

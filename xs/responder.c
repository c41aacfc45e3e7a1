/* responder.c - delayed responses: the code ref that the app calls with its response, and what
 * happens when it never does. */
#include "responder.h"
#include "call.h"
#include "exchange.h"
#include "handle.h"
#include "lazyvalue.h"
#include "promise.h"
#include "reply.h"
#include "socket.h"
#include "websocket_object.h"
#include "writer.h"

static void responder_dropped(pTHX_ struct psgi_handle *handle)
{
    struct psgi_exchange *px = handle->px;

    px->responder = NULL;
    if (px->is_answered)
        return;
    px->responder_dropped = true;
    psgi_exchange_object_dropped(aTHX_ px);
}

/* ---- the call ---- */

/* Two elements, or three of which the last is undef: a writer will send the body. */
static bool is_streaming(pTHX_ SV *response)
{
    SSize_t last;
    SV **body;

    SvGETMAGIC(response);
    if (!SvROK(response) || SvTYPE(SvRV(response)) != SVt_PVAV)
        return false;
    last = av_len((AV *)SvRV(response));
    if (last != 2)
        return last == 1;
    body = av_fetch((AV *)SvRV(response), 2, 0);
    if (body != NULL)
        SvGETMAGIC(*body);
    return body == NULL || !SvOK(*body);
}

/* Refuses a second response. If it gets a writer, that leads nowhere. */
static SV *refuse_second(pTHX_ struct psgi_handle *handle, SV *response)
{
    warn(handle->is_used ? "responder called twice: the first response stands"
                         : "responder called after the request was answered otherwise");
    return is_streaming(aTHX_ response) ? psgi_writer_new_severed(aTHX_ handle) : NULL;
}

/* Sends the response. Returns the writer if the body will follow, owned by the caller; otherwise
 * NULL. */
static SV *responder_answer(pTHX_ struct psgi_handle *handle, SV *response)
{
    struct psgi_exchange *px = handle->px;
    SV *writer = NULL, *held = NULL;

    if (handle->is_used || (px != NULL && px->is_answered))
        return refuse_second(aTHX_ handle, response);
    handle->is_used = true;
    if (px == NULL || px->ex == NULL)
        return is_streaming(aTHX_ response) ? psgi_writer_new_severed(aTHX_ handle) : NULL;
    px->is_answered = true;
    psgi_exchange_ref(px);
    if (SvROK(response)) /* `response` is the caller's variable, which their code may change */
        response = held = newRV_inc(SvRV(response));
    if (psgi_reply_send(aTHX_ px, response, true) == 1)
        writer = px->ex != NULL && !psgi_websocket_begin(aTHX_ px)
                     ? psgi_writer_new(aTHX_ px)
                     : psgi_writer_new_severed(aTHX_ handle);
    if (px->ex != NULL && px->socket_used)
        sprig_response_flush(px->ex); /* what the app writes to the socket must come after it */
    SvREFCNT_dec(held);
    if (writer != NULL)
        sprig_loop_lend(px->server->psgi->loop);
    psgi_exchange_unref(aTHX_ px);
    return writer;
}

/* The body of each responder: a single XSUB; the handle on the CV tells which one. */
XS(psgi_responder_call);
XS(psgi_responder_call)
{
    dXSARGS;
    SV *self = sv_2mortal(newRV_inc((SV *)cv));
    struct psgi_handle *handle = psgi_handle_get(aTHX_ self);
    SV *writer;

    if (items != 1)
        croak("Usage: $respond->([$status, $headers, $body]) or ->([$status, $headers])");
    if (handle == NULL)
        XSRETURN_EMPTY;
    writer = responder_answer(aTHX_ handle, ST(0));
    if (writer == NULL)
        XSRETURN_EMPTY;
    ST(0) = sv_2mortal(writer);
    XSRETURN(1);
}

static SV *responder_make(pTHX_ struct psgi *psgi)
{
    CV *cv = newXS(NULL, psgi_responder_call, __FILE__);
    SV *ref = newRV_noinc((SV *)cv);

    psgi_handle_attach(aTHX_(SV *) cv, NULL, &psgi->n_responders, responder_dropped);
    if (psgi->responder_class == NULL)
        psgi->responder_class = (HV *)SvREFCNT_inc((SV *)gv_stashpvs("Sprig::Responder", GV_ADD));
    return sv_bless(ref, psgi->responder_class);
}

static SV *responder_new(pTHX_ struct psgi_exchange *px)
{
    struct psgi *psgi = px->server->psgi;
    SV *ref = psgi->spare_responder;

    if (ref != NULL)
        ++psgi->n_responders;
    else
        ref = responder_make(aTHX_ psgi);
    psgi->spare_responder = NULL;
    px->responder = psgi_handle_only(SvRV(ref));
    px->responder->px = px;
    px->responder->is_fatal = psgi_exchange_config(px)->die_on_disconnect;
    return ref;
}

/* A responder that nobody has any more, unchanged except that it was called. */
static bool responder_is_spare(struct psgi *psgi, SV *ref, struct psgi_handle *handle)
{
    SV *body = SvRV(ref);

    return SvREFCNT(body) == 1 && handle->is_used && psgi_handle_only(body) == handle &&
           SvSTASH(body) == psgi->responder_class && CvXSUB((CV *)body) == psgi_responder_call &&
           !SvPOK(body) && !SvREADONLY(body) && !CvLVALUE((CV *)body);
}

/* Ends a call's hold on its responder. Most are called at once and forgotten: the next request
 * reuses the same one. */
static void responder_release(pTHX_ struct psgi *psgi, SV *ref)
{
    bool is_plain = SvREFCNT(ref) == 1 && SvFLAGS(ref) == (SVt_IV | SVf_ROK);
    struct psgi_handle *handle = is_plain ? psgi_handle_get(aTHX_ ref) : NULL;

    if (handle == NULL || psgi->spare_responder != NULL || PL_phase == PERL_PHASE_DESTRUCT ||
        !responder_is_spare(psgi, ref, handle)) {
        SvREFCNT_dec(ref);
        return;
    }
    if (handle->px != NULL)
        handle->px->responder = NULL;
    handle->px = NULL;
    handle->is_used = handle->is_gone = false;
    --psgi->n_responders;
    psgi->spare_responder = ref;
}

/* Does the same for the second argument, psgix.io. */
static SV *socket_take(pTHX_ struct psgi_exchange *px)
{
    struct psgi *psgi = px->server->psgi;
    SV *sv = psgi->spare_socket;

    if (!psgi_socket_exists(px))
        return psgi_socket_new(aTHX_ px);
    psgi->spare_socket = NULL;
    if (sv != NULL && psgi_lazy_reuse(aTHX_ sv, px))
        return sv;
    SvREFCNT_dec(sv);
    return psgi_socket_new(aTHX_ px);
}

static void socket_release(pTHX_ struct psgi_exchange *px, SV *sv)
{
    struct psgi *psgi = px->server->psgi;

    if (SvREFCNT(sv) == 1 && psgi->spare_socket == NULL && psgi_lazy_park(aTHX_ sv, px))
        psgi->spare_socket = sv;
    else
        SvREFCNT_dec(sv);
}

void psgi_responder_raise(pTHX_ SV *self, SV *error)
{
    struct psgi_handle *handle = psgi_handle_get(aTHX_ self);

    if (handle == NULL || !sv_derived_from(self, "Sprig::Responder"))
        croak("Sprig::Responder::raise: not a responder");
    if (handle->px == NULL && !handle->is_used)
        handle->is_used = true; /* the client left */
    else if (handle->px == NULL || !psgi_exchange_can_fail(handle->px))
        warn("responder raised an error after the request was answered: the first response stands");
    else {
        handle->is_used = true;
        psgi_exchange_raise(aTHX_ handle->px, error);
    }
}

/* ---- one delayed response from start to end ---- */

/* A watcher is none of the things checked below, and many callbacks end by making a timer. */
static bool is_watcher(const struct psgi *psgi, SV *sv)
{
    return SvROK(sv) && SvOBJECT(SvRV(sv)) && SvSTASH(SvRV(sv)) == psgi->watcher_class;
}

/* Functions such as http_get and tcp_connect return a guard that cancels them when dropped, and
 * apps written for servers that ignore the callback's value end with such a call. */
static bool is_guard(pTHX_ SV *sv)
{
    return sv_isobject(sv) &&
           (sv_derived_from(sv, "Guard") || sv_derived_from(sv, "AnyEvent::Util::guard"));
}

/* The callback's return value may be meant to drive the response. */
static void keep_result(pTHX_ struct psgi_exchange *px, SV *result)
{
    if (px->guard == NULL && is_guard(aTHX_ result))
        px->guard = SvREFCNT_inc_simple_NN(result);
    else
        psgi_promise_watch(aTHX_ px, result);
}

void psgi_responder_start(pTHX_ struct psgi_exchange *px, SV *code)
{
    SV *args[2], *result = NULL, *error = NULL;
    bool ok;

    psgi_exchange_ref(px);
    args[0] = responder_new(aTHX_ px);
    args[1] = socket_take(aTHX_ px);
    ok = psgi_call_for(aTHX_ px->server, code, args, 2, &result, &error);
    if (!ok && error != NULL)
        psgi_exchange_raise(aTHX_ px, error);
    else if (result != NULL && SvROK(result) && !is_watcher(px->server->psgi, result))
        keep_result(aTHX_ px, result);
    SvREFCNT_dec(result);
    SvREFCNT_dec(error);
    socket_release(aTHX_ px, args[1]);
    responder_release(aTHX_ px->server->psgi, args[0]);
    psgi_exchange_unref(aTHX_ px);
}

void psgi_responder_notified(pTHX_ struct psgi_exchange *px)
{
    if (!px->responder_dropped)
        return;
    px->responder_dropped = false;
    if (px->is_answered)
        return;
    px->is_answered = true;
    if (psgi_socket_is_taken(aTHX_ px))
        psgi_socket_hand_over(aTHX_ px);
    else
        psgi_exchange_failf(aTHX_ px, "responder dropped without a response");
}

void psgi_responder_ended(pTHX_ struct psgi_exchange *px, bool is_gone)
{
    struct psgi_handle *handle = px->responder;

    PERL_UNUSED_CONTEXT;
    px->responder_dropped = false;
    px->responder = NULL;
    if (handle == NULL)
        return;
    handle->is_gone = is_gone;
    handle->px = NULL;
}

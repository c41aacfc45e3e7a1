/* websocket_methods.c - what an app can do with a Sprig::WebSocket. */
#include "bytes.h"
#include "call.h"
#include "exchange.h"
#include "handle.h"
#include "text.h"
#include "websocket_object.h"

static struct psgi_websocket *websocket_of(pTHX_ SV *self, const char *method)
{
    struct psgi_websocket *w = psgi_websocket_find(aTHX_ self);

    if (w == NULL)
        croak("Sprig::WebSocket::%s: not a WebSocket", method);
    return w;
}

/* ---- accepting ---- */

I32 psgi_websocket_accepted(pTHX_ SV *self, HV *options, SV **accept, SV **extension)
{
    struct psgi_websocket *w = websocket_of(aTHX_ self, "accept");
    struct sprig_ws_answer answer;

    if (w->is_accepted)
        croak("Sprig::WebSocket::accept: it was accepted before");
    if (w->px == NULL || w->px->ex == NULL || !psgi_websocket_has_offer(w))
        return 0; /* the client left, or the request was answered */
    if (w->px->socket_used)
        croak("Sprig::WebSocket::accept: the application uses psgix.io");
    SV **own = hv_fetchs(options, "websocket_origins", 0);
    const char *origins =
        own != NULL ? SvPV_nolen(*own) : psgi_exchange_config(w->px)->websocket_origins;
    if (!sprig_ws_admits(w->px->ex, &w->more->offer, origins))
        return 0;
    psgi_websocket_accept(aTHX_ w, options, &answer);
    *accept = sv_2mortal(newSVpvn(answer.accept, SPRIG_WS_ACCEPT_LEN));
    *extension = answer.n_extension > 0 ? sv_2mortal(newSVpvn(answer.extension, answer.n_extension))
                                        : &PL_sv_undef;
    return 2;
}

bool psgi_websocket_choose(pTHX_ SV *self, SV *protocol)
{
    struct psgi_websocket *w = websocket_of(aTHX_ self, "accept");
    STRLEN len;
    const char *text = SvPV(protocol, len);

    if (!psgi_websocket_has_offer(w) || w->more->protocol != NULL ||
        !sprig_ws_offers(&w->more->offer, span_make(text, len)))
        return false;
    w->more->protocol = newSVpvn(text, len);
    return true;
}

SV *psgi_websocket_opened(pTHX_ SV *self)
{
    struct psgi_websocket *w = websocket_of(aTHX_ self, "accept");
    SV *args[1], *result = NULL;

    if (w->ws == NULL || w->is_over || psgi_websocket_has_offer(w))
        return NULL;
    SV *body = SvREFCNT_inc_simple_NN(w->body);
    psgi_websocket_call(aTHX_ w, WEBSOCKET_ON_OPEN, args, 1, &result);
    psgi_websocket_drop_unused(aTHX_ w);
    psgi_websocket_adjust(aTHX_ w);
    SvREFCNT_dec(body);
    return result;
}

/* ---- callbacks ---- */

void psgi_websocket_set(pTHX_ SV *self, enum psgi_websocket_event event, SV *cb)
{
    static const char *const names[N_WEBSOCKET_EVENTS] = {
        "Sprig::WebSocket::on_message", "Sprig::WebSocket::on_close", "Sprig::WebSocket::on_open",
        "Sprig::WebSocket::on_drain",   "Sprig::WebSocket::on_pong",  "Sprig::WebSocket::on_error"};
    struct psgi_websocket *w = websocket_of(aTHX_ self, "on_message");

    sv_2mortal(SvREFCNT_inc_simple_NN(w->body)); /* the old callback may be all that held it */
    psgi_handle_set_callback(aTHX_ psgi_websocket_slot(w, event), cb, names[event]);
    if (w->is_over)
        psgi_handle_drop_callback(aTHX_ psgi_websocket_slot(w, event));
    else if (event == WEBSOCKET_ON_MESSAGE)
        psgi_websocket_adjust(aTHX_ w);
    else if (event == WEBSOCKET_ON_DRAIN && w->ws != NULL && sprig_ws_exchange(w->ws) != NULL)
        sprig_response_want_drain(sprig_ws_exchange(w->ws));
}

void psgi_websocket_next(pTHX_ SV *self, SV *condvar)
{
    struct psgi_websocket *w = websocket_of(aTHX_ self, "next");

    if (w->is_over || !w->is_accepted) {
        psgi_call_method(aTHX_ condvar, "send", NULL, 0, NULL, NULL);
        return;
    }
    if (psgi_websocket_more(w)->waiting == NULL)
        w->more->waiting = newAV();
    av_push(w->more->waiting, SvREFCNT_inc_simple_NN(condvar));
    psgi_websocket_adjust(aTHX_ w);
}

/* ---- sending ---- */

/* The text of a message. Runs magic and overloading first; croaks for anything that is not a
 * character. */
static struct sprig_span text_of(pTHX_ SV *message)
{
    SV *plain = psgi_text_sv(aTHX_ psgi_referent(message));
    struct sprig_span text = psgi_text_span(aTHX_ plain, "Sprig::WebSocket::send: the message");

    if (text.ptr == NULL)
        croak("Sprig::WebSocket::send: the message is undefined");
    return text;
}

/* A string with a message's bytes. */
static SV *bytes_of(pTHX_ SV *message)
{
    SV *plain = psgi_text_sv(aTHX_ psgi_referent(message));

    if (!SvOK(plain))
        croak("Sprig::WebSocket::send_binary: the message is undefined");
    if (!SvUTF8(plain))
        return plain;
    plain = sv_mortalcopy(plain);
    if (!sv_utf8_downgrade(plain, TRUE))
        croak("Sprig::WebSocket::send_binary: wide character: encode it first; nothing was sent");
    return plain;
}

static int send_bytes(pTHX_ struct psgi_websocket *w, SV *bytes)
{
    bool raw;
    struct sprig_span span = span_make(SvPVX(bytes), SvCUR(bytes));
    int rc = sprig_ws_send_raw(w->ws, span, true, &raw);

    if (!raw)
        return rc;
    rc = psgi_write_bytes(aTHX_ sprig_ws_exchange(w->ws), bytes);
    return rc < 0 ? rc : SPRIG_WS_QUEUED;
}

bool psgi_websocket_send(pTHX_ SV *self, SV *message, bool is_binary)
{
    SV *bytes = is_binary ? bytes_of(aTHX_ message) : NULL; /* first, because code of the app may
                                                             * run */
    struct sprig_span text = is_binary ? span_make(NULL, 0) : text_of(aTHX_ message);
    struct psgi_websocket *w = websocket_of(aTHX_ self, is_binary ? "send_binary" : "send");
    struct psgi_server *server = w->server;
    struct sprig_exchange *ex;
    int rc;

    if (w->ws == NULL) {
        if (!w->is_accepted && !w->is_over)
            croak("Sprig::WebSocket::send: accept it first");
        return false;
    }
    rc = is_binary ? send_bytes(aTHX_ w, bytes) : sprig_ws_send(w->ws, text, false);
    ex = w->ws != NULL ? sprig_ws_exchange(w->ws) : NULL;
    if (ex != NULL && psgi_websocket_callback(w, WEBSOCKET_ON_DRAIN) != NULL)
        sprig_response_want_drain(ex);
    sprig_loop_lend(server->psgi->loop);
    return rc == SPRIG_WS_QUEUED;
}

bool psgi_websocket_ping(pTHX_ SV *self, SV *payload)
{
    struct psgi_websocket *w = websocket_of(aTHX_ self, "ping");
    SV *bytes = payload != NULL && SvOK(payload) ? bytes_of(aTHX_ payload) : NULL;
    struct sprig_span span =
        bytes != NULL ? span_make(SvPVX(bytes), SvCUR(bytes)) : span_make(NULL, 0);

    if (span.len > 125)
        croak("Sprig::WebSocket::ping: more than 125 bytes");
    return w->ws != NULL && sprig_ws_ping(w->ws, span) == 0;
}

/* ---- its end ---- */

void psgi_websocket_close(pTHX_ SV *self, SV *code, SV *reason)
{
    struct psgi_websocket *w = websocket_of(aTHX_ self, "close");
    UV number = code != NULL && SvOK(code) ? SvUV(code) : 1000;
    struct sprig_span text = span_make(NULL, 0);

    if (reason != NULL && SvOK(reason))
        text =
            psgi_text_span(aTHX_ psgi_text_sv(aTHX_ reason), "Sprig::WebSocket::close: the reason");
    if (number > UINT16_MAX || !sprig_ws_code_is_valid((uint32_t)number))
        croak("Sprig::WebSocket::close: %" UVuf " cannot be sent as a code: use one of 1000 to"
              " 1003, 1007 to 1014 or 3000 to 4999",
              number);
    if (text.len > 123)
        croak("Sprig::WebSocket::close: the reason has more than 123 bytes");
    if (w->ws != NULL)
        sprig_ws_close(w->ws, (uint16_t)number, text);
}

void psgi_websocket_abort(pTHX_ SV *self)
{
    struct psgi_websocket *w = websocket_of(aTHX_ self, "abort");

    if (w->ws != NULL)
        sprig_ws_abort(w->ws);
}

/* ---- questions ---- */

UV psgi_websocket_buffered(pTHX_ SV *self)
{
    struct psgi_websocket *w = websocket_of(aTHX_ self, "buffered");

    return w->ws != NULL ? (UV)sprig_ws_buffered(w->ws) : 0;
}

SV *psgi_websocket_protocol(pTHX_ SV *self)
{
    struct psgi_websocket *w = websocket_of(aTHX_ self, "protocol");

    return w->more != NULL && w->more->protocol != NULL ? newSVsv(w->more->protocol) : newSV(0);
}

bool psgi_websocket_is_open(pTHX_ SV *self)
{
    struct psgi_websocket *w = websocket_of(aTHX_ self, "is_open");

    return w->ws != NULL && !w->is_over && sprig_ws_is_open(w->ws);
}

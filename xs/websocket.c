/* websocket.c - Sprig::WebSocket: the object, its life, and events from the core. */
#include "call.h"
#include "env.h"
#include "exchange.h"
#include "handle.h"
#include "report.h"
#include "server.h"
#include "websocket_object.h"

/* ---- the object ---- */

static int websocket_free(pTHX_ SV *sv, MAGIC *mg);

static const MGVTBL websocket_vtbl = {
    NULL, NULL, NULL, NULL, websocket_free, NULL, psgi_magic_dup_nothing, NULL};

SV *psgi_websocket_new(pTHX_ struct psgi_exchange *px)
{
    struct psgi_websocket *w;
    HV *hv = newHV();
    MAGIC *mg;

    Newxz(w, 1, struct psgi_websocket);
    w->party = PSGI_WEBSOCKET;
    w->refs = 1;
    w->server = px->server;
    w->server->refs++;
    w->px = psgi_exchange_ref(px);
    w->body = (SV *)hv;
    px->websocket = w;
    sprig_ws_offer_take(&psgi_websocket_more(w)->offer, sprig_exchange_request(px->ex));
    w->more->has_offer = true;
    ++px->server->psgi->n_websockets;
    mg = sv_magicext((SV *)hv, NULL, PERL_MAGIC_ext, &websocket_vtbl, (char *)w, 0);
    mg->mg_flags |= MGf_DUP;
    return sv_bless(newRV_noinc((SV *)hv), gv_stashpvs("Sprig::WebSocket", GV_ADD));
}

struct psgi_websocket_more *psgi_websocket_more(struct psgi_websocket *w)
{
    if (w->more == NULL)
        Newxz(w->more, 1, struct psgi_websocket_more);
    return w->more;
}

SV **psgi_websocket_slot(struct psgi_websocket *w, enum psgi_websocket_event event)
{
    if (event < N_WEBSOCKET_USUAL)
        return &w->usual[event];
    return &psgi_websocket_more(w)->callbacks[event - N_WEBSOCKET_USUAL];
}

SV *psgi_websocket_callback(const struct psgi_websocket *w, enum psgi_websocket_event event)
{
    if (event < N_WEBSOCKET_USUAL)
        return w->usual[event];
    return w->more != NULL ? w->more->callbacks[event - N_WEBSOCKET_USUAL] : NULL;
}

struct psgi_websocket *psgi_websocket_find(pTHX_ SV *ref)
{
    MAGIC *mg;

    PERL_UNUSED_CONTEXT;
    if (!SvROK(ref) || SvTYPE(SvRV(ref)) < SVt_PVMG)
        return NULL;
    mg = SvMAGIC(SvRV(ref));
    if (mg != NULL && mg->mg_virtual != &websocket_vtbl)
        mg = mg_findext(SvRV(ref), PERL_MAGIC_ext, &websocket_vtbl);
    return mg != NULL ? (struct psgi_websocket *)mg->mg_ptr : NULL;
}

struct sprig_ws *psgi_websocket_core(pTHX_ SV *ref)
{
    struct psgi_websocket *w = psgi_websocket_find(aTHX_ ref);

    if (w == NULL)
        croak("not a Sprig::WebSocket");
    return w->ws;
}

static void drop_offer(struct psgi_websocket *w)
{
    if (!psgi_websocket_has_offer(w))
        return;
    sprig_ws_offer_clear(&w->more->offer);
    w->more->has_offer = false;
}

static void drop_more(pTHX_ struct psgi_websocket *w)
{
    struct psgi_websocket_more *more = w->more;

    if (more == NULL)
        return;
    drop_offer(w);
    w->more = NULL;
    for (int i = 0; i < N_WEBSOCKET_EVENTS - N_WEBSOCKET_USUAL; i++)
        SvREFCNT_dec(more->callbacks[i]);
    SvREFCNT_dec((SV *)more->waiting);
    SvREFCNT_dec(more->protocol);
    Safefree(more);
}

void psgi_websocket_drop_unused(pTHX_ struct psgi_websocket *w)
{
    struct psgi_websocket_more *more = w->more;

    if (more == NULL)
        return;
    psgi_handle_drop_callback(aTHX_ psgi_websocket_slot(w, WEBSOCKET_ON_OPEN));
    if (w->more != more || more->has_offer || more->waiting != NULL || more->protocol != NULL)
        return;
    for (int i = 0; i < N_WEBSOCKET_EVENTS - N_WEBSOCKET_USUAL; i++)
        if (more->callbacks[i] != NULL)
            return;
    drop_more(aTHX_ w);
}

static void drop_exchange(pTHX_ struct psgi_websocket *w)
{
    struct psgi_exchange *px = w->px;

    if (px == NULL)
        return;
    w->px = NULL;
    if (px->websocket == w)
        px->websocket = NULL;
    psgi_exchange_unref(aTHX_ px);
}

static void drop_socket(struct psgi_websocket *w)
{
    struct sprig_ws *ws = w->ws;

    w->ws = NULL;
    if (ws != NULL)
        sprig_ws_free(ws);
}

static void websocket_unref(pTHX_ struct psgi_websocket *w)
{
    if (--w->refs > 0)
        return;
    psgi_server_unref(aTHX_ w->server);
    Safefree(w);
}

/* The last reference is gone: closes an open socket. Enters Perl only through what it frees. */
static int websocket_free(pTHX_ SV *sv, MAGIC *mg)
{
    struct psgi_websocket *w = (struct psgi_websocket *)mg->mg_ptr;

    PERL_UNUSED_VAR(sv);
    if (w == NULL)
        return 0;
    mg->mg_ptr = NULL;
    if (PL_phase == PERL_PHASE_DESTRUCT)
        return 0; /* the system closes the connections */
    --psgi_get(aTHX)->n_websockets;
    w->body = NULL;
    drop_socket(w);
    drop_exchange(aTHX_ w);
    for (int i = 0; i < N_WEBSOCKET_USUAL; i++)
        psgi_handle_drop_callback(aTHX_ & w->usual[i]);
    drop_more(aTHX_ w);
    websocket_unref(aTHX_ w);
    return 0;
}

/* ---- who holds it, and what it wants ---- */

static bool has_waiting(const struct psgi_websocket *w)
{
    return w->more != NULL && w->more->waiting != NULL && AvFILLp(w->more->waiting) >= 0;
}

/* While it hears messages nobody else needs to hold it: each message brings it along. */
static bool must_own_itself(const struct psgi_websocket *w)
{
    return w->ws != NULL && !w->is_over && w->usual[WEBSOCKET_ON_MESSAGE] != NULL;
}

void psgi_websocket_adjust(pTHX_ struct psgi_websocket *w)
{
    bool owns = must_own_itself(w), owned = w->owns_itself;
    bool hears = w->usual[WEBSOCKET_ON_MESSAGE] != NULL && !w->is_running;

    w->owns_itself = owns;
    if (w->ws != NULL && !w->is_over)
        sprig_ws_want(w->ws, has_waiting(w) || hears);
    if (owns && !owned)
        SvREFCNT_inc_simple_void_NN(w->body);
    else if (!owns && owned)
        SvREFCNT_dec(w->body); /* may free it, so nothing may follow */
}

/* ---- calling back ---- */

/* Reports a callback's exception. The request's psgi.errors may differ from ours. */
static void report(pTHX_ struct psgi_websocket *w, SV *error)
{
    HV *env = w->px != NULL ? w->px->env : NULL;

    if (env != NULL) {
        psgi_report(aTHX_ env, error);
        return;
    }
    env = newHV();
    if (psgi_get(aTHX)->errors != NULL)
        (void)hv_stores(env, "psgi.errors", newRV_inc(psgi_get(aTHX)->errors));
    psgi_report(aTHX_ env, error);
    SvREFCNT_dec((SV *)env);
}

static void fail(pTHX_ struct psgi_websocket *w, SV *error)
{
    report(aTHX_ w, error);
    if (w->ws != NULL)
        sprig_ws_close(w->ws, 1011, SPAN_LIT("internal error"));
}

bool psgi_websocket_call(pTHX_ struct psgi_websocket *w, enum psgi_websocket_event event, SV **args,
                         int n_args, SV **result)
{
    SV *cb = psgi_websocket_callback(w, event), *error = NULL;
    bool ok;

    if (result != NULL)
        *result = NULL;
    if (cb == NULL)
        return true;
    SvREFCNT_inc_simple_void_NN(cb);
    args[0] = newRV_inc(w->body);
    ok = psgi_call_for(aTHX_ w->server, cb, args, n_args, result, &error);
    if (!ok && error != NULL)
        fail(aTHX_ w, error);
    SvREFCNT_dec(error);
    SvREFCNT_dec(args[0]);
    SvREFCNT_dec(cb);
    return ok;
}

/* ---- what the core tells ---- */

static SV *message_sv(pTHX_ struct sprig_span bytes, bool is_binary)
{
    SV *sv = newSVpvn(bytes.len > 0 ? bytes.ptr : "", bytes.len);

    if (!is_binary && !is_utf8_invariant_string((const U8 *)SvPVX(sv), SvCUR(sv)))
        SvUTF8_on(sv);
    return sv;
}

/* Gives a value (taken) to the first waiter. */
static void settle_next(pTHX_ struct psgi_websocket *w, SV *message)
{
    SV *condvar = av_shift(w->more->waiting), *error = NULL;

    psgi_call_method(aTHX_ condvar, "send", &message, message != NULL ? 1 : 0, NULL, &error);
    if (error != NULL)
        fail(aTHX_ w, error);
    SvREFCNT_dec(error);
    SvREFCNT_dec(condvar);
    SvREFCNT_dec(message);
}

static void on_message(struct sprig_ws *ws, struct sprig_span bytes, bool is_binary, void *arg)
{
    struct psgi_websocket *w = arg;
    dTHXa(w->server->psgi->perl);
    SV *args[3] = {NULL, message_sv(aTHX_ bytes, is_binary), is_binary ? &PL_sv_yes : &PL_sv_no};
    SV *body = SvREFCNT_inc_simple_NN(w->body);

    PERL_UNUSED_VAR(ws);
    if (has_waiting(w)) {
        settle_next(aTHX_ w, SvREFCNT_inc_simple_NN(args[1]));
    } else {
        w->is_running = true;
        psgi_websocket_adjust(aTHX_ w);
        psgi_websocket_call(aTHX_ w, WEBSOCKET_ON_MESSAGE, args, 3, NULL);
        w->is_running = false;
    }
    SvREFCNT_dec(args[1]);
    psgi_websocket_adjust(aTHX_ w);
    SvREFCNT_dec(body);
}

static void on_pong(struct sprig_ws *ws, struct sprig_span payload, void *arg)
{
    struct psgi_websocket *w = arg;
    dTHXa(w->server->psgi->perl);
    SV *args[2] = {NULL, newSVpvn(payload.ptr, payload.len)};
    SV *body = SvREFCNT_inc_simple_NN(w->body);

    PERL_UNUSED_VAR(ws);
    psgi_websocket_call(aTHX_ w, WEBSOCKET_ON_PONG, args, 2, NULL);
    SvREFCNT_dec(args[1]);
    SvREFCNT_dec(body);
}

static void on_error(struct sprig_ws *ws, const char *reason, void *arg)
{
    struct psgi_websocket *w = arg;
    dTHXa(w->server->psgi->perl);
    SV *args[2] = {NULL, newSVpv(reason, 0)};
    SV *body = SvREFCNT_inc_simple_NN(w->body);

    PERL_UNUSED_VAR(ws);
    psgi_websocket_call(aTHX_ w, WEBSOCKET_ON_ERROR, args, 2, NULL);
    SvREFCNT_dec(args[1]);
    SvREFCNT_dec(body);
}

/* No more calls: drops the callbacks, and tells those who wait for a message that there is none. */
static void finish(pTHX_ struct psgi_websocket *w)
{
    w->is_over = true;
    while (has_waiting(w))
        settle_next(aTHX_ w, NULL);
    for (int i = 0; i < N_WEBSOCKET_USUAL; i++)
        psgi_handle_drop_callback(aTHX_ & w->usual[i]);
    for (int i = N_WEBSOCKET_USUAL; i < N_WEBSOCKET_EVENTS && w->more != NULL; i++)
        psgi_handle_drop_callback(aTHX_ psgi_websocket_slot(w, i));
    drop_socket(w);
    psgi_websocket_adjust(aTHX_ w);
}

/* A socket that was never open was never closed, either. */
static void on_close(struct sprig_ws *ws, uint16_t code, struct sprig_span reason, void *arg)
{
    struct psgi_websocket *w = arg;
    dTHXa(w->server->psgi->perl);
    SV *args[3] = {NULL, newSVuv(code), message_sv(aTHX_ reason, false)};
    SV *body = SvREFCNT_inc_simple_NN(w->body);

    PERL_UNUSED_VAR(ws);
    w->is_over = true;
    psgi_websocket_call(aTHX_ w, WEBSOCKET_ON_CLOSE, args, 3, NULL);
    finish(aTHX_ w);
    SvREFCNT_dec(args[1]);
    SvREFCNT_dec(args[2]);
    SvREFCNT_dec(body);
}

static const struct sprig_ws_handler websocket_handler = {on_message, on_pong, on_error, on_close};

/* ---- accepting ---- */

/* Sets an option given by the app. Returns what is wrong, owned by the caller, or NULL. */
static SV *set_option(pTHX_ struct sprig_config *config, HE *he)
{
    char why[512];
    STRLEN len;
    const char *name = HePV(he, len);
    int rc = sprig_config_set(config, name, SvPV_nolen(HeVAL(he)), why, sizeof why);

    if (rc == SPRIG_E_NOTFOUND)
        return newSVpvf("there is no option '%s'", name);
    return rc != 0 ? newSVpv(why, 0) : NULL;
}

/* The server's options, overridden by those that the app gives. */
static void read_options(pTHX_ struct psgi_websocket *w, HV *given, struct sprig_ws_options *out)
{
    struct sprig_config config;
    SV *wrong = NULL;
    HE *he;

    if (sprig_config_copy(&config, psgi_exchange_config(w->px)) != 0)
        croak("Sprig::WebSocket::accept: out of memory");
    hv_iterinit(given);
    while (wrong == NULL && (he = hv_iternext(given)) != NULL)
        wrong = set_option(aTHX_ & config, he);
    if (wrong == NULL)
        sprig_ws_options_read(out, &config);
    sprig_config_clear(&config);
    if (wrong != NULL)
        croak("Sprig::WebSocket::accept: %" SVf, SVfARG(sv_2mortal(wrong)));
}

void psgi_websocket_accept(pTHX_ struct psgi_websocket *w, HV *options,
                           struct sprig_ws_answer *answer)
{
    struct sprig_ws_group *group = psgi_server_websockets(w->px->server);
    struct sprig_ws_options own;

    read_options(aTHX_ w, options, &own);
    if (group != NULL)
        w->ws =
            sprig_ws_new(w->px->ex, group, &w->more->offer, &own, &websocket_handler, w, answer);
    if (w->ws == NULL)
        croak("Sprig::WebSocket::accept: out of memory");
    w->px->ws = w->ws;
    w->is_accepted = true;
}

/* Whatever drives the socket, such as the future of an async on_open, has failed. */
static void driver_failed(pTHX_ struct psgi_exchange *px, SV *error)
{
    if (px->websocket != NULL)
        fail(aTHX_ px->websocket, error);
    else
        psgi_report(aTHX_ px->env, error);
}

bool psgi_websocket_begin(pTHX_ struct psgi_exchange *px)
{
    if (px->ws == NULL || px->ex == NULL || sprig_ws_open(px->ws) != 0)
        return false;
    px->on_failure = driver_failed;
    if (px->websocket != NULL)
        drop_offer(px->websocket);
    if (px->ex != NULL) {
        sprig_exchange_end_after_flush(px->ex);
        sprig_exchange_notify(px->ex); /* to release the env */
    }
    return true;
}

/* ---- from the exchange ---- */

void psgi_websocket_drained(pTHX_ struct psgi_websocket *w)
{
    SV *args[1], *body;

    if (w == NULL || w->is_over || w->body == NULL)
        return;
    body = SvREFCNT_inc_simple_NN(w->body);
    psgi_websocket_call(aTHX_ w, WEBSOCKET_ON_DRAIN, args, 1, NULL);
    SvREFCNT_dec(body);
}

/* The core's socket ends with the exchange; the caller holds the object, or it is gone. */
static void end(pTHX_ struct psgi_websocket *w, struct sprig_ws *ws)
{
    if (w != NULL)
        SvREFCNT_inc(w->body);
    SV *body = w != NULL ? w->body : NULL;
    if (ws != NULL)
        sprig_ws_sever(ws);
    if (body == NULL)
        return;
    if (!w->is_over)
        finish(aTHX_ w);
    drop_offer(w);
    drop_exchange(aTHX_ w);
    SvREFCNT_dec(body);
}

void psgi_websocket_ended(pTHX_ struct psgi_exchange *px)
{
    struct sprig_ws *ws = px->ws;

    px->ws = NULL;
    end(aTHX_ px->websocket, ws);
}

bool psgi_websocket_take_over(pTHX_ struct psgi_exchange *px)
{
    struct psgi_websocket *w = px->websocket;

    if (w == NULL || w->ws == NULL || w->is_over)
        return false;
    w->carried = px->ws;
    w->refs++;
    px->ws = NULL;
    sprig_exchange_set_app(px->ex, w);
    drop_exchange(aTHX_ w);
    return true;
}

void psgi_websocket_left(pTHX_ struct psgi_websocket *w)
{
    struct sprig_ws *ws = w->carried;

    w->carried = NULL;
    end(aTHX_ w, ws);
    websocket_unref(aTHX_ w);
}

/* An open socket may live for hours, and its request is answered: releases the env, unless
 * something is left to be done with it. */
void psgi_websocket_notified(pTHX_ struct psgi_exchange *px)
{
    AV *handlers;
    SV **errors;

    if (px->env == NULL || SvRMAGICAL((SV *)px->env))
        return;
    errors = hv_fetchs(px->env, "psgi.errors", 0);
    if (errors == NULL || !SvROK(*errors) || SvRV(*errors) != px->server->psgi->errors)
        return;
    handlers = psgi_exchange_cleanup_handlers(aTHX_ px);
    if (handlers == NULL && !hv_exists(px->env, "psgix.harakiri.commit", 21))
        psgi_env_release(aTHX_ px);
    SvREFCNT_dec((SV *)handlers);
}

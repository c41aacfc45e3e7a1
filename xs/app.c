/* app.c - calls the app for each request, takes its return value, and passes on what happens to the
 * exchange until it is over. The rest of the bridge is below this. */
#include "app.h"
#include "call.h"
#include "env.h"
#include "exchange.h"
#include "informer.h"
#include "pagi.h"
#include "promise.h"
#include "pump.h"
#include "raiser.h"
#include "reader.h"
#include "reply.h"
#include "report.h"
#include "responder.h"
#include "server.h"
#include "socket.h"
#include "trailers.h"
#include "websocket_object.h"
#include "writer.h"

/* ---- cleanup handlers (psgix.cleanup) ---- */

static void call_reporting(pTHX_ struct psgi_exchange *px, SV *code, SV *arg)
{
    SV *error = NULL;

    if (psgi_call_for(aTHX_ px->server, code, &arg, arg != NULL ? 1 : 0, NULL, &error))
        return;
    if (error != NULL)
        psgi_exchange_report(aTHX_ px, error);
    SvREFCNT_dec(error);
}

/* Calls every handler with the env. They may add more while they run. */
static void run_cleanup(pTHX_ struct psgi_exchange *px)
{
    AV *handlers = psgi_exchange_cleanup_handlers(aTHX_ px);
    SV *env;

    if (handlers == NULL)
        return;
    env = newRV_inc((SV *)px->env);
    for (SSize_t i = 0; i <= av_len(handlers); i++) {
        SV **code = av_fetch(handlers, i, 0);
        if (code == NULL || !SvOK(*code))
            continue;
        SV *held = newSVsv(*code);
        call_reporting(aTHX_ px, held, env);
        SvREFCNT_dec(held);
    }
    SvREFCNT_dec(env);
    SvREFCNT_dec(handlers);
}

/* psgix.harakiri: the app asked for this process to end after this request. */
static void check_harakiri(pTHX_ struct psgi_exchange *px)
{
    SV *commit;

    if (!px->server->harakiri || px->env == NULL)
        return;
    commit = psgi_env_get(aTHX_ px->env, "psgix.harakiri.commit");
    if (commit != NULL && !SvROK(commit) && SvTRUE_nomg(commit)) {
        if (px->server->on_event != NULL)
            psgi_server_tell(aTHX_ px->server, "harakiri");
        else
            psgi_server_leave(aTHX_ px->server);
    }
    SvREFCNT_dec(commit);
}

/* ---- taking the response ---- */

/* Names what came instead of a response: "a hash reference", "the string 'x'". */
static SV *describe(pTHX_ SV *sv)
{
    if (sv == NULL || !SvOK(sv))
        return newSVpvs("undef");
    if (!SvROK(sv))
        return newSVpvf("the string '%.40s'", SvPV_nolen(sv));
    if (SvOBJECT(SvRV(sv)))
        return newSVpvf("an object of class %s", sv_reftype(SvRV(sv), 1));
    return SvTYPE(SvRV(sv)) == SVt_PVHV ? newSVpvs("a hash reference")
                                        : newSVpvf("a reference to %s", sv_reftype(SvRV(sv), 0));
}

static void refuse_response(pTHX_ struct psgi_exchange *px, SV *returned)
{
    SV *what = describe(aTHX_ returned);

    psgi_exchange_failf(aTHX_ px,
                        "PSGI application returned %" SVf
                        ", expected [status, headers, body] or a code reference",
                        SVfARG(what));
    SvREFCNT_dec(what);
}

static void accept_response(pTHX_ struct psgi_exchange *px, SV *returned)
{
    svtype type = returned != NULL && SvROK(returned) ? SvTYPE(SvRV(returned)) : SVt_NULL;
    bool blessed = type != SVt_NULL && SvOBJECT(SvRV(returned));

    if (px->ex == NULL)
        return;
    if (px->is_answered) /* through psgix.raise */
        return;
    if (type == SVt_PVAV && !blessed)
        psgi_reply_send(aTHX_ px, returned, false);
    else if (type == SVt_PVCV)
        psgi_responder_start(aTHX_ px, returned);
    else if (blessed && psgi_promise_await(aTHX_ px, returned, accept_response))
        return;
    else if (type == SVt_PVAV)
        psgi_reply_send(aTHX_ px, returned, false);
    else if (blessed && psgi_is_code(aTHX_ returned))
        psgi_responder_start(aTHX_ px, returned);
    else
        refuse_response(aTHX_ px, returned);
}

static void run_psgi(pTHX_ struct psgi_exchange *px, SV *app)
{
    SV *env = psgi_env_ref(aTHX_ px);
    SV *returned, *error;
    bool ok = psgi_call_for(aTHX_ px->server, app, &env, 1, &returned, &error);

    psgi_env_ref_release(aTHX_ px, env);
    if (ok)
        accept_response(aTHX_ px, returned);
    else if (error != NULL)
        psgi_exchange_fail(aTHX_ px, error);
    SvREFCNT_dec(returned);
    SvREFCNT_dec(error);
}

static void run_app(pTHX_ struct psgi_exchange *px)
{
    struct psgi_server *server = px->server;
    const struct psgi_mount *mount = NULL;

    if (server->mounts != NULL)
        mount = psgi_server_find_mount(server, sprig_exchange_request(px->ex)->path);
    if (mount != NULL && mount->is_pagi) {
        psgi_scope_run(aTHX_ px, mount);
        return;
    }
    px->env = psgi_env_build(aTHX_ px);
    run_psgi(aTHX_ px, mount != NULL ? mount->app : server->app);
}

/* ---- callbacks from the core ---- */

/* A call of the app, for what has to happen however it ends. */
struct app_call {
    struct psgi_exchange *px; /* held by the caller */
    uint32_t n_forks;         /* when it began */
    bool has_returned;        /* it returned, and did not call exit() */
};

/* Written in C and at once, because Perl is about to exit. Of nested calls only the innermost has
 * called exit. */
static void tell_exit(pTHX_ struct psgi_exchange *px)
{
    struct psgi *psgi = px->server->psgi;
    char line[PSGI_REQUEST_NAME_BYTES + 80], name[PSGI_REQUEST_NAME_BYTES];

    if (psgi->exit_told)
        return;
    psgi->exit_told = true;
    psgi_env_request_name(aTHX_ px->env, name);
    my_snprintf(line, sizeof line, "the application called exit(%d)%s%s", (int)STATUS_EXIT,
                name[0] != '\0' ? " during " : "", name);
    sprig_log_print(SPRIG_LOG_ERROR, line);
}

static void app_left(pTHX_ void *arg)
{
    struct app_call *call = arg;

    sprig_loop_count_app_call(call->px->server->psgi->loop, -1);
    if (!call->has_returned && call->n_forks == sprig_fork_count())
        tell_exit(aTHX_ call->px);
}

/* Passes on REMOTE_USER, as set by the application, for the access log: plain values only. */
static void tell_user(pTHX_ struct psgi_exchange *px)
{
    const struct psgi_key *key = &px->server->psgi->keys->user;
    HE *entry;
    SV *user;

    if (px->env == NULL || SvRMAGICAL((SV *)px->env) || !sprig_exchange_wants_user(px->ex))
        return;
    if (HvARRAY(px->env) == NULL || HvARRAY(px->env)[key->hash & HvMAX(px->env)] == NULL)
        return; /* often: nothing has a hash like it */
    entry = hv_fetch_ent(px->env, key->sv, 0, key->hash);
    user = entry != NULL ? HeVAL(entry) : NULL;
    if (user != NULL && SvPOK(user) && !SvGMAGICAL(user))
        sprig_exchange_set_user(px->ex, span_make(SvPVX_const(user), SvCUR(user)));
}

/* The app has returned, and its response is still to come or to be completed. */
static bool is_waited_for(const struct psgi_exchange *px)
{
    return px->ex != NULL && (px->promise != NULL || px->is_pumping ||
                              (px->responder != NULL && !px->responder->is_used) ||
                              (px->writer != NULL && !px->writer->is_used));
}

/* The wait may take hours, and most apps no longer need the env. */
static void let_env_go(pTHX_ struct psgi_exchange *px)
{
    if (!psgi_env_is_done_with(aTHX_ px))
        return;
    tell_user(aTHX_ px);
    psgi_env_let_go(aTHX_ px);
}

static void on_request(struct sprig_exchange *ex, void *arg)
{
    struct psgi_server *server = arg;
    struct psgi_exchange *px = psgi_exchange_new(server, ex);
    struct app_call call = {px, sprig_fork_count(), false};
    dTHXa(server->psgi->perl);

    psgi_exchange_ref(px);
    ENTER;
    SAVETMPS;
    sprig_loop_count_app_call(server->psgi->loop, 1);
    SAVEDESTRUCTOR_X(app_left, &call);
    run_app(aTHX_ px);
    call.has_returned = true;
    FREETMPS;
    LEAVE;
    if (is_waited_for(px))
        let_env_go(aTHX_ px);
    psgi_exchange_unref(aTHX_ px);
}

/* Whom an exchange belongs to: one of ours, or a WebSocket that has taken its place. NULL: the
 * other one. */
static inline struct psgi_exchange *exchange_of(const struct sprig_exchange *ex)
{
    struct psgi_exchange *px = sprig_exchange_app(ex);

    return px != NULL && px->party == PSGI_EXCHANGE ? px : NULL;
}

static inline struct psgi_websocket *websocket_of(const struct sprig_exchange *ex)
{
    struct psgi_websocket *w = sprig_exchange_app(ex);

    return w != NULL && w->party == PSGI_WEBSOCKET ? w : NULL;
}

/* Passes an event on, unless the bridge is done with the exchange. Perl code that runs meanwhile
 * may end it. */
static inline void with_exchange(struct sprig_exchange *ex,
                                 void (*fn)(pTHX_ struct psgi_exchange *))
{
    struct psgi_exchange *px = exchange_of(ex);

    if (px == NULL)
        return;
    dTHXa(px->server->psgi->perl);
    psgi_exchange_ref(px);
    fn(aTHX_ px);
    psgi_exchange_unref(aTHX_ px);
}

static void drained(pTHX_ struct psgi_exchange *px)
{
    if (px->scope != NULL)
        psgi_scope_drained(aTHX_ px->scope);
    else if (px->ws != NULL)
        psgi_websocket_drained(aTHX_ px->websocket);
    else if (px->pump != NULL)
        psgi_pump_run(aTHX_ px);
    else
        psgi_writer_drained(aTHX_ px);
}

static void on_drain(struct sprig_exchange *ex, void *arg)
{
    struct psgi_websocket *w = websocket_of(ex);
    dTHXa(((struct psgi_server *)arg)->psgi->perl);

    PERL_UNUSED_VAR(arg);
    if (w != NULL)
        psgi_websocket_drained(aTHX_ w);
    else
        with_exchange(ex, drained);
}

/* Cancels a future that is being awaited; there will be no response then. */
static void gone(pTHX_ struct psgi_exchange *px)
{
    if (px->scope != NULL) {
        psgi_scope_gone(aTHX_ px->scope);
        return;
    }
    psgi_writer_gone(aTHX_ px);
    if (psgi_promise_cancel(aTHX_ px) && px->ex != NULL && !px->is_answered)
        sprig_response_abort(px->ex, "the client left before the response");
}

static void on_gone(struct sprig_exchange *ex, void *arg)
{
    PERL_UNUSED_VAR(arg);
    with_exchange(ex, gone);
}

static void take_body(pTHX_ struct psgi_exchange *px, struct sprig_span bytes, bool is_last)
{
    if (is_last)
        psgi_trailers_fill(aTHX_ px);
    psgi_reader_body(aTHX_ px, bytes, is_last);
}

static void on_body(struct sprig_exchange *ex, struct sprig_span bytes, bool is_last, void *arg)
{
    struct psgi_server *server = arg;
    struct psgi_exchange *px = exchange_of(ex);
    struct psgi_websocket *w = websocket_of(ex);
    dTHXa(server->psgi->perl);

    if (w != NULL)
        sprig_ws_input(w->carried, bytes, is_last);
    if (px == NULL)
        return;
    psgi_exchange_ref(px);
    if (px->scope != NULL)
        psgi_scope_input(aTHX_ px->scope, bytes, is_last);
    else if (px->ws != NULL)
        sprig_ws_input(px->ws, bytes, is_last);
    else
        take_body(aTHX_ px, bytes, is_last);
    psgi_exchange_unref(aTHX_ px);
}

/* Only the core, the WebSocket and our caller still need it. */
static bool is_history(const struct psgi_exchange *px)
{
    return px->refs == 3 && px->env == NULL && px->promise == NULL && px->guard == NULL &&
           px->on_complete == NULL && px->raiser == NULL && px->writer == NULL &&
           px->reader == NULL && px->pump == NULL && !px->socket_used;
}

/* An open WebSocket may live for hours, so everything left of its request is freed. */
static void leave_to_websocket(pTHX_ struct psgi_exchange *px)
{
    if (!is_history(px) || !psgi_websocket_take_over(aTHX_ px))
        return;
    psgi_responder_ended(aTHX_ px, false);
    psgi_socket_sever(aTHX_ px);
    sprig_exchange_forget_request(px->ex);
    px->ex = NULL;
    psgi_informer_sever(aTHX_ px);
    px->server->psgi->n_exchanges--;
    psgi_exchange_unref(aTHX_ px);
}

static void notified(pTHX_ struct psgi_exchange *px)
{
    list_remove(&px->dropped);
    if (px->ex != NULL)
        psgi_responder_notified(aTHX_ px);
    if (px->ex != NULL)
        psgi_writer_notified(aTHX_ px);
    if (px->ex != NULL)
        psgi_reader_notified(aTHX_ px);
    if (px->ex != NULL && px->ws != NULL) {
        tell_user(aTHX_ px);
        psgi_websocket_notified(aTHX_ px);
        leave_to_websocket(aTHX_ px);
    }
}

static void on_notify(struct sprig_exchange *ex, void *arg)
{
    PERL_UNUSED_VAR(arg);
    with_exchange(ex, notified);
}

/* Runs while px->ex is still set: severs everything that the app has of the exchange. */
static void sever_objects(pTHX_ struct psgi_exchange *px, enum sprig_end why)
{
    bool is_gone = why == SPRIG_END_GONE;

    list_remove(&px->dropped);
    if (px->scope != NULL) {
        psgi_scope_ended(aTHX_ px, why);
        return;
    }
    px->writer_dropped = false;
    psgi_responder_ended(aTHX_ px, is_gone);
    psgi_writer_ended(aTHX_ px, is_gone);
    psgi_reader_ended(aTHX_ px, why);
    if (px->trailers != NULL)
        psgi_trailers_sever(aTHX_ px);
    if (px->ws != NULL || px->websocket != NULL)
        psgi_websocket_ended(aTHX_ px);
    psgi_promise_forget(aTHX_ px);
    psgi_socket_sever(aTHX_ px);
    psgi_raiser_sever(aTHX_ px, is_gone);
}

static void on_end(struct sprig_exchange *ex, enum sprig_end why, void *arg)
{
    struct psgi_server *server = arg;
    struct psgi_exchange *px = exchange_of(ex);
    struct psgi_websocket *w = websocket_of(ex);
    dTHXa(server->psgi->perl);

    if (w != NULL) {
        sprig_exchange_set_app(ex, NULL);
        psgi_websocket_left(aTHX_ w);
    }
    if (px == NULL)
        return;
    px->is_answered = true;
    tell_user(aTHX_ px);
    sever_objects(aTHX_ px, why);
    px->ex = NULL;
    sprig_exchange_set_app(ex, NULL);
    list_remove(&px->dropped);
    psgi_pump_free(aTHX_ px);
    if (px->on_complete != NULL && why == SPRIG_END_DONE)
        call_reporting(aTHX_ px, px->on_complete, NULL);
    run_cleanup(aTHX_ px);
    check_harakiri(aTHX_ px);
    psgi_env_release(aTHX_ px);
    psgi_informer_sever(aTHX_ px);
    server->psgi->n_exchanges--;
    psgi_exchange_unref(aTHX_ px);
}

/* `done` may free the server's object, but not while the core is calling us. */
static void on_left(struct sprig_server *core, void *arg)
{
    struct psgi_server *server = arg;
    SV *done = server->on_left;
    SV *self = server->self;
    dTHXa(server->psgi->perl);

    PERL_UNUSED_VAR(core);
    server->on_left = NULL;
    server->self = NULL;
    if (self != NULL)
        sv_2mortal(self);
    if (done == NULL)
        return;
    SV *error = NULL;
    if (!psgi_call(aTHX_ done, NULL, 0, NULL, &error) && error != NULL)
        psgi_warn(aTHX_ error);
    SvREFCNT_dec(error);
    SvREFCNT_dec(done);
}

static void on_retire(struct sprig_server *core, const char *why, void *arg)
{
    struct psgi_server *server = arg;
    dTHXa(server->psgi->perl);

    PERL_UNUSED_VAR(core);
    psgi_server_tell(aTHX_ server, why);
}

const struct sprig_handler psgi_handler = {on_request,
                                           on_drain,
                                           on_gone,
                                           on_body,
                                           on_notify,
                                           on_end,
                                           on_left,
                                           on_retire,
                                           psgi_server_on_reload,
                                           psgi_server_on_reloaded,
                                           psgi_server_streams};

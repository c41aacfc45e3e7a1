/* app.c - one request: calls the app, takes its answer, and what follows the end of the exchange.
 */
#include "stream.h"

enum { SPARE_EXCHANGES = 64 };

static struct psgi_exchange *exchange_new(struct psgi_server *server, struct sprig_exchange *ex)
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

struct psgi_exchange *psgi_exchange_hold(struct psgi_exchange *px)
{
    px->refs++;
    return px;
}

void psgi_exchange_release(pTHX_ struct psgi_exchange *px)
{
    struct psgi *psgi = px->server->psgi;

    if (--px->refs > 0)
        return;
    list_remove(&px->dropped);
    SvREFCNT_dec(px->guard);
    SvREFCNT_dec(px->promise);
    SvREFCNT_dec(px->on_complete);
    psgi_server_release(aTHX_ px->server);
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

/* The answer of last resort. */
static void send_500(pTHX_ struct psgi_exchange *px)
{
    static const struct sprig_span text = {"Internal Server Error", 21};
    struct sprig_header type = {SPAN_LIT("Content-Type"), SPAN_LIT("text/plain")};
    struct sprig_head head = {500, &type, 1, text.len};
    char why[128];

    px->is_answered = true;
    if (sprig_response_head(px->ex, &head, why, sizeof why) != 0) {
        sprig_response_abort(px->ex, "there is no memory for an answer");
        return;
    }
    sprig_response_write(px->ex, text);
    psgi_exchange_finish(aTHX_ px);
}

void psgi_exchange_fail(pTHX_ struct psgi_exchange *px, SV *message)
{
    psgi_exchange_hold(px);
    psgi_report(aTHX_ px->env, message);
    if (px->ex != NULL) {
        if (!sprig_response_has_head(px->ex))
            send_500(aTHX_ px);
        else
            sprig_response_abort(px->ex, "the app failed in the middle of a response");
    }
    psgi_exchange_release(aTHX_ px);
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

/* ---- cleanup handlers (psgix.cleanup) ---- */

/* The array of handlers if there is one with something in it, owned by the caller. */
static AV *cleanup_handlers(pTHX_ struct psgi_exchange *px)
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
    handlers = cleanup_handlers(aTHX_ px);
    if (handlers != NULL || px->on_complete != NULL)
        sprig_exchange_end_after_flush(px->ex);
    SvREFCNT_dec(handlers);
    return px->ex != NULL ? sprig_response_end(px->ex) : SPRIG_E_CLOSED;
}

static void call_reporting(pTHX_ struct psgi_exchange *px, SV *code, SV *arg)
{
    SV *error = NULL;

    if (psgi_call_for(aTHX_ px->server, code, &arg, arg != NULL ? 1 : 0, NULL, &error))
        return;
    if (error != NULL)
        psgi_report(aTHX_ px->env, error);
    SvREFCNT_dec(error);
}

/* Calls every handler with the env. They may add more while they run. */
static void run_cleanup(pTHX_ struct psgi_exchange *px)
{
    AV *handlers = cleanup_handlers(aTHX_ px);
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
            psgi_server_drain(aTHX_ px->server);
    }
    SvREFCNT_dec(commit);
}

/* ---- taking the answer ---- */

/* "a hash reference", "the string 'x'": what came instead of a response. */
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

static void refuse_answer(pTHX_ struct psgi_exchange *px, SV *returned)
{
    SV *what = describe(aTHX_ returned);

    psgi_exchange_failf(aTHX_ px,
                        "PSGI application returned %" SVf
                        ", expected [status, headers, body] or a code reference",
                        SVfARG(what));
    SvREFCNT_dec(what);
}

void psgi_exchange_accept(pTHX_ struct psgi_exchange *px, SV *returned)
{
    svtype type = returned != NULL && SvROK(returned) ? SvTYPE(SvRV(returned)) : SVt_NULL;
    bool blessed = type != SVt_NULL && SvOBJECT(SvRV(returned));

    if (px->ex == NULL)
        return;
    if (px->is_answered) /* by psgix.raise */
        return;
    if (type == SVt_PVAV && !blessed)
        psgi_reply_send(aTHX_ px, returned, false);
    else if (type == SVt_PVCV)
        psgi_stream_start(aTHX_ px, returned);
    else if (blessed && psgi_promise_await(aTHX_ px, returned))
        return;
    else if (type == SVt_PVAV)
        psgi_reply_send(aTHX_ px, returned, false);
    else if (blessed && psgi_is_code(aTHX_ returned))
        psgi_stream_start(aTHX_ px, returned);
    else
        refuse_answer(aTHX_ px, returned);
}

static void run_app(pTHX_ struct psgi_exchange *px)
{
    SV *env = psgi_env_ref(aTHX_ px);
    SV *returned, *error;
    bool ok = psgi_call_for(aTHX_ px->server, px->server->app, &env, 1, &returned, &error);

    psgi_env_ref_release(aTHX_ px, env);
    if (ok)
        psgi_exchange_accept(aTHX_ px, returned);
    else if (error != NULL)
        psgi_exchange_fail(aTHX_ px, error);
    SvREFCNT_dec(returned);
    SvREFCNT_dec(error);
}

/* ---- callbacks from the core ---- */

static void release_hold(pTHX_ void *loop)
{
    PERL_UNUSED_CONTEXT;
    sprig_loop_hold(loop, -1);
}

static void on_request(struct sprig_exchange *ex, void *arg)
{
    struct psgi_server *server = arg;
    struct sprig_loop *loop = server->psgi->loop;
    struct psgi_exchange *px = exchange_new(server, ex);
    dTHXa(server->psgi->perl);

    psgi_exchange_hold(px);
    px->env = psgi_env_build(aTHX_ px);
    ENTER;
    SAVETMPS;
    sprig_loop_hold(loop, 1);
    SAVEDESTRUCTOR_X(release_hold, loop);
    run_app(aTHX_ px);
    FREETMPS;
    LEAVE;
    psgi_exchange_release(aTHX_ px);
}

static void on_drain(struct sprig_exchange *ex, void *arg)
{
    struct psgi_server *server = arg;
    struct psgi_exchange *px = sprig_exchange_app(ex);
    dTHXa(server->psgi->perl);

    if (px == NULL)
        return;
    psgi_exchange_hold(px);
    if (px->pump != NULL)
        psgi_pump_run(aTHX_ px);
    else
        psgi_writer_drained(aTHX_ px);
    psgi_exchange_release(aTHX_ px);
}

static void on_gone(struct sprig_exchange *ex, void *arg)
{
    struct psgi_server *server = arg;
    struct psgi_exchange *px = sprig_exchange_app(ex);
    dTHXa(server->psgi->perl);

    if (px == NULL)
        return;
    psgi_exchange_hold(px);
    psgi_stream_gone(aTHX_ px);
    psgi_exchange_release(aTHX_ px);
}

static void on_body(struct sprig_exchange *ex, struct sprig_span bytes, bool is_last, void *arg)
{
    struct psgi_server *server = arg;
    struct psgi_exchange *px = sprig_exchange_app(ex);
    dTHXa(server->psgi->perl);

    if (px == NULL)
        return;
    psgi_exchange_hold(px);
    psgi_reader_body(aTHX_ px, bytes, is_last);
    psgi_exchange_release(aTHX_ px);
}

static void on_notify(struct sprig_exchange *ex, void *arg)
{
    struct psgi_server *server = arg;
    struct psgi_exchange *px = sprig_exchange_app(ex);
    dTHXa(server->psgi->perl);

    if (px == NULL)
        return;
    psgi_exchange_hold(px);
    psgi_stream_notified(aTHX_ px);
    psgi_exchange_release(aTHX_ px);
}

/* What an application has found out about the client, for the access log: a plain value only. */
static void tell_user(pTHX_ struct psgi_exchange *px)
{
    SV **user;

    if (px->env == NULL || SvRMAGICAL((SV *)px->env) || !sprig_exchange_wants_user(px->ex))
        return;
    user = hv_fetchs(px->env, "REMOTE_USER", 0);
    if (user != NULL && SvPOK(*user) && !SvGMAGICAL(*user))
        sprig_exchange_set_user(px->ex, span_make(SvPVX_const(*user), SvCUR(*user)));
}

static void on_end(struct sprig_exchange *ex, enum sprig_end why, void *arg)
{
    struct psgi_server *server = arg;
    struct psgi_exchange *px = sprig_exchange_app(ex);
    dTHXa(server->psgi->perl);

    if (px == NULL)
        return;
    px->is_answered = true;
    tell_user(aTHX_ px);
    psgi_stream_ended(aTHX_ px, why);
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
    psgi_exchange_release(aTHX_ px);
}

/* The server's object may be freed by what `done` does, but not while the core is calling us. */
static void on_drained(struct sprig_server *core, void *arg)
{
    struct psgi_server *server = arg;
    SV *done = server->on_drained;
    SV *self = server->self;
    dTHXa(server->psgi->perl);

    PERL_UNUSED_VAR(core);
    server->on_drained = NULL;
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

static void on_retire(struct sprig_server *core, void *arg)
{
    struct psgi_server *server = arg;
    dTHXa(server->psgi->perl);

    PERL_UNUSED_VAR(core);
    psgi_server_tell(aTHX_ server, "max_requests");
}

const struct sprig_handler psgi_handler = {on_request, on_drain, on_gone,    on_body,
                                           on_notify,  on_end,   on_drained, on_retire};

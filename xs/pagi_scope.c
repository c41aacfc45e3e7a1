/* pagi_scope.c - a call of a PAGI application: its objects and its life. */
#include "pagi_scope.h"
#include "call.h"
#include "env.h"
#include "handle.h"
#include "report.h"
#include "server.h"

enum { SPARE_SCOPES = 64 };

static const char *const object_class[N_SCOPE_OBJECTS] = {NULL, NULL, "Sprig::PAGI::Connection",
                                                          "Sprig::PAGI::Transport"};

/* ---- the four objects ---- */

static int object_free(pTHX_ SV *sv, MAGIC *mg);

static const MGVTBL object_vtbl = {
    NULL, NULL, NULL, NULL, object_free, NULL, psgi_magic_dup_nothing, NULL};

/* While the scope is in use or spare, it owns its objects; so this is an object that somebody has
 * kept. */
static int object_free(pTHX_ SV *sv, MAGIC *mg)
{
    struct psgi_scope *scope = (struct psgi_scope *)mg->mg_ptr;

    PERL_UNUSED_CONTEXT;
    PERL_UNUSED_VAR(sv);
    mg->mg_ptr = NULL;
    if (scope != NULL && scope->refs == 0 && --scope->n_kept == 0)
        Safefree(scope);
    return 0;
}

static void attach(pTHX_ struct psgi_scope *scope, enum psgi_scope_object which, SV *body)
{
    MAGIC *mg = sv_magicext(body, NULL, PERL_MAGIC_ext, &object_vtbl, (char *)scope, 0);

    mg->mg_flags |= MGf_DUP;
    scope->object[which] = body;
}

static void make_sub(pTHX_ struct psgi_scope *scope, enum psgi_scope_object which, XSUBADDR_t body)
{
    CV *cv = newXS(NULL, body, __FILE__);

    CvXSUBANY(cv).any_ptr = scope;
    attach(aTHX_ scope, which, (SV *)cv);
}

static void make_object(pTHX_ struct psgi_scope *scope, enum psgi_scope_object which)
{
    SV *body = newSV_type(SVt_PVMG);
    SV *ref = newRV_inc(body);

    attach(aTHX_ scope, which, body);
    SvREFCNT_dec(sv_bless(ref, gv_stashpv(object_class[which], GV_ADD)));
}

struct psgi_scope *psgi_scope_of(pTHX_ SV *ref, const char *method)
{
    MAGIC *mg = SvROK(ref) && SvTYPE(SvRV(ref)) >= SVt_PVMG
                    ? mg_findext(SvRV(ref), PERL_MAGIC_ext, &object_vtbl)
                    : NULL;

    PERL_UNUSED_CONTEXT;
    if (mg == NULL || mg->mg_ptr == NULL)
        croak("%s: not an object of this server", method);
    return (struct psgi_scope *)mg->mg_ptr;
}

static uint32_t counts_of_hash(const struct psgi_scope *scope, enum psgi_scope_object which)
{
    switch (which) {
    case SCOPE_CONNECTION:
        return psgi_scope_hash_counts(&scope->hash, SCOPE_KEY_CONNECTION);
    case SCOPE_TRANSPORT:
        return psgi_scope_hash_counts(&scope->hash, SCOPE_KEY_TRANSPORT);
    default:
        return 0;
    }
}

/* True if nobody else has the object, and nobody has changed it. */
static bool is_pristine(const struct psgi_scope *scope, enum psgi_scope_object which)
{
    SV *body = scope->object[which];
    MAGIC *mg = SvMAGIC(body);

    if (SvREFCNT(body) != 1 + counts_of_hash(scope, which) || mg == NULL ||
        mg->mg_virtual != &object_vtbl || mg->mg_moremagic != NULL)
        return false;
    return object_class[which] == NULL
               ? !SvOBJECT(body)
               : SvOBJECT(body) && strEQ(HvNAME(SvSTASH(body)), object_class[which]);
}

/* ---- life ---- */

static struct psgi_scope *take_spare(struct psgi *psgi)
{
    struct psgi_scope *scope = psgi->spare_scopes;

    psgi->spare_scopes = scope->next_spare;
    psgi->n_spare_scopes--;
    return scope;
}

struct psgi_scope *psgi_scope_new(pTHX_ struct psgi_exchange *px, XSUBADDR_t receive,
                                  XSUBADDR_t send)
{
    struct psgi *psgi = px->server->psgi;
    struct psgi_scope *scope;

    if (psgi->spare_scopes != NULL) {
        scope = take_spare(psgi);
    } else {
        Newxz(scope, 1, struct psgi_scope);
        make_sub(aTHX_ scope, SCOPE_RECEIVE, receive);
        make_sub(aTHX_ scope, SCOPE_SEND, send);
        make_object(aTHX_ scope, SCOPE_CONNECTION);
        make_object(aTHX_ scope, SCOPE_TRANSPORT);
    }
    scope->refs = 1;
    scope->server = px->server;
    scope->server->refs++;
    scope->px = px;
    scope->body_fd = -1;
    px->scope = scope;
    psgi->n_scopes++;
    return scope;
}

static void drop(pTHX_ void *slot)
{
    SV *sv = *(SV **)slot;

    *(SV **)slot = NULL;
    SvREFCNT_dec(sv);
}

/* Frees everything except its four objects. That may run code. */
static void clear(pTHX_ struct psgi_scope *scope)
{
    drop(aTHX_ & scope->future);
    drop(aTHX_ & scope->waiting);
    drop(aTHX_ & scope->events);
    drop(aTHX_ & scope->blocked);
    drop(aTHX_ & scope->turns);
    for (int i = 0; i < N_SCOPE_CALLBACKS; i++)
        drop(aTHX_ & scope->callbacks[i]);
    drop(aTHX_ & scope->observers);
    drop(aTHX_ & scope->detail);
    drop(aTHX_ & scope->body);
    drop(aTHX_ & scope->source);
    drop(aTHX_ & scope->heartbeat_text);
    drop(aTHX_ & scope->close_reason);
    if (scope->body_fd >= 0)
        close(scope->body_fd);
    scope->body_fd = -1;
    sprig_ws_offer_clear(&scope->offer);
}

static bool can_be_used_again(const struct psgi_scope *scope)
{
    for (int i = 0; i < N_SCOPE_OBJECTS; i++)
        if (!is_pristine(scope, (enum psgi_scope_object)i))
            return false;
    return true;
}

/* What the application has kept lives on, and shows what has become of the request. */
static void leave_to_objects(pTHX_ struct psgi_scope *scope)
{
    SV *object[N_SCOPE_OBJECTS];

    drop(aTHX_ & scope->hash.hv);
    memcpy(object, scope->object, sizeof object);
    scope->n_kept = N_SCOPE_OBJECTS;
    for (int i = 0; i < N_SCOPE_OBJECTS; i++)
        SvREFCNT_dec(object[i]);
}

void psgi_scope_free(pTHX_ struct psgi_scope *scope)
{
    struct psgi_server *server = scope->server;
    struct psgi *psgi = server->psgi;

    scope->refs++; /* held while code may run */
    clear(aTHX_ scope);
    psgi_scope_hash_scrub(aTHX_ & scope->hash, scope->object[SCOPE_TRANSPORT],
                          scope->object[SCOPE_CONNECTION]);
    scope->refs--;
    psgi->n_scopes--;
    scope->server = NULL;
    if (psgi->n_spare_scopes < SPARE_SCOPES && can_be_used_again(scope)) {
        size_t at = offsetof(struct psgi_scope, server);
        memset((char *)scope + at, 0, sizeof *scope - at);
        scope->next_spare = psgi->spare_scopes;
        psgi->spare_scopes = scope;
        psgi->n_spare_scopes++;
    } else {
        leave_to_objects(aTHX_ scope);
    }
    psgi_server_unref(aTHX_ server);
}

/* ---- calling back, and what fails ---- */

static void copy_text(pTHX_ HV *from, const char *key, HV *to, const char *name)
{
    SV **sv =
        from != NULL && !SvRMAGICAL((SV *)from) ? hv_fetch(from, key, (I32)strlen(key), 0) : NULL;

    if (sv != NULL && SvPOK(*sv) && !SvGMAGICAL(*sv))
        (void)hv_store(to, name, (I32)strlen(name), newSVsv(*sv), 0);
}

/* Reports a message, which needs an env. */
void psgi_scope_report(pTHX_ struct psgi_scope *scope, SV *message)
{
    HV *env = newHV();

    copy_text(aTHX_ scope->hash.hv, "method", env, "REQUEST_METHOD");
    copy_text(aTHX_ scope->hash.hv, "raw_path", env, "REQUEST_URI");
    (void)hv_stores(env, "psgi.errors", newRV_inc(psgi_env_errors(aTHX_ scope->server->psgi)));
    if (!hv_exists(env, "REQUEST_METHOD", 14))
        (void)hv_stores(env, "REQUEST_METHOD",
                        newSVpvs("GET")); /* a handshake has no other method */
    psgi_report(aTHX_ env, message);
    SvREFCNT_dec((SV *)env);
}

void psgi_scope_call(pTHX_ struct psgi_scope *scope, SV *code, SV **args, int n_args)
{
    SV *error = NULL;

    SvREFCNT_inc_simple_void_NN(code);
    if (!psgi_call_for(aTHX_ scope->server, code, args, n_args, NULL, &error) && error != NULL)
        psgi_scope_report(aTHX_ scope, error);
    SvREFCNT_dec(error);
    SvREFCNT_dec(code);
}

/* server.c - the server behind Sprig::Server: listeners, life and end. */
#include "server.h"
#include "call.h"
#include "channel.h"
#include "env.h"
#include "handle.h"
#include "lazyio.h"
#include "loop.h"
#include "options.h"
#include "pagi_mounts.h"
#include "place.h"
#include "process/admin_config.h"
#include "process/admin_thread.h"
#include "report.h"
#include "stderr.h"
#include "websocket.h"

static int server_free(pTHX_ SV *sv, MAGIC *mg);

static const MGVTBL server_vtbl = {
    NULL, NULL, NULL, NULL, server_free, NULL, psgi_magic_dup_nothing, NULL};

void psgi_server_unref(pTHX_ struct psgi_server *server)
{
    if (--server->refs > 0)
        return;
    psgi_env_pool_clear(aTHX_ server);
    psgi_server_unmount_all(aTHX_ server);
    psgi_caller_clear(aTHX_ server);
    while (!list_empty(&server->taken)) /* the app's handles may outlive this */
        list_remove(list_first(&server->taken));
    Safefree(server->listeners);
    if (server->websockets != NULL)
        sprig_ws_group_free(server->websockets);
    SvREFCNT_dec(server->app);
    SvREFCNT_dec(server->on_left);
    SvREFCNT_dec(server->on_event);
    SvREFCNT_dec(server->exit_guard);
    SvREFCNT_dec((SV *)server->options);
    Safefree(server);
}

int psgi_server_on_reload(struct sprig_server *core, void *arg, struct sprig_config *fresh,
                          char *why, size_t n)
{
    struct psgi_server *server = arg;
    char kept[1024];
    dTHXa(server->psgi->perl);

    if (sprig_server_config(core)->config == NULL)
        return SPRIG_E_NOTFOUND;
    int rc = psgi_options_reload(aTHX_ fresh, server->options, NULL, kept, why, n);
    if (rc == 0)
        sprig_admin_show_options(fresh);
    if (rc == 0)
        psgi_watchdog_start(aTHX_ fresh);
    return rc;
}

/* The error log, its format or level may have changed. */
void psgi_server_on_reloaded(struct sprig_server *core, void *arg)
{
    struct psgi_server *server = arg;
    dTHXa(server->psgi->perl);

    PERL_UNUSED_VAR(core);
    psgi_stderr_attach(aTHX);
    psgi_log_attach(aTHX);
}

/* The reference whose magic carries the server. */
static SV *server_object(pTHX_ const char *class, struct psgi_server *server)
{
    SV *body = newSV_type(SVt_PVMG);
    SV *ref = newRV_noinc(body);
    MAGIC *mg = sv_magicext(body, NULL, PERL_MAGIC_ext, &server_vtbl, (char *)server, 0);

    mg->mg_flags |= MGf_DUP;
    return sv_bless(ref, gv_stashpv(class, GV_ADD));
}

SV *psgi_server_new(pTHX_ const char *class, const struct sprig_handler *handler, SV *app,
                    HV *options, SV *left)
{
    struct sprig_loop *loop = psgi_loop(aTHX);
    struct psgi_server *server;
    struct sprig_config config;
    SV *wrong;

    sprig_config_init(&config);
    wrong = psgi_options_read(aTHX_ & config, options);
    if (wrong != NULL) {
        sprig_config_clear(&config);
        croak_sv(sv_2mortal(wrong));
    }
    char why[512];
    if (sprig_log_configure(&config, why, sizeof why) != 0) {
        sprig_config_clear(&config);
        croak("%s", why);
    }
    psgi_stderr_attach(aTHX);
    psgi_log_attach(aTHX); /* the level */
    Newxz(server, 1, struct psgi_server);
    list_init(&server->taken);
    server->psgi = psgi_get(aTHX);
    server->multiprocess = psgi_options_flag(aTHX_ options, "multiprocess");
    server->harakiri = psgi_options_flag(aTHX_ options, "harakiri");
    sprig_channels_plan(&config);
    server->core = sprig_server_new(loop, &config, handler, server);
    sprig_config_clear(&config);
    if (server->core == NULL) {
        Safefree(server);
        croak("Sprig: cannot create a server: %s", Strerror(errno));
    }
    if (sprig_server_open_log(server->core, why, sizeof why) != 0) {
        sprig_server_free(server->core);
        Safefree(server);
        croak("%s", why);
    }
    server->refs = 1;
    server->options = (HV *)SvREFCNT_inc_simple_NN((SV *)options);
    server->app = newSVsv(app);
    server->on_left = newSVsv(left);
    psgi_caller_init(aTHX_ server);
    psgi_watchdog_start(aTHX_ sprig_server_config(server->core));
    return server_object(aTHX_ class, server);
}

struct psgi_server *psgi_server_get(pTHX_ SV *ref)
{
    MAGIC *mg = SvROK(ref) && SvTYPE(SvRV(ref)) >= SVt_PVMG
                    ? mg_findext(SvRV(ref), PERL_MAGIC_ext, &server_vtbl)
                    : NULL;

    if (mg == NULL || mg->mg_ptr == NULL)
        croak("Sprig: not a server");
    return (struct psgi_server *)mg->mg_ptr;
}

HV *psgi_address_info(pTHX_ const struct sprig_address *address)
{
    HV *info = newHV();

    (void)hv_stores(info, "host", newSVpv(address->host, 0));
    (void)hv_stores(info, "port", newSVpv(address->port, 0));
    (void)hv_stores(info, "unix", newSVsv(boolSV(address->is_unix)));
    (void)hv_stores(info, "tls", newSVsv(boolSV(address->is_tls)));
    return info;
}

static SV *listener_info(pTHX_ const struct sprig_listener *listener, UV id)
{
    const struct sprig_address *address = sprig_listener_address(listener);
    HV *info = psgi_address_info(aTHX_ address);

    (void)hv_stores(info, "id", newSVuv(id));
    (void)hv_stores(info, "fd", newSViv(sprig_listener_fd(listener)));
    return newRV_noinc((SV *)info);
}

SV *psgi_server_option(pTHX_ struct psgi_server *server, const char *name)
{
    char buf[128];
    const char *text = server->core != NULL ? sprig_config_get(sprig_server_config(server->core),
                                                               name, buf, sizeof buf)
                                            : NULL;

    return text != NULL ? newSVpv(text, 0) : newSV(0);
}

/* Keeps a new listener; returns its description. */
static SV *keep_listener(pTHX_ struct psgi_server *server, struct sprig_listener *listener)
{
    Renew(server->listeners, server->n_listeners + 1, struct sprig_listener *);
    server->listeners[server->n_listeners] = listener;
    server->n_open++;
    return listener_info(aTHX_ listener, server->n_listeners++);
}

static struct sprig_server *need_core(pTHX_ struct psgi_server *server)
{
    PERL_UNUSED_CONTEXT;
    if (server->core == NULL)
        croak("Sprig: this server was stopped");
    return server->core;
}

AV *psgi_server_listen(pTHX_ struct psgi_server *server, const char *text)
{
    struct sprig_listener *listeners[SPRIG_LISTEN_MAX_ADDRESSES];
    struct sprig_listen_spec spec;
    struct sprig_server *core = need_core(aTHX_ server);
    char why[512];
    AV *infos;

    int n = sprig_listen_spec_read(&spec, text, why, sizeof why);
    if (n == 0)
        n = sprig_server_listen(core, &spec, listeners, SPRIG_LISTEN_MAX_ADDRESSES, why,
                                sizeof why);
    if (n < 0)
        croak("%s", why);
    infos = newAV();
    for (int i = 0; i < n; i++)
        av_push(infos, keep_listener(aTHX_ server, listeners[i]));
    return infos;
}

SV *psgi_server_listen_fd(pTHX_ struct psgi_server *server, int fd, HV *options)
{
    struct sprig_listen_options read = psgi_options_read_listen(aTHX_ options);
    struct sprig_listener *listener;
    char why[512];

    listener = sprig_server_listen_fd(need_core(aTHX_ server), fd, &read, why, sizeof why);
    if (listener == NULL)
        croak("%s", why);
    return keep_listener(aTHX_ server, listener);
}

SV *psgi_address_read(pTHX_ const char *text)
{
    struct sprig_listen_spec spec;
    char why[512], plain[SPRIG_LISTEN_TEXT_BYTES];

    if (sprig_listen_spec_read(&spec, text, why, sizeof why) != 0)
        croak("%s\n", why);
    return newSVpv(sprig_listen_spec_print(&spec, plain, sizeof plain), 0);
}

void psgi_server_drop_privileges(pTHX_ struct psgi_server *server)
{
    char why[512];

    if (server->core != NULL && sprig_server_drop_privileges(server->core, why, sizeof why) != 0)
        croak("%s", why);
}

void psgi_server_admin(pTHX_ struct psgi_server *server)
{
    char why[512];

    if (server->core != NULL &&
        sprig_admin_start(psgi_loop(aTHX), sprig_server_config(server->core), why, sizeof why) != 0)
        croak("%s", why);
}

void psgi_server_stand_alone(pTHX_ struct psgi_server *server, bool is_alone)
{
    PERL_UNUSED_CONTEXT;
    if (server->core != NULL && is_alone)
        sprig_server_stand_alone(server->core);
    else if (server->core != NULL)
        sprig_server_give_back_signals(server->core);
}

void psgi_server_adopt(pTHX_ struct psgi_server *server, int fd)
{
    PERL_UNUSED_CONTEXT;
    if (server->core == NULL)
        croak("Sprig: this server was stopped");
    if (sprig_server_adopt(server->core, fd) != 0)
        croak("Sprig: cannot serve this socket: %s", Strerror(errno));
}

void psgi_server_on_event(pTHX_ struct psgi_server *server, SV *code)
{
    SvREFCNT_dec(server->on_event);
    server->on_event = newSVsv(code);
}

void psgi_server_tell(pTHX_ struct psgi_server *server, const char *what)
{
    SV *code = server->on_event, *arg, *error = NULL;

    if (code == NULL)
        return;
    SvREFCNT_inc_simple_void_NN(code);
    arg = newSVpv(what, 0);
    if (!psgi_call(aTHX_ code, &arg, 1, NULL, &error) && error != NULL)
        psgi_warn(aTHX_ error);
    SvREFCNT_dec(error);
    SvREFCNT_dec(arg);
    SvREFCNT_dec(code);
}

void psgi_server_set_exit_guard(pTHX_ struct psgi_server *server, SV *guard)
{
    SvREFCNT_dec(server->exit_guard);
    server->exit_guard = newSVsv(guard);
}

/* From the first listener on, the server lives without a variable. */
void psgi_server_keep(pTHX_ struct psgi_server *server, SV *ref)
{
    if (server->self == NULL && server->core != NULL)
        server->self = newRV_inc(SvRV(ref));
}

void psgi_server_close(pTHX_ struct psgi_server *server, UV id)
{
    if (id >= server->n_listeners || server->listeners[id] == NULL)
        return;
    sprig_listener_close(server->listeners[id]);
    server->listeners[id] = NULL;
    if (--server->n_open == 0 && PL_phase != PERL_PHASE_DESTRUCT)
        psgi_server_leave(aTHX_ server);
}

/* Closes them one after the other, with "service restart" if another server takes over. */
static void close_websockets(struct psgi_server *server)
{
    double seconds = sprig_server_config(server->core)->graceful_timeout;

    if (server->websockets != NULL)
        sprig_ws_group_close(server->websockets, server->is_reloading ? 1012 : 1001, seconds);
}

struct sprig_ws_group *psgi_server_websockets(struct psgi_server *server)
{
    if (server->websockets != NULL)
        return server->websockets;
    server->websockets = sprig_ws_group_new(server->psgi->loop);
    if (server->is_leaving)
        close_websockets(server);
    return server->websockets;
}

void psgi_server_hand_over(struct psgi_server *server)
{
    server->is_reloading = true;
    if (server->core != NULL)
        sprig_server_hand_over(server->core);
}

void psgi_server_leave(pTHX_ struct psgi_server *server)
{
    PERL_UNUSED_CONTEXT;
    if (server->core == NULL || server->is_leaving)
        return;
    server->is_leaving = true;
    for (uint32_t i = 0; i < server->n_listeners; i++)
        server->listeners[i] = NULL; /* sprig_server_leave closes them */
    server->n_open = 0;
    sprig_server_leave(server->core);
    close_websockets(server);
}

void psgi_server_stop(pTHX_ struct psgi_server *server)
{
    struct sprig_server *core = server->core;
    SV *self = server->self;

    server->core = NULL;
    server->self = NULL;
    server->n_open = server->n_listeners = 0;
    if (core != NULL)
        sprig_server_free(core);
    if (self != NULL)
        sv_2mortal(self);
}

/* In global destruction the system closes the connections: their env and app values may already be
 * gone. Closes only the listeners, which removes their unix paths. */
static void server_abandon(struct psgi_server *server)
{
    for (uint32_t i = 0; i < server->n_listeners; i++) {
        if (server->listeners[i] != NULL)
            sprig_listener_close(server->listeners[i]);
    }
    server->n_listeners = 0;
    if (server->core != NULL)
        sprig_server_flush_log(server->core);
}

static int server_free(pTHX_ SV *sv, MAGIC *mg)
{
    struct psgi_server *server = (struct psgi_server *)mg->mg_ptr;

    PERL_UNUSED_VAR(sv);
    if (server == NULL)
        return 0;
    mg->mg_ptr = NULL;
    if (PL_phase == PERL_PHASE_DESTRUCT) {
        server_abandon(server);
        return 0;
    }
    if (server->core != NULL)
        sprig_server_free(server->core);
    server->core = NULL;
    psgi_server_unref(aTHX_ server);
    return 0;
}

UV psgi_server_taken(pTHX_ struct psgi_server *server)
{
    return lazyio_count(aTHX_ & server->taken) + sprig_sockets_ending();
}

HV *psgi_counters(pTHX_ struct psgi_server *server)
{
    struct psgi *psgi = psgi_get(aTHX);
    HV *out = newHV();
    uint32_t n_channels = 0, n_members = 0;

    (void)hv_stores(out, "exchanges", newSVuv(psgi->n_exchanges));
    (void)hv_stores(out, "responders", newSVuv(psgi->n_responders));
    (void)hv_stores(out, "writers", newSVuv(psgi->n_writers));
    (void)hv_stores(out, "readers", newSVuv(psgi->n_readers));
    (void)hv_stores(out, "watchers", newSVuv(psgi->n_watchers));
    (void)hv_stores(out, "pumps", newSVuv(psgi->n_pumps));
    (void)hv_stores(out, "sockets", newSVuv(psgi->n_sockets));
    (void)hv_stores(out, "websockets", newSVuv(psgi->n_websockets));
    (void)hv_stores(out, "scopes", newSVuv(psgi->n_scopes));
    (void)hv_stores(out, "taken", newSVuv(psgi->n_taken));
    (void)hv_stores(out, "env_built", newSVuv((UV)psgi->n_env_built));
    (void)hv_stores(out, "env_recycled", newSVuv((UV)psgi->n_env_recycled));
    if (psgi->channels != NULL)
        sprig_channels_count(psgi->channels, &n_channels, &n_members);
    (void)hv_stores(out, "channels", newSVuv(n_channels));
    (void)hv_stores(out, "members", newSVuv(n_members));
    if (server != NULL && server->core != NULL) {
        struct sprig_counters counters;
        sprig_server_counters(server->core, &counters);
        (void)hv_stores(out, "accepted", newSVuv(counters.n_accepted));
        (void)hv_stores(out, "requests", newSVuv(counters.n_requests));
        (void)hv_stores(out, "refused", newSVuv(counters.n_refused));
        (void)hv_stores(out, "connections", newSVuv(counters.n_connections));
        (void)hv_stores(out, "listeners", newSVuv(counters.n_listeners));
    }
    return out;
}

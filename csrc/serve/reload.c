/* reload.c - gives a running server another configuration; see sprig.h */
#include "serve/accesslog.h"
#include "serve/errorlog.h"
#include "serve/server.h"

static bool is_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Opens the new log first: if it cannot be opened, nothing changes. */
static int reload_log(struct sprig_server *server, const struct sprig_config *fresh, char *why,
                      size_t n)
{
    struct access_log *log, *before = server->access_log;
    if (is_same(fresh->access_log, server->config.access_log) &&
        is_same(fresh->access_log_format, server->config.access_log_format) &&
        fresh->log_buffer_bytes == server->config.log_buffer_bytes) {
        if (before != NULL)
            access_log_reopen(before);
        return 0;
    }
    int rc = server_open_log(server->loop, fresh, &log, why, n);
    if (rc != 0)
        return rc;
    server->access_log = log;
    if (before != NULL)
        access_log_retire(before);
    return 0;
}

int sprig_server_reload(struct sprig_server *server, const struct sprig_config *fresh, char *kept,
                        char *why, size_t n)
{
    struct sprig_config config;
    snprintf(why, n, "%s", sprig_err_text(SPRIG_E_NOMEM));
    *kept = '\0';
    if (sprig_config_copy(&config, fresh) != 0)
        return SPRIG_E_NOMEM;
    int rc = sprig_config_keep_fixed(&config, &server->config, kept, n);
    if (rc == 0)
        rc = sprig_log_configure(&config, why, n);
    if (rc == 0)
        rc = reload_log(server, &config, why, n);
    if (rc == 0 && server->tls != NULL)
        rc = server_renew_tls(server, &config, why, n);
    if (rc != 0) {
        sprig_config_clear(&config);
        return rc;
    }
    cidr_list_clear(&server->trusted_proxies);
    sprig_config_clear(&server->config);
    server->config = config;
    server_configure(server);
    error_log_attach(server->loop);
    admission_configure(server);
    retire_configure(server);
    if (server->handler.on_reloaded != NULL)
        server->handler.on_reloaded(server, server->arg);
    return 0;
}

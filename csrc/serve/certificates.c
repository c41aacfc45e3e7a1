/* certificates.c - a server's certificates: read at the start, and again when they change; see
 * server.h */
#include "base/clock.h"
#include "serve/server.h"

#include "net/tls.h"
#include <stdio.h>

int server_open_tls(struct sprig_server *server, char *why, size_t n)
{
    if (server->tls == NULL)
        server->tls = tls_context_open(&server->config, why, n);
    if (server->tls == NULL)
        return SPRIG_E_INVALID;
    if (server->tls_io == NULL)
        server->tls_io = tls_io_new();
    server->tls_looked_ns = sprig_loop_now(server->loop);
    if (server->tls_io != NULL)
        return 0;
    snprintf(why, n, "out of memory");
    return SPRIG_E_NOMEM;
}

void sprig_server_share_tls(struct sprig_server *server, struct tls_context *tls)
{
    if (server->tls == NULL && tls != NULL)
        server->tls = tls_context_hold(tls);
}

int server_renew_tls(struct sprig_server *server, const struct sprig_config *config, char *why,
                     size_t n)
{
    if (server->tls == NULL)
        return SPRIG_E_STATE;
    struct tls_context *fresh = tls_context_open(config, why, n);
    if (fresh == NULL)
        return SPRIG_E_INVALID;
    tls_context_release(server->tls);
    server->tls = fresh;
    return 0;
}

/* Called for each handshake. */
void server_look_at_certificates(struct sprig_server *server)
{
    char why[1024];
    double interval = server->config.tls_reload_interval;
    uint64_t now = sprig_loop_now(server->loop);
    if (interval == 0 || (double)(now - server->tls_looked_ns) < interval * NS_PER_S)
        return;
    server->tls_looked_ns = now;
    if (!tls_context_has_changed(server->tls))
        return;
    if (server_renew_tls(server, &server->config, why, sizeof why) == 0)
        log_later(SPRIG_LOG_INFO, "the certificates have changed and were read again");
    else
        log_later(SPRIG_LOG_ERROR,
                  "the certificates have changed, but the old ones stay in use: %s", why);
}

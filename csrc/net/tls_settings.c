/* tls_settings.c - protocol versions, ciphers and ALPN by the options; see tls_internal.h */
#include "net/tls_internal.h"

#include <stdio.h>

/* Mozilla's intermediate configuration: forward secrecy and AEAD only, for clients of the last ten
 * years. */
#define CIPHERS                                                                                    \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"

/* ---- the protocol inside TLS (ALPN, RFC 7301) ---- */

/* Picks a protocol that the client lists and the connection may speak, preferably HTTP/2. A client
 * that wants something else is refused (RFC 7301 section 3.2). */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n_out,
                           const unsigned char *list, unsigned n, void *arg)
{
    (void)arg;
    static const unsigned char names[] = "\2h2\10http/1.1\10http/1.0";
    unsigned skip = SSL_get_app_data(ssl) != NULL ? 0 : 3;
    unsigned char *chosen;
    int rc = SSL_select_next_proto(&chosen, n_out, names + skip, sizeof names - 1 - skip, list, n);
    *out = chosen;
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- options ---- */

static bool refuse(const char *option, const char *value, char *why, size_t n)
{
    snprintf(why, n, "%s: OpenSSL does not accept '%s': %s", option, value, tls_error_text());
    ERR_clear_error();
    return false;
}

static bool use_ciphers(SSL_CTX *ctx, const struct sprig_config *config, char *why, size_t n)
{
    const char *ciphers = config->tls_ciphers != NULL ? config->tls_ciphers : CIPHERS,
               *groups = config->tls_groups != NULL ? config->tls_groups : GROUPS,
               *suites = config->tls_ciphersuites;
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
        return refuse("tls_ciphers", ciphers, why, n);
    if (suites != NULL && SSL_CTX_set_ciphersuites(ctx, suites) != 1)
        return refuse("tls_ciphersuites", suites, why, n);
    if (SSL_CTX_set1_groups_list(ctx, groups) != 1)
        return refuse("tls_groups", groups, why, n);
    return true;
}

static void use_modes(SSL_CTX *ctx, const struct sprig_config *config)
{
    bool is_1_3 = config->tls_min_version == SPRIG_TLS_1_3;
    SSL_CTX_set_min_proto_version(ctx, is_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
    /* Clients may close their side without close_notify and still wait for the response: the length
     * of a request does not depend on it. */
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
}

SSL_CTX *tls_settings_new(const struct sprig_config *config, char *why, size_t n)
{
    SSL_CTX *ssl_ctx = SSL_CTX_new(TLS_server_method());
    if (ssl_ctx == NULL)
        return NULL;
    use_modes(ssl_ctx, config);
    SSL_CTX_set_alpn_select_cb(ssl_ctx, choose_protocol, NULL);
    if (use_ciphers(ssl_ctx, config, why, n) && tls_clients_use(ssl_ctx, config, why, n) == 0 &&
        tls_tickets_use(ssl_ctx, config->tls_ticket_lifetime))
        return ssl_ctx;
    SSL_CTX_free(ssl_ctx);
    return NULL;
}

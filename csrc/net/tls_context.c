/* tls_context.c - the settings of a server's TLS, and its certificates; see tls.h */
#include "net/tls_internal.h"

#include "base/err.h"
#include <stdio.h>
#include <stdlib.h>

/* The intermediate configuration of Mozilla's: forward secrecy and AEAD only, for all clients of
 * the last ten years. */
#define CIPHERS                                                                                    \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* Who resumes a session of another server is not let in by it. */
static const unsigned char session_id_context[] = "sprig";

/* What the client's list has and the connection may speak, HTTP/2 first. A client that wants
 * something else is not for us (RFC 7301 section 3.2). */
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

static SSL_CTX *new_ssl_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, session_id_context, sizeof session_id_context - 1);
    SSL_CTX_set_cipher_list(ctx, CIPHERS);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    return ctx;
}

static int use_pair(SSL_CTX *ctx, const struct tls_pair *pair, char *why, size_t n)
{
    if (SSL_CTX_use_cert_and_key(ctx, pair->cert, pair->key, pair->chain, 1) == 1)
        return 0;
    snprintf(why, n, "tls_cert: %s: %s", pair->path, tls_error_text());
    ERR_clear_error();
    return SPRIG_E_INVALID;
}

static int use_pairs(SSL_CTX *ctx, const struct tls_pairs *pairs, char *why, size_t n)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < pairs->n; i++)
        rc = use_pair(ctx, &pairs->items[i], why, n);
    return rc;
}

static int context_fill(struct tls_context *ctx, const struct sprig_config *config, char *why,
                        size_t n)
{
    struct tls_pairs pairs;
    snprintf(why, n, "out of memory");
    if (ctx == NULL || (ctx->ssl_ctx = new_ssl_ctx()) == NULL)
        return SPRIG_E_NOMEM;
    int rc = tls_pairs_read(&pairs, config, why, n);
    if (rc == 0)
        rc = use_pairs(ctx->ssl_ctx, &pairs, why, n);
    tls_pairs_clear(&pairs);
    return rc;
}

struct tls_context *tls_context_open(const struct sprig_config *config, char *why, size_t n)
{
    if (config->tls_cert == NULL) {
        snprintf(why, n, "listen: an address with ,tls needs a certificate: give tls_cert");
        return NULL;
    }
    struct tls_context *ctx = calloc(1, sizeof *ctx);
    if (context_fill(ctx, config, why, n) == 0) {
        ctx->refs = 1;
        return ctx;
    }
    if (ctx != NULL)
        SSL_CTX_free(ctx->ssl_ctx);
    free(ctx);
    return NULL;
}

struct tls_context *tls_context_hold(struct tls_context *ctx)
{
    ctx->refs++;
    return ctx;
}

void tls_context_release(struct tls_context *ctx)
{
    if (ctx == NULL || --ctx->refs > 0)
        return;
    SSL_CTX_free(ctx->ssl_ctx);
    free(ctx);
}

const char *tls_library(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

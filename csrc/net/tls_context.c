/* tls_context.c - puts a server's certificates and settings together; see tls.h */
#include "net/tls_internal.h"

#include "base/err.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adds a site, still without a certificate. On failure returns NULL and sets `why`. */
static struct tls_site *add_site(struct tls_context *ctx, const struct sprig_config *config,
                                 size_t first, char *why, size_t n)
{
    struct tls_site *sites = realloc(ctx->sites, (ctx->n_sites + 1) * sizeof *sites);
    if (sites == NULL)
        return NULL;
    ctx->sites = sites;
    SSL_CTX *ssl_ctx = tls_settings_new(config, why, n);
    if (ssl_ctx == NULL)
        return NULL;
    tls_staples_use(ctx, ssl_ctx);
    sites[ctx->n_sites] = (struct tls_site){ssl_ctx, first};
    return &sites[ctx->n_sites++];
}

/* The site for these names that has no certificate with this type of key yet, or NULL. */
static struct tls_site *find_site(struct tls_context *ctx, const struct tls_pairs *pairs, size_t i)
{
    const struct tls_pair *pair = &pairs->items[i];
    for (size_t k = 0; k < ctx->n_sites; k++) {
        const struct tls_pair *first = &pairs->items[ctx->sites[k].first];
        if (EVP_PKEY_base_id(first->key) != EVP_PKEY_base_id(pair->key) &&
            tls_names_are_same(first->cert, pair->cert))
            return &ctx->sites[k];
    }
    return NULL;
}

static int use_pair(struct tls_context *ctx, const struct sprig_config *config,
                    const struct tls_pairs *pairs, size_t i, char *why, size_t n)
{
    const struct tls_pair *pair = &pairs->items[i];
    struct tls_site *site = find_site(ctx, pairs, i);
    if (site == NULL)
        site = add_site(ctx, config, i, why, n);
    if (site == NULL)
        return SPRIG_E_INVALID;
    if (SSL_CTX_use_cert_and_key(site->ssl_ctx, pair->cert, pair->key, pair->chain, 1) != 1) {
        snprintf(why, n, "tls_cert: %s: %s", pair->path, tls_error_text());
        ERR_clear_error();
        return SPRIG_E_INVALID;
    }
    return tls_names_add(ctx, pair->cert, (size_t)(site - ctx->sites)) ? 0 : SPRIG_E_NOMEM;
}

/* Watches the files in a folder, too: a file may be replaced without a change of the folder. */
static bool watch_files(struct tls_context *ctx, const struct sprig_config *config,
                        const struct tls_pairs *pairs)
{
    bool ok =
        tls_watch_add_list(ctx, config->tls_cert) && tls_watch_add_list(ctx, config->tls_key) &&
        tls_watch_add_list(ctx, config->tls_ocsp) &&
        tls_watch_add_list(ctx, config->tls_client_ca) && tls_watch_add_list(ctx, config->tls_crl);
    for (size_t i = 0; ok && config->tls_cert != NULL && i < pairs->n; i++)
        ok = tls_watch_add(ctx, pairs->items[i].path, strlen(pairs->items[i].path));
    return ok;
}

static int context_fill(struct tls_context *ctx, const struct sprig_config *config, char *why,
                        size_t n)
{
    struct tls_pairs pairs;
    int rc = tls_pairs_read(&pairs, config, why, n);
    if (rc == 0 && !watch_files(ctx, config, &pairs))
        rc = SPRIG_E_NOMEM;
    if (rc == 0)
        rc = tls_staples_read(ctx, config, why, n);
    for (size_t i = 0; rc == 0 && i < pairs.n; i++)
        rc = use_pair(ctx, config, &pairs, i, why, n);
    tls_pairs_clear(&pairs);
    tls_names_sort(ctx);
    ctx->rejects_unknown = config->tls_reject_unknown_names;
    if (rc == 0)
        tls_names_use(ctx, ctx->sites[0].ssl_ctx);
    return rc;
}

struct tls_context *tls_context_open(const struct sprig_config *config, char *why, size_t n)
{
    struct tls_context *ctx = calloc(1, sizeof *ctx);
    snprintf(why, n, "out of memory");
    if (ctx == NULL)
        return NULL;
    ctx->refs = 1;
    if (context_fill(ctx, config, why, n) == 0)
        return ctx;
    tls_context_release(ctx);
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
    for (size_t i = 0; i < ctx->n_sites; i++)
        SSL_CTX_free(ctx->sites[i].ssl_ctx);
    free(ctx->sites);
    tls_names_clear(ctx);
    tls_staples_free(ctx->staples);
    tls_watch_free(ctx->watch);
    free(ctx);
}

const char *tls_library(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

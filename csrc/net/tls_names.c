/* tls_names.c - chooses a certificate by the name that the client asks for (SNI, RFC 6066 section
 * 3); see tls_internal.h */
#include "net/tls_internal.h"

#include <ctype.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------- names of a certificate ---- */

static bool add_name(struct tls_context *ctx, const char *text, size_t len, size_t site)
{
    struct tls_name *names = realloc(ctx->names, (ctx->n_names + 1) * sizeof *names);
    if (names == NULL)
        return false;
    ctx->names = names;
    char *copy = strndup(text, len);
    if (copy == NULL)
        return false;
    for (char *p = copy; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    names[ctx->n_names++] = (struct tls_name){copy, site};
    return true;
}

static bool add_alternative_names(struct tls_context *ctx, const GENERAL_NAMES *all, size_t site,
                                  bool *has_some)
{
    bool ok = true;
    for (int i = 0; ok && i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        if (name->type != GEN_DNS)
            continue;
        *has_some = true;
        ok = add_name(ctx, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                      (size_t)ASN1_STRING_length(name->d.dNSName), site);
    }
    return ok;
}

/* For certificates without alternative names, as old ones are. */
static bool add_common_name(struct tls_context *ctx, X509 *cert, size_t site)
{
    char text[256];
    int len =
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, text, sizeof text);
    return len <= 0 || add_name(ctx, text, (size_t)len, site);
}

bool tls_names_add(struct tls_context *ctx, X509 *cert, size_t site)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool has_some = false, ok = add_alternative_names(ctx, all, site, &has_some);
    GENERAL_NAMES_free(all);
    return ok && (has_some || add_common_name(ctx, cert, site));
}

/* Sorts by name, then in the order of the certificates: the first one with a name keeps it. */
static int compare(const void *a, const void *b)
{
    const struct tls_name *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order != 0 ? order : (x->site > y->site) - (x->site < y->site);
}

void tls_names_sort(struct tls_context *ctx)
{
    if (ctx->n_names > 0)
        qsort(ctx->names, ctx->n_names, sizeof *ctx->names, compare);
}

void tls_names_clear(struct tls_context *ctx)
{
    for (size_t i = 0; i < ctx->n_names; i++)
        free(ctx->names[i].text);
    free(ctx->names);
    ctx->names = NULL;
    ctx->n_names = 0;
}

bool tls_names_are_same(X509 *a, X509 *b)
{
    struct tls_context x = {.refs = 0}, y = {.refs = 0};
    bool same = tls_names_add(&x, a, 0) && tls_names_add(&y, b, 0) && x.n_names == y.n_names;
    tls_names_sort(&x);
    tls_names_sort(&y);
    for (size_t i = 0; same && i < x.n_names; i++)
        same = strcmp(x.names[i].text, y.names[i].text) == 0;
    tls_names_clear(&x);
    tls_names_clear(&y);
    return same;
}

/* -------------------------------------------------------------------- a client ---- */

static const struct tls_site *find_exact(const struct tls_context *ctx, const char *name)
{
    size_t low = 0, high = ctx->n_names;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(ctx->names[middle].text, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == ctx->n_names || strcmp(ctx->names[low].text, name) != 0)
        return NULL;
    return &ctx->sites[ctx->names[low].site];
}

/* A wildcard stands for exactly one label, the first (RFC 6125 section 6.4.3). */
static const struct tls_site *find_site(const struct tls_context *ctx, const char *name)
{
    char lower[256], wild[258] = "*";
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '.')
        len--;
    if (len == 0 || len >= sizeof lower)
        return NULL;
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)tolower((unsigned char)name[i]);
    lower[len] = '\0';
    const struct tls_site *site = find_exact(ctx, lower);
    const char *dot = strchr(lower, '.');
    if (site != NULL || dot == NULL || dot == lower)
        return site;
    strcpy(wild + 1, dot);
    return find_exact(ctx, wild);
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls_context *ctx = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct tls_site *site = name != NULL ? find_site(ctx, name) : NULL;
    if (site != NULL) {
        SSL_set_SSL_CTX(ssl, site->ssl_ctx);
        return SSL_TLSEXT_ERR_OK;
    }
    if (!ctx->rejects_unknown)
        return SSL_TLSEXT_ERR_NOACK;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void tls_names_use(struct tls_context *ctx, SSL_CTX *ssl_ctx)
{
    SSL_CTX_set_tlsext_servername_callback(ssl_ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ssl_ctx, ctx);
}

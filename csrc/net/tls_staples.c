/* tls_staples.c - OCSP responses for our certificates, sent along with them (RFC 6066 section 8).
 * Another program fetches them to a file. See tls_internal.h */
#include "net/tls_internal.h"

#include "base/err.h"
#include "base/log.h"
#include <errno.h>
#include <openssl/ocsp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct staple {
    unsigned char *der; /* owned by OpenSSL */
    int len;
    ASN1_INTEGER *serial;             /* owned; the certificate's */
    ASN1_GENERALIZEDTIME *good_until; /* owned; NULL: for ever */
};

struct tls_staples {
    size_t n;
    struct staple items[];
};

static int complain(const char *path, const char *reason, char *why, size_t n)
{
    snprintf(why, n, "tls_ocsp: %s: %s", path, reason);
    ERR_clear_error();
    return SPRIG_E_INVALID;
}

/* Reads the serial number and the expiry of the first entry in the response. */
static bool staple_look(struct staple *s, OCSP_RESPONSE *response)
{
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    OCSP_SINGLERESP *single = basic != NULL ? OCSP_resp_get0(basic, 0) : NULL;
    ASN1_GENERALIZEDTIME *until = NULL;
    ASN1_INTEGER *serial = NULL;
    if (single != NULL) {
        OCSP_single_get0_status(single, NULL, NULL, NULL, &until);
        OCSP_id_get0_info(NULL, NULL, NULL, &serial,
                          (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single));
        s->serial = ASN1_INTEGER_dup(serial);
        s->good_until = until != NULL ? ASN1_STRING_dup(until) : NULL;
    }
    OCSP_BASICRESP_free(basic);
    return s->serial != NULL;
}

static int staple_read(struct staple *s, const char *path, char *why, size_t n)
{
    errno = 0;
    BIO *bio = BIO_new_file(path, "rb");
    if (bio == NULL)
        return complain(path, errno != 0 ? strerror(errno) : "cannot be read", why, n);
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE_bio(bio, NULL);
    BIO_free(bio);
    bool ok = response != NULL &&
              OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL &&
              staple_look(s, response);
    if (ok)
        s->len = i2d_OCSP_RESPONSE(response, &s->der);
    OCSP_RESPONSE_free(response);
    if (!ok || s->len <= 0)
        return complain(path, "it is not an OCSP response in DER format", why, n);
    if (s->good_until != NULL && X509_cmp_current_time(s->good_until) < 0)
        sprig_log(SPRIG_LOG_WARN, "tls_ocsp: %s: it has expired, and is not sent", path);
    return 0;
}

static struct tls_staples *staples_new(const char *list)
{
    size_t n = 1;
    for (const char *p = list; *p != '\0'; p++)
        n += *p == ',';
    return calloc(1, sizeof(struct tls_staples) + n * sizeof(struct staple));
}

int tls_staples_read(struct tls_context *ctx, const struct sprig_config *config, char *why,
                     size_t n)
{
    const char *list = config->tls_ocsp;
    int rc = 0;
    if (list == NULL)
        return 0;
    struct tls_staples *all = ctx->staples = staples_new(list);
    while (rc == 0 && all != NULL && *list != '\0') {
        size_t len = strcspn(list, ",");
        char *path = strndup(list, len);
        rc = path != NULL ? staple_read(&all->items[all->n++], path, why, n) : SPRIG_E_NOMEM;
        free(path);
        list += len + (list[len] == ',');
    }
    return all != NULL ? rc : SPRIG_E_NOMEM;
}

void tls_staples_free(struct tls_staples *staples)
{
    for (size_t i = 0; staples != NULL && i < staples->n; i++) {
        OPENSSL_free(staples->items[i].der);
        ASN1_INTEGER_free(staples->items[i].serial);
        ASN1_GENERALIZEDTIME_free(staples->items[i].good_until);
    }
    free(staples);
}

static const struct staple *find_staple(const struct tls_staples *staples, X509 *cert)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    for (size_t i = 0; i < staples->n; i++) {
        const struct staple *s = &staples->items[i];
        if (ASN1_INTEGER_cmp(s->serial, serial) == 0 &&
            (s->good_until == NULL || X509_cmp_current_time(s->good_until) > 0))
            return s;
    }
    return NULL;
}

static int on_status(SSL *ssl, void *arg)
{
    const struct tls_context *ctx = arg;
    X509 *cert = SSL_get_certificate(ssl);
    const struct staple *s = cert != NULL ? find_staple(ctx->staples, cert) : NULL;
    unsigned char *copy = s != NULL ? OPENSSL_memdup(s->der, (size_t)s->len) : NULL;
    if (copy == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, s->len);
    return SSL_TLSEXT_ERR_OK;
}

void tls_staples_use(struct tls_context *ctx, SSL_CTX *ssl_ctx)
{
    if (ctx->staples == NULL)
        return;
    SSL_CTX_set_tlsext_status_cb(ssl_ctx, on_status);
    SSL_CTX_set_tlsext_status_arg(ssl_ctx, ctx);
}

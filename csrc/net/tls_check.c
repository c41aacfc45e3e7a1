/* tls_check.c - warns about certificates that can be used but look suspicious; see tls_internal.h
 */
#include "net/tls_internal.h"

#include "base/log.h"
#include <openssl/x509v3.h>
#include <stdio.h>

/* Writes a certificate's date as text. Returns buf. */
static const char *print_time(const ASN1_TIME *time, char *buf, size_t n)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) != 1 || strftime(buf, n, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(buf, n, "an unknown time");
    return buf;
}

static void check_times(const struct tls_pair *pair)
{
    char when[64];
    const ASN1_TIME *from = X509_get0_notBefore(pair->cert), *to = X509_get0_notAfter(pair->cert);
    if (X509_cmp_current_time(to) < 0)
        sprig_log(SPRIG_LOG_WARN, "tls_cert: %s: the certificate has expired: %s", pair->path,
                  print_time(to, when, sizeof when));
    if (X509_cmp_current_time(from) > 0)
        sprig_log(SPRIG_LOG_WARN, "tls_cert: %s: the certificate is not valid before %s",
                  pair->path, print_time(from, when, sizeof when));
}

/* Whether clients know the issuer: mostly the same ones that this system knows. */
static bool is_known(X509 *cert)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *issuer = NULL;
    bool found = store != NULL && ctx != NULL && X509_STORE_set_default_paths(store) == 1 &&
                 X509_STORE_CTX_init(ctx, store, cert, NULL) == 1 &&
                 X509_STORE_CTX_get1_issuer(&issuer, ctx, cert) == 1;
    X509_free(issuer);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return found;
}

/* Each certificate must be signed by the next, and the last by itself or an issuer that clients
 * know. */
static void check_chain(const struct tls_pair *pair)
{
    X509 *last = pair->cert;
    for (int i = 0; i < sk_X509_num(pair->chain); i++) {
        X509 *next = sk_X509_value(pair->chain, i);
        if (X509_check_issued(next, last) == X509_V_OK)
            last = next;
    }
    if (X509_check_issued(last, last) == X509_V_OK || is_known(last))
        return;
    sprig_log(SPRIG_LOG_WARN,
              "tls_cert: %s: the certificate chain is incomplete: append the intermediate "
              "certificates, or most clients will not trust it",
              pair->path);
}

void tls_pair_check(const struct tls_pair *pair)
{
    check_times(pair);
    check_chain(pair);
}

/* tls_internal.h - what the files of TLS share. The only header that includes OpenSSL's. */
#ifndef SPRIG_TLS_INTERNAL_H
#define SPRIG_TLS_INTERNAL_H

#include "net/tls.h"
#include <openssl/err.h>
#include <openssl/ssl.h>

struct tls_context {
    uint32_t refs;
    SSL_CTX *ssl_ctx; /* owned: for clients that name no server, or one that is not known */
};

/* A certificate, what is sent along with it, and its key. */
struct tls_pair {
    const char *path;       /* borrowed: of the file that the certificate is in */
    X509 *cert;             /* owned */
    STACK_OF(X509) * chain; /* owned: certificates of those that have signed it */
    EVP_PKEY *key;          /* owned */
};

struct tls_pairs {
    struct tls_pair *items; /* owned */
    size_t n;
    char *paths; /* owned: what the paths of the items lie in */
};

/* tls_pairs.c - reads and checks the files of tls_cert and tls_key. 0 or < 0 and `why`; to be
 * cleared in either case. */
int tls_pairs_read(struct tls_pairs *pairs, const struct sprig_config *config, char *why, size_t n);
void tls_pairs_clear(struct tls_pairs *pairs);

/* The app data of an SSL whose client may choose HTTP/2. */
#define TLS_OFFERS_HTTP2 ((char *)"h2")

/* What the library said last, as a sentence: static text. */
const char *tls_error_text(void);

#endif

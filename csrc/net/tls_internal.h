/* tls_internal.h - shared by the files of TLS. The only header that includes OpenSSL's. */
#ifndef SPRIG_TLS_INTERNAL_H
#define SPRIG_TLS_INTERNAL_H

#include "net/tls.h"
#include <openssl/err.h>
#include <openssl/ssl.h>

/* ---- transport_tls.c ---- */

/* After the handshake: another transport, with other shared buffers, takes over this one's TLS and
 * descriptor, perhaps in another thread. Releases what callbacks use: they were for the handshake.
 */
void transport_tls_move(struct transport *to, struct transport *from, struct tls_io *io);

/* ---- tls_pairs.c: files ---- */

/* A certificate, the chain sent with it, and its key. */
struct tls_pair {
    char *path;             /* owned: the certificate's file */
    X509 *cert;             /* owned */
    STACK_OF(X509) * chain; /* owned: the certificates of its issuers */
    EVP_PKEY *key;          /* owned */
};

struct tls_pairs {
    struct tls_pair *items; /* owned */
    size_t n;
};

/* Reads the files of tls_cert and tls_key; in the environment development, without any, makes a
 * certificate. 0 or < 0 and `why` (n bytes); clear it in either case. Warns about expired and
 * incomplete ones. */
int tls_pairs_read(struct tls_pairs *pairs, const struct sprig_config *config, char *why, size_t n);
void tls_pairs_clear(struct tls_pairs *pairs);

/* The app data of an SSL whose client may choose HTTP/2. */
#define TLS_OFFERS_HTTP2 ((char *)"h2")

/* The library's last error: static text. */
const char *tls_error_text(void);

/* tls_check.c: logs what is suspicious about it. */
void tls_pair_check(const struct tls_pair *pair);
/* tls_selfsigned.c: fills the pair with a new certificate for localhost. False: that failed. */
bool tls_pair_make(struct tls_pair *pair);

/* ---- tls_names.c: which client gets which certificate ---- */

/* The certificates for one set of names, one per type of key. */
struct tls_site {
    SSL_CTX *ssl_ctx; /* owned */
    size_t first;     /* index of its first pair */
};

struct tls_name {
    char *text; /* owned: lower case; "*.example.org" */
    size_t site;
};

struct tls_context {
    uint32_t refs;
    struct tls_site *sites; /* owned; the first is for clients that name no known host */
    size_t n_sites;
    struct tls_name *names; /* owned, sorted */
    size_t n_names;
    bool rejects_unknown;
    struct tls_staples *staples; /* owned; NULL: none */
    struct tls_watch *watch;     /* owned: the watched files */
};

/* Adds the certificate's names for this site. False: out of memory. */
bool tls_names_add(struct tls_context *ctx, X509 *cert, size_t site);
/* Call it once all names are added. */
void tls_names_sort(struct tls_context *ctx);
void tls_names_clear(struct tls_context *ctx);
/* True if both certificates have the same names. */
bool tls_names_are_same(X509 *a, X509 *b);
/* Chooses a site by the name that the client gives; for the first site's SSL_CTX. */
void tls_names_use(struct tls_context *ctx, SSL_CTX *ssl_ctx);

/* ---- tls_watch.c: changes of files ---- */

/* Adds this file, or each in a comma-separated list, to the files that were read. False: out of
 * memory. */
bool tls_watch_add(struct tls_context *ctx, const char *path, size_t len);
bool tls_watch_add_list(struct tls_context *ctx, const char *list);
void tls_watch_free(struct tls_watch *watch);

/* ---- tls_settings.c: options ---- */

/* An SSL_CTX with all settings and no certificate. NULL and `why`. */
SSL_CTX *tls_settings_new(const struct sprig_config *config, char *why, size_t n);

/* ---- tls_clients.c: certificates of clients ---- */

int tls_clients_use(SSL_CTX *ssl_ctx, const struct sprig_config *config, char *why, size_t n);

/* Passes on what is known about the session, for tls_env. */
void tls_describe_ssl(SSL *ssl, tls_describe_cb *tell, void *arg);

/* ---- tls_tickets.c: keys of session tickets, shared by all processes of a master ---- */

/* Sessions last this many seconds; 0: no tickets. False: out of memory. */
bool tls_tickets_use(SSL_CTX *ssl_ctx, double lifetime);

/* ---- tls_staples.c: OCSP responses ---- */

int tls_staples_read(struct tls_context *ctx, const struct sprig_config *config, char *why,
                     size_t n);
void tls_staples_use(struct tls_context *ctx, SSL_CTX *ssl_ctx);
void tls_staples_free(struct tls_staples *staples);

/* Clears OpenSSL's errors: the application may use OpenSSL, too, and must find none of ours. Mostly
 * there are none, and clearing the list is expensive. */
static inline void tls_forget_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

#endif

/* tls_internal.h - what the files of TLS share. The only header that includes OpenSSL's. */
#ifndef SPRIG_TLS_INTERNAL_H
#define SPRIG_TLS_INTERNAL_H

#include "net/tls.h"
#include <openssl/err.h>
#include <openssl/ssl.h>

/* ---- transport_tls.c ---- */

/* After the handshake: another transport, with other shared buffers, goes on with the TLS and the
 * descriptor of this one, and may do so in another thread. What callbacks use is let go of: they
 * were for the handshake. */
void transport_tls_move(struct transport *to, struct transport *from, struct tls_io *io);

/* ---- tls_pairs.c: files ---- */

/* A certificate, what is sent along with it, and its key. */
struct tls_pair {
    char *path;             /* owned: of the file that the certificate is in */
    X509 *cert;             /* owned */
    STACK_OF(X509) * chain; /* owned: certificates of those that have signed it */
    EVP_PKEY *key;          /* owned */
};

struct tls_pairs {
    struct tls_pair *items; /* owned */
    size_t n;
};

/* Reads the files of tls_cert and tls_key; in the environment development, without any, makes a
 * certificate. 0 or < 0 and `why` (n bytes); to be cleared in either case. Warns of what is expired
 * or incomplete. */
int tls_pairs_read(struct tls_pairs *pairs, const struct sprig_config *config, char *why, size_t n);
void tls_pairs_clear(struct tls_pairs *pairs);

/* The app data of an SSL whose client may choose HTTP/2. */
#define TLS_OFFERS_HTTP2 ((char *)"h2")

/* What the library said last: static text. */
const char *tls_error_text(void);

/* tls_check.c: what is suspicious about it goes to the log. */
void tls_pair_check(const struct tls_pair *pair);
/* tls_selfsigned.c: fills the pair with a certificate for localhost, made now. False: it cannot be.
 */
bool tls_pair_make(struct tls_pair *pair);

/* ---- tls_names.c: which certificate is for whom ---- */

/* The certificates for one set of names: one for each kind of key. */
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
    struct tls_site *sites; /* owned; the first is for those that name nobody that is known */
    size_t n_sites;
    struct tls_name *names; /* owned, sorted */
    size_t n_names;
    bool rejects_unknown;
    struct tls_staples *staples; /* owned; NULL: none */
    struct tls_watch *watch;     /* owned: the files */
};

/* Adds the names of the certificate, for this site. False: no memory. */
bool tls_names_add(struct tls_context *ctx, X509 *cert, size_t site);
/* When all are there. */
void tls_names_sort(struct tls_context *ctx);
void tls_names_clear(struct tls_context *ctx);
/* True if both are for the same names. */
bool tls_names_are_same(X509 *a, X509 *b);
/* Chooses among the sites by what the client says; for the SSL_CTX of the first one. */
void tls_names_use(struct tls_context *ctx, SSL_CTX *ssl_ctx);

/* ---- tls_watch.c: changes of files ---- */

/* This file, or each of a list with commas, is one of those that were read. False: no memory. */
bool tls_watch_add(struct tls_context *ctx, const char *path, size_t len);
bool tls_watch_add_list(struct tls_context *ctx, const char *list);
void tls_watch_free(struct tls_watch *watch);

/* ---- tls_settings.c: options ---- */

/* An SSL_CTX with all settings and no certificate. NULL and `why`. */
SSL_CTX *tls_settings_new(const struct sprig_config *config, char *why, size_t n);

/* ---- tls_clients.c: certificates of clients ---- */

int tls_clients_use(SSL_CTX *ssl_ctx, const struct sprig_config *config, char *why, size_t n);

/* Tells what is known of the session, for tls_env. */
void tls_describe_ssl(SSL *ssl, tls_describe_cb *tell, void *arg);

/* ---- tls_tickets.c: keys of session tickets, shared by all processes of a master ---- */

/* Sessions last for so many seconds; 0: there are none. False: no memory. */
bool tls_tickets_use(SSL_CTX *ssl_ctx, double lifetime);

/* ---- tls_staples.c: answers of OCSP responders ---- */

int tls_staples_read(struct tls_context *ctx, const struct sprig_config *config, char *why,
                     size_t n);
void tls_staples_use(struct tls_context *ctx, SSL_CTX *ssl_ctx);
void tls_staples_free(struct tls_staples *staples);

/* Errors of OpenSSL are our own to look at: the application may use it, too, and finds none of
 * ours. Mostly there is none, and to clear the list is dear. */
static inline void tls_forget_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

#endif

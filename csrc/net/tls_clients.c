/* tls_clients.c - client certificates: who is let in, and what the app is told; see tls.h and
 * tls_internal.h */
#include "net/tls_internal.h"

#include "base/err.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* The longest certificate chain of a client. */
enum { MAX_DEPTH = 4 };

static int complain(const char *option, const char *path, char *why, size_t n)
{
    snprintf(why, n, "%s: %s: %s", option, path, tls_error_text());
    ERR_clear_error();
    return SPRIG_E_INVALID;
}

static int use_revocations(SSL_CTX *ctx, const char *path, char *why, size_t n)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    if (lookup == NULL || X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) < 1)
        return complain("tls_crl", path, why, n);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    return 0;
}

static bool digest_file(EVP_MD_CTX *md, const char *path)
{
    char buf[4096];
    size_t n;
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    if (file == NULL)
        return path == NULL;
    while ((n = fread(buf, 1, sizeof buf, file)) > 0)
        EVP_DigestUpdate(md, buf, n);
    fclose(file);
    return true;
}

/* A session that began under other rules is not resumed, because nobody would check the certificate
 * again. */
static bool use_session_context(SSL_CTX *ctx, const struct sprig_config *config)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(md, &config->tls_verify, sizeof config->tls_verify) == 1 &&
              digest_file(md, config->tls_client_ca) && digest_file(md, config->tls_crl) &&
              EVP_DigestFinal_ex(md, digest, &len) == 1 &&
              SSL_CTX_set_session_id_context(ctx, digest, len) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

int tls_clients_use(SSL_CTX *ctx, const struct sprig_config *config, char *why, size_t n)
{
    const char *path = config->tls_client_ca;
    if (!use_session_context(ctx, config))
        return SPRIG_E_NOMEM;
    if (config->tls_verify == SPRIG_VERIFY_NONE)
        return 0;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
    if (names == NULL || SSL_CTX_load_verify_locations(ctx, path, NULL) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return complain("tls_client_ca", path, why, n);
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify_depth(ctx, MAX_DEPTH);
    SSL_CTX_set_verify(
        ctx,
        SSL_VERIFY_PEER |
            (config->tls_verify == SPRIG_VERIFY_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    return config->tls_crl != NULL ? use_revocations(ctx, config->tls_crl, why, n) : 0;
}

/* ---------------------------------------------------------------------- to tell ---- */

/* Hands on what was written to the memory BIO. */
static void tell_bio(BIO *bio, const char *name, tls_describe_cb *tell, void *arg)
{
    char *text;
    long len = BIO_get_mem_data(bio, &text);
    if (len > 0)
        tell(span_str(name), span_make(text, (size_t)len), arg);
    (void)BIO_reset(bio);
}

static void describe_client(X509 *cert, tls_describe_cb *tell, void *arg)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL)
        return;
    X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
    tell_bio(bio, "SSL_CLIENT_S_DN", tell, arg);
    i2a_ASN1_INTEGER(bio, X509_get_serialNumber(cert));
    tell_bio(bio, "SSL_CLIENT_SERIAL", tell, arg);
    PEM_write_bio_X509(bio, cert);
    tell_bio(bio, "SSL_CLIENT_CERT", tell, arg);
    BIO_free(bio);
}

void tls_describe_ssl(SSL *ssl, tls_describe_cb *tell, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    X509 *cert = SSL_get_peer_certificate(ssl);
    const char *verified = cert == NULL                              ? "NONE"
                           : SSL_get_verify_result(ssl) == X509_V_OK ? "SUCCESS"
                                                                     : "FAILED";
    tell(SPAN_LIT("SSL_PROTOCOL"), span_str(SSL_get_version(ssl)), arg);
    tell(SPAN_LIT("SSL_CIPHER"), span_str(SSL_get_cipher_name(ssl)), arg);
    tell(SPAN_LIT("SSL_SESSION_RESUMED"), span_str(SSL_session_reused(ssl) ? "Resumed" : "Initial"),
         arg);
    if (name != NULL)
        tell(SPAN_LIT("SSL_SERVER_NAME"), span_str(name), arg);
    tell(SPAN_LIT("SSL_CLIENT_VERIFY"), span_str(verified), arg);
    if (cert != NULL)
        describe_client(cert, tell, arg);
    X509_free(cert);
    ERR_clear_error();
}

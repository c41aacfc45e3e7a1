/* tls_pairs.c - certificates and their keys from files; see tls_internal.h */
#include "net/tls_internal.h"

#include "base/err.h"
#include <errno.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is being read, and where to say what is wrong. */
struct reading {
    struct tls_pairs *pairs;
    EVP_PKEY **keys; /* owned, with what they point to: of all files */
    size_t n_keys;
    char *why;
    size_t n;
};

const char *tls_error_text(void)
{
    unsigned long error = ERR_peek_last_error();
    const char *text = error != 0 ? ERR_reason_error_string(error) : NULL;
    return text != NULL ? text : "an unknown error";
}

static int complain(const struct reading *r, const char *option, const char *path,
                    const char *reason)
{
    snprintf(r->why, r->n, "%s: %s: %s", option, path, reason);
    ERR_clear_error();
    return SPRIG_E_INVALID;
}

static BIO *open_file(const struct reading *r, const char *option, const char *path)
{
    errno = 0;
    BIO *bio = BIO_new_file(path, "r");
    if (bio == NULL)
        complain(r, option, path, errno != 0 ? strerror(errno) : "cannot be read");
    return bio;
}

/* Takes the key. */
static bool add_key(struct reading *r, EVP_PKEY *key)
{
    EVP_PKEY **keys = realloc(r->keys, (r->n_keys + 1) * sizeof *keys);
    if (keys == NULL) {
        EVP_PKEY_free(key);
        return false;
    }
    r->keys = keys;
    keys[r->n_keys++] = key;
    return true;
}

/* No terminal is asked. */
static int no_password(char *buf, int size, int is_writing, void *arg)
{
    (void)buf, (void)size, (void)is_writing, (void)arg;
    return 0;
}

/* One block of a PEM file. */
struct block {
    char *name, *header;
    unsigned char *data;
    long len;
};

static bool block_read(BIO *bio, struct block *b)
{
    *b = (struct block){NULL, NULL, NULL, 0};
    return PEM_read_bio(bio, &b->name, &b->header, &b->data, &b->len) == 1;
}

static void block_clear(struct block *b)
{
    OPENSSL_free(b->name);
    OPENSSL_free(b->header);
    OPENSSL_free(b->data);
}

static bool is_key(const struct block *b)
{
    static const char end[] = "PRIVATE KEY";
    size_t len = strlen(b->name), n = sizeof end - 1;
    return len >= n && strcmp(b->name + len - n, end) == 0;
}

static bool is_certificate(const struct block *b)
{
    return strcmp(b->name, PEM_STRING_X509) == 0 || strcmp(b->name, PEM_STRING_X509_OLD) == 0;
}

/* What a key may look like is OpenSSL's to know: it gets the block by itself. */
static int take_key(struct reading *r, const char *option, const char *path, struct block *b)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key = NULL;
    if (bio != NULL && PEM_write_bio(bio, b->name, b->header, b->data, b->len) > 0)
        key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    if (key != NULL)
        return add_key(r, key) ? 0 : complain(r, option, path, "out of memory");
    bool is_encrypted = strstr(b->name, "ENCRYPTED") != NULL || strstr(b->header, "ENCRYPTED");
    return complain(r, option, path, is_encrypted ? "the key is encrypted" : tls_error_text());
}

static int take_certificate(struct reading *r, const char *path, struct tls_pair *pair,
                            struct block *b)
{
    const unsigned char *data = b->data;
    X509 *cert = d2i_X509(NULL, &data, b->len);
    if (cert == NULL)
        return complain(r, "tls_cert", path, tls_error_text());
    if (pair->cert == NULL)
        pair->cert = cert;
    else
        sk_X509_push(pair->chain, cert);
    return 0;
}

static struct tls_pair *add_pair(struct tls_pairs *pairs, const char *path)
{
    struct tls_pair *items = realloc(pairs->items, (pairs->n + 1) * sizeof *items);
    if (items == NULL)
        return NULL;
    pairs->items = items;
    items[pairs->n] = (struct tls_pair){.path = path, .chain = sk_X509_new_null()};
    return &items[pairs->n++];
}

/* All keys of a file, and into `pair`, unless that is NULL, its certificates. */
static int read_file(struct reading *r, const char *option, const char *path, struct tls_pair *pair)
{
    BIO *bio = open_file(r, option, path);
    struct block b;
    int rc = bio != NULL ? 0 : SPRIG_E_INVALID;
    while (rc == 0 && block_read(bio, &b)) {
        if (is_key(&b))
            rc = take_key(r, option, path, &b);
        else if (is_certificate(&b) && pair != NULL)
            rc = take_certificate(r, path, pair, &b);
        block_clear(&b);
    }
    bool is_whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (rc == 0 && !is_whole)
        rc = complain(r, option, path, "it is no proper PEM file");
    BIO_free(bio);
    ERR_clear_error();
    return rc;
}

static int read_key_file(struct reading *r, const char *path)
{
    size_t before = r->n_keys;
    int rc = read_file(r, "tls_key", path, NULL);
    if (rc == 0 && r->n_keys == before)
        return complain(r, "tls_key", path, "there is no key in it (PEM is expected)");
    return rc;
}

static int read_chain(struct reading *r, const char *path)
{
    struct tls_pair *pair = add_pair(r->pairs, path);
    if (pair == NULL)
        return complain(r, "tls_cert", path, "out of memory");
    int rc = read_file(r, "tls_cert", path, pair);
    if (rc == 0 && pair->cert == NULL)
        return complain(r, "tls_cert", path, "there is no certificate in it (PEM is expected)");
    return rc;
}

static int find_key(struct reading *r, struct tls_pair *pair)
{
    for (size_t i = 0; i < r->n_keys && pair->key == NULL; i++)
        if (X509_check_private_key(pair->cert, r->keys[i]) == 1 && EVP_PKEY_up_ref(r->keys[i]))
            pair->key = r->keys[i];
    ERR_clear_error();
    if (pair->key != NULL)
        return 0;
    return complain(r, "tls_cert", pair->path,
                    r->n_keys == 0
                        ? "there is no key for it: give tls_key, or put the key into this file"
                        : "none of the keys of tls_key belongs to it");
}

/* The paths of the list, one after the other; they are cut apart in place. */
static char *next_path(char **list)
{
    char *path = *list;
    if (path == NULL || *path == '\0')
        return NULL;
    char *comma = strchr(path, ',');
    *list = comma != NULL ? comma + 1 : path + strlen(path);
    if (comma != NULL)
        *comma = '\0';
    return path;
}

static int read_key_files(struct reading *r, const char *list)
{
    char *copy = strdup(list != NULL ? list : ""), *rest = copy, *path;
    int rc = copy != NULL ? 0 : SPRIG_E_NOMEM;
    while (rc == 0 && (path = next_path(&rest)) != NULL)
        rc = read_key_file(r, path);
    free(copy);
    return rc;
}

static int read_all(struct reading *r, const struct sprig_config *config)
{
    struct tls_pairs *pairs = r->pairs;
    char *rest = pairs->paths = strdup(config->tls_cert != NULL ? config->tls_cert : ""), *path;
    int rc = pairs->paths != NULL ? read_key_files(r, config->tls_key) : SPRIG_E_NOMEM;
    while (rc == 0 && (path = next_path(&rest)) != NULL)
        rc = read_chain(r, path);
    for (size_t i = 0; rc == 0 && i < pairs->n; i++)
        rc = find_key(r, &pairs->items[i]);
    return rc;
}

int tls_pairs_read(struct tls_pairs *pairs, const struct sprig_config *config, char *why, size_t n)
{
    struct reading r = {pairs, NULL, 0, why, n};
    *pairs = (struct tls_pairs){NULL, 0, NULL};
    snprintf(why, n, "out of memory");
    int rc = read_all(&r, config);
    while (r.n_keys > 0)
        EVP_PKEY_free(r.keys[--r.n_keys]);
    free(r.keys);
    return rc;
}

void tls_pairs_clear(struct tls_pairs *pairs)
{
    for (size_t i = 0; i < pairs->n; i++) {
        X509_free(pairs->items[i].cert);
        sk_X509_pop_free(pairs->items[i].chain, X509_free);
        EVP_PKEY_free(pairs->items[i].key);
    }
    free(pairs->items);
    free(pairs->paths);
    *pairs = (struct tls_pairs){NULL, 0, NULL};
}

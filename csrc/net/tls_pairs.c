/* tls_pairs.c - certificates and their keys from files and folders; see tls_internal.h */
#include "net/tls_internal.h"

#include "base/err.h"
#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What is being read, and where to report what is wrong. */
struct reading {
    struct tls_pairs *pairs;
    EVP_PKEY **keys; /* of all files; owned, and so are the keys themselves */
    size_t n_keys;
    char password[1024]; /* for encrypted keys; "": none */
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

/* Never prompts on the terminal. */
static int give_password(char *buf, int size, int is_writing, void *arg)
{
    const struct reading *r = arg;
    size_t len = strlen(r->password);
    (void)is_writing;
    if (len > (size_t)size)
        return 0;
    memcpy(buf, r->password, len);
    return (int)len;
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

/* OpenSSL knows what a key may look like, so it gets each block by itself. */
static int take_key(struct reading *r, const char *option, const char *path, struct block *b)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key = NULL;
    if (bio != NULL && PEM_write_bio(bio, b->name, b->header, b->data, b->len) > 0)
        key = PEM_read_bio_PrivateKey(bio, NULL, give_password, r);
    BIO_free(bio);
    if (key != NULL)
        return add_key(r, key) ? 0 : complain(r, option, path, "out of memory");
    bool is_encrypted = strstr(b->name, "ENCRYPTED") != NULL || strstr(b->header, "ENCRYPTED");
    return complain(r, option, path,
                    !is_encrypted            ? tls_error_text()
                    : r->password[0] == '\0' ? "the key is encrypted: give tls_key_password_file"
                                             : "tls_key_password_file does not have its password");
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
    items[pairs->n] = (struct tls_pair){.path = strdup(path), .chain = sk_X509_new_null()};
    return &items[pairs->n++];
}

static void clear_pair(struct tls_pair *pair)
{
    X509_free(pair->cert);
    sk_X509_pop_free(pair->chain, X509_free);
    EVP_PKEY_free(pair->key);
    free(pair->path);
}

/* Reads all keys of a file and, unless `pair` is NULL, its certificates into `pair`. */
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
        rc = complain(r, option, path, "it is not a valid PEM file");
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

/* ----------------------------------------------------------------------- folders ---- */

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool has_file(const char *dir, const char *name, char *path, size_t n)
{
    struct stat st;
    int len = snprintf(path, n, "%s/%s", dir, name);
    return len > 0 && (size_t)len < n && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Recognises the folder that certbot makes for each certificate. False: it is another kind. */
static bool is_of_certbot(const char *dir, char *cert, char *key, size_t n)
{
    return has_file(dir, "fullchain.pem", cert, n) && has_file(dir, "privkey.pem", key, n);
}

static int is_entry(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool is_named_so(const char *name)
{
    static const char *const ends[] = {".pem", ".crt", ".cer", ".key"};
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (len > 4 && strcmp(name + len - 4, ends[i]) == 0)
            return true;
    return false;
}

static int read_certbot(struct reading *r, const char *cert, const char *key)
{
    int rc = read_key_file(r, key);
    return rc == 0 ? read_chain(r, cert) : rc;
}

/* A file in a folder may be a certificate, a key, both, or certificates without a key. */
static int read_any(struct reading *r, const char *path)
{
    struct tls_pair *pair = add_pair(r->pairs, path);
    if (pair == NULL)
        return complain(r, "tls_cert", path, "out of memory");
    int rc = read_file(r, "tls_cert", path, pair);
    if (rc == 0 && pair->cert == NULL)
        clear_pair(&r->pairs->items[--r->pairs->n]);
    return rc;
}

static int read_entry(struct reading *r, const char *dir, const char *name)
{
    char path[4096], cert[4200], key[4200];
    int len = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (len < 0 || (size_t)len >= sizeof path)
        return 0;
    if (is_folder(path))
        return is_of_certbot(path, cert, key, sizeof cert) ? read_certbot(r, cert, key) : 0;
    return is_named_so(name) ? read_any(r, path) : 0;
}

/* Drops certificates from a folder that have no key: they may belong to others, like a chain file.
 */
static void drop_keyless(struct reading *r, size_t first)
{
    struct tls_pairs *pairs = r->pairs;
    size_t n = first;
    for (size_t i = first; i < pairs->n; i++)
        if (pairs->items[i].key != NULL)
            pairs->items[n++] = pairs->items[i];
        else
            clear_pair(&pairs->items[i]);
    pairs->n = n;
}

static void find_key(struct reading *r, struct tls_pair *pair)
{
    for (size_t i = 0; i < r->n_keys && pair->key == NULL; i++)
        if (X509_check_private_key(pair->cert, r->keys[i]) == 1 && EVP_PKEY_up_ref(r->keys[i]))
            pair->key = r->keys[i];
    ERR_clear_error();
}

static int read_folder(struct reading *r, const char *dir)
{
    char cert[4200], key[4200];
    struct dirent **entries;
    size_t first = r->pairs->n;
    if (is_of_certbot(dir, cert, key, sizeof cert))
        return read_certbot(r, cert, key);
    int n = scandir(dir, &entries, is_entry, alphasort), rc = 0;
    if (n == -1)
        return complain(r, "tls_cert", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = read_entry(r, dir, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    for (size_t i = first; rc == 0 && i < r->pairs->n; i++)
        find_key(r, &r->pairs->items[i]);
    if (rc != 0)
        return rc;
    drop_keyless(r, first);
    return r->pairs->n > first
               ? 0
               : complain(r, "tls_cert", dir,
                          "no certificate in this folder has its key there: put the key beside it");
}

/* ------------------------------------------------------------------- all of them ---- */

/* Returns the paths of a list one by one; cuts the list apart in place. */
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

static int read_list(struct reading *r, const char *list,
                     int (*read_one)(struct reading *r, const char *path))
{
    char *copy = strdup(list != NULL ? list : ""), *rest = copy, *path;
    int rc = copy != NULL ? 0 : SPRIG_E_NOMEM;
    while (rc == 0 && (path = next_path(&rest)) != NULL)
        rc = read_one(r, path);
    free(copy);
    return rc;
}

static int read_cert_path(struct reading *r, const char *path)
{
    return is_folder(path) ? read_folder(r, path) : read_chain(r, path);
}

static int read_password(struct reading *r, const char *path)
{
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    if (path == NULL)
        return 0;
    if (file == NULL)
        return complain(r, "tls_key_password_file", path, strerror(errno));
    if (fgets(r->password, sizeof r->password, file) == NULL)
        r->password[0] = '\0';
    fclose(file);
    r->password[strcspn(r->password, "\r\n")] = '\0';
    return r->password[0] != '\0'
               ? 0
               : complain(r, "tls_key_password_file", path, "there is no password in it");
}

static int need_key(struct reading *r, struct tls_pair *pair)
{
    find_key(r, pair);
    if (pair->key != NULL)
        return 0;
    return complain(r, "tls_cert", pair->path,
                    r->n_keys == 0 ? "there is no key for it: give tls_key, or put the key into "
                                     "this file"
                                   : "none of the keys that were given belongs to it");
}

static int read_all(struct reading *r, const struct sprig_config *config)
{
    int rc = read_password(r, config->tls_key_password_file);
    if (rc == 0)
        rc = read_list(r, config->tls_key, read_key_file);
    if (rc == 0)
        rc = read_list(r, config->tls_cert, read_cert_path);
    for (size_t i = 0; rc == 0 && i < r->pairs->n; i++)
        rc = need_key(r, &r->pairs->items[i]);
    for (size_t i = 0; rc == 0 && i < r->pairs->n; i++)
        tls_pair_check(&r->pairs->items[i]);
    return rc;
}

static int make_one(struct reading *r)
{
    struct tls_pair *pair = add_pair(r->pairs, "(made at the start)");
    if (pair == NULL || !tls_pair_make(pair))
        return complain(r, "tls_cert", "no certificate for localhost", tls_error_text());
    sprig_log(SPRIG_LOG_WARN, "no tls_cert: made a certificate for localhost, which browsers "
                              "do not trust; use it for development only");
    return 0;
}

static bool is_development(void)
{
    const char *env = getenv("PLACK_ENV");
    return env != NULL && strcmp(env, "development") == 0;
}

static int read_or_make(struct reading *r, const struct sprig_config *config)
{
    if (config->tls_cert != NULL)
        return read_all(r, config);
    if (is_development())
        return make_one(r);
    snprintf(r->why, r->n, "listen: an address with ,tls needs a certificate: give tls_cert");
    return SPRIG_E_INVALID;
}

int tls_pairs_read(struct tls_pairs *pairs, const struct sprig_config *config, char *why, size_t n)
{
    struct reading r = {.pairs = pairs, .why = why, .n = n};
    *pairs = (struct tls_pairs){NULL, 0};
    snprintf(why, n, "out of memory");
    int rc = read_or_make(&r, config);
    while (r.n_keys > 0)
        EVP_PKEY_free(r.keys[--r.n_keys]);
    free(r.keys);
    OPENSSL_cleanse(r.password, sizeof r.password);
    return rc;
}

void tls_pairs_clear(struct tls_pairs *pairs)
{
    for (size_t i = 0; i < pairs->n; i++)
        clear_pair(&pairs->items[i]);
    free(pairs->items);
    *pairs = (struct tls_pairs){NULL, 0};
}

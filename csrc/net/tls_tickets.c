/* tls_tickets.c - the keys of session tickets (RFC 5077, RFC 8446 section 4.6.1).
 *
 * A client shows its ticket to whichever process takes its next connection, so all workers of a
 * master use the same keys, also after a reload or an upgrade. The keys are in anonymous memory
 * that processes inherit by fork and, as a descriptor named in the environment, by exec. Whoever is
 * about to make a ticket with an expired key makes the next key first; there is no timer. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "net/tls_internal.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#include <openssl/core_names.h>
#else
#include <openssl/hmac.h>
#endif

enum { NAME_BYTES = 16, KEY_BYTES = 32, N_KEYS = 3, MAGIC = 0x53544b31 };

struct ticket_key {
    unsigned char name[NAME_BYTES], aes[KEY_BYTES], hmac[KEY_BYTES];
    int64_t made_at; /* CLOCK_REALTIME in s; 0: no key */
};

/* Only the key at `current` makes tickets; the older ones are still accepted. */
struct ticket_ring {
    uint32_t magic;
    uint32_t current;
    uint32_t lock;
    struct ticket_key keys[N_KEYS];
};

static struct {
    struct ticket_ring *ring; /* shared; NULL: not yet */
    int64_t lifetime;         /* s */
} own;

/* ------------------------------------------------------------------- the memory ---- */

static struct ticket_ring *map_ring(void)
{
    void *p = mmap(NULL, sizeof(struct ticket_ring), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
#ifdef MADV_DONTDUMP
    madvise(p, sizeof(struct ticket_ring), MADV_DONTDUMP);
#endif
    return p;
}

/* Takes the keys of the process that executed this one. */
static void inherit_keys(struct ticket_ring *ring)
{
    const char *text = getenv(TLS_TICKETS_VARIABLE);
    struct ticket_ring inherited;
    int fd = text != NULL ? atoi(text) : -1;
    unsetenv(TLS_TICKETS_VARIABLE);
    if (fd <= 2)
        return;
    if (pread(fd, &inherited, sizeof inherited, 0) == (ssize_t)sizeof inherited &&
        inherited.magic == MAGIC) {
        *ring = inherited;
        ring->lock = 0;
    }
    OPENSSL_cleanse(&inherited, sizeof inherited);
    close(fd);
}

/* Makes a copy, also in memory, through a descriptor. */
int tls_tickets_copy(void)
{
    int fd = -1;
#ifdef MFD_CLOEXEC
    if (own.ring != NULL)
        fd = memfd_create("sprig tickets", 0);
    if (fd != -1 && pwrite(fd, own.ring, sizeof *own.ring, 0) != (ssize_t)sizeof *own.ring) {
        close(fd);
        fd = -1;
    }
#endif
    return fd;
}

/* --------------------------------------------------------------------- the keys ---- */

static bool is_fresh(const struct ticket_key *key, int64_t now)
{
    return key->made_at != 0 && now >= key->made_at && now - key->made_at < own.lifetime;
}

/* Makes the next key, unless another process has done so or is about to. */
static void rotate(struct ticket_ring *ring, int64_t now)
{
    uint32_t is_free = 0;
    if (!__atomic_compare_exchange_n(&ring->lock, &is_free, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return;
    uint32_t next = (ring->current + 1) % N_KEYS;
    struct ticket_key *key = &ring->keys[next];
    if (!is_fresh(&ring->keys[ring->current], now) &&
        RAND_bytes((unsigned char *)key, offsetof(struct ticket_key, made_at)) == 1) {
        key->made_at = now;
        __atomic_store_n(&ring->current, next, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&ring->lock, 0, __ATOMIC_RELEASE);
}

/* The key for new tickets, or NULL. */
static const struct ticket_key *current_key(int64_t now)
{
    struct ticket_ring *ring = own.ring;
    if (!is_fresh(&ring->keys[__atomic_load_n(&ring->current, __ATOMIC_ACQUIRE) % N_KEYS], now))
        rotate(ring, now);
    const struct ticket_key *key =
        &ring->keys[__atomic_load_n(&ring->current, __ATOMIC_ACQUIRE) % N_KEYS];
    return key->made_at != 0 ? key : NULL;
}

/* The key of that name, if it is current or its tickets may still be valid. */
static const struct ticket_key *find_key(const unsigned char *name, int64_t now)
{
    for (int i = 0; i < N_KEYS; i++) {
        const struct ticket_key *key = &own.ring->keys[i];
        if (key->made_at != 0 && now - key->made_at < 2 * own.lifetime &&
            CRYPTO_memcmp(key->name, name, NAME_BYTES) == 0)
            return key;
    }
    return NULL;
}

/* ------------------------------------------------------------------ for OpenSSL ---- */

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
typedef EVP_MAC_CTX mac_ctx;

static bool mac_init(mac_ctx *mac, const struct ticket_key *key)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->hmac, KEY_BYTES),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}
#else
typedef HMAC_CTX mac_ctx;

static bool mac_init(mac_ctx *mac, const struct ticket_key *key)
{
    return HMAC_Init_ex(mac, key->hmac, KEY_BYTES, EVP_sha256(), NULL) == 1;
}
#endif

static int make_ticket(unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, mac_ctx *mac,
                       int64_t now)
{
    const struct ticket_key *key = current_key(now);
    if (key == NULL || RAND_bytes(iv, EVP_CIPHER_iv_length(EVP_aes_256_cbc())) != 1)
        return 0;
    memcpy(name, key->name, NAME_BYTES);
    return EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) == 1 &&
                   mac_init(mac, key)
               ? 1
               : -1;
}

/* 2: the ticket is good and the client gets a new one. In TLS 1.3 always, because it uses each
 * ticket once (RFC 8446 appendix C.4). */
static int take_ticket(unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, mac_ctx *mac,
                       int64_t now, bool is_used_once)
{
    const struct ticket_key *key = find_key(name, now);
    if (key == NULL)
        return 0;
    if (!mac_init(mac, key) ||
        EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) != 1)
        return -1;
    return key == current_key(now) && !is_used_once ? 1 : 2;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     mac_ctx *mac, int is_new)
{
    int64_t now = (int64_t)time(NULL);
    return is_new ? make_ticket(name, iv, cipher, mac, now)
                  : take_ticket(name, iv, cipher, mac, now, SSL_version(ssl) >= TLS1_3_VERSION);
}

bool tls_tickets_use(SSL_CTX *ssl_ctx, double lifetime)
{
    own.lifetime = (int64_t)lifetime;
    if (own.lifetime == 0) {
        SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ssl_ctx, 0);
        return true;
    }
    if (own.ring == NULL && (own.ring = map_ring()) != NULL) {
        own.ring->magic = MAGIC;
        inherit_keys(own.ring);
    }
    if (own.ring == NULL)
        return false;
    SSL_CTX_set_timeout(ssl_ctx, (long)own.lifetime);
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl_ctx, on_ticket);
#else
    SSL_CTX_set_tlsext_ticket_key_cb(ssl_ctx, on_ticket);
#endif
    return true;
}

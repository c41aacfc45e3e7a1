/* keys.h - the keys of envs: shared-hash scalars made once, so that a request does not hash any. */
#ifndef SPRIG_PSGI_KEYS_H
#define SPRIG_PSGI_KEYS_H

#include "bridge.h"

/* The keys that do not come from a request header. */
#define ENV_KEYS(X)                                                                                \
    X(REQUEST_METHOD, "REQUEST_METHOD")                                                            \
    X(REQUEST_URI, "REQUEST_URI")                                                                  \
    X(PATH_INFO, "PATH_INFO")                                                                      \
    X(QUERY_STRING, "QUERY_STRING")                                                                \
    X(SCRIPT_NAME, "SCRIPT_NAME")                                                                  \
    X(SERVER_PROTOCOL, "SERVER_PROTOCOL")                                                          \
    X(SERVER_NAME, "SERVER_NAME")                                                                  \
    X(SERVER_PORT, "SERVER_PORT")                                                                  \
    X(REMOTE_ADDR, "REMOTE_ADDR")                                                                  \
    X(REMOTE_PORT, "REMOTE_PORT")                                                                  \
    X(CONTENT_LENGTH, "CONTENT_LENGTH")                                                            \
    X(HTTPS, "HTTPS")                                                                              \
    X(URL_SCHEME, "psgi.url_scheme")                                                               \
    X(VERSION, "psgi.version")                                                                     \
    X(ERRORS, "psgi.errors")                                                                       \
    X(INPUT, "psgi.input")                                                                         \
    X(NONBLOCKING, "psgi.nonblocking")                                                             \
    X(STREAMING, "psgi.streaming")                                                                 \
    X(RUN_ONCE, "psgi.run_once")                                                                   \
    X(MULTITHREAD, "psgi.multithread")                                                             \
    X(MULTIPROCESS, "psgi.multiprocess")                                                           \
    X(IO, "psgix.io")                                                                              \
    X(INPUT_BUFFERED, "psgix.input.buffered")                                                      \
    X(CLEANUP, "psgix.cleanup")                                                                    \
    X(CLEANUP_HANDLERS, "psgix.cleanup.handlers")                                                  \
    X(HARAKIRI, "psgix.harakiri")                                                                  \
    X(INFORMATIONAL, "psgix.informational")                                                        \
    X(SCALAR_REFS, "psgix.body.scalar_refs")                                                       \
    X(EXIT_GUARD, "psgix.exit_guard")                                                              \
    X(RAISE, "psgix.raise")                                                                        \
    X(REQUEST_ID, "psgix.request_id")

/* A slot is the number of a key; the known request headers come after these. */
enum env_key {
#define X(name, text) KEY_##name,
    ENV_KEYS(X)
#undef X
        N_ENV_KEYS
};

enum { ENV_SLOTS = 96, ENV_WORDS = 2, ENV_BUCKETS = 128, NO_SLOT = -1 };

/* A key as a shared-hash SV, and its hash value. */
struct psgi_key {
    SV *sv;
    HEK *hek;
    U32 hash;
};

struct psgi_keys {
    struct psgi_key key[ENV_SLOTS];
    struct sprig_span name[ENV_SLOTS]; /* the header's, in lower case; empty below N_ENV_KEYS */
    uint8_t next[ENV_SLOTS];           /* next slot in the same bucket, 0 = none */
    uint8_t bucket[ENV_BUCKETS];       /* by header name */
    uint8_t by_hek[2 * ENV_BUCKETS];   /* open addressing: slot + 1, 0 = none */
    struct psgi_key user;              /* REMOTE_USER, which is the application's to set */
    SV *yes, *no;                      /* owned: unchanged values of booleans */
    unsigned host, transfer_encoding;  /* slots of these headers */
};

/* The text is that of a key of ASCII. */
struct psgi_key psgi_key_make(pTHX_ const char *text, size_t len);
struct psgi_keys *psgi_keys_new(pTHX);
/* The slot of a request header with a prepared key, or NO_SLOT. */
int psgi_keys_of_header(const struct psgi_keys *keys, struct sprig_span name);
/* The slot of a hash entry, or NO_SLOT. */
int psgi_keys_of_entry(const struct psgi_keys *keys, const HE *he);
/* Makes HTTP_ACCEPT_LANGUAGE from Accept-Language; needs room for len + 5 bytes. Returns the
 * length. */
size_t psgi_keys_fold(struct sprig_span name, char *out);

#endif

/* env.h - what the files of the env share: its keys, its entries, and what lets it serve again. */
#ifndef SPRIG_ENV_H
#define SPRIG_ENV_H

#include "bridge.h"
#include <perliol.h>

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
    X(RAISE, "psgix.raise")

/* A slot is the number of a key; those of the known request headers follow these. */
enum env_key {
#define X(name, text) KEY_##name,
    ENV_KEYS(X)
#undef X
        N_ENV_KEYS
};

/* Keys whose values do not change: bits of the first word. */
#define ENV_CONSTANTS                                                                              \
    (KEY_BIT(VERSION) | KEY_BIT(NONBLOCKING) | KEY_BIT(STREAMING) | KEY_BIT(RUN_ONCE) |            \
     KEY_BIT(MULTITHREAD) | KEY_BIT(MULTIPROCESS) | KEY_BIT(INPUT_BUFFERED) | KEY_BIT(CLEANUP) |   \
     KEY_BIT(CLEANUP_HANDLERS) | KEY_BIT(HARAKIRI) | KEY_BIT(SCALAR_REFS))
#define KEY_BIT(name) (UINT64_C(1) << KEY_##name)

/* The ones that a server has: psgix.exit_guard is there in workers only. */
static inline uint64_t env_constants(const struct psgi_server *server)
{
    return ENV_CONSTANTS | (server->exit_guard != NULL ? KEY_BIT(EXIT_GUARD) : 0);
}

enum { ENV_SLOTS = 96, ENV_WORDS = 2, ENV_BUCKETS = 128, NO_SLOT = -1 };

/* ---- keys.c ---- */

/* A key as a shared-hash SV, and its hash value. */
struct psgi_key {
    SV *sv;
    HEK *hek;
    U32 hash;
};

struct psgi_keys {
    struct psgi_key key[ENV_SLOTS];
    struct sprig_span name[ENV_SLOTS]; /* of the header; empty below N_ENV_KEYS */
    uint8_t next[ENV_SLOTS];           /* slot of the next in its bucket, 0 = none */
    uint8_t bucket[ENV_BUCKETS];       /* by header name */
    uint8_t by_hek[2 * ENV_BUCKETS];   /* open addressing: slot + 1, 0 = none */
    SV *yes, *no;                      /* owned: values of booleans as they are when fresh */
    int host;                          /* slot of HTTP_HOST */
};

/* The slot of a request header with a ready-made key, or NO_SLOT. */
int psgi_keys_of_header(const struct psgi_keys *keys, struct sprig_span name);
/* The slot of an entry of a hash, or NO_SLOT. */
int psgi_keys_of_entry(const struct psgi_keys *keys, const HE *he);
/* HTTP_ACCEPT_LANGUAGE out of Accept-Language; room for len + 5 bytes. Returns the length. */
size_t psgi_keys_fold(struct sprig_span name, char *out);

/* ---- globs: handles in the env as they were made, to tell whether the app did something to them
 */

struct psgi_glob {
    GV *gv; /* not counted; NULL: none that could be used again */
    GP *gp;
    IO *io;
    HV *stash;
    PerlIO *file;
    PerlIOl *layer; /* the only layer of `file` */
    PerlIO_funcs *tab;
    U32 gv_flags, io_flags, layer_flags;
    MAGIC *magic;
    char type;
};

/* recycle.c: notes how the handle behind `ref` is now. */
void psgi_glob_note(pTHX_ struct psgi_glob *glob, SV *ref);
/* True if `ref` is the one reference to that handle, which is as it was noted but for its position.
 * Also makes perl forget that it was the last one read from. */
bool psgi_glob_is_pristine(pTHX_ const struct psgi_glob *glob, SV *ref);

/* ---- an env and its entries ---- */

struct psgi_env {
    HV *hv;                      /* owned */
    HE *entry[ENV_SLOTS];        /* valid where `present`, as long as the app has not been called */
    uint64_t present[ENV_WORDS]; /* slots that have an entry */
    uint64_t written[ENV_WORDS]; /* slots that this request has written */
    struct psgi_glob input;
    U32 informer_flags, informer_cv_flags; /* of psgix.informational as it was made */
    SV *bytes;                             /* owned: what input reads; NULL if it is a file */
    bool has_constants;                    /* env_constants() are all there and as they should be */
    SV *ref;               /* owned: what the app is called with, without its target meanwhile */
    struct psgi_env *next; /* in the pool of the server */
};

/* ---- recycle.c ---- */

/* An env of an earlier request that nobody else has, or a new one. */
struct psgi_env *psgi_env_take(pTHX_ struct psgi_server *server);
/* The entry that was made for a slot, or NULL if the app took it out of the hash. Never dies; a
 * tied hash is looked into behind its back. */
HE *psgi_env_entry(pTHX_ const struct psgi_env *env, const struct psgi_keys *keys, int slot);

/* ---- input.c ---- */

/* psgi.input: a real, seekable file handle (glob ref, owned by the caller), in memory or on the
 * body's temporary file. *bytes: what it reads (owned as well), or NULL if
 * that is a file. */
SV *psgi_input_new(pTHX_ struct sprig_body *body, SV **bytes);
/* Makes a handle on `bytes` that nobody else has empty, at its beginning. False: it reads something
 * else by now. */
bool psgi_input_rewind(pTHX_ PerlIO *file, SV *bytes);
/* Gives it something to read. */
void psgi_input_fill(pTHX_ SV *bytes, struct sprig_span span);

#endif

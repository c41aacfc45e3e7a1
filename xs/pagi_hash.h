/* pagi_hash.h - the hash that a PAGI application gets as its scope. It serves one request after the
 * other, like a PSGI env, without anything that an application has put there. */
#ifndef SPRIG_PAGI_HASH_H
#define SPRIG_PAGI_HASH_H

#include "keys.h"

#define SCOPE_KEYS(X)                                                                              \
    X(TYPE, "type")                                                                                \
    X(HTTP_VERSION, "http_version")                                                                \
    X(METHOD, "method")                                                                            \
    X(SCHEME, "scheme")                                                                            \
    X(PATH, "path")                                                                                \
    X(RAW_PATH, "raw_path")                                                                        \
    X(QUERY_STRING, "query_string")                                                                \
    X(ROOT_PATH, "root_path")                                                                      \
    X(PAGI, "pagi")                                                                                \
    X(CLIENT, "client")                                                                            \
    X(SERVER, "server")                                                                            \
    X(HEADERS, "headers")                                                                          \
    X(EXTENSIONS, "extensions")                                                                    \
    X(TRANSPORT, "pagi.transport")                                                                 \
    X(CONNECTION, "pagi.connection")                                                               \
    X(STATE, "state")                                                                              \
    X(SUBPROTOCOLS, "subprotocols")                                                                \
    X(MAX_FRAME_SIZE, "max_frame_size")

enum psgi_scope_key {
#define X(name, text) SCOPE_KEY_##name,
    SCOPE_KEYS(X)
#undef X
        N_SCOPE_KEYS
};

struct psgi_scope_hash {
    HV *hv;                      /* owned; NULL: not made yet, or the application has kept it */
    const struct psgi_key *keys; /* this interpreter's */
    HE *entry[N_SCOPE_KEYS];     /* valid where `present`, until the application is called */
    uint32_t present;            /* bits of the keys that have an entry */
    uint32_t written;            /* bits of the keys written by this request */
};

/* Made once, kept by the interpreter. */
struct psgi_key *psgi_scope_keys_new(pTHX);

/* Between these two calls, write all values that the scope should have; the others are removed. */
void psgi_scope_hash_begin(pTHX_ struct psgi_scope_hash *hash, struct psgi *psgi);
void psgi_scope_hash_end(pTHX_ struct psgi_scope_hash *hash);

/* The value of a key, to be overwritten: an earlier request's, or undef. */
SV *psgi_scope_value_new(pTHX_ struct psgi_scope_hash *hash, enum psgi_scope_key which);
static inline SV *psgi_scope_value(pTHX_ struct psgi_scope_hash *hash, enum psgi_scope_key which)
{
    hash->written |= UINT32_C(1) << which;
    return hash->present >> which & 1 ? HeVAL(hash->entry[which])
                                      : psgi_scope_value_new(aTHX_ hash, which);
}

/* The request is over. Removes what the application has put there, and gives up the hash if the
 * application still has it. The last two arguments are the objects that it refers to. May run
 * destructors. */
void psgi_scope_hash_scrub(pTHX_ struct psgi_scope_hash *hash, SV *transport, SV *connection);
/* 1 if the hash refers to such an object, and so counts it once. */
static inline uint32_t psgi_scope_hash_counts(const struct psgi_scope_hash *hash,
                                              enum psgi_scope_key which)
{
    return hash->hv != NULL && hash->present >> which & 1 && SvROK(HeVAL(hash->entry[which]));
}

/* Makes the parts whose contents never change. */
HV *psgi_scope_versions_new(pTHX);
HV *psgi_scope_extensions_new(pTHX_ bool has_flush);

#endif

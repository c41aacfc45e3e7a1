/* pagi_hash.h - the hash that a PAGI application gets as its scope. It serves one request after the
 * other, as an env of PSGI does, without anything that an application has put there. */
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
    HV *hv;                      /* owned; NULL: none was made, or the application has kept it */
    const struct psgi_key *keys; /* of this interpreter */
    HE *entry[N_SCOPE_KEYS];     /* valid where `present`, until the application is called */
    uint32_t present;            /* bits of keys: these have an entry */
    uint32_t written;            /* by this request */
};

/* Made once, kept by the interpreter. */
struct psgi_key *psgi_scope_keys_new(pTHX);

/* Between these two all values are written that the scope is to have; the others go. */
void psgi_scope_hash_begin(pTHX_ struct psgi_scope_hash *hash, struct psgi *psgi);
void psgi_scope_hash_end(pTHX_ struct psgi_scope_hash *hash);

/* The value of a key, to be overwritten: that of an earlier request, or undef. */
SV *psgi_scope_value_new(pTHX_ struct psgi_scope_hash *hash, enum psgi_scope_key which);
static inline SV *psgi_scope_value(pTHX_ struct psgi_scope_hash *hash, enum psgi_scope_key which)
{
    hash->written |= UINT32_C(1) << which;
    return hash->present >> which & 1 ? HeVAL(hash->entry[which])
                                      : psgi_scope_value_new(aTHX_ hash, which);
}

/* The request is over. What the application has put there goes, and the hash as well if it still
 * has it. These two are the objects that it refers to. May run destructors. */
void psgi_scope_hash_scrub(pTHX_ struct psgi_scope_hash *hash, SV *transport, SV *connection);
/* It counts such an object once. */
static inline uint32_t psgi_scope_hash_counts(const struct psgi_scope_hash *hash,
                                              enum psgi_scope_key which)
{
    return hash->hv != NULL && hash->present >> which & 1 && SvROK(HeVAL(hash->entry[which]));
}

/* Of the parts whose contents do not change: as it was made. */
HV *psgi_scope_versions_new(pTHX);
HV *psgi_scope_extensions_new(pTHX_ bool has_flush);

#endif

/* env.h - the PSGI env of a request: its entries, and what lets it be used again. */
#ifndef SPRIG_ENV_H
#define SPRIG_ENV_H

#include "keys.h"
#include <perliol.h>

/* Keys whose values do not change, as bits of the first word. */
#define ENV_CONSTANTS                                                                              \
    (KEY_BIT(VERSION) | KEY_BIT(NONBLOCKING) | KEY_BIT(STREAMING) | KEY_BIT(RUN_ONCE) |            \
     KEY_BIT(MULTITHREAD) | KEY_BIT(MULTIPROCESS) | KEY_BIT(INPUT_BUFFERED) | KEY_BIT(CLEANUP) |   \
     KEY_BIT(CLEANUP_HANDLERS) | KEY_BIT(HARAKIRI) | KEY_BIT(SCALAR_REFS))
#define KEY_BIT(name) (UINT64_C(1) << KEY_##name)

/* The constant keys of a server: psgix.exit_guard exists in workers only. */
static inline uint64_t env_constants(const struct psgi_server *server)
{
    return ENV_CONSTANTS | (server->exit_guard != NULL ? KEY_BIT(EXIT_GUARD) : 0);
}

static inline uint64_t psgi_slot_bit(unsigned slot)
{
    return UINT64_C(1) << (slot & 63);
}

/* Whether the entry comes after others in its bucket. */
bool psgi_entry_is_in_chain(const HE *first, const HE *entry);

/* Whether an entry is still where it was put: the memory of a deleted one may serve another key. */
static inline bool psgi_entry_is_linked(HE *const *array, STRLEN max, const HE *entry,
                                        const struct psgi_key *key)
{
    const HE *first = array[key->hash & max];

    return (first == entry || psgi_entry_is_in_chain(first, entry)) && HeKEY_hek(entry) == key->hek;
}

/* ---- globs: handles in the env as they were made, to see whether the app changed them ---- */

struct psgi_glob {
    GV *gv; /* not counted; NULL: none that could be reused */
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

/* recycle.c: notes the state of the handle behind `ref`. */
void psgi_glob_note(pTHX_ struct psgi_glob *glob, SV *ref);
/* True if `ref` is the only reference to that handle, and the handle is as it was noted except for
 * its position. Also makes perl forget that it was the last one read. */
bool psgi_glob_is_pristine(pTHX_ const struct psgi_glob *glob, SV *ref);

/* ---- an env and its entries ---- */

struct psgi_env {
    HV *hv;                      /* owned */
    HE *entry[ENV_SLOTS];        /* valid if `present`, until the app is called */
    uint64_t present[ENV_WORDS]; /* slots that have an entry */
    uint32_t n_present;          /* how many of them */
    uint64_t written[ENV_WORDS]; /* slots that this request has written */
    struct psgi_glob input;
    U32 informer_flags, informer_cv_flags; /* of psgix.informational when it was made */
    SV *bytes;                             /* owned: what input reads; NULL for a file */
    bool has_constants;                    /* env_constants() are all present and unchanged */
    SV *ref;               /* owned: the app's argument; without its target between calls */
    struct psgi_env *next; /* in the server's pool */
};

/* ---- envpool.c ---- */

/* An env of an earlier request that nobody else has, or a new one. */
struct psgi_env *psgi_env_take(pTHX_ struct psgi_server *server);
/* Puts back a clean env if there is room. */
enum { ENV_POOL_MAX = 32 };
static inline bool psgi_env_pool_has_room(const struct psgi_server *server)
{
    return server->n_spare_envs < ENV_POOL_MAX;
}
static inline void psgi_env_give_back(struct psgi_server *server, struct psgi_env *env)
{
    env->next = server->spare_envs;
    server->spare_envs = env;
    server->n_spare_envs++;
}
void psgi_env_free(pTHX_ struct psgi_env *env);
/* Frees the envs in the pool. */
void psgi_env_pool_clear(pTHX_ struct psgi_server *server);

/* ---- envread.c ---- */

/* The entry that was made for a slot; NULL: the app removed it. Never dies; looks into a tied hash
 * behind its back. */
HE *psgi_env_entry(pTHX_ const struct psgi_env *env, const struct psgi_keys *keys, int slot);
/* A current value of the env, owned by the caller; NULL: there is none. Never dies. */
SV *psgi_env_get(pTHX_ HV *env, const char *key);
/* "GET /path", for messages: printable, without the query, which may be private. Empty if the app
 * has put something else there. Enters no Perl; env may be NULL. */
enum { PSGI_REQUEST_NAME_BYTES = 256 };
void psgi_env_request_name(pTHX_ HV *env, char name[PSGI_REQUEST_NAME_BYTES]);
/* A copy of the name, without a look into the hash. */
char *psgi_env_copy_name(pTHX_ const struct psgi_exchange *px);
/* False if psgix.cleanup.handlers is certainly empty. */
bool psgi_env_has_handlers(pTHX_ struct psgi_exchange *px);

/* ---- env.c, recycle.c ---- */

/* Makes a complete env for the request, as px->entries; borrowed. Enters no Perl. */
HV *psgi_env_build(pTHX_ struct psgi_exchange *px);
/* The exchange is over. If nobody else has the env, clears what the app put there and keeps it for
 * the next request; otherwise, or if the env has changed in kind, gives it up. May run destructors.
 */
void psgi_env_release(pTHX_ struct psgi_exchange *px);
/* The glob behind psgi.errors; borrowed. */
SV *psgi_env_errors(pTHX_ struct psgi *psgi);
/* The app has returned, and its response will come or go on. True if nobody can see the env any
 * more and nothing is left to be done with it. psgi_env_let_go then releases it now, and keeps the
 * request's name for messages. */
bool psgi_env_is_done_with(pTHX_ struct psgi_exchange *px);
void psgi_env_let_go(pTHX_ struct psgi_exchange *px);
/* A reference to the env for one call, and its end: avoids making a new one. */
SV *psgi_env_ref(pTHX_ struct psgi_exchange *px);
void psgi_env_ref_release(pTHX_ struct psgi_exchange *px, SV *ref);

/* ---- input.c ---- */

/* psgi.input: a real, seekable file handle (glob ref, owned by the caller), in memory or on the
 * body's temporary file. *bytes: the string it reads (also owned by the caller); NULL if it reads a
 * file. */
SV *psgi_input_new(pTHX_ struct sprig_body *body, SV **bytes);
/* Empties a handle on `bytes` that nobody else has, and rewinds it. False: it reads something else
 * by now. */
bool psgi_input_rewind(pTHX_ PerlIO *file, SV *bytes);
/* Sets what it reads. */
void psgi_input_fill(pTHX_ SV *bytes, struct sprig_span span);

#endif

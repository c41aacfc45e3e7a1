/* env.h - the PSGI env of a request: its entries, and what lets it serve again. */
#ifndef SPRIG_ENV_H
#define SPRIG_ENV_H

#include "keys.h"
#include <perliol.h>

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

static inline uint64_t psgi_slot_bit(unsigned slot)
{
    return UINT64_C(1) << (slot & 63);
}

/* Whether it stands behind others in its bucket. */
bool psgi_entry_is_in_chain(const HE *first, const HE *entry);

/* An entry is where it was put: the memory of one that was deleted may serve another key. */
static inline bool psgi_entry_is_linked(HE *const *array, STRLEN max, const HE *entry,
                                        const struct psgi_key *key)
{
    const HE *first = array[key->hash & max];

    return (first == entry || psgi_entry_is_in_chain(first, entry)) && HeKEY_hek(entry) == key->hek;
}

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
    uint32_t n_present;          /* how many these are */
    uint64_t written[ENV_WORDS]; /* slots that this request has written */
    struct psgi_glob input;
    U32 informer_flags, informer_cv_flags; /* of psgix.informational as it was made */
    SV *bytes;                             /* owned: what input reads; NULL if it is a file */
    bool has_constants;                    /* env_constants() are all there and as they should be */
    SV *ref;               /* owned: what the app is called with, without its target meanwhile */
    struct psgi_env *next; /* in the pool of the server */
};

/* ---- envpool.c ---- */

/* An env of an earlier request that nobody else has, or a new one. */
struct psgi_env *psgi_env_take(pTHX_ struct psgi_server *server);
/* Puts back one that is clean, where there is room for it. */
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
/* Frees the envs that wait. */
void psgi_env_pool_clear(pTHX_ struct psgi_server *server);

/* ---- envread.c ---- */

/* The entry that was made for a slot, or NULL if the app took it out of the hash. Never dies; a
 * tied hash is looked into behind its back. */
HE *psgi_env_entry(pTHX_ const struct psgi_env *env, const struct psgi_keys *keys, int slot);
/* A value of the env as it is now, owned by the caller; NULL if there is none. Never dies. */
SV *psgi_env_get(pTHX_ HV *env, const char *key);
/* "GET /path", for messages: printable, without the query, which may hold what is nobody's
 * business. Empty if the app has put something else there. Enters no Perl; env may be NULL. */
enum { PSGI_REQUEST_NAME_BYTES = 256 };
void psgi_env_request_name(pTHX_ HV *env, char name[PSGI_REQUEST_NAME_BYTES]);
/* A copy of it, without looking for its parts in the hash. */
char *psgi_env_copy_name(pTHX_ const struct psgi_exchange *px);
/* False if psgix.cleanup.handlers is surely empty. */
bool psgi_env_has_handlers(pTHX_ struct psgi_exchange *px);

/* ---- env.c, recycle.c ---- */

/* A complete env for the request, as px->entries; borrowed. Enters no Perl. */
HV *psgi_env_build(pTHX_ struct psgi_exchange *px);
/* The exchange is over. If nobody else has the env, it waits for the next request, without anything
 * that the app put there; else, or if it is not what it was, it goes its own way. May run
 * destructors. */
void psgi_env_release(pTHX_ struct psgi_exchange *px);
/* The glob behind psgi.errors; borrowed. */
SV *psgi_env_errors(pTHX_ struct psgi *psgi);
/* The app has returned, and its response will come or go on: true if nobody can see the env any
 * more, and nothing is left to be done with it. Then psgi_env_let_go releases it now, and keeps the
 * name of the request for messages. */
bool psgi_env_is_done_with(pTHX_ struct psgi_exchange *px);
void psgi_env_let_go(pTHX_ struct psgi_exchange *px);
/* A reference to the env for one call, and its end: spares making one. */
SV *psgi_env_ref(pTHX_ struct psgi_exchange *px);
void psgi_env_ref_release(pTHX_ struct psgi_exchange *px, SV *ref);

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

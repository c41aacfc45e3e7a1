/* recycle.c - reuses an env that nobody else has.
 *
 * At the end of an exchange each value is checked. What is as the server makes it stays, to be
 * overwritten by the next request. What the app added, changed in kind or can still reach is
 * released at that moment, as it would be with the hash. Nothing is freed before the env is in the
 * pool or given up, because destructors may run Perl. */
#include "env.h"
#include "informer.h"
#include "keptvalue.h"
#include "lazyvalue.h"

enum { HANDLERS_MAX = 64 }; /* room in the array of cleanup handlers */

/* ---- handles ---- */

void psgi_glob_note(pTHX_ struct psgi_glob *glob, SV *ref)
{
    GV *gv = (GV *)SvRV(ref);

    PERL_UNUSED_CONTEXT;
    glob->gv = gv;
    glob->gp = GvGP(gv);
    glob->io = GvIOp(gv);
    glob->stash = SvSTASH((SV *)gv);
    glob->file = IoIFP(glob->io);
    glob->layer = *glob->file;
    glob->gv_flags = SvFLAGS((SV *)gv);
    glob->io_flags = SvFLAGS((SV *)glob->io);
    glob->tab = glob->layer->tab;
    glob->layer_flags = glob->layer->flags;
    glob->type = IoTYPE(glob->io);
    glob->magic = SvMAGIC((SV *)gv);
}

/* Modules keep data with a handle in the hash, array or code slot of its glob (*FH{HASH} and so
 * on). */
static bool is_bare_glob(const struct psgi_glob *glob, GV *gv)
{
    GP *gp = glob->gp;

    return SvREFCNT((SV *)gv) == 1 && SvFLAGS((SV *)gv) == glob->gv_flags && GvGP(gv) == gp &&
           SvSTASH((SV *)gv) == glob->stash && SvMAGIC((SV *)gv) == glob->magic &&
           gp->gp_refcnt == 1 && gp->gp_io == glob->io && gp->gp_sv == NULL && gp->gp_av == NULL &&
           gp->gp_hv == NULL && gp->gp_cv == NULL && gp->gp_form == NULL;
}

static bool is_bare_io(const struct psgi_glob *glob)
{
    IO *io = glob->io;

    return SvREFCNT((SV *)io) == 1 && SvFLAGS((SV *)io) == glob->io_flags &&
           SvMAGIC((SV *)io) == NULL && IoIFP(io) == glob->file && *glob->file == glob->layer &&
           IoTYPE(io) == glob->type && IoFLAGS(io) == 0 && IoDIRP(io) == NULL &&
           IoFMT_NAME(io) == NULL && IoTOP_NAME(io) == NULL && IoBOTTOM_NAME(io) == NULL &&
           IoPAGE(io) == 0 && IoLINES_LEFT(io) == 0 && IoPAGE_LEN(io) == 60;
}

bool psgi_glob_is_pristine(pTHX_ const struct psgi_glob *glob, SV *ref)
{
    GV *gv = glob->gv;

    if (gv == NULL || SvRV(ref) != (SV *)gv || !is_bare_glob(glob, gv) || !is_bare_io(glob))
        return false;
    if (glob->layer->tab != glob->tab || glob->layer->next != NULL)
        return false;
    IoLINES(glob->io) = 0;
    if (PL_last_in_gv == gv)
        PL_last_in_gv = NULL;
    if (PL_statgv == gv)
        PL_statgv = NULL;
    return true;
}

/* ---- values ---- */

static inline bool is_bool(SV *sv, SV *fresh)
{
    return psgi_value_is_sole(sv, SvFLAGS(fresh)) && SvIVX(sv) == SvIVX(fresh) &&
           SvCUR(sv) == SvCUR(fresh) &&
           (SvPVX(sv) == SvPVX(fresh) ||
            (SvLEN(fresh) != 0 && memcmp(SvPVX(sv), SvPVX(fresh), SvCUR(sv)) == 0));
}

static bool is_one(SV *sv)
{
    return sv != NULL && SvREFCNT(sv) == 1 && SvFLAGS(sv) == ((U32)SVt_IV | SVf_IOK | SVp_IOK) &&
           SvIVX(sv) == 1;
}

static bool is_version(SV *sv)
{
    AV *av = psgi_value_array(sv, 2);

    return av != NULL && is_one(AvARRAY(av)[0]) && is_one(AvARRAY(av)[1]);
}

static bool is_handlers(SV *sv)
{
    AV *av = psgi_value_array(sv, 0);

    return av != NULL && AvMAX(av) < HANDLERS_MAX;
}

static bool is_input(pTHX_ struct psgi_env *env, SV *sv)
{
    return psgi_value_is_ref(sv) && psgi_glob_is_pristine(aTHX_ & env->input, sv) &&
           psgi_input_rewind(aTHX_ env->input.file, env->bytes) &&
           env->input.layer->flags == env->input.layer_flags;
}

/* psgix.io or psgix.raise that nobody has looked at. */
static bool is_lazy(pTHX_ struct psgi_exchange *px, SV *sv)
{
    return SvREFCNT(sv) == 1 && psgi_lazy_park(aTHX_ sv, px);
}

static bool is_informer(pTHX_ struct psgi_env *env, struct psgi_exchange *px, SV *sv)
{
    CV *cv = (CV *)(psgi_value_is_ref(sv) ? SvRV(sv) : NULL);

    if (cv == NULL || cv != px->informer || SvREFCNT((SV *)cv) != 2 || SvMAGIC((SV *)cv) != NULL ||
        SvFLAGS((SV *)cv) != env->informer_flags || CvFLAGS(cv) != env->informer_cv_flags)
        return false;
    psgi_informer_sever(aTHX_ px);
    return true;
}

/* ---- slots by the kind of their values ---- */

/* Strings: the description of a request and, above the other keys, its headers. */
#define TEXT_SLOTS (((KEY_BIT(URL_SCHEME) << 1) - 1) | ~((UINT64_C(1) << N_ENV_KEYS) - 1))

#define BOOL_SLOTS                                                                                 \
    (TRUE_SLOTS | KEY_BIT(RUN_ONCE) | KEY_BIT(MULTITHREAD) | KEY_BIT(MULTIPROCESS) |               \
     KEY_BIT(HARAKIRI))
#define TRUE_SLOTS                                                                                 \
    (KEY_BIT(NONBLOCKING) | KEY_BIT(STREAMING) | KEY_BIT(INPUT_BUFFERED) | KEY_BIT(CLEANUP) |      \
     KEY_BIT(SCALAR_REFS))

static uint64_t true_slots(const struct psgi_server *server)
{
    return TRUE_SLOTS | (server->multiprocess ? KEY_BIT(MULTIPROCESS) : 0) |
           (server->harakiri ? KEY_BIT(HARAKIRI) : 0);
}

/* True if the value may stay until it is overwritten. */
static bool is_other(pTHX_ struct psgi_env *env, struct psgi_exchange *px, unsigned slot, SV *sv)
{
    switch (slot) {
    case KEY_VERSION:
        return is_version(sv);
    case KEY_ERRORS:
        return psgi_value_is_ref(sv) && SvRV(sv) == px->server->psgi->errors;
    case KEY_INPUT:
        return is_input(aTHX_ env, sv);
    case KEY_CLEANUP_HANDLERS:
        return is_handlers(sv);
    case KEY_INFORMATIONAL:
        return is_informer(aTHX_ env, px, sv);
    case KEY_EXIT_GUARD:
        return psgi_value_is_ref(sv) && px->server->exit_guard != NULL &&
               SvRV(sv) == SvRV(px->server->exit_guard);
    default:
        return is_lazy(aTHX_ px, sv);
    }
}

/* ---- the hash ---- */

/* Deletes foreign entries, and finds all of ours. */
static void relink(pTHX_ struct psgi_env *env, const struct psgi_keys *keys,
                   struct psgi_garbage *garbage)
{
    AV *extra = NULL;

    Zero(env->present, ENV_WORDS, uint64_t);
    env->n_present = 0;
    for (STRLEN i = 0; i <= HvMAX(env->hv); i++) {
        for (HE *he = HvARRAY(env->hv)[i]; he != NULL; he = HeNEXT(he)) {
            int slot = psgi_keys_of_entry(keys, he);
            if (slot != NO_SLOT) {
                env->entry[slot] = he;
                env->present[slot >> 6] |= psgi_slot_bit((unsigned)slot);
                env->n_present++;
                continue;
            }
            if (extra == NULL)
                extra = newAV();
            av_push(extra, newSVhek(HeKEY_hek(he)));
            psgi_throw_away(aTHX_ garbage, SvREFCNT_inc_simple_NN(HeVAL(he)));
        }
    }
    for (SSize_t i = 0; extra != NULL && i <= AvFILLp(extra); i++)
        (void)hv_delete_ent(env->hv, AvARRAY(extra)[i], G_DISCARD, 0);
    SvREFCNT_dec((SV *)extra);
}

/* Drops the input: a body that was read, or is still held, is not worth keeping. */
static void drop_input(pTHX_ struct psgi_env *env)
{
    SvREFCNT_dec(env->bytes);
    env->bytes = NULL;
    env->input.gv = NULL;
}

/* Replaces a value that the next request must not find with undef. */
static void replace(pTHX_ struct psgi_env *env, unsigned slot, struct psgi_garbage *garbage)
{
    HE *he = env->entry[slot];

    psgi_throw_away(aTHX_ garbage, HeVAL(he));
    HeVAL(he) = newSV(0);
    if (slot < N_ENV_KEYS && ((ENV_CONSTANTS | KEY_BIT(EXIT_GUARD)) >> slot & 1))
        env->has_constants = false;
    if (slot == KEY_INPUT)
        drop_input(aTHX_ env);
}

/* An env being checked. */
struct scrubber {
    struct psgi_env *env;
    struct psgi_exchange *px;
    const struct psgi_keys *keys;
    HE *const *array; /* the hash's */
    STRLEN max;
    SV *fresh;                    /* an untouched boolean */
    struct psgi_garbage *garbage; /* takes what cannot stay */
};

typedef bool value_check(pTHX_ const struct scrubber *s, unsigned slot, SV *sv);

static inline bool keeps_text(pTHX_ const struct scrubber *s, unsigned slot, SV *sv)
{
    PERL_UNUSED_CONTEXT;
    (void)s, (void)slot;
    return psgi_value_is_text(sv);
}

static inline bool keeps_bool(pTHX_ const struct scrubber *s, unsigned slot, SV *sv)
{
    PERL_UNUSED_CONTEXT;
    (void)slot;
    return is_bool(sv, s->fresh);
}

static inline bool keeps_other(pTHX_ const struct scrubber *s, unsigned slot, SV *sv)
{
    return is_other(aTHX_ s->env, s->px, slot, sv);
}

/* Checks the values of these slots in one word; the check is inlined into the loop. False: an entry
 * is not where it was made. */
__attribute__((always_inline)) static inline bool
scrub_slots(pTHX_ const struct scrubber *s, unsigned first, uint64_t bits, value_check *check)
{
    HE *const *array = s->array, *const *entries = s->env->entry + first;
    const struct psgi_key *keys = s->keys->key + first;
    STRLEN max = s->max;

    for (; bits != 0; bits &= bits - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(bits);
        const HE *entry = entries[slot];
        if (!psgi_entry_is_linked(array, max, entry, &keys[slot]))
            return false;
        if (!check(aTHX_ s, first + slot, HeVAL(entry)))
            replace(aTHX_ s->env, first + slot, s->garbage);
    }
    return true;
}

static bool scrub_texts(pTHX_ const struct scrubber *s)
{
    const uint64_t *present = s->env->present;

    return scrub_slots(aTHX_ s, 0, present[0] & TEXT_SLOTS, keeps_text) &&
           scrub_slots(aTHX_ s, 64, present[1], keeps_text);
}

static bool scrub_bools(pTHX_ struct scrubber *s, uint64_t bits, SV *fresh)
{
    s->fresh = fresh;
    return scrub_slots(aTHX_ s, 0, bits, keeps_bool);
}

/* Checks every entry that was made. False: the hash has others. */
static bool scrub(pTHX_ struct psgi_env *env, struct psgi_exchange *px,
                  struct psgi_garbage *garbage)
{
    const struct psgi_keys *keys = px->server->psgi->keys;
    struct scrubber s = {env, px, keys, HvARRAY(env->hv), HvMAX(env->hv), NULL, garbage};
    uint64_t constants = env_constants(px->server);
    uint64_t bools = env->present[0] & BOOL_SLOTS, are_true = true_slots(px->server);

    env->has_constants = (env->present[0] & constants) == constants;
    return scrub_texts(aTHX_ & s) && scrub_bools(aTHX_ & s, bools & are_true, keys->yes) &&
           scrub_bools(aTHX_ & s, bools & ~are_true, keys->no) &&
           scrub_slots(aTHX_ & s, 0, env->present[0] & ~(TEXT_SLOTS | BOOL_SLOTS), keeps_other) &&
           HvTOTALKEYS(env->hv) == env->n_present;
}

/* ---- before the end of a request ---- */

/* True if the app has added only strings: anything else may be there in order to go away with the
 * request. */
static bool has_plain_extras(const struct psgi_keys *keys, HV *hv)
{
    for (STRLEN i = 0; i <= HvMAX(hv); i++)
        for (HE *he = HvARRAY(hv)[i]; he != NULL; he = HeNEXT(he))
            if ((SvROK(HeVAL(he)) || SvMAGICAL(HeVAL(he))) &&
                psgi_keys_of_entry(keys, he) == NO_SLOT)
                return false;
    return true;
}

/* Later failures must be reported where the app wants them, so our handle must still be the one. */
static bool has_our_errors(pTHX_ struct psgi_exchange *px)
{
    HE *he = psgi_env_entry(aTHX_ px->entries, px->server->psgi->keys, KEY_ERRORS);

    return he != NULL && psgi_value_is_ref(HeVAL(he)) &&
           SvRV(HeVAL(he)) == px->server->psgi->errors;
}

bool psgi_env_is_done_with(pTHX_ struct psgi_exchange *px)
{
    struct psgi_env *env = px->entries;

    if (env == NULL || !psgi_hash_is_sole(aTHX_ env->hv) || px->socket != NULL ||
        px->reader != NULL || px->websocket != NULL || px->ws != NULL)
        return false;
    if (!has_our_errors(aTHX_ px) || psgi_env_has_handlers(aTHX_ px))
        return false;
    if (HvTOTALKEYS(env->hv) == env->n_present)
        return true;
    return has_plain_extras(px->server->psgi->keys, env->hv) &&
           !hv_exists(env->hv, "psgix.harakiri.commit", 21);
}

void psgi_env_let_go(pTHX_ struct psgi_exchange *px)
{
    px->name = psgi_env_copy_name(aTHX_ px);
    psgi_env_release(aTHX_ px);
}

/* ---- the end of a request ---- */

void psgi_env_release(pTHX_ struct psgi_exchange *px)
{
    struct psgi_server *server = px->server;
    struct psgi_env *env = px->entries;
    struct psgi_garbage garbage = {NULL};

    px->env = NULL;
    px->entries = NULL;
    if (env == NULL)
        return;
    if (PL_phase == PERL_PHASE_DESTRUCT || !psgi_env_pool_has_room(server) ||
        !psgi_hash_is_sole(aTHX_ env->hv)) {
        psgi_env_free(aTHX_ env);
        return;
    }
    if (!scrub(aTHX_ env, px, &garbage)) {
        relink(aTHX_ env, server->psgi->keys, &garbage);
        scrub(aTHX_ env, px, &garbage);
    }
    if (!(env->present[0] & psgi_slot_bit(KEY_INPUT)))
        drop_input(aTHX_ env);
    psgi_env_give_back(server, env);
    SvREFCNT_dec((SV *)garbage.values);
}

/* ---- the reference ---- */

SV *psgi_env_ref(pTHX_ struct psgi_exchange *px)
{
    struct psgi_env *env = px->entries;
    SV *ref = env->ref;

    env->ref = NULL;
    if (ref == NULL)
        return newRV_inc((SV *)px->env);
    SvREFCNT_inc_simple_void_NN((SV *)px->env);
    SvRV_set(ref, (SV *)px->env);
    SvROK_on(ref);
    return ref;
}

void psgi_env_ref_release(pTHX_ struct psgi_exchange *px, SV *ref)
{
    struct psgi_env *env = px->entries;

    if (env == NULL || env->ref != NULL || !psgi_value_is_ref(ref) || SvRV(ref) != (SV *)env->hv) {
        SvREFCNT_dec(ref);
        return;
    }
    SvROK_off(ref);
    SvRV_set(ref, NULL);
    env->ref = ref;
    SvREFCNT_dec((SV *)env->hv);
}

/* handle.c - C structs attached to Perl objects by magic; severable from either side. */
#include "bridge.h"

enum { SPARE_HANDLES = 64 };

static int handle_free(pTHX_ SV *sv, MAGIC *mg);
static int handle_dup(pTHX_ MAGIC *mg, CLONE_PARAMS *params);

static const MGVTBL handle_vtbl = {NULL, NULL, NULL, NULL, handle_free, NULL, handle_dup, NULL};

struct psgi_handle *psgi_handle_attach(pTHX_ SV *body, struct psgi_exchange *px, uint32_t *gauge,
                                       void (*on_drop)(pTHX_ struct psgi_handle *))
{
    struct psgi *psgi = psgi_get(aTHX);
    struct psgi_handle *handle = psgi->spare_handles;
    MAGIC *mg;

    if (handle != NULL) {
        psgi->spare_handles = handle->next_spare;
        psgi->n_spare_handles--;
    } else {
        Newx(handle, 1, struct psgi_handle);
    }
    Zero(handle, 1, struct psgi_handle);
    handle->px = px;
    handle->gauge = gauge;
    handle->on_drop = on_drop;
    ++*gauge;
    mg = sv_magicext(body, NULL, PERL_MAGIC_ext, &handle_vtbl, (char *)handle, 0);
    mg->mg_flags |= MGf_DUP;
    return handle;
}

struct psgi_handle *psgi_handle_get(pTHX_ SV *ref)
{
    MAGIC *mg;

    PERL_UNUSED_CONTEXT;
    if (!SvROK(ref) || SvTYPE(SvRV(ref)) < SVt_PVMG)
        return NULL;
    mg = SvMAGIC(SvRV(ref));
    if (mg != NULL && mg->mg_virtual != &handle_vtbl) /* mostly it is the only one */
        mg = mg_findext(SvRV(ref), PERL_MAGIC_ext, &handle_vtbl);
    return mg != NULL ? (struct psgi_handle *)mg->mg_ptr : NULL;
}

struct psgi_handle *psgi_handle_only(SV *body)
{
    MAGIC *mg = SvMAGIC(body);

    return mg != NULL && mg->mg_virtual == &handle_vtbl && mg->mg_moremagic == NULL
               ? (struct psgi_handle *)mg->mg_ptr
               : NULL;
}

/* The exchange forgets a handle that is about to be freed. */
static void forget(struct psgi_exchange *px, struct psgi_handle *handle)
{
    if (px->responder == handle)
        px->responder = NULL;
    if (px->writer == handle)
        px->writer = NULL;
    if (px->socket == handle)
        px->socket = NULL;
    if (px->reader == handle)
        px->reader = NULL;
}

static void give_back(pTHX_ struct psgi_handle *handle)
{
    struct psgi *psgi = PL_phase != PERL_PHASE_DESTRUCT ? psgi_get(aTHX) : NULL;

    if (psgi == NULL || psgi->n_spare_handles >= SPARE_HANDLES) {
        Safefree(handle);
        return;
    }
    handle->next_spare = psgi->spare_handles;
    psgi->spare_handles = handle;
    psgi->n_spare_handles++;
}

/* The Perl object goes away. PL_op still is the die that unwinds, where it is one that an eval of
 * the app catches: psgi_call cannot see that. */
static int handle_free(pTHX_ SV *sv, MAGIC *mg)
{
    struct psgi_handle *handle = (struct psgi_handle *)mg->mg_ptr;

    PERL_UNUSED_VAR(sv);
    if (handle == NULL)
        return 0;
    mg->mg_ptr = NULL;
    --*handle->gauge;
    if (handle->px != NULL) {
        if (PL_op != NULL && PL_op->op_type == OP_DIE)
            handle->px->dropped_by_die = true;
        if (handle->on_drop != NULL)
            handle->on_drop(aTHX_ handle);
        if (handle->px != NULL)
            forget(handle->px, handle);
    }
    SvREFCNT_dec(handle->on_drain);
    SvREFCNT_dec(handle->on_disconnect);
    SvREFCNT_dec(handle->poll_cb);
    SvREFCNT_dec(handle->on_data);
    SvREFCNT_dec(handle->on_end);
    SvREFCNT_dec(handle->on_error);
    give_back(aTHX_ handle);
    return 0;
}

/* A new thread gets objects that are attached to nothing. */
static int handle_dup(pTHX_ MAGIC *mg, CLONE_PARAMS *params)
{
    PERL_UNUSED_CONTEXT;
    PERL_UNUSED_VAR(params);
    mg->mg_ptr = NULL;
    return 0;
}

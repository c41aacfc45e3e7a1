/* handle.c - C structs attached to Perl objects by magic; severable from either side. */
#include "handle.h"
#include "call.h"

enum { SPARE_HANDLES = 64 };

static int handle_free(pTHX_ SV *sv, MAGIC *mg);

static const MGVTBL handle_vtbl = {
    NULL, NULL, NULL, NULL, handle_free, NULL, psgi_magic_dup_nothing, NULL};

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
    if (mg != NULL && mg->mg_virtual != &handle_vtbl) /* mostly it is the first */
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
static void sever(struct psgi_exchange *px, struct psgi_handle *handle)
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

/* The Perl object goes away. If an eval of the app catches the exception, psgi_call cannot see it;
 * but PL_op is still the die that unwinds. */
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
            sever(handle->px, handle);
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

int psgi_magic_dup_nothing(pTHX_ MAGIC *mg, CLONE_PARAMS *params)
{
    PERL_UNUSED_CONTEXT;
    PERL_UNUSED_VAR(params);
    mg->mg_ptr = NULL;
    return 0;
}

/* A plain sub is kept directly: a reference to it would be one more value for each of many. */
static SV *callback_of(pTHX_ SV *cb)
{
    if (!SvOK(cb))
        return NULL;
    if (SvROK(cb) && SvTYPE(SvRV(cb)) == SVt_PVCV && !SvOBJECT(SvRV(cb)))
        return SvREFCNT_inc_simple_NN(SvRV(cb));
    return newSVsv_nomg(cb);
}

bool psgi_handle_set_callback(pTHX_ SV **slot, SV *cb, const char *what)
{
    SV *old = *slot;

    SvGETMAGIC(cb);
    if (SvOK(cb) && !psgi_is_code(aTHX_ cb))
        croak("%s: not a code reference", what);
    *slot = callback_of(aTHX_ cb);
    SvREFCNT_dec(old);
    return *slot != NULL;
}

void psgi_handle_drop_callback(pTHX_ SV **slot)
{
    SV *cb = *slot;

    *slot = NULL;
    SvREFCNT_dec(cb);
}

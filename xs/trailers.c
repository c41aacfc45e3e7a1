/* trailers.c - psgix.trailers: the fields after a request's body (RFC 9110 section 6.5), as an
 * array of names and values like a response's headers. */
#include "trailers.h"

static void add(struct sprig_span name, struct sprig_span value, void *arg)
{
    dTHX;

    av_push((AV *)arg, newSVpvn(name.ptr, name.len));
    av_push((AV *)arg, newSVpvn(value.len ? value.ptr : "", value.len));
}

void psgi_trailers_put(pTHX_ HV *env, struct psgi_exchange *px)
{
    AV *list = newAV();

    (void)hv_stores(env, "psgix.trailers", newRV_noinc((SV *)list));
    if (sprig_exchange_is_streaming(px->ex))
        px->trailers = (AV *)SvREFCNT_inc_simple_NN((SV *)list);
    else
        sprig_exchange_trailers(px->ex, add, list);
}

void psgi_trailers_fill(pTHX_ struct psgi_exchange *px)
{
    AV *list = px->trailers;

    if (list == NULL)
        return;
    if (px->ex != NULL && !SvREADONLY((SV *)list) && !SvMAGICAL((SV *)list))
        sprig_exchange_trailers(px->ex, add, list);
    psgi_trailers_sever(aTHX_ px);
}

void psgi_trailers_sever(pTHX_ struct psgi_exchange *px)
{
    AV *list = px->trailers;

    PERL_UNUSED_CONTEXT;
    px->trailers = NULL;
    SvREFCNT_dec((SV *)list);
}

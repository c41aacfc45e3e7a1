/* raiser.c - psgix.raise: tells the server that a request has failed, even if somebody else holds
 * its responder. */
#include "raiser.h"
#include "exchange.h"
#include "lazyvalue.h"

/* Stands in for the exchange once that is over because the client left. */
static char left;

/* The app has not answered yet, and from now on neither its response nor a writer may follow. */
static void raise_error(pTHX_ struct psgi_exchange *px, SV *error)
{
    psgi_exchange_ref(px);
    if (px->responder != NULL)
        px->responder->is_used = true;
    psgi_exchange_raise(aTHX_ px, error);
    psgi_exchange_unref(aTHX_ px);
}

/* The body of each of these code refs. */
XS(psgi_raiser_call);
XS(psgi_raiser_call)
{
    dXSARGS;
    void *of;

    psgi_get(aTHX); /* croaks in another thread, where the copy of the CV points nowhere */
    of = CvXSUBANY(cv).any_ptr;
    if (items != 1)
        croak("Usage: $env->{'psgix.raise'}->($error)");
    if (of == NULL)
        warn_sv(sv_2mortal(
            newSVpvf("psgix.raise called after the request was over: %" SVf, SVfARG(ST(0)))));
    else if (of != &left)
        raise_error(aTHX_ of, sv_mortalcopy(ST(0)));
    XSRETURN_EMPTY;
}

static SV *raiser_make(pTHX_ struct psgi_exchange *px)
{
    CV *cv = newXS(NULL, psgi_raiser_call, __FILE__);

    if (px->ex != NULL) {
        CvXSUBANY(cv).any_ptr = px;
        px->raiser = (CV *)SvREFCNT_inc_simple_NN((SV *)cv);
    }
    return newRV_noinc((SV *)cv);
}

static const struct psgi_lazy_kind raiser_kind = PSGI_LAZY_KIND(raiser_make);

SV *psgi_raiser_new(pTHX_ struct psgi_exchange *px)
{
    return psgi_lazy_new(aTHX_ px, &raiser_kind);
}

void psgi_raiser_sever(pTHX_ struct psgi_exchange *px, bool is_gone)
{
    CV *cv = px->raiser;

    PERL_UNUSED_CONTEXT;
    px->raiser = NULL;
    if (cv == NULL)
        return;
    CvXSUBANY(cv).any_ptr = is_gone ? &left : NULL;
    SvREFCNT_dec((SV *)cv);
}

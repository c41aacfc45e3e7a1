/* lazyvalue.c - scalars whose value is made at the first look: things that most requests never
 * need. They hold the exchange, and do not count as its objects. */
#include "lazyvalue.h"
#include "exchange.h"

/* The exchange to make the value from, owned by the caller; NULL if the value was already made, or
 * set. */
static struct psgi_exchange *lazy_take(MAGIC *mg)
{
    struct psgi_exchange *px = (struct psgi_exchange *)mg->mg_ptr;

    mg->mg_ptr = NULL;
    return px;
}

int psgi_lazy_get(pTHX_ SV *sv, MAGIC *mg)
{
    struct psgi_exchange *px = lazy_take(mg);
    SV *value;

    if (px == NULL)
        return 0;
    value = ((const struct psgi_lazy_kind *)mg->mg_virtual)->make(aTHX_ px);
    if (value != NULL)
        sv_setsv_nomg(sv, sv_2mortal(value));
    psgi_exchange_unref(aTHX_ px);
    return 0;
}

/* The app has set another value, or the value goes away unseen. */
int psgi_lazy_forget(pTHX_ SV *sv, MAGIC *mg)
{
    struct psgi_exchange *px = lazy_take(mg);

    PERL_UNUSED_VAR(sv);
    if (px != NULL)
        psgi_exchange_unref(aTHX_ px);
    return 0;
}

/* `local $env->{key}`: the new value is an ordinary one. */
int psgi_lazy_local(pTHX_ SV *sv, MAGIC *mg)
{
    PERL_UNUSED_CONTEXT;
    PERL_UNUSED_VAR(sv);
    PERL_UNUSED_VAR(mg);
    return 0;
}

SV *psgi_lazy_new(pTHX_ struct psgi_exchange *px, const struct psgi_lazy_kind *kind)
{
    SV *sv = newSV(0);
    MAGIC *mg =
        sv_magicext(sv, NULL, PERL_MAGIC_ext, &kind->vtbl, (char *)psgi_exchange_ref(px), 0);

    mg->mg_flags |= MGf_DUP | MGf_LOCAL;
    return sv;
}

/* Flags that distinguish a lazy scalar without a value from others, and their settings there. */
#define LAZY_PUBLIC_OK (SVf_IOK | SVf_NOK | SVf_POK | SVf_ROK)
#define LAZY_OK        (LAZY_PUBLIC_OK | SVp_IOK | SVp_NOK | SVp_POK | SVp_SCREAM)

#define LAZY_MAGICAL (SVs_GMG | SVs_SMG)
#define LAZY_MASK    (SVTYPEMASK | LAZY_OK | SVf_READONLY | SVf_PROTECT | SVs_OBJECT | LAZY_MAGICAL)
#define LAZY_FLAGS   ((U32)SVt_PVMG | LAZY_MAGICAL)

/* The only magic of a lazy scalar without a value and with this `arg`; NULL for anything else. */
static inline MAGIC *lazy_magic(SV *sv, const void *arg)
{
    MAGIC *mg = (SvFLAGS(sv) & LAZY_MASK) == LAZY_FLAGS ? SvMAGIC(sv) : NULL;

    if (mg == NULL || mg->mg_virtual->svt_get != psgi_lazy_get || mg->mg_moremagic != NULL ||
        mg->mg_ptr != arg)
        return NULL;
    return mg;
}

bool psgi_lazy_park(pTHX_ SV *sv, struct psgi_exchange *px)
{
    MAGIC *mg = lazy_magic(sv, px);

    if (mg == NULL)
        return false;
    psgi_exchange_unref(aTHX_ lazy_take(mg));
    return true;
}

bool psgi_lazy_reuse(pTHX_ SV *sv, struct psgi_exchange *px)
{
    MAGIC *mg = lazy_magic(sv, NULL);

    PERL_UNUSED_CONTEXT;
    if (mg != NULL)
        mg->mg_ptr = (char *)psgi_exchange_ref(px);
    return mg != NULL;
}

/* lazyvalue.h - scalars whose value is made at the first look. */
#ifndef SPRIG_PSGI_LAZYVALUE_H
#define SPRIG_PSGI_LAZYVALUE_H

#include "handle.h"

/* Makes the value: owned by the caller, NULL for undef. */
typedef SV *psgi_lazy_make(pTHX_ struct psgi_exchange *px);

/* A kind of lazy value; starts with the table that perl uses for its magic. */
struct psgi_lazy_kind {
    MGVTBL vtbl;
    psgi_lazy_make *make;
};

#define PSGI_LAZY_KIND(make)                                                                       \
    {                                                                                              \
        {psgi_lazy_get, psgi_lazy_forget,       NULL,           NULL, psgi_lazy_forget,            \
         NULL,          psgi_magic_dup_nothing, psgi_lazy_local},                                  \
            make                                                                                   \
    }

/* A scalar that gets its value when it is first read. Owned by the caller. `kind` is borrowed for
 * ever. */
SV *psgi_lazy_new(pTHX_ struct psgi_exchange *px, const struct psgi_lazy_kind *kind);
/* Detaches a lazy value that nobody has looked at from its exchange, so that another can get it.
 * False: it has changed since it was made. */
bool psgi_lazy_park(pTHX_ SV *sv, struct psgi_exchange *px);
/* Gives a parked lazy value to an exchange. False: it is not one. */
bool psgi_lazy_reuse(pTHX_ SV *sv, struct psgi_exchange *px);

/* For PSGI_LAZY_KIND. */
int psgi_lazy_get(pTHX_ SV *sv, MAGIC *mg);
int psgi_lazy_forget(pTHX_ SV *sv, MAGIC *mg);
int psgi_lazy_local(pTHX_ SV *sv, MAGIC *mg);

#endif

/* raiser.h - psgix.raise. */
#ifndef SPRIG_PSGI_RAISER_H
#define SPRIG_PSGI_RAISER_H

#include "bridge.h"

/* psgix.raise: becomes a code ref at the first look. Owned by the caller. */
SV *psgi_raiser_new(pTHX_ struct psgi_exchange *px);
/* The exchange is over: from now on psgix.raise only warns, or does nothing if the client left. */
void psgi_raiser_sever(pTHX_ struct psgi_exchange *px, bool is_gone);

#endif

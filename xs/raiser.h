/* raiser.h - psgix.raise. */
#ifndef SPRIG_PSGI_RAISER_H
#define SPRIG_PSGI_RAISER_H

#include "bridge.h"

/* psgix.raise: becomes a code ref when it is first looked at. Owned by the caller. */
SV *psgi_raiser_new(pTHX_ struct psgi_exchange *px);
/* The exchange is over: its psgix.raise can only warn, or, where the client left, does nothing. */
void psgi_raiser_sever(pTHX_ struct psgi_exchange *px, bool is_gone);

#endif

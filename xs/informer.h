/* informer.h - psgix.informational. */
#ifndef SPRIG_PSGI_INFORMER_H
#define SPRIG_PSGI_INFORMER_H

#include "bridge.h"

/* psgix.informational: a code ref, owned by the caller. */
CV *psgi_informer_new(pTHX_ struct psgi_exchange *px);
/* Gives a code ref that only a spare env holds to an exchange. */
void psgi_informer_reuse(struct psgi_exchange *px, CV *cv);
/* The exchange is over: the code ref does nothing from now on. */
void psgi_informer_sever(pTHX_ struct psgi_exchange *px);

#endif

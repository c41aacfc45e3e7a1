/* trailers.h - psgix.trailers: the fields behind a request's body. */
#ifndef SPRIG_PSGI_TRAILERS_H
#define SPRIG_PSGI_TRAILERS_H

#include "bridge.h"

/* Puts them into an env. Where the body streams that is an empty array, which gets them at its end.
 */
void psgi_trailers_put(pTHX_ HV *env, struct psgi_exchange *px);
/* A body that streams is complete: fills that array. */
void psgi_trailers_fill(pTHX_ struct psgi_exchange *px);
/* The exchange is over: they do not come any more. */
void psgi_trailers_sever(pTHX_ struct psgi_exchange *px);

#endif

/* trailers.h - psgix.trailers: the fields after a request's body. */
#ifndef SPRIG_PSGI_TRAILERS_H
#define SPRIG_PSGI_TRAILERS_H

#include "bridge.h"

/* Puts them into an env. If the body streams, it is an empty array, filled at the body's end. */
void psgi_trailers_put(pTHX_ HV *env, struct psgi_exchange *px);
/* A streaming body is complete: fills that array. */
void psgi_trailers_fill(pTHX_ struct psgi_exchange *px);
/* The exchange is over: the trailers will not come any more. */
void psgi_trailers_sever(pTHX_ struct psgi_exchange *px);

#endif

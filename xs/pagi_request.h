/* pagi_request.h - the scope that a PAGI application gets: a hash made of the request. */
#ifndef SPRIG_PAGI_REQUEST_H
#define SPRIG_PAGI_REQUEST_H

#include "pagi_scope.h"

/* Tells which type of scope the request is for, and fills scope->hash. Enters no Perl. `root` is
 * the path that the application is mounted at, "" for none; `state`, that of its lifespan, is
 * copied; NULL: it has none. */
void psgi_scope_build(pTHX_ struct psgi_scope *scope, struct sprig_span root, HV *state);

#endif

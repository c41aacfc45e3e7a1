/* pagi_request.h - the scope that a PAGI application gets: a hash made from the request. */
#ifndef SPRIG_PAGI_REQUEST_H
#define SPRIG_PAGI_REQUEST_H

#include "pagi_scope.h"

/* Sets the type of scope for the request, and fills scope->hv. Enters no Perl. `root` is the path
 * at which the application is mounted, "" for none; `state`, from its lifespan, is copied; NULL: it
 * has none. */
void psgi_scope_build(pTHX_ struct psgi_scope *scope, struct sprig_span root, HV *state);

#endif

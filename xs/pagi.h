/* pagi.h - PAGI applications: the call for a request, and what becomes of it. */
#ifndef SPRIG_PAGI_H
#define SPRIG_PAGI_H

#include "pagi_mounts.h"
#include "pagi_scope.h"

/* Calls the application for a request. */
void psgi_scope_run(pTHX_ struct psgi_exchange *px, const struct psgi_mount *mount);

/* Events of the exchange, from the core. */
void psgi_scope_drained(pTHX_ struct psgi_scope *scope);
void psgi_scope_input(pTHX_ struct psgi_scope *scope, struct sprig_span bytes, bool is_last);
void psgi_scope_gone(pTHX_ struct psgi_scope *scope);
void psgi_scope_ended(pTHX_ struct psgi_exchange *px, enum sprig_end why);

#endif

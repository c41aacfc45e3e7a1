/* handle.h - C structs attached to Perl objects by magic; severable from either side. */
#ifndef SPRIG_PSGI_HANDLE_H
#define SPRIG_PSGI_HANDLE_H

#include "bridge.h"

/* Attaches a new handle to `body` (the referenced CV, HV or GV) and counts it in *gauge. */
struct psgi_handle *psgi_handle_attach(pTHX_ SV *body, struct psgi_exchange *px, uint32_t *gauge,
                                       void (*on_drop)(pTHX_ struct psgi_handle *));
/* The handle of an object (a reference); NULL: it is not one of ours. */
struct psgi_handle *psgi_handle_get(pTHX_ SV *ref);
/* The handle of the body itself, if it has no other magic (such as weak references). */
struct psgi_handle *psgi_handle_only(SV *body);

/* For methods that set callbacks: puts one into its slot of the handle, replacing the old one; an
 * undefined value removes it. True: there is one now. Croaks with `what`
 * ("Sprig::Writer::on_drain") if it is not a code reference, before anything changes. */
bool psgi_handle_set_callback(pTHX_ SV **slot, SV *cb, const char *what);
void psgi_handle_drop_callback(pTHX_ SV **slot);

/* svt_dup for all of our magic: in a new thread the copy is attached to nothing. */
int psgi_magic_dup_nothing(pTHX_ MAGIC *mg, CLONE_PARAMS *params);

#endif

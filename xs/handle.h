/* handle.h - C structs attached to Perl objects by magic; severable from either side. */
#ifndef SPRIG_PSGI_HANDLE_H
#define SPRIG_PSGI_HANDLE_H

#include "bridge.h"

/* Attaches a new handle to `body` (the thing referred to: CV, HV, GV) and counts it in *gauge. */
struct psgi_handle *psgi_handle_attach(pTHX_ SV *body, struct psgi_exchange *px, uint32_t *gauge,
                                       void (*on_drop)(pTHX_ struct psgi_handle *));
/* The handle of an object (a reference), or NULL if it is none of ours. */
struct psgi_handle *psgi_handle_get(pTHX_ SV *ref);
/* The handle of such a thing itself, if that has no other magic (weak references, for one). */
struct psgi_handle *psgi_handle_only(SV *body);

/* The methods that set callbacks: puts one into its slot of the handle, an undefined one removes.
 * The old one goes. True: there is one now. Croaks with `what` ("Sprig::Writer::on_drain") if it is
 * no code reference, before anything is changed. */
bool psgi_handle_set_callback(pTHX_ SV **slot, SV *cb, const char *what);
void psgi_handle_drop_callback(pTHX_ SV **slot);

/* svt_dup for all of our magic: the copy in a new thread is attached to nothing. */
int psgi_magic_dup_nothing(pTHX_ MAGIC *mg, CLONE_PARAMS *params);

#endif

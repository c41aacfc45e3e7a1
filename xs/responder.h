/* responder.h - delayed responses: the code ref that the app calls with its response. */
#ifndef SPRIG_PSGI_RESPONDER_H
#define SPRIG_PSGI_RESPONDER_H

#include "bridge.h"

/* Calls the code ref of a delayed response with (responder, socket): if it dies, the exchange
 * fails. */
void psgi_responder_start(pTHX_ struct psgi_exchange *px, SV *code);
/* From on_notify: if the responder was dropped, nobody can answer any more. */
void psgi_responder_notified(pTHX_ struct psgi_exchange *px);
/* From on_end: severs it. */
void psgi_responder_ended(pTHX_ struct psgi_exchange *px, bool is_gone);
/* The method raise. Croaks if `self` is not a responder. */
void psgi_responder_raise(pTHX_ SV *self, SV *error);

#endif

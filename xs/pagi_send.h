/* pagi_send.h - what a PAGI application sends with $send. */
#ifndef SPRIG_PAGI_SEND_H
#define SPRIG_PAGI_SEND_H

#include "pagi_scope.h"

/* Sends the event (borrowed). Returns a future, owned by the caller: ready when the server is done
 * with the event, failed if the event is wrong. */
SV *psgi_scope_send(pTHX_ struct psgi_scope *scope, SV *event);
/* The XSUB of $send. */
XS(psgi_scope_send_xs);

#endif

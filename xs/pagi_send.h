/* pagi_send.h - what a PAGI application says by $send. */
#ifndef SPRIG_PAGI_SEND_H
#define SPRIG_PAGI_SEND_H

#include "pagi_scope.h"

/* A future for the event (borrowed), owned by the caller: ready when the server is done with it,
 * failed if it is wrong. */
SV *psgi_scope_send(pTHX_ struct psgi_scope *scope, SV *event);
/* The XSUB of $send. */
XS(psgi_scope_send_xs);

#endif

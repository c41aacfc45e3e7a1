/* reply.h - reads and sends a response of the app. */
#ifndef SPRIG_PSGI_REPLY_H
#define SPRIG_PSGI_REPLY_H

#include "bridge.h"

/* Sends a response [status, headers, body]. With `streaming`, also [status, headers]: then sends
 * the head and returns 1, and a writer will send the body. Returns 0: accepted, and complete or on
 * its way. -1: not acceptable; a 500 was sent and the error reported. */
int psgi_reply_send(pTHX_ struct psgi_exchange *px, SV *response, bool streaming);

#endif

/* reply.h - a response of the app, read and sent. */
#ifndef SPRIG_PSGI_REPLY_H
#define SPRIG_PSGI_REPLY_H

#include "bridge.h"

/* Sends a response [status, headers, body] or, `streaming` being true, also [status, headers]: then
 * the head is sent and 1 is returned, the body is to follow by a writer. 0: accepted and complete
 * or on its way. -1: it was not acceptable, a 500 was sent and reported. */
int psgi_reply_send(pTHX_ struct psgi_exchange *px, SV *response, bool streaming);

#endif

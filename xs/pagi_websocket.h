/* pagi_websocket.h - a PAGI scope of type websocket. */
#ifndef SPRIG_PAGI_WEBSOCKET_H
#define SPRIG_PAGI_WEBSOCKET_H

#include "pagi_event.h"
#include "pagi_scope.h"

/* Sends an event of the application; like those in pagi_response.h. */
bool psgi_scope_send_websocket(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait);
/* Whether either side has closed it: the application has nothing more to do for it. */
bool psgi_scope_is_closing(const struct psgi_scope *scope);
/* The application has died, or has returned while it is open: closes it with 1011. The message
 * (borrowed) may be NULL. */
void psgi_scope_abandon_websocket(pTHX_ struct psgi_scope *scope, SV *message);
/* From on_end. */
void psgi_scope_end_websocket(struct psgi_scope *scope);

#endif

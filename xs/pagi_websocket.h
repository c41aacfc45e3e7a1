/* pagi_websocket.h - a PAGI scope of the type websocket. */
#ifndef SPRIG_PAGI_WEBSOCKET_H
#define SPRIG_PAGI_WEBSOCKET_H

#include "pagi_event.h"
#include "pagi_scope.h"

/* An event of the application; as in pagi_response.h. */
bool psgi_scope_send_websocket(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait);
/* It was closed, by one side or the other: the application has nothing more to do for it. */
bool psgi_scope_is_closing(const struct psgi_scope *scope);
/* The application has died, or returned with it open: closes it with 1011. The message (borrowed)
 * may be NULL. */
void psgi_scope_abandon_websocket(pTHX_ struct psgi_scope *scope, SV *message);
/* From on_end. */
void psgi_scope_end_websocket(struct psgi_scope *scope);

#endif

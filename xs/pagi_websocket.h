/* pagi_websocket.h - a PAGI scope of the type websocket. */
#ifndef SPRIG_PAGI_WEBSOCKET_H
#define SPRIG_PAGI_WEBSOCKET_H

#include "pagi_event.h"
#include "pagi_scope.h"

/* An event of the application; as in pagi_response.h. */
bool psgi_scope_send_websocket(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait);
/* The application has returned, or died: closes what is open. */
void psgi_scope_close_websocket(pTHX_ struct psgi_scope *scope, bool has_died);
/* From on_end. */
void psgi_scope_end_websocket(struct psgi_scope *scope);

#endif

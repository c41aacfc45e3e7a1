/* pagi_sse.h - a PAGI scope of type sse: an event stream. */
#ifndef SPRIG_PAGI_SSE_H
#define SPRIG_PAGI_SSE_H

#include "pagi_event.h"
#include "pagi_scope.h"

/* Whether the client asks for events: its Accept has exactly text/event-stream, with a weight above
 * 0. */
bool psgi_scope_asks_for_events(const struct sprig_request *req);

/* Sends an event of the application; like those in pagi_response.h. */
bool psgi_scope_send_sse(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait);
/* Stops the comments that are sent automatically. */
void psgi_scope_stop_heartbeat(struct psgi_scope *scope);

#endif

/* pagi_response.h - the response of a PAGI application: head, body, files, trailers. What an event
 * stream or a WebSocket is refused with is one as well. */
#ifndef SPRIG_PAGI_RESPONSE_H
#define SPRIG_PAGI_RESPONSE_H

#include "pagi_event.h"
#include "pagi_scope.h"

/* These return false and refuse the event if it is wrong, with nothing changed. The exchange must
 * not be over when they are called; it may be afterwards. */

/* Queues the head. */
bool psgi_scope_start(pTHX_ struct psgi_scope *scope, struct psgi_event *ev,
                      const struct psgi_head *head);
/* An event of the response. *wait: its future is to be ready when there is room again. */
bool psgi_scope_send_http(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait);
bool psgi_scope_is_http_event(const struct psgi_event *ev);

/* The result of a write to the exchange: whether the writer is to wait; calls on_high_water. */
bool psgi_scope_is_full(pTHX_ struct psgi_scope *scope, int rc);

/* The body is complete. */
void psgi_scope_finish(pTHX_ struct psgi_scope *scope);

/* There is room again: goes on with a file handle that is being read. False: it cannot be read
 * (errno), and is let go of. */
bool psgi_scope_pump(pTHX_ struct psgi_scope *scope);

#endif

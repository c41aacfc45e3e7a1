/* pagi_response.h - the response of a PAGI application: head, body, files, trailers. What an event
 * stream or a WebSocket is declined with is one as well. */
#ifndef SPRIG_PAGI_RESPONSE_H
#define SPRIG_PAGI_RESPONSE_H

#include "pagi_event.h"
#include "pagi_scope.h"

/* These return false and refuse the event if it is wrong, with nothing changed. The exchange must
 * not be over when they are called; it may be afterwards. */

/* Queues the head. */
bool psgi_scope_start(pTHX_ struct psgi_scope *scope, struct psgi_event *ev,
                      const struct psgi_head *head);
/* Queues what the event has of the body, and ends the response if it is the last. *wait: its future
 * is to be ready when there is room again. */
bool psgi_scope_write(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait);
bool psgi_scope_trailers(pTHX_ struct psgi_scope *scope, struct psgi_event *ev);

/* The result of a write to the exchange: whether the writer is to wait; calls on_high_water. */
bool psgi_scope_is_full(pTHX_ struct psgi_scope *scope, int rc);

/* The body is complete. */
void psgi_scope_finish(pTHX_ struct psgi_scope *scope);

/* There is room again: goes on with a file handle that is being read. */
void psgi_scope_pump(pTHX_ struct psgi_scope *scope);

#endif

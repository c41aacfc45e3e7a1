/* pagi_response.h - the response of a PAGI application: head, body, files, trailers. Also used to
 * refuse an event stream or a WebSocket. */
#ifndef SPRIG_PAGI_RESPONSE_H
#define SPRIG_PAGI_RESPONSE_H

#include "pagi_event.h"
#include "pagi_scope.h"

/* These return false and refuse the event if it is wrong, without changing anything. The exchange
 * must not be over when they are called; it may be afterwards. */

/* Queues the head. */
bool psgi_scope_start(pTHX_ struct psgi_scope *scope, struct psgi_event *ev,
                      const struct psgi_head *head);
/* Sends an event of the response. *wait: its future must wait until there is room again. */
bool psgi_scope_send_http(pTHX_ struct psgi_scope *scope, struct psgi_event *ev, bool *wait);
bool psgi_scope_is_http_event(const struct psgi_event *ev);

/* Handles the result of a write: returns whether the writer must wait; calls on_high_water. */
bool psgi_scope_is_full(pTHX_ struct psgi_scope *scope, int rc);

/* The body is complete. */
void psgi_scope_finish(pTHX_ struct psgi_scope *scope);

/* There is room again: continues with a file handle. False: it cannot be read (errno), and is
 * released. */
bool psgi_scope_pump(pTHX_ struct psgi_scope *scope);

#endif

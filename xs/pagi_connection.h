/* pagi_connection.h - pagi.connection and pagi.transport of a PAGI application: the state of its
 * client, and how much waits to be sent. */
#ifndef SPRIG_PAGI_CONNECTION_H
#define SPRIG_PAGI_CONNECTION_H

#include "pagi_scope.h"

/* The client has left, for one of the standard reasons (static text): sets the state, settles the
 * futures of disconnect_future and runs the callbacks, in this order; the last two in a turn of
 * their own if the application is in $send or $receive. Does nothing if there already is an end. */
void psgi_scope_left(pTHX_ struct psgi_scope *scope, const char *reason);
/* Why the core lost the client: its reason, or `otherwise`; keeps the detail. */
const char *psgi_scope_loss(pTHX_ struct psgi_scope *scope, const char *otherwise);
/* Sets what disconnect_detail will say (borrowed, NULL: nothing), unless it is already set. */
void psgi_scope_keep_detail(pTHX_ struct psgi_scope *scope, SV *text);
/* The response was delivered. Like psgi_scope_left. */
void psgi_scope_served(pTHX_ struct psgi_scope *scope);

/* Something was queued, and the queue is above high_water_bytes; the queue is low again. */
void psgi_scope_high(pTHX_ struct psgi_scope *scope);
void psgi_scope_low(pTHX_ struct psgi_scope *scope);

/* ---- methods; they croak if `self` is something else ---- */

bool psgi_connection_is_connected(pTHX_ SV *self);
/* These four are owned by the caller. */
SV *psgi_connection_reason(pTHX_ SV *self);
SV *psgi_connection_detail(pTHX_ SV *self);
SV *psgi_connection_started(pTHX_ SV *self);
SV *psgi_connection_complete(pTHX_ SV *self);
SV *psgi_connection_future(pTHX_ SV *self); /* this one, too: each call makes another one */
/* Ends the connection now, with the reason app_abort; `detail` (borrowed) may be undef. */
void psgi_connection_abort(pTHX_ SV *self, SV *detail);
/* Sets a callback, also for pagi.transport. Calls it at once if the event has already happened. */
void psgi_connection_on(pTHX_ SV *self, enum psgi_scope_callback which, SV *cb);
UV psgi_transport_buffered(pTHX_ SV *self);
UV psgi_transport_mark(pTHX_ SV *self, bool is_high);

#endif

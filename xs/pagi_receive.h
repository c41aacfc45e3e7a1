/* pagi_receive.h - what a PAGI application gets from $receive. */
#ifndef SPRIG_PAGI_RECEIVE_H
#define SPRIG_PAGI_RECEIVE_H

#include "pagi_scope.h"

/* Takes the body that arrived before the application was called. Call it before Perl is entered. */
void psgi_scope_take_body(pTHX_ struct psgi_scope *scope);

/* A future for the next event, owned by the caller. */
SV *psgi_scope_receive(pTHX_ struct psgi_scope *scope);
/* The XSUB of $receive. */
XS(psgi_scope_receive_xs);

/* A piece of a streaming body. The bytes are borrowed until Perl is entered. */
void psgi_scope_body(pTHX_ struct psgi_scope *scope, struct sprig_span bytes, bool is_last);

/* Delivers an event (taken) to the first who waits, or the next who asks. */
void psgi_scope_deliver(pTHX_ struct psgi_scope *scope, SV *event);
/* Nothing more will come: tells all who wait, and lets blocked $send calls go on. */
void psgi_scope_tell_over(pTHX_ struct psgi_scope *scope);
/* Settles the futures (blocked, turns or observers) with this value (borrowed; NULL: none), and
 * sets the list to NULL: there is room again, say, or nothing is sent any more. */
void psgi_scope_settle_all(pTHX_ struct psgi_scope *scope, AV **futures, SV *value);
/* Fails them with this message (borrowed), likewise. */
void psgi_scope_fail_all(pTHX_ struct psgi_scope *scope, AV **futures, SV *message);

/* Lets a WebSocket take messages as long as not too much waits here. */
void psgi_scope_adjust(struct psgi_scope *scope);

/* { type => type }; owned by the caller. */
SV *psgi_scope_event(pTHX_ const char *type);
static inline HV *psgi_scope_fields(SV *event)
{
    return (HV *)SvRV(event);
}

#endif

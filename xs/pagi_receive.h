/* pagi_receive.h - what a PAGI application hears by $receive. */
#ifndef SPRIG_PAGI_RECEIVE_H
#define SPRIG_PAGI_RECEIVE_H

#include "pagi_scope.h"

/* Takes the body that has come before the application was called. Before Perl is entered. */
void psgi_scope_take_body(pTHX_ struct psgi_scope *scope);

/* A future for the next event, owned by the caller. */
SV *psgi_scope_receive(pTHX_ struct psgi_scope *scope);
/* The XSUB of $receive. */
XS(psgi_scope_receive_xs);

/* A piece of a body that streams. The bytes are borrowed until Perl is entered. */
void psgi_scope_body(pTHX_ struct psgi_scope *scope, struct sprig_span bytes, bool is_last);

/* An event (taken) for whoever waits first, or for the next who asks. */
void psgi_scope_deliver(pTHX_ struct psgi_scope *scope, SV *event);
/* Nothing more will come: all who wait hear that it is over, and whose $send waits may go on. */
void psgi_scope_tell_over(pTHX_ struct psgi_scope *scope);
/* The futures (blocked, turns or observers) become ready with this value (borrowed; NULL: none),
 * and the list is NULL: there is room again, say, or nothing is sent any more. */
void psgi_scope_settle_all(pTHX_ struct psgi_scope *scope, AV **futures, SV *value);
/* They fail with this message (borrowed). Likewise. */
void psgi_scope_fail_all(pTHX_ struct psgi_scope *scope, AV **futures, SV *message);

/* A WebSocket takes messages as long as not too much waits here. */
void psgi_scope_adjust(struct psgi_scope *scope);

/* { type => type }; owned by the caller. */
SV *psgi_scope_event(pTHX_ const char *type);
static inline HV *psgi_scope_fields(SV *event)
{
    return (HV *)SvRV(event);
}

#endif

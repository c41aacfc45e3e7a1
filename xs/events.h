/* events.h - server-sent events: methods of writers of a text/event-stream. */
#ifndef SPRIG_PSGI_EVENTS_H
#define SPRIG_PSGI_EVENTS_H

#include "bridge.h"

/* Like psgi_writer_write. `fields` are n names and values of an event; they may be on the Perl
 * stack. */
bool psgi_writer_event(pTHX_ SV *self, SV **fields, I32 n);
bool psgi_writer_comment(pTHX_ SV *self, SV *text);
void psgi_writer_heartbeat(pTHX_ SV *self, SV *seconds);

#endif

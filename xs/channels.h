/* channels.h - Sprig::Channel: what the methods of lib/Sprig/Channel.pm are made of. */
#ifndef SPRIG_PSGI_CHANNELS_H
#define SPRIG_PSGI_CHANNELS_H

#include "bridge.h"

/* All of them croak on misuse, before anything is changed. `self` is a reference to the hash that
 * psgi_channel_open has made a channel of; what is published there is told to on_publish. */
void psgi_channel_open(pTHX_ SV *self, SV *name, UV history);

/* `fields` are n names and values: event, id, and for deliver number. False: it could not be
 * passed on, which is logged. */
bool psgi_channel_publish(pTHX_ SV *self, SV *text, bool is_binary, SV **fields, I32 n);
/* The same for the members of this process only. */
bool psgi_channel_deliver(pTHX_ SV *self, SV *text, bool is_binary, SV **fields, I32 n);

/* False: the response is over. `fields`: since, slow, queue_bytes. */
bool psgi_channel_join(pTHX_ SV *self, SV *target, SV **fields, I32 n);
bool psgi_channel_leave(pTHX_ SV *self, SV *target);
UV psgi_channel_members(pTHX_ SV *self);
void psgi_channel_on_publish(pTHX_ SV *self, SV *cb);

#endif

/* channels.h - Sprig::Channel: the C side of the methods in lib/Sprig/Channel.pm. */
#ifndef SPRIG_PSGI_CHANNELS_H
#define SPRIG_PSGI_CHANNELS_H

#include "bridge.h"

/* All of these croak on misuse, before anything changes. `self` is a reference to the hash that
 * psgi_channel_open made a channel of; on_publish hears what is published there. */
void psgi_channel_open(pTHX_ SV *self, SV *name, UV history);

/* `fields` are n names and values: event, id, and number for deliver. False: the message could not
 * be passed on, which is logged. */
bool psgi_channel_publish(pTHX_ SV *self, SV *text, bool is_binary, SV **fields, I32 n);
/* The same, for members in this process only. */
bool psgi_channel_deliver(pTHX_ SV *self, SV *text, bool is_binary, SV **fields, I32 n);

/* False: the response is over. `fields`: since, slow, queue_bytes. */
bool psgi_channel_join(pTHX_ SV *self, SV *target, SV **fields, I32 n);
bool psgi_channel_leave(pTHX_ SV *self, SV *target);
UV psgi_channel_members(pTHX_ SV *self);
void psgi_channel_on_publish(pTHX_ SV *self, SV *cb);

#endif

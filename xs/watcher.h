/* watcher.h - AnyEvent watchers on the loop, and passes of it. */
#ifndef SPRIG_PSGI_WATCHER_H
#define SPRIG_PSGI_WATCHER_H

#include "bridge.h"

/* Runs one pass. If something leaves it early (exit, a dying %SIG handler), the loop is as it was
 * before. */
int psgi_loop_pass(pTHX_ bool block);
/* Runs passes until the hash behind a reference has the key, or the variable `other` has a value.
 */
void psgi_loop_pass_until(pTHX_ SV *ref, SV *key, SV *other);
/* Watchers are blessed references, owned by the caller; the watcher lives as long as the reference.
 * Croak on misuse. `fh`: a glob, an IO object, a reference to either, or a descriptor number. */
SV *psgi_watcher_io(pTHX_ SV *fh, int what, SV *code);
SV *psgi_watcher_timer(pTHX_ SV *after, SV *interval, SV *code);
SV *psgi_watcher_signal(pTHX_ SV *signal, SV *code); /* name with or without SIG, or number */
SV *psgi_watcher_idle(pTHX_ SV *code);

NV psgi_loop_time(pTHX); /* seconds since the epoch, now */
NV psgi_loop_now(pTHX);  /* the same, for the current pass */
/* Lets another loop drive this one through callbacks: see sprig_loop_set_interest. */
void psgi_loop_set_interest(pTHX_ SV *on_interest, SV *on_timeout);

#endif

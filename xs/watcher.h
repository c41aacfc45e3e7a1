/* watcher.h - AnyEvent watchers on the loop, and passes of it. */
#ifndef SPRIG_PSGI_WATCHER_H
#define SPRIG_PSGI_WATCHER_H

#include "bridge.h"

/* One pass. Whatever leaves it early (exit, a dying %SIG handler) finds the loop as it was before.
 */
int psgi_loop_pass(pTHX_ bool block);
/* Passes until the hash behind a reference has the key, or the variable `other` has a value. */
void psgi_loop_pass_until(pTHX_ SV *ref, SV *key, SV *other);
/* Watchers: blessed references, owned by the caller; the watcher lives as long as they do. Croak on
 * misuse. `fh`: glob, IO object, references to these, or a descriptor number. */
SV *psgi_watcher_io(pTHX_ SV *fh, int what, SV *code);
SV *psgi_watcher_timer(pTHX_ SV *after, SV *interval, SV *code);
SV *psgi_watcher_signal(pTHX_ SV *signal, SV *code); /* name without or with SIG, or number */
SV *psgi_watcher_idle(pTHX_ SV *code);

NV psgi_loop_time(pTHX); /* seconds since the epoch, as it is */
NV psgi_loop_now(pTHX);  /* the same as of the current pass */
/* Drives the loop from another one by callbacks: see sprig_loop_set_interest. */
void psgi_loop_set_interest(pTHX_ SV *on_interest, SV *on_timeout);

#endif

/* loop.h - the loop of the core in an interpreter: its hooks, Perl's signals, the log. */
#ifndef SPRIG_PSGI_LOOP_H
#define SPRIG_PSGI_LOOP_H

#include "bridge.h"

/* The loop of this interpreter, created if there is none yet; croaks if the system refuses it. */
struct sprig_loop *psgi_loop(pTHX);
/* Turns messages of the core into warnings of Perl. psgi_loop() calls it. */
void psgi_log_attach(pTHX);

/* Called by psgi_loop_pass after a pass: croaks with what a %SIG handler threw while the loop
 * waited (alarm around a blocking recv). During the pass the exception is only kept. */
void psgi_rethrow(pTHX);

#endif

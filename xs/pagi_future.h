/* pagi_future.h - the futures that a PAGI application gets from $receive and $send: objects of
 * Sprig::PAGI::Future, made and settled from C. All are owned by the caller. */
#ifndef SPRIG_PAGI_FUTURE_H
#define SPRIG_PAGI_FUTURE_H

#include "bridge.h"

/* One that is ready without a value: where nothing has to be waited for all get the same. */
SV *psgi_future_ready(pTHX);
/* Ready with this value (borrowed); failed with this message (taken); neither yet. */
SV *psgi_future_done(pTHX_ SV *value);
SV *psgi_future_failed(pTHX_ SV *message);
SV *psgi_future_new(pTHX);

/* Looks whether futures of the class Future are hashes that can be read from here, which is quicker
 * than their methods: `done`, `failed` and `cancelled` are three of them. */
void psgi_future_learn(pTHX_ SV *pending, SV *done, SV *failed, SV *cancelled);
/* Ready with a value, as far as that is to be seen without a method. */
bool psgi_future_is_plainly_done(pTHX_ SV *future);

/* It has a value, has failed or was cancelled. Of any class that looks like Future. */
bool psgi_future_is_ready(pTHX_ SV *future);
/* Gives it its value (NULL: none), unless it is ready. That may run code of the application; what
 * this dies of is owned by the caller, else NULL. */
SV *psgi_future_settle(pTHX_ SV *future, SV *value);
/* The same with what it failed with (borrowed). */
SV *psgi_future_fail(pTHX_ SV *future, SV *message);
/* Why a ready one failed; NULL: it did not. */
SV *psgi_future_failure(pTHX_ SV *future);
/* It has the methods that a future needs to be waited for. */
bool psgi_future_is_one(pTHX_ SV *sv);

#endif

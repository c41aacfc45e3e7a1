/* pagi_future.h - the futures that a PAGI application gets from $receive and $send: objects of
 * Sprig::PAGI::Future, created and settled from C. The caller owns them all. */
#ifndef SPRIG_PAGI_FUTURE_H
#define SPRIG_PAGI_FUTURE_H

#include "bridge.h"

/* A future that is ready, without a value: everybody who need not wait gets the same one. */
SV *psgi_future_ready(pTHX);
/* A future that is ready with this value (borrowed); failed with this message (taken); pending. */
SV *psgi_future_done(pTHX_ SV *value);
SV *psgi_future_failed(pTHX_ SV *message);
SV *psgi_future_new(pTHX);

/* Checks whether futures of the class Future are hashes that can be made and read from here, which
 * is faster than their methods. The four are examples; `done` and `cancelled` were settled by a
 * method. */
bool psgi_future_learn(pTHX_ SV *pending, SV *done, SV *failed, SV *cancelled);
/* What Future->done(@values) returns, if `class` is "Future"; NULL: ask the class itself. */
SV *psgi_future_of_class(pTHX_ SV *class, SV **values, int n);
/* The scalar value of a method, owned by the caller; throws its exception. */
SV *psgi_future_ask(pTHX_ SV *future, const char *method, SV **args, int n);
/* The values of a future of any class that is plainly done (borrowed); NULL: call its `result`. */
AV *psgi_future_result(pTHX_ SV *future);
/* True if it is ready with a value, as far as can be seen without a method. */
bool psgi_future_is_plainly_done(pTHX_ SV *future);

/* True if it has a value, has failed or was cancelled. For any class like Future. */
bool psgi_future_is_ready(pTHX_ SV *future);
/* Gives it its value (NULL: none), unless it is ready. That may run code of the application;
 * returns the exception, owned by the caller, or NULL. */
SV *psgi_future_settle(pTHX_ SV *future, SV *value);
/* The same with a failure (borrowed). */
SV *psgi_future_fail(pTHX_ SV *future, SV *message);
/* Why a ready future failed; NULL: it did not. */
SV *psgi_future_failure(pTHX_ SV *future);
/* True if it has the methods needed to wait for it. */
bool psgi_future_is_one(pTHX_ SV *sv);

#endif

/* promise.h - futures, condvars and promises that the app returns: awaited without blocking. */
#ifndef SPRIG_PSGI_PROMISE_H
#define SPRIG_PSGI_PROMISE_H

#include "bridge.h"

/* True if it is a Future, condvar or promise: it is then awaited, and `on_value` gets its value
 * (borrowed), unless the exchange is answered or over by then. A failure fails the exchange. Call
 * this before psgi_is_code: condvars overload &{}. */
bool psgi_promise_await(pTHX_ struct psgi_exchange *px, SV *sv, psgi_on_value *on_value);
/* Takes what a delayed callback returned. A future (such as that of an async sub) is kept alive
 * until it is ready, and its failure fails the response. Its value is ignored. */
void psgi_promise_watch(pTHX_ struct psgi_exchange *px, SV *sv);

/* Cancels the promise being awaited. False: there is none, or it has no such method. */
bool psgi_promise_cancel(pTHX_ struct psgi_exchange *px);

/* The exchange is over: cancels the promise, or at least releases it. */
void psgi_promise_forget(pTHX_ struct psgi_exchange *px);

#endif

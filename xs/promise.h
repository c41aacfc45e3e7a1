/* promise.h - futures, condvars and promises that the app returns: waited for without blocking. */
#ifndef SPRIG_PSGI_PROMISE_H
#define SPRIG_PSGI_PROMISE_H

#include "bridge.h"

/* True if it is a Future, condvar or promise: then it is waited for, and `on_value` gets its value
 * (borrowed), unless the exchange is answered or over by then. A failure fails the exchange. Ask
 * before psgi_is_code: condvars overload &{}. */
bool psgi_promise_await(pTHX_ struct psgi_exchange *px, SV *sv, psgi_on_value *on_value);
/* What a delayed callback returned: if it is a future (such as that of an async sub), it is kept
 * alive until it is ready, and its failure is a failure of the response. Its value is ignored. */
void psgi_promise_watch(pTHX_ struct psgi_exchange *px, SV *sv);

/* Cancels the promise that is waited for. False: there is none, or it has no such method. */
bool psgi_promise_cancel(pTHX_ struct psgi_exchange *px);

/* The exchange is over: cancels the promise, or at least lets go of it. */
void psgi_promise_forget(pTHX_ struct psgi_exchange *px);

#endif

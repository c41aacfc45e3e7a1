/* stream.h - what the files of delayed and streaming responses share, and what Stream.xs calls. */
#ifndef SPRIG_STREAM_H
#define SPRIG_STREAM_H

#include "bridge.h"

/* ---- lazyvalue.c ---- */

enum psgi_lazy { PSGI_LAZY_SOCKET, PSGI_LAZY_WRITER_HANDLE, PSGI_LAZY_RAISER };

/* A scalar that gets its value when it is first read. Owned by the caller. */
SV *psgi_lazy_new(pTHX_ struct psgi_exchange *px, enum psgi_lazy what);
/* Takes one that nobody has looked at off its exchange, to give it to another. False: it is not as
 * it was made. */
bool psgi_lazy_park(pTHX_ SV *sv, struct psgi_exchange *px);
/* Gives a parked one to an exchange. False: it is none. */
bool psgi_lazy_reuse(pTHX_ SV *sv, struct psgi_exchange *px);

/* How they are made (socket.c, writer.c, raiser.c): owned by the caller, NULL for undef. */
SV *psgi_socket_make(pTHX_ struct psgi_exchange *px);
SV *psgi_writer_handle_make(pTHX_ struct psgi_exchange *px);
SV *psgi_raiser_make(pTHX_ struct psgi_exchange *px);

/* ---- raiser.c ---- */

/* The exchange is over: its psgix.raise can only warn, or, where the client left, does nothing. */
void psgi_raiser_sever(pTHX_ struct psgi_exchange *px, bool is_gone);

/* ---- responder.c ---- */

/* A responder or writer went away: on_notify will come and psgi_stream_notified settle it. Legal in
 * destructors. */
void psgi_stream_dropped(pTHX_ struct psgi_exchange *px);

/* Reports the error and fails the exchange (500, or aborted if the head is out), unless its
 * response is complete already. */
void psgi_stream_fail(pTHX_ struct psgi_exchange *px, SV *error);

void psgi_responder_raise(pTHX_ SV *self, SV *error);

/* ---- writer.c ---- */

/* A writer whose writes go nowhere: for a response that cannot be sent any more. The responder
 * knows whether the client left. Owned by the caller. */
SV *psgi_writer_new_severed(pTHX_ const struct psgi_handle *responder);

/* From now on writers are blessed into this class, which should inherit from Sprig::Writer. */
void psgi_writer_set_class(pTHX_ SV *name);

/* Part of psgi_stream_gone, psgi_stream_notified and psgi_stream_ended. */
void psgi_writer_gone(pTHX_ struct psgi_exchange *px);
void psgi_writer_notified(pTHX_ struct psgi_exchange *px);
void psgi_writer_ended(pTHX_ struct psgi_exchange *px, bool is_gone);

/* The methods. They croak if `self` is no writer, or on misuse, before anything is changed. */

/* Writes all values or none. False: the queue is above the high-water mark (what was written is
 * queued all the same), or nobody is there to read it. The values may be those of the Perl stack.
 */
bool psgi_writer_write(pTHX_ SV *self, SV **values, I32 n);
void psgi_writer_close(pTHX_ SV *self);
void psgi_writer_flush(pTHX_ SV *self);
UV psgi_writer_buffered(pTHX_ SV *self);
/* psgix.io of the request, or undef. Owned by the caller. */
SV *psgi_writer_socket(pTHX_ SV *self);

/* Callbacks; an undefined one removes. Called with the writer. */
void psgi_writer_on_drain(pTHX_ SV *self, SV *cb);
void psgi_writer_on_disconnect(pTHX_ SV *self, SV *cb);
void psgi_writer_poll_cb(pTHX_ SV *self, SV *cb);

/* ---- reader.c ---- */

/* psgix.input.reader, owned by the caller. */
SV *psgi_reader_new(pTHX_ struct psgi_exchange *px);
/* From on_body; the bytes are copied first. */
void psgi_reader_body(pTHX_ struct psgi_exchange *px, struct sprig_span bytes, bool is_last);
/* Part of psgi_stream_notified and psgi_stream_ended. */
void psgi_reader_notified(pTHX_ struct psgi_exchange *px);
void psgi_reader_ended(pTHX_ struct psgi_exchange *px, enum sprig_end why);

/* The methods, as those of writers. */
void psgi_reader_on_data(pTHX_ SV *self, SV *cb);
void psgi_reader_on_end(pTHX_ SV *self, SV *cb);
void psgi_reader_on_error(pTHX_ SV *self, SV *cb);
void psgi_reader_pause(pTHX_ SV *self, bool is_paused);

/* ---- promise.c ---- */

/* What a delayed callback returned: if it is a future (such as that of an async sub), it is kept
 * alive until it is ready, and its failure is a failure of the response. Its value is ignored. */
void psgi_promise_watch(pTHX_ struct psgi_exchange *px, SV *sv);

/* Cancels the promise that is waited for. False: there is none, or it has no such method. */
bool psgi_promise_cancel(pTHX_ struct psgi_exchange *px);

/* The exchange is over: cancels the promise, or at least lets go of it. */
void psgi_promise_forget(pTHX_ struct psgi_exchange *px);

/* ---- socket.c ---- */

/* Leaves the connection to the app: its handle has a descriptor of its own, ours is closed. */
void psgi_socket_hand_over(pTHX_ struct psgi_exchange *px);

#endif

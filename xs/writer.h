/* writer.h - Sprig::Writer: a response's body, written piece by piece. */
#ifndef SPRIG_PSGI_WRITER_H
#define SPRIG_PSGI_WRITER_H

#include "bridge.h"

SV *psgi_writer_new(pTHX_ struct psgi_exchange *px); /* Sprig::Writer, owned by the caller */
/* A writer whose writes go nowhere, for a response that can no longer be sent. The responder knows
 * whether the client left. Owned by the caller. */
SV *psgi_writer_new_severed(pTHX_ const struct psgi_handle *responder);

/* From now on blesses writers into this class, which should inherit from Sprig::Writer. */
void psgi_writer_set_class(pTHX_ SV *name);

/* From on_drain, on_gone, on_notify and on_end. The last severs it and drops its callbacks; it and
 * `gone` call on_disconnect. */
void psgi_writer_drained(pTHX_ struct psgi_exchange *px);
void psgi_writer_gone(pTHX_ struct psgi_exchange *px);
void psgi_writer_notified(pTHX_ struct psgi_exchange *px);
void psgi_writer_ended(pTHX_ struct psgi_exchange *px, bool is_gone);

/* The methods. They croak if `self` is not a writer, or on misuse, before anything changes. */

/* Writes all values or none. False: the queue is above the high-water mark (the values are queued
 * all the same), or nobody is there to read. The values may be on the Perl stack. */
bool psgi_writer_write(pTHX_ SV *self, SV **values, I32 n);
/* The same for bytes that are at hand. */
bool psgi_writer_send(pTHX_ SV *self, const char *method, struct sprig_span bytes);
/* The exchange that its writes go to; NULL: nowhere any more. Croaks if it is not a writer. */
struct psgi_exchange *psgi_writer_exchange(pTHX_ SV *self, const char *method);
void psgi_writer_close(pTHX_ SV *self);
void psgi_writer_flush(pTHX_ SV *self);
UV psgi_writer_buffered(pTHX_ SV *self);
/* psgix.io of the request, or undef. Owned by the caller. */
SV *psgi_writer_socket(pTHX_ SV *self);

/* Sets callbacks, called with the writer; an undefined one removes it. */
void psgi_writer_on_drain(pTHX_ SV *self, SV *cb);
void psgi_writer_on_disconnect(pTHX_ SV *self, SV *cb);
void psgi_writer_poll_cb(pTHX_ SV *self, SV *cb);

#endif

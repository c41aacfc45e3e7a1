/* reader.h - Sprig::Reader: a request's body while it arrives (psgix.input.reader). */
#ifndef SPRIG_PSGI_READER_H
#define SPRIG_PSGI_READER_H

#include "bridge.h"

/* psgix.input.reader, owned by the caller. */
SV *psgi_reader_new(pTHX_ struct psgi_exchange *px);
/* From on_body; copies the bytes first. */
void psgi_reader_body(pTHX_ struct psgi_exchange *px, struct sprig_span bytes, bool is_last);
/* From on_notify and on_end. */
void psgi_reader_notified(pTHX_ struct psgi_exchange *px);
void psgi_reader_ended(pTHX_ struct psgi_exchange *px, enum sprig_end why);

/* The methods, like those of writers. */
void psgi_reader_on_data(pTHX_ SV *self, SV *cb);
void psgi_reader_on_end(pTHX_ SV *self, SV *cb);
void psgi_reader_on_error(pTHX_ SV *self, SV *cb);
void psgi_reader_pause(pTHX_ SV *self, bool is_paused);

#endif

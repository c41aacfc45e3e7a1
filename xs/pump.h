/* pump.h - a body that is read by getline while it is sent. */
#ifndef SPRIG_PSGI_PUMP_H
#define SPRIG_PSGI_PUMP_H

#include "bridge.h"

/* Takes on a body (borrowed; counted until the end of the exchange) whose close must be called
 * exactly once. `is_reading`: it is read by getline and sent, starting with psgi_pump_run;
 * otherwise it only has to be closed at the end. */
void psgi_pump_new(pTHX_ struct psgi_exchange *px, SV *body, bool is_reading);
void psgi_pump_run(pTHX_ struct psgi_exchange *px);  /* also from on_drain */
void psgi_pump_free(pTHX_ struct psgi_exchange *px); /* closes the body, exactly once */

/* True if no layer changes the file's bytes: no :utf8, :crlf, :gzip, :encoding. */
bool psgi_has_plain_layers(PerlIO *file);

#endif

/* options.h - the options of a server, from a hash of Perl. */
#ifndef SPRIG_PSGI_OPTIONS_H
#define SPRIG_PSGI_OPTIONS_H

#include "bridge.h"

/* NULL, or what is wrong with the options (owned by the caller). Unknown keys are not looked at. */
SV *psgi_options_check(pTHX_ HV *options);
/* Reads them into a configuration of the caller's that sprig_config_init has made; returns as
 * psgi_options_check. */
SV *psgi_options_read(pTHX_ struct sprig_config *config, HV *options);
/* Reads them with the file of the option config anew; *config is to be cleared. What cannot change
 * in a running server is as in *before, also in what is read later on (the file is the same for all
 * servers of the process); `kept` gets the names of those that differ. < 0: `why` (n bytes each),
 * and the file counts as it was before. */
int psgi_options_reload(pTHX_ struct sprig_config *config, HV *options,
                        const struct sprig_config *before, char *kept, char *why, size_t n);
/* What an option is, also if the hash does not name it; owned by the caller. Croaks. */
SV *psgi_options_get(pTHX_ HV *options, const char *name);
/* True if the hash has a true value for that key. */
bool psgi_options_flag(pTHX_ HV *options, const char *name);

/* Options of an address, by their names (listen_spec.h): puts them into a hash, and reads them. */
void psgi_options_store_listen(pTHX_ HV *hv, struct sprig_listen_options *options);
struct sprig_listen_options psgi_options_read_listen(pTHX_ HV *hv);

#endif

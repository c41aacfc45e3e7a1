/* options.h - a server's options, from a Perl hash. */
#ifndef SPRIG_PSGI_OPTIONS_H
#define SPRIG_PSGI_OPTIONS_H

#include "bridge.h"

/* Returns NULL, or what is wrong with the options (owned by the caller). Ignores unknown keys. */
SV *psgi_options_check(pTHX_ HV *options);
/* Reads them into the caller's configuration, which sprig_config_init has made; returns the same as
 * psgi_options_check. */
SV *psgi_options_read(pTHX_ struct sprig_config *config, HV *options);
/* Reads the options again, including the file of the option config; the caller clears *config.
 * Options that cannot change in a running server stay as in *before, also in later reads (all
 * servers of the process share the file); `kept` gets the names of those that differ. < 0: `why`
 * says what is wrong (n bytes each), and the file counts as it was before. */
int psgi_options_reload(pTHX_ struct sprig_config *config, HV *options,
                        const struct sprig_config *before, char *kept, char *why, size_t n);
/* The value of an option, even if the hash does not name it; owned by the caller. Croaks. */
SV *psgi_options_get(pTHX_ HV *options, const char *name);
/* True if the hash has a true value for that key. */
bool psgi_options_flag(pTHX_ HV *options, const char *name);

/* An address's options, by name (listen_spec.h): stores them in a hash, and reads them. */
void psgi_options_store_listen(pTHX_ HV *hv, struct sprig_listen_options *options);
struct sprig_listen_options psgi_options_read_listen(pTHX_ HV *hv);

#endif

/* place.h - where Perl is, asked from another thread. */
#ifndef SPRIG_PSGI_PLACE_H
#define SPRIG_PSGI_PLACE_H

#include "bridge.h"

/* Has the watchdog of the loop (sprig_watchdog_start) look at this interpreter, with the options of
 * this server. */
void psgi_watchdog_start(pTHX_ const struct sprig_config *config);

#endif

/* place.h - tells another thread where Perl is. */
#ifndef SPRIG_PSGI_PLACE_H
#define SPRIG_PSGI_PLACE_H

#include "bridge.h"

/* Lets the loop's watchdog (sprig_watchdog_start) watch this interpreter, with this server's
 * options. */
void psgi_watchdog_start(pTHX_ const struct sprig_config *config);

#endif

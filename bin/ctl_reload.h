/* ctl_reload.h - "sprig ctl reload --wait". */
#ifndef SPRIG_CTL_RELOAD_H
#define SPRIG_CTL_RELOAD_H

#include "ctl_http.h"

/* Reloads, and returns 0 once all workers run the new code; EXIT_FAILURE if the old ones stay, or
 * CTL_UNREACHABLE. */
int ctl_reload_wait(const struct ctl_server *server);

#endif

/* banner.h - the line that says where a program listens. */
#ifndef SPRIG_BANNER_H
#define SPRIG_BANNER_H

#include "sprig.h"

/* Prints "sprig 0.001: http://[::1]:5000/ (2 workers, deployment)" on standard error, with
 * "unix:/path" instead of the URL for a unix socket. Never waits for a reader. */
void sprig_banner_print(const struct sprig_address *address, uint32_t n_workers, const char *env);

#endif

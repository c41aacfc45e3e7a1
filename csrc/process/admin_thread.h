/* admin_thread.h - the admin listener of a single process: a C thread of its own, which answers
 * even while Perl keeps the event loop. */
#ifndef SPRIG_ADMIN_THREAD_H
#define SPRIG_ADMIN_THREAD_H

#include "base/config.h"
#include "sprig.h"

/* Opens the listener of config->admin (copied) and starts the thread. Does nothing if there is one
 * already or no address is given. From now on this process counts on a board. The thread blocks all
 * signals and ends with the process; a forked child has neither it nor its sockets. Returns 0, or <
 * 0 and `why` (n bytes). */
int sprig_admin_start(struct sprig_loop *loop, const struct sprig_config *config, char *why,
                      size_t n);

/* Ends it and removes its unix path. Harmless if there is none. */
void sprig_admin_stop(void);

#endif

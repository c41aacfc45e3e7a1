/* dev.h - sprig --dev in the master: one worker, which is replaced when files change.
 *
 * On a change the serving worker leaves at once, and new clients wait in the queue of the listening
 * socket until the next worker is there. Code that cannot be loaded is served as well, by a worker
 * that explains the error. If one dies while it loads, the next one only says why. Lines "watch
 * PATH" of the worker name the files it has loaded. */
#ifndef DEV_H
#define DEV_H

#include "process/processes.h"
#include <poll.h>

struct dev;

enum { DEV_MAX_POLL = 2 };

/* For the option dev. NULL: no memory. */
struct dev *dev_new(const struct sprig_config *config);
void dev_free(struct dev *d);

/* The descriptors to wait for; returns their number, at most DEV_MAX_POLL. */
size_t dev_poll(const struct dev *d, struct pollfd *fds);

/* When dev_run has something to do even without them, by clock_ms. */
uint64_t dev_next(const struct dev *d);

/* Checks files and keys, and replaces the worker if something has changed. */
void dev_run(struct sprig_master *m);

/* The worker says that it has loaded the file. */
void dev_watch(struct dev *d, const struct process *p, const char *path);

/* The serving worker leaves now rather than when the next one is ready. */
void dev_hold(struct sprig_master *m);

/* The worker serves. */
void dev_ready(struct sprig_master *m, const struct process *p);

/* The worker died before it was ready; the text says why. True if the next one starts soon and
 * explains that. False if this was the one that should have explained, and nobody has ever served.
 */
bool dev_failed(struct sprig_master *m, const struct process *p, const char *text);

/* In a new worker: the text it has to explain instead of serving, owned by the caller; NULL if it
 * serves. */
char *dev_take_failure(struct dev *d);

/* The number of watched files that exist, and whether there are keys. */
size_t dev_count(const struct dev *d);
bool dev_has_keys(void);

#endif

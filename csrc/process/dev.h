/* dev.h - development inside the master: one worker, which is replaced when files change.
 *
 * With a change the worker that serves leaves at once, and clients that come wait in the queue of
 * the listening socket until the next worker is there. What cannot be loaded is served as well: by
 * a worker that explains it. One that dies while it loads is followed by one that only tells why.
 *
 * Lines "watch PATH" of the worker say which files it has loaded. */
#ifndef DEV_H
#define DEV_H

#include "process/processes.h"
#include <poll.h>

struct dev;

enum { DEV_MAX_POLL = 2 };

/* For the option dev. NULL: no memory. */
struct dev *dev_new(const struct sprig_config *config);
void dev_free(struct dev *d);

/* Descriptors to wait for; their number, at most DEV_MAX_POLL. */
size_t dev_poll(const struct dev *d, struct pollfd *fds);

/* When dev_run has something to do without them, by clock_ms. */
uint64_t dev_next(const struct dev *d);

/* Looks at files and keys; replaces the worker if something has changed. */
void dev_run(struct sprig_master *m);

/* The worker says that it has loaded the file. */
void dev_watch(struct dev *d, const struct process *p, const char *path);

/* The worker that serves leaves now, and not when the next one is ready. */
void dev_hold(struct sprig_master *m);

/* The worker serves. */
void dev_ready(struct sprig_master *m, const struct process *p);

/* It has died before that, for the reason of the text. True: the next one starts soon, and
 * explains that. False: this was the one that should have explained, and nobody has ever served. */
bool dev_failed(struct sprig_master *m, const struct process *p, const char *text);

/* In a new worker: what it has to explain in place of serving, owned by the caller; NULL: it
 * serves. */
char *dev_take_failure(struct dev *d);

/* The number of watched files that are there, and whether there are keys. */
size_t dev_count(const struct dev *d);
bool dev_has_keys(void);

#endif

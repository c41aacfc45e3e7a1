/* watcher.h - what a pass needs to know of the watchers that sprig.h offers to the bridge. */
#ifndef SPRIG_WATCHER_H
#define SPRIG_WATCHER_H

#include "base/list.h"
#include <stdbool.h>
#include <stddef.h>

struct sprig_loop;
struct watched_fd;

/* Embedded in struct sprig_loop as `watchers`. */
struct watcher_lists {
    struct watched_fd **by_fd; /* owned array of owned entries, NULL where nothing is watched */
    size_t n_fds;              /* length of the array */
    struct list_link always;   /* of struct watched_fd: the kernel cannot poll them (EPERM) */
    struct list_link idles;    /* of struct sprig_idle */
};

void watcher_lists_init(struct watcher_lists *lists);
void watcher_lists_clear(struct watcher_lists *lists); /* nothing may be watched any more */

/* Descriptors that are always ready are watched: a pass must not sleep, and after polling it calls
 * always_queue. */
bool always_any(const struct sprig_loop *loop);
void always_queue(struct sprig_loop *loop);

/* While idle_any, a pass must not sleep; idle_queue_all appends them all and is called in a pass
 * whose ready queue is empty after polling. */
bool idle_any(const struct sprig_loop *loop);
void idle_queue_all(struct sprig_loop *loop);

/* A new file of ours stands behind this number: whoever watches it still, watches one that was
 * closed. Without this libevent would take the registration of the old file for one of the new. To
 * be called before the first loop_event_add of an accepted socket. */
void watcher_forget_fd(struct sprig_loop *loop, int fd);

#endif

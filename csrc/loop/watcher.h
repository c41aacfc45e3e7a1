/* watcher.h - what a pass needs to know about the watchers that sprig.h offers to the bridge. */
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

/* True if descriptors are watched that are always ready: a pass must not sleep, and calls
 * always_queue after polling. */
bool always_any(const struct sprig_loop *loop);
void always_queue(struct sprig_loop *loop);

/* While idle_any, a pass must not sleep; idle_queue_all appends them all and is called in a pass
 * whose ready queue is empty after polling. */
bool idle_any(const struct sprig_loop *loop);
void idle_queue_all(struct sprig_loop *loop);

/* This number now belongs to a new file of ours, and whoever still watches it watches a closed one.
 * Without this call, libevent would take the old file's registration for the new one's. Call it
 * before the first loop_event_add of an accepted socket. */
void watcher_forget_fd(struct sprig_loop *loop, int fd);

#endif

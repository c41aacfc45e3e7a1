/* retire.h - notices when a process has served long enough, so that its master replaces it. */
#ifndef SPRIG_RETIRE_H
#define SPRIG_RETIRE_H

#include "loop/loop.h"

struct sprig_server;

/* Embedded in a server. Each limit is varied at random by up to a tenth, so that workers that
 * started together do not retire together: max_requests and max_lifetime are lower bounds, max_rss
 * is an upper bound. */
struct retire {
    uint64_t at_request; /* counters.n_requests; 0: never */
    uint64_t at_rss;     /* bytes; 0: never */
    uint64_t at_ns;      /* of the loop's time; 0: never */
    struct timer timer;  /* looks at the last two */
    struct ready ready;  /* tells on_retire, once */
    const char *why;     /* an option; NULL: not yet */
};

/* How often memory is checked. What leaks more than a tenth of the limit in that time is noticed
 * late. */
enum { RETIRE_LOOK_MS = 250 };

void retire_init(struct sprig_server *server);
void retire_configure(struct sprig_server *server);
void retire_clear(struct sprig_server *server);

/* For that reason; told once. */
void retire_now(struct sprig_server *server, const char *why);

#endif

/* watchdog.h - a thread that notices when Perl keeps the event loop, and says where.
 *
 * The loop tells when a pass begins and when it sleeps (busy_since_ns of base/stats.h). The thread
 * looks at that a few times a second while something happens, and sleeps while nothing does. It has
 * all signals blocked, sends none to the thread of Perl (their system calls are not interrupted),
 * takes no lock of it and writes to nothing that is Perl's; what it reads of Perl it reads by peek
 * (base/peek.h). */
#ifndef SPRIG_WATCHDOG_H
#define SPRIG_WATCHDOG_H

#include "sprig.h"

#include <stdatomic.h>

/* The thread sleeps, or there is none yet: the next pass has to call watchdog_wake. */
extern _Atomic bool watchdog_sleeps;

/* A pass begins: starts the thread if this process has none. */
void watchdog_wake(void);

/* A pass has taken so long: counts, and tells the end of what was told. True: it has told
 * something, by log_later. */
bool watchdog_pass_over(uint64_t ns);

/* From so many ns on it is a block; UINT64_MAX: never. */
extern uint64_t watchdog_limit_ns;

#endif

/* watchdog.h - a thread that notices when Perl keeps the event loop, and says where.
 *
 * The loop records when a pass begins and when it sleeps (busy_since_ns in base/stats.h). The
 * thread looks at that a few times a second while something happens, and sleeps otherwise. It
 * blocks all signals, sends none to the thread of Perl (whose system calls are not interrupted),
 * takes none of its locks and writes to none of its memory. It reads Perl's memory by peek
 * (base/peek.h). */
#ifndef SPRIG_WATCHDOG_H
#define SPRIG_WATCHDOG_H

#include "sprig.h"

#include <stdatomic.h>

/* True if the thread sleeps or does not exist yet: the next pass must call watchdog_wake. */
extern _Atomic bool watchdog_sleeps;

/* A pass begins. Starts the thread if this process has none. */
void watchdog_wake(void);

/* A pass took this long: counts it, and reports the end of a block that was reported. True if it
 * logged something, by log_later. */
bool watchdog_pass_over(uint64_t ns);

/* From so many ns on it is a block; UINT64_MAX: never. */
extern uint64_t watchdog_limit_ns;

#endif

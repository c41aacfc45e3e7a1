/* processors.h - how many processors this process may use. */
#ifndef SPRIG_PROCESSORS_H
#define SPRIG_PROCESSORS_H

#include <stdint.h>

/* Those of its CPU affinity, or fewer where a quota of its cgroup (v1 or v2, also one further up)
 * allows less time than they have; parts of a processor are rounded up. At least 1. */
uint32_t processors_available(void);

/* The same of the quota alone; UINT32_MAX: none. `root` stands before /proc and /sys, for tests. */
uint32_t processors_of_cgroup(const char *root);

#endif

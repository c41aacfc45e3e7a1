/* processors.h - how many processors this process may use. */
#ifndef SPRIG_PROCESSORS_H
#define SPRIG_PROCESSORS_H

#include <stdint.h>

/* The number in its CPU affinity, or fewer if a quota of its cgroup (v1 or v2, or one further up)
 * allows less time than that; fractions are rounded up. At least 1. */
uint32_t processors_available(void);

/* The same for the quota alone; UINT32_MAX if there is none. `root` is put before /proc and /sys,
 * for tests. */
uint32_t processors_of_cgroup(const char *root);

#endif

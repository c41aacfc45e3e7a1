/* budget.h - limits how often something may happen: so many times at once, and so many per second.
 * Pure. */
#ifndef SPRIG_H2_BUDGET_H
#define SPRIG_H2_BUDGET_H

#include "base/clock.h"
#include <stdbool.h>
#include <stdint.h>

struct h2_budget {
    uint32_t left, most;
    uint32_t per_second; /* how many come back per second, up to `most` */
    uint64_t since_ns;   /* when they last came back */
};

/* most 0: no limit. */
static inline void h2_budget_init(struct h2_budget *b, uint32_t most, uint32_t per_second,
                                  uint64_t now)
{
    *b = (struct h2_budget){most, most, per_second, now};
}

static inline void h2_budget_earn(struct h2_budget *b, uint32_t n)
{
    b->left = b->most - b->left > n ? b->left + n : b->most;
}

/* False: nothing is left to spend. */
static inline bool h2_budget_spend(struct h2_budget *b, uint64_t now)
{
    uint64_t seconds = (now - b->since_ns) / NS_PER_S;
    if (seconds > 0) {
        uint64_t n = seconds * b->per_second;
        h2_budget_earn(b, n < UINT32_MAX ? (uint32_t)n : UINT32_MAX);
        b->since_ns += seconds * NS_PER_S;
    }
    if (b->most == 0)
        return true;
    if (b->left == 0)
        return false;
    b->left--;
    return true;
}

#endif

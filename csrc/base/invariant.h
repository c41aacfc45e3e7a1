/* invariant.h - conditions that only a bug of ours can break. */
#ifndef SPRIG_INVARIANT_H
#define SPRIG_INVARIANT_H

#include <stdbool.h>

/* True if the condition holds. Otherwise a development build (SPRIG_DEV) aborts; other builds log
 * it and go on, and the caller then does the least harmful thing, usually to give up this one
 * connection.
 *
 *     if (!INVARIANT(c->pins > 0)) return;
 *
 * Never enters Perl: see log_later. */
#define INVARIANT(condition)                                                                       \
    (__builtin_expect(!!(condition), 1) || invariant_broken(#condition, __FILE__, __LINE__))

/* Logs "internal error", or aborts. Always false. */
bool invariant_broken(const char *condition, const char *file, int line)
    __attribute__((cold, noinline));

/* Sets whether a broken invariant aborts, and returns the previous setting. For tests. */
bool invariant_set_fatal(bool is_fatal);

#endif

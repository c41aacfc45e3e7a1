/* invariant.h - conditions that only a mistake of ours can break. */
#ifndef SPRIG_INVARIANT_H
#define SPRIG_INVARIANT_H

#include <stdbool.h>

/* True if the condition holds. Where it does not, a development build (SPRIG_DEV) aborts; others
 * log it and go on: whoever asks then does what harms least, mostly to give up this one connection.
 *
 *     if (!INVARIANT(c->pins > 0))
 *         return;
 *
 * Never enters Perl: see log_later. */
#define INVARIANT(condition)                                                                       \
    (__builtin_expect(!!(condition), 1) || invariant_broken(#condition, __FILE__, __LINE__))

/* Logs "internal error", or aborts. Always false. */
bool invariant_broken(const char *condition, const char *file, int line)
    __attribute__((cold, noinline));

/* Whether a broken invariant aborts; returns what it was before. For tests. */
bool invariant_set_fatal(bool is_fatal);

#endif

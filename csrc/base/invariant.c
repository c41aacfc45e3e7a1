/* invariant.c - what happens when Sprig finds a bug in itself; see invariant.h */
#include "base/invariant.h"
#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>

#ifdef SPRIG_DEV
static bool aborts = true;
#else
static bool aborts;
#endif

bool invariant_set_fatal(bool is_fatal)
{
    bool was_fatal = aborts;
    aborts = is_fatal;
    return was_fatal;
}

bool invariant_broken(const char *condition, const char *file, int line)
{
    if (aborts) {
        fprintf(stderr, "sprig: internal error at %s:%d: not so: %s\n", file, line, condition);
        abort();
    }
    log_later(SPRIG_LOG_ERROR, "internal error at %s:%d, please report it: assertion failed: %s",
              file, line, condition);
    return false;
}

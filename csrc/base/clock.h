/* clock.h - clocks in nanoseconds, and how to print a time.
 *
 * Use the monotonic clock for durations: it starts anywhere, never goes back, and is the same for
 * all processes of the machine. The real-time clock counts from 1970 and may be set. The coarse
 * clocks lag some milliseconds behind and cost next to nothing: no system call, no access to the
 * hardware. */
#ifndef SPRIG_CLOCK_H
#define SPRIG_CLOCK_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

#ifdef CLOCK_MONOTONIC_COARSE
#define CLOCK_MONOTONIC_CHEAP CLOCK_MONOTONIC_COARSE
#define CLOCK_REAL_CHEAP      CLOCK_REALTIME_COARSE
#else
#define CLOCK_MONOTONIC_CHEAP CLOCK_MONOTONIC
#define CLOCK_REAL_CHEAP      CLOCK_REALTIME
#endif

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t clock_real_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

/* "2026-11-30T04:46:34.123Z" (RFC 3339) and a NUL; returns the length. */
enum { CLOCK_TEXT_BYTES = 40 };
static inline size_t clock_print(uint64_t real_ns, char *buf)
{
    time_t seconds = (time_t)(real_ns / NS_PER_S);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL)
        tm = (struct tm){.tm_mday = 1, .tm_year = 70};
    size_t n = strftime(buf, CLOCK_TEXT_BYTES - 8, "%Y-%m-%dT%H:%M:%S", &tm);
    int ms = (int)(real_ns % NS_PER_S / NS_PER_MS);
    return n + (size_t)snprintf(buf + n, CLOCK_TEXT_BYTES - n, ".%03dZ", ms);
}

#endif

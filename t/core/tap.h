/* tap.h - just enough of the Test Anything Protocol for the tests of the core. */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_n_run, tap_n_failed;

__attribute__((format(printf, 2, 0))) static inline bool tap_report(bool passed, const char *fmt,
                                                                    va_list args)
{
    tap_n_run++;
    tap_n_failed += !passed;
    printf("%sok %d - ", passed ? "" : "not ", tap_n_run);
    vprintf(fmt, args);
    putchar('\n');
    return passed;
}

/* A line for the reader of a failure. */
__attribute__((format(printf, 1, 2))) static inline void diag(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("# ", stdout);
    vprintf(fmt, args);
    putchar('\n');
    va_end(args);
}

__attribute__((format(printf, 2, 3))) static inline bool ok(bool passed, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tap_report(passed, fmt, args);
    va_end(args);
    return passed;
}

__attribute__((format(printf, 3, 4))) static inline bool is_int(long long got, long long expected,
                                                                const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (!tap_report(got == expected, fmt, args))
        diag("got %lld, expected %lld", got, expected);
    va_end(args);
    return got == expected;
}

/* The first n bytes of got are those of the string. */
__attribute__((format(printf, 4, 5))) static inline bool
is_bytes(const char *got, size_t n, const char *expected, const char *fmt, ...)
{
    bool same = n == strlen(expected) && (n == 0 || memcmp(got, expected, n) == 0);
    va_list args;
    va_start(args, fmt);
    if (!tap_report(same, fmt, args))
        diag("got '%.*s', expected '%s'", (int)n, n ? got : "", expected);
    va_end(args);
    return same;
}

#define is_str(got, ...)  is_bytes((got), strlen(got), __VA_ARGS__)
#define is_span(got, ...) is_bytes((got).ptr, (got).len, __VA_ARGS__)

/* Prints the plan; the value for main() to return. */
static inline int done_testing(void)
{
    printf("1..%d\n", tap_n_run);
    if (tap_n_failed)
        diag("%d of %d failed", tap_n_failed, tap_n_run);
    return tap_n_failed != 0;
}

#endif

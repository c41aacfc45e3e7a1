/* log_print.c - messages on standard error; see log.h */
#include "base/log.h"
#include "base/log_target.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint32_t worker_number;
static uint64_t n_lost; /* lines, since one could be written */

void sprig_log_set_worker(uint32_t number)
{
    worker_number = number;
}

/* "2026-11-30T04:46:34.123Z [1234 worker 2] "; nothing for a terminal, where somebody looks on. */
static size_t print_origin(char *buf, size_t n)
{
    struct timespec now;
    struct tm tm;
    char worker[24] = "";
    buf[0] = '\0';
    if (isatty(STDERR_FILENO))
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    if (worker_number > 0)
        snprintf(worker, sizeof worker, " worker %u", worker_number);
    size_t len = strftime(buf, n, "%Y-%m-%dT%H:%M:%S", &tm);
    return len + (size_t)snprintf(buf + len, n - len, ".%03dZ [%ld%s] ",
                                  (int)(now.tv_nsec / 1000000), (long)getpid(), worker);
}

/* A line about lost ones goes before the first that can be written again. */
static void tell_lost(const char *origin)
{
    char line[160];
    int len = snprintf(line, sizeof line, "%ssprig: %llu messages lost: nobody read them\n", origin,
                       (unsigned long long)n_lost);
    if (len > 0 && log_target_write_to(STDERR_FILENO, line, (size_t)len))
        n_lost = 0;
}

bool sprig_log_print_text(const char *text, size_t n)
{
    char origin[96];
    if (n_lost > 0) {
        print_origin(origin, sizeof origin);
        tell_lost(origin);
    }
    if (n_lost == 0 && log_target_write_to(STDERR_FILENO, text, n))
        return true;
    n_lost++;
    return false;
}

void sprig_log_print(const char *message)
{
    char line[96 + SPRIG_PRINT_BYTES + 16];
    size_t len = print_origin(line, 96);
    len += (size_t)snprintf(line + len, sizeof line - len, "sprig: %.*s\n", (int)SPRIG_PRINT_BYTES,
                            message);
    sprig_log_print_text(line, len);
}

/* log_test.c - levels, holding, and escaping of what clients sent. */
#include "base/log.h"
#include "tap.h"
#include <stdlib.h>

static char seen[64 * 1024]; /* "level:message|" for each */
static int n_seen;

static void sink(enum sprig_log_level level, const char *message, void *arg)
{
    size_t n = strlen(seen);
    n_seen++;
    snprintf(seen + n, sizeof seen - n, "%d:%s|", (int)level, message);
    if (arg)
        ++*(int *)arg;
}

static void reset(void)
{
    seen[0] = '\0';
    n_seen = 0;
}

static void test_levels(void)
{
    static int n; /* the sink stays set */
    sprig_log(SPRIG_LOG_ERROR, "nobody listens");
    sprig_log_set_sink(sink, SPRIG_LOG_WARN, &n);
    sprig_log(SPRIG_LOG_INFO, "below");
    sprig_log(SPRIG_LOG_WARN, "a %s %d", "b", 3);
    sprig_log(SPRIG_LOG_ERROR, "c");
    is_str(seen, "2:a b 3|3:c|", "from the lowest level on");
    is_int(n, 2, "the argument comes along");
    reset();
    sprig_log(SPRIG_LOG_WARN, "two\nlines\r\n");
    is_str(seen, "2:two lines  |", "a message is one line");
    reset();
    sprig_log(SPRIG_LOG_WARN, "\033[2J\tf\303\274r\177");
    is_str(seen, "2: [2J f\303\274r |", "without power over a terminal");
    reset();
    char big[3000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    sprig_log(SPRIG_LOG_WARN, "%s", big);
    is_int((long long)strlen(seen), 2 + 1023 + 1, "and at most 1023 bytes");
    reset();
}

static void test_holding(void)
{
    log_defer();
    sprig_log(SPRIG_LOG_WARN, "a");
    log_defer();
    sprig_log(SPRIG_LOG_ERROR, "b");
    sprig_log(SPRIG_LOG_INFO, "below");
    log_undefer();
    is_int(n_seen, 0, "nothing is handed over while held");
    log_undefer();
    is_str(seen, "2:a|3:b|", "all of it at the last release, in order");
    reset();
    log_defer();
    log_undefer();
    is_int(n_seen, 0, "once only");
    sprig_log(SPRIG_LOG_WARN, "c");
    is_str(seen, "2:c|", "at once again");
    reset();
}

static void test_too_many(void)
{
    log_defer();
    for (int i = 0; i < 5000; i++)
        sprig_log(SPRIG_LOG_WARN, "message %04d", i);
    log_undefer();
    ok(n_seen > 1000 && n_seen < 5000, "16 KiB are kept: %d messages", n_seen);
    ok(strncmp(seen, "2:message 0000|2:message 0001|", 30) == 0, "the first ones");
    ok(strstr(seen, "log messages lost") != NULL, "the loss is told");
    reset();
}

/* A sink that logs, holds and releases, as one that enters Perl may. */
static void nested_sink(enum sprig_log_level level, const char *message, void *arg)
{
    sink(level, message, NULL);
    if (--*(int *)arg < 0)
        return;
    log_defer();
    sprig_log(SPRIG_LOG_WARN, "from the sink");
    log_undefer();
}

static void test_nested(void)
{
    int n = 1;
    sprig_log_set_sink(nested_sink, SPRIG_LOG_WARN, &n);
    log_defer();
    sprig_log(SPRIG_LOG_WARN, "a");
    sprig_log(SPRIG_LOG_WARN, "b");
    log_undefer();
    is_str(seen, "2:a|2:from the sink|2:b|", "the sink may log itself");
    reset();
    sprig_log_set_sink(NULL, SPRIG_LOG_WARN, NULL);
    log_defer();
    sprig_log(SPRIG_LOG_WARN, "a");
    log_undefer();
    is_int(n_seen, 0, "no sink");
}

static void check_escape(size_t n, struct sprig_span bytes, const char *expected)
{
    char *dst = malloc(n); /* exactly, so that a sanitizer sees one byte too far */
    is_str(log_escape(dst, n, bytes), expected, "%zu: %s", n, expected);
    free(dst);
}

static void test_escaping(void)
{
    check_escape(32, SPAN_LIT("GET /a"), "GET /a");
    check_escape(32, SPAN_LIT(""), "");
    check_escape(32, SPAN_LIT("a\r\n\0\x7f\xff"), "a\\x0D\\x0A\\x00\\x7F\\xFF");
    check_escape(32, SPAN_LIT("\"\\"), "\\x22\\x5C");
    check_escape(7, SPAN_LIT("abcdef"), "abcdef");
    check_escape(7, SPAN_LIT("abcdefg"), "abc...");
    check_escape(7, SPAN_LIT("abc\n"), "abc...");
    check_escape(8, SPAN_LIT("abc\n"), "abc\\x0A");
    check_escape(8, SPAN_LIT("abc\nd"), "abc...");
    check_escape(5, SPAN_LIT("\n"), "\\x0A");
    check_escape(5, SPAN_LIT("\n\n"), "...");
    check_escape(5, SPAN_LIT("abcde"), "a...");
}

int main(void)
{
    test_levels();
    test_holding();
    test_too_many();
    test_nested();
    test_escaping();
    return done_testing();
}

/* date_test.c - dates, status codes and error texts. */
#define _GNU_SOURCE /* timegm, strptime */
#include "base/err.h"
#include "http/date.h"
#include "http/status.h"
#include "tap.h"
#include <stdint.h>

#define N(array) (sizeof(array) / sizeof(array[0]))

static void test_known_dates(void)
{
    static const struct {
        int64_t when;
        const char *text;
    } rows[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* the example of RFC 9110 */
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {951868799, "Tue, 29 Feb 2000 23:59:59 GMT"},
        {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
        {2147483647, "Tue, 19 Jan 2038 03:14:07 GMT"},
        {4107542399, "Sun, 28 Feb 2100 23:59:59 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
        {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
        {-11676096000, "Sat, 01 Jan 1600 00:00:00 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < N(rows); i++) {
        char text[DATE_LEN];
        if ((time_t)rows[i].when != rows[i].when)
            continue; /* time_t has 32 bits here */
        date_format(text, (time_t)rows[i].when);
        is_bytes(text, DATE_LEN, rows[i].text, "%s", rows[i].text);
    }
}

/* Every day of 900 years, at another time of the day each, against the C library. */
static void test_against_the_library(void)
{
    int n_wrong = 0;
    for (int64_t day = -150000; day < 180000; day++) {
        int64_t second = day * 86400 + (day * 7919 % 86400 + 86400) % 86400;
        time_t when = (time_t)second;
        if (when != second)
            continue; /* time_t has 32 bits here */
        char text[DATE_LEN], expected[64];
        struct tm tm;
        date_format(text, when);
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&when, &tm));
        if (memcmp(text, expected, DATE_LEN) != 0 && n_wrong++ == 0)
            diag("%lld: %.29s, expected %s", (long long)when, text, expected);
    }
    is_int(n_wrong, 0, "the same as strftime for 330000 days");
}

static void test_now(void)
{
    char before[DATE_LEN], after[DATE_LEN], now[DATE_LEN];
    date_format(before, time(NULL) - 1); /* the coarse clock may lag behind */
    memcpy(now, date_now(), DATE_LEN);
    date_format(after, time(NULL));
    struct tm tm = {0};
    char text[DATE_LEN + 1] = {0};
    memcpy(text, now, DATE_LEN);
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    ok(end && *end == '\0', "date_now is a date: %s", text);
    time_t then = timegm(&tm);
    ok(then >= time(NULL) - 2 && then <= time(NULL), "and it is today's");
    ok(date_now() == date_now(), "the same text within a second");
}

static void test_status(void)
{
    is_str(status_reason(200), "OK", "200");
    is_str(status_reason(101), "Switching Protocols", "101");
    is_str(status_reason(304), "Not Modified", "304");
    is_str(status_reason(306), "", "306 is unused");
    is_str(status_reason(308), "Permanent Redirect", "308");
    is_str(status_reason(404), "Not Found", "404");
    is_str(status_reason(418), "", "418 is unused");
    is_str(status_reason(431), "Request Header Fields Too Large", "431");
    is_str(status_reason(451), "Unavailable For Legal Reasons", "451");
    is_str(status_reason(505), "HTTP Version Not Supported", "505");
    is_str(status_reason(511), "Network Authentication Required", "511");
    is_str(status_reason(599), "", "599");
    int n_null = 0;
    for (int status = -1; status < 1100; status++)
        n_null += status_reason(status) == NULL;
    is_int(n_null + !*status_reason(500) + !!*status_reason(1000), 0, "never NULL");
    ok(status_has_no_body(100) && status_has_no_body(199) && status_has_no_body(204) &&
           status_has_no_body(304),
       "1xx, 204 and 304 have no body");
    ok(!status_has_no_body(200) && !status_has_no_body(205) && !status_has_no_body(404),
       "others have");
}

static void test_errors(void)
{
    is_str(sprig_err_text(SPRIG_E_NOMEM), "out of memory", "SPRIG_E_NOMEM");
    is_str(sprig_err_text(5), "success", "a count is a success");
    is_str(sprig_err_text(-99), "unknown error", "a code that is none");
    for (int err = SPRIG_E_NOTFOUND; err < 0; err++)
        ok(strcmp(sprig_err_text(err), "unknown error") != 0, "%d: %s", err, sprig_err_text(err));
}

int main(void)
{
    test_known_dates();
    test_against_the_library();
    test_now();
    test_status();
    test_errors();
    return done_testing();
}

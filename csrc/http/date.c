/* date.c - the Date header: formatted without gmtime, once a second. */
#include "http/date.h"
#include "base/clock.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { SECONDS_A_DAY = 86400, DAYS_IN_400_YEARS = 146097, DAYS_TO_YEAR_0 = 719468 };

static void put2(char *at, unsigned n)
{
    at[0] = (char)('0' + n / 10);
    at[1] = (char)('0' + n % 10);
}

/* Day, month 1..12 and year of the proleptic Gregorian calendar. Years start on 1 March, so that
 * the leap day is the last of its year. `days` is counted from 1970-01-01. */
static void civil(int64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    days += DAYS_TO_YEAR_0; /* from 0000-03-01 */
    int64_t era = (days >= 0 ? days : days - (DAYS_IN_400_YEARS - 1)) / DAYS_IN_400_YEARS;
    unsigned of_era = (unsigned)(days - era * DAYS_IN_400_YEARS);
    unsigned y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * y + y / 4 - y / 100);
    unsigned m = (5 * of_year + 2) / 153; /* 0 = March */
    *day = of_year - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = (unsigned)((era * 400 + y + (*month <= 2)) % 10000);
}

static const char day_names[] = "ThuFriSatSunMonTueWed"; /* from 1970-01-01 on */

const char *date_month(unsigned month)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    return names + (size_t)3 * month;
}

void date_format(char out[DATE_LEN], time_t when)
{
    int64_t days = when / SECONDS_A_DAY;
    int64_t left = when % SECONDS_A_DAY;
    if (left < 0) {
        left += SECONDS_A_DAY;
        days--;
    }
    unsigned year, month, day;
    civil(days, &year, &month, &day);
    memcpy(out, "Thu, 00 Jan 1970 00:00:00 GMT", DATE_LEN);
    memcpy(out, day_names + 3 * ((days % 7 + 7) % 7), 3);
    put2(out + 5, day);
    memcpy(out + 8, date_month(month - 1), 3);
    put2(out + 12, year / 100);
    put2(out + 14, year % 100);
    put2(out + 17, (unsigned)(left / 3600));
    put2(out + 20, (unsigned)(left / 60 % 60));
    put2(out + 23, (unsigned)(left % 60));
}

const char *date_now(void)
{
    static char text[DATE_LEN];
    static time_t second;
    static bool filled;
    time_t now = (time_t)(clock_ns(CLOCK_REAL_CHEAP) / NS_PER_S);
    if (!filled || now != second) {
        date_format(text, now);
        second = now;
        filled = true;
    }
    return text;
}

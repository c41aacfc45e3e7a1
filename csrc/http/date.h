/* date.h - the value of the Date header (IMF-fixdate, RFC 9110 section 5.6.7). */
#ifndef SPRIG_DATE_H
#define SPRIG_DATE_H

#include <time.h>

#define DATE_LEN 29

/* Writes exactly DATE_LEN bytes, no terminator: "Sun, 06 Nov 1994 08:49:37 GMT". */
void date_format(char out[DATE_LEN], time_t when);

/* "Jan" for 0 to "Dec" for 11: three bytes, whatever the locale. */
const char *date_month(unsigned month);

/* The text for the current second, formatted again only when the second changes. Borrowed until the
 * next call. Costs one clock_gettime (coarse, no system call). */
const char *date_now(void);

#endif

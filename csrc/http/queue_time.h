/* queue_time.h - X-Request-Start: when a proxy received the request. */
#ifndef SPRIG_QUEUE_TIME_H
#define SPRIG_QUEUE_TIME_H

#include "base/span.h"
#include <stdint.h>

/* Reads "t=1700000000.123", with or without "t=", in seconds, milliseconds or microseconds since
 * 1970 (told apart by size). Returns the ns from then until now_ns (CLOCK_REALTIME). Returns 0 if
 * it is not a time, lies ahead, or is more than an hour old: no clock is that wrong and no queue
 * that long. */
uint64_t queue_time_read(struct sprig_span value, uint64_t now_ns);

#endif

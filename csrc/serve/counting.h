/* counting.h - what a request adds to the shared counters (base/stats.h), step by step. */
#ifndef SPRIG_COUNTING_H
#define SPRIG_COUNTING_H

#include "base/stats.h"
#include "sprig.h"

/* The application is about to be called. Requests of this process to itself are not counted, here
 * and below. */
void counting_start(struct sprig_exchange *ex);

/* The first bytes of a response have left, and more is to come. */
void counting_first_byte(struct sprig_exchange *ex);

/* The exchange is over; its application was called. */
void counting_end(struct sprig_exchange *ex, enum sprig_end why);

/* The server has answered by itself. */
void counting_refuse(int status);

#endif

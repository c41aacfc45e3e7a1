/* log_start.h - while a server starts, whoever has started it sees on their terminal why it does
 * not, also where error_log has taken the place of descriptor 2. */
#ifndef SPRIG_LOG_START_H
#define SPRIG_LOG_START_H

#include <stdbool.h>

/* Keeps what is descriptor 2 now, before the error log is opened. Of the process. */
void log_start_keep(void);

/* Whether there is one. */
bool log_start_is_kept(void);

/* Prints "sprig: MESSAGE" and a newline there, unless descriptor 2 still leads to the same. Does
 * nothing behind log_start_over. */
void log_start_print(const char *message);

/* The server serves, or this process is a worker, whose master tells. Can be called again. */
void log_start_over(void);

#endif

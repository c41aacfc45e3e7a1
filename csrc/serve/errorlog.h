/* errorlog.h - the error log of a process with a loop: retries lines that nobody has read yet, and
 * reopens the file on USR1. */
#ifndef ERRORLOG_H
#define ERRORLOG_H

struct sprig_loop;

/* Starts that, for the process: the first loop that asks does it. */
void error_log_attach(struct sprig_loop *loop);

#endif

/* errorlog.h - the error log of a process that has a loop: what nobody has read yet is tried again,
 * and USR1 opens the file anew. */
#ifndef ERRORLOG_H
#define ERRORLOG_H

struct sprig_loop;

/* Sees to it from now on. Of the process: the first loop that asks does it. */
void error_log_attach(struct sprig_loop *loop);

#endif

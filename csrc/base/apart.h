/* apart.h - a thread without descriptors of its own, so that the process does not share its table.
 *
 * While two threads share one table of descriptors, Linux counts the users of a file in every
 * system call that names it, which costs 4 % of a small request. A thread that rarely needs a
 * descriptor can leave the table and borrow from it when it does.
 *
 * Needs Linux 5.9 or newer. Where the system lacks or forbids this, threads go on sharing and
 * borrowing does nothing. */
#ifndef SPRIG_APART_H
#define SPRIG_APART_H

/* From now on the calling thread has no descriptors, if the system supports that. */
void apart_leave(void);

/* In a thread that has left: the descriptor of this number is, until it is given back, the one that
 * the process has now, if it has one. -1 is none. */
void apart_borrow(int fd);
void apart_give_back(int fd);

#endif

/* apart.h - a thread without descriptors, so that those of the process are not shared.
 *
 * As long as two threads have one table of descriptors, Linux counts who uses a file in each system
 * call that names one: 4 % of a small request. A thread that hardly ever needs a descriptor can
 * leave the table, and borrow from it then.
 *
 * Linux 5.9 and newer; where the system has nothing like it, or forbids it, threads go on sharing
 * and borrowing does nothing. */
#ifndef SPRIG_APART_H
#define SPRIG_APART_H

/* The calling thread has no descriptors from now on, if the system can do that. */
void apart_leave(void);

/* In a thread that has left: the descriptor of this number is, until it is given back, the one that
 * the process has now, if it has one. -1 is none. */
void apart_borrow(int fd);
void apart_give_back(int fd);

#endif

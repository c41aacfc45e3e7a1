/* init.h - being the first process of a container. */
#ifndef SPRIG_INIT_H
#define SPRIG_INIT_H

/* Process 1 inherits the orphans of all others, and has to collect them when they end. A server
 * cannot: it would take the children of its application away from it. So where this is process 1,
 * it forks. The child returns, as the server, and has its own children only; the parent collects
 * whoever ends, passes on the signals that are meant for the server, and ends as that does (128 and
 * the number of the signal if one has ended it). Everywhere else this returns at once. Before there
 * are threads, an event loop or an interpreter. */
void sprig_init_begin(void);

#endif

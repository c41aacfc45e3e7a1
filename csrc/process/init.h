/* init.h - being the first process of a container. */
#ifndef SPRIG_INIT_H
#define SPRIG_INIT_H

/* Process 1 inherits the orphans of all others, and must collect them when they end. A server
 * cannot do that: it would take its application's children away. So if this is process 1, it forks.
 * The child returns as the server, and has only its own children. The parent collects whoever ends,
 * passes on signals that are meant for the server, and ends like the child (with 128 and the number
 * of the signal if one ended it). In any other process this returns at once. Call it before there
 * are threads, an event loop or an interpreter. */
void sprig_init_begin(void);

#endif

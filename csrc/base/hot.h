/* hot.h - marks functions that run between two system calls for each of thousands of clients.
 *
 * The kernel drives them out of the processor's cache each time. Marked functions lie together in
 * the program and come back in few pieces, in a quarter of the time. */
#ifndef SPRIG_HOT_H
#define SPRIG_HOT_H

#if defined(__GNUC__)
#define HOT __attribute__((hot))
/* What lies there is needed soon, and hardly in the cache. Functions that do nothing but this have
 * to be marked: a compiler that sees no effect of them leaves out the call. */
#define FETCH(at) __builtin_prefetch(at)
#define FETCHING  __attribute__((always_inline)) inline
#else
#define HOT
#define FETCH(at) ((void)(at))
#define FETCHING  inline
#endif

#endif

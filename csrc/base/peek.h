/* peek.h - reading memory that may be gone: for a thread that looks at what another one works on.
 */
#ifndef SPRIG_PEEK_H
#define SPRIG_PEEK_H

#include <stdbool.h>
#include <stddef.h>

/* Copies n bytes from there. False: they cannot be read, or not all of them; nothing happens to the
 * process. What is copied may be half changed by its owner, who is not asked. */
bool peek(void *to, const void *from, size_t n);

/* The same at most up to a NUL, cut at n - 1 bytes; always terminated. */
bool peek_string(char *to, const char *from, size_t n);

/* By way of a pipe: what peek does where the system forbids the other way. */
bool peek_by_pipe(void *to, const void *from, size_t n);

#endif

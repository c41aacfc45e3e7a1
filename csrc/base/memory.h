/* memory.h - memory that processes share, and that can be handed to another program. */
#ifndef SPRIG_MEMORY_H
#define SPRIG_MEMORY_H

#include <stddef.h>

/* A file in memory of that size, full of zeros; its descriptor, closed on exec. The name is what
 * /proc shows. -1: this system has none, or no room for it; anonymous memory has to do then, which
 * children inherit and nobody else gets. */
int memory_open(const char *name, size_t size);

#endif

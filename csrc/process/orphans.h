/* orphans.h - a perl that is process 1, and a server in it.
 *
 * `plackup` or a program of one's own may be the first process of a container. Others leave their
 * children to it, and nobody waits for those: they stay zombies. To wait for whoever ends is no
 * way, for the children of the application are the application's, which may ask for their status
 * whenever it likes. So a process is taken away only if it is nobody's: it has been a zombie for
 * two looks, and neither was forked by this process nor was there before sprig_orphans_begin. (The
 * program needs none of this: see init.h.) */
#ifndef SPRIG_ORPHANS_H
#define SPRIG_ORPHANS_H

#include <stdbool.h>

/* From now on, notes which processes this one forks; those that it has count as its own. False if
 * this is not process 1, or it cannot be known. May be called again. */
bool sprig_orphans_begin(void);

/* Collects those that were already zombies at the last look. Call it now and then, where nobody
 * waits for a process. */
void sprig_orphans_collect(void);

#endif

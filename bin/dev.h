/* dev.h - what the program does for the option --dev. */
#ifndef SPRIG_BIN_DEV_H
#define SPRIG_BIN_DEV_H

#include "command.h"
#include "master.h"

/* Before the addresses are chosen: defaults of development, and options that do not go with it. 0,
 * or -1 and `why` (n bytes). Without --dev only a terminal makes a difference: it shows requests.
 */
int dev_compose(struct command *cmd, char *why, size_t n);

/* With --dev addresses without a host are this machine's, others are refused. As above. */
int dev_check(struct command *cmd, char *why, size_t n);

/* The same of sockets that others have opened. */
int dev_check_sockets(const struct sprig_master *master, char *why, size_t n);

/* Behind the banner: what is watched, and which keys there are. */
void dev_print_help(const struct command *cmd, const struct sprig_master *master);

#endif

/* dev.h - the program's part of the option --dev. */
#ifndef SPRIG_BIN_DEV_H
#define SPRIG_BIN_DEV_H

#include "command.h"
#include "master.h"

/* Called before the addresses are chosen: sets the defaults for development and refuses options
 * that do not go with it. Returns 0, or -1 and `why` (n bytes). Without --dev it only shows
 * requests if there is a terminal. */
int dev_compose(struct command *cmd, char *why, size_t n);

/* With --dev an address without a host means this machine, and other hosts are refused. Returns as
 * above. */
int dev_check(struct command *cmd, char *why, size_t n);

/* The same check for sockets that others have opened. */
int dev_check_sockets(const struct sprig_master *master, char *why, size_t n);

/* Printed after the banner: what is watched, and which keys there are. */
void dev_print_help(const struct command *cmd, const struct sprig_master *master);

#endif

/* admin_config.h - the options as the admin listener tells them. */
#ifndef SPRIG_ADMIN_CONFIG_H
#define SPRIG_ADMIN_CONFIG_H

#include "base/config.h"

/* All options with where each value is from, in the form of --print-config; taken, of malloc. From
 * any thread; NULL is harmless. */
void sprig_admin_show_config(char *text);

/* The same from the values alone: they were read anew. */
void sprig_admin_show_options(const struct sprig_config *config);

#endif

/* admin_config.h - the options as the admin listener tells them. */
#ifndef SPRIG_ADMIN_CONFIG_H
#define SPRIG_ADMIN_CONFIG_H

#include "base/config.h"

/* All options with where each value is from, in the form of --print-config; taken, of malloc. From
 * any thread; NULL is harmless. */
void sprig_admin_show_config(char *text);

/* They were read anew: whoever knows where they are from (see below) is asked; else the values
 * alone are told. */
void sprig_admin_show_options(const struct sprig_config *config);

/* Calls sprig_admin_show_config by what it finds now. Of the process. */
void sprig_admin_on_reload(void (*show)(void *arg), void *arg);

#endif

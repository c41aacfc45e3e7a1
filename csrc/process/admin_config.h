/* admin_config.h - the options as the admin listener tells them. */
#ifndef SPRIG_ADMIN_CONFIG_H
#define SPRIG_ADMIN_CONFIG_H

#include "base/config.h"

/* All options with the origin of each value, in the form of --print-config; allocated by malloc,
 * and taken. From any thread; NULL is harmless. */
void sprig_admin_show_config(char *text);

/* The options were read again: asks whoever knows their origin (see below); otherwise only the
 * values are shown. */
void sprig_admin_show_options(const struct sprig_config *config);

/* Calls sprig_admin_show_config by what it finds now. Of the process. */
void sprig_admin_on_reload(void (*show)(void *arg), void *arg);

#endif

/* privileges.h - giving up root after the sockets are bound; the mode and owner of unix sockets. */
#ifndef PRIVILEGES_H
#define PRIVILEGES_H

#include "base/config.h"
#include <sys/types.h>

/* Reads "027" as octal, up to 0777. False if it is something else. */
bool privileges_read_mode(const char *text, unsigned *mode);

/* Sets the umask that the option says, if any. */
void privileges_set_umask(const struct sprig_config *config);

/* The umask under which bind gives a unix socket the mode of socket_mode, or -1 without it. */
int privileges_socket_umask(const struct sprig_config *config);

/* Checks that socket_user and socket_group exist, if they are set. Returns 0, or SPRIG_E_INVALID
 * and `why` (n bytes). */
int privileges_check_owner(const struct sprig_config *config, char *why, size_t n);

/* Gives the unix socket at `path` to socket_user and socket_group, if it is still the one with this
 * device and inode. Without these options, root gives it to user and group. Follows no link.
 * Returns 0 or SPRIG_E_SYS. */
int privileges_give_socket(const struct sprig_config *config, const char *path, dev_t dev,
                           ino_t ino);

/* As root with the option user: gives a regular file that is new (empty, and root's) to the user,
 * who must be able to reopen it. Leaves everything else as it is. */
void privileges_give_file(const struct sprig_config *config, int fd);

/* Becomes user and group for good, with the user's supplementary groups. Does nothing without these
 * options. SPRIG_E_INVALID or SPRIG_E_SYS: `why` (n bytes) has the reason; the process may be left
 * halfway and must end. */
int privileges_drop(const struct sprig_config *config, char *why, size_t n);

#endif

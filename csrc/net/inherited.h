/* inherited.h - listening sockets that another program has opened for this one. */
#ifndef SPRIG_INHERITED_H
#define SPRIG_INHERITED_H

#include <stddef.h>

/* Finds the descriptors that Server::Starter (SERVER_STARTER_PORT:
 * "127.0.0.1:80=5;/run/app.sock=6") or else systemd (LISTEN_FDS from descriptor 3 on, if LISTEN_PID
 * is this process) passes. Returns their number, 0 if there are none, or SPRIG_E_INVALID and `why`
 * (n bytes): a part that cannot be read, a descriptor that is not a listening socket, or more than
 * `max` of them. LISTEN_FDS for another process is ignored, with a message. Removes LISTEN_FDS,
 * LISTEN_PID and LISTEN_FDNAMES from the environment, so that the app's programs do not believe
 * them; call it once per process. */
int sprig_inherited_sockets(int *fds, size_t max, char *why, size_t n);

/* The listening socket that systemd calls "admin" (FileDescriptorName=); it is not among those
 * above. -1 if there is none. */
int sprig_inherited_admin(void);

#endif

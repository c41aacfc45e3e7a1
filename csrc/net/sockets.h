/* sockets.h - listening sockets: opened before there is a loop, and passed from process to process.
 */
#ifndef SPRIG_SOCKETS_H
#define SPRIG_SOCKETS_H

#include "base/config.h"
#include "net/listen_spec.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sprig_address;

struct sprig_socket {
    int fd; /* owned, non-blocking, close-on-exec; -1: closed */
    struct sprig_listen_options options;
    bool made_path; /* the unix path is ours to remove, while it is the file of these: */
    dev_t path_dev;
    ino_t path_ino;
};

/* Binds and listens as sprig_server_listen (sprig.h) describes; `reuseport` sets SO_REUSEPORT on
 * TCP sockets. Opens one socket for each address of a name, all on one port, and at most `max`.
 * Skips addresses that this machine does not have if another one works. Returns the number of
 * sockets, or SPRIG_E_SYS, and `why` (n bytes) has the address and the reason; none is open then.
 */
int sockets_open(const struct sprig_config *config, const struct sprig_listen_spec *spec,
                 bool reuseport, struct sprig_socket *out, size_t max, char *why, size_t n);

/* Warns once in a process if trusted_proxies includes clients. sockets_open does so itself. */
void sockets_warn_of_trust(const struct sprig_config *config);

/* Checks that the configuration has what the options of the address need. Returns 0, or
 * SPRIG_E_INVALID and `why`. sockets_open calls this itself. */
int sockets_check(const struct sprig_config *config, const struct sprig_listen_spec *spec,
                  char *why, size_t n);

/* Takes over a socket that is already listening, and sets the flags that sockets_open would have
 * set. On failure the descriptor stays the caller's, and `why` says what is wrong with it. */
int socket_adopt(const struct sprig_config *config, int fd, struct sprig_socket *out, char *why,
                 size_t n);

/* The address that the socket is bound to, with the port that the kernel chose; the port of an
 * abstract socket is "@NAME". Returns 0 or SPRIG_E_SYS. */
int socket_address(int fd, struct sprig_address *out);

/* Closes the descriptor; the path stays. */
void socket_close(struct sprig_socket *s);

/* Removes the unix path if this socket created it and it is still the same file. Call it before the
 * close. Async-signal-safe. */
void socket_unlink(const struct sprig_socket *s);

/* Writes a socket as text without blanks or ';', for the environment of a program that inherits the
 * descriptor, and reads it back. socket_read does not touch the descriptor and leaves its flags
 * alone; it returns 0 or SPRIG_E_INVALID. socket_print returns buf (n >= 96). */
char *socket_print(const struct sprig_socket *s, char *buf, size_t n);
int socket_read(const char *text, struct sprig_socket *out);

#endif

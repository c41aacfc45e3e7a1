/* transport.h - how bytes get in and out of a connection. Plain sockets now; TLS is a second table.
 *
 * Each function behaves like the system call of its name on a non-blocking descriptor: -1 and errno
 * on failure (EAGAIN: later; EINTR is retried inside). */
#ifndef SPRIG_TRANSPORT_H
#define SPRIG_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Which sides of a connection have closed it, as far as is known. After one, the client may still
 * read (it has closed its sending side only) or send (we have closed ours). */
enum transport_sides { SIDES_NONE, SIDES_ONE, SIDES_BOTH };

struct transport {
    ssize_t (*recv)(int fd, void *buf, size_t n);
    /* Never raises SIGPIPE. more: further bytes follow at once, so a packet may wait for them. */
    ssize_t (*writev)(int fd, const struct iovec *iov, int n, bool more);
    /* Sends from in_fd at *offset, advancing it; 0: the file ends there. May raise SIGPIPE, which
     * the loop has a handler for. */
    ssize_t (*sendfile)(int fd, int in_fd, uint64_t *offset, size_t n);
    /* Bytes that were written and that the peer has not taken yet; -1: not known. */
    int (*n_unsent)(int fd);
    /* Behind an end of file: true if the peer is known not to read any more, either. Over TCP that
     * end may be all that a client sends which waits for its answer: false. */
    bool (*is_hung_up)(int fd);
    /* Has what was received acknowledged at once: the peer may hold back the rest until then. */
    void (*ack)(int fd);
    /* Asks the kernel which sides have closed. */
    enum transport_sides (*closed)(int fd);
    /* Ends our side (SHUT_WR) or both (SHUT_RDWR) for the peer, whoever else holds the socket. */
    int (*shutdown)(int fd, int how);
    /* Ends the connection so that the peer sees an error behind what it got, as far as the kernel
     * has a way; also if a child of the app still holds the socket. Drops what is unsent. */
    void (*reset)(int fd);
    /* Gives the descriptor back. The peer hears of it only if nobody else holds the socket. */
    int (*close)(int fd);
};

extern const struct transport transport_plain;

#endif

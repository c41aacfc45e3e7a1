/* transport.h - how bytes get in and out of a connection: the owner of its descriptor and the
 * operations on it. This is for plain sockets; encryption (tls.h) is another table of operations.
 *
 * recv, writev and sendfile behave like the system call of that name on a non-blocking descriptor:
 * -1 and errno on failure (EAGAIN: later; EINTR is retried inside). */
#ifndef SPRIG_TRANSPORT_H
#define SPRIG_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Which sides of a connection have closed it, as far as we know. After one, the client may still
 * read (it has closed only its sending side) or send (we have closed ours). */
enum transport_sides { SIDES_NONE, SIDES_ONE, SIDES_BOTH };

struct tls;

/* Embedded in its connection; must not move. */
struct transport {
    const struct transport_ops *ops;
    struct tls *tls; /* owned; NULL: plain */
    int fd;          /* owned; -1 once closed or given away */
    /* Something it has taken is still inside: see flush. */
    bool has_unsent;
    /* More is written at once before the flush: everything taken may wait for that. */
    bool is_gathering;
    /* And of the file, so many bytes behind those of this sendfile. */
    size_t n_file_ahead;
    /* Whether a reset needs input that lies unread: see unread_byte of struct sprig_conn. */
    bool resets_by_input;
};

struct transport_ops {
    ssize_t (*recv)(struct transport *t, void *buf, size_t n);
    /* Never raises SIGPIPE. more: further bytes follow at once, so a packet may wait for them.
     * Bytes that are taken may not be sent yet: see flush. */
    ssize_t (*writev)(struct transport *t, const struct iovec *iov, int n, bool more);
    /* Sends from in_fd at *offset, advancing it; 0: the file ends there. May raise SIGPIPE, which
     * the loop has a handler for. */
    ssize_t (*sendfile)(struct transport *t, int in_fd, uint64_t *offset, size_t n);
    /* Sends whatever was taken and is still inside. 0 if nothing is left; -1 on EAGAIN or an error.
     * NULL if nothing ever stays inside. */
    int (*flush)(struct transport *t);
    /* True if recv would return bytes that the descriptor does not poll readable for. NULL if that
     * never happens. */
    bool (*has_input)(const struct transport *t);
    /* Tells the peer, within the stream, that our side is complete. 0, or -1 and EAGAIN: flush
     * sends the rest. Harmless if repeated. NULL if the end of the stream says it. */
    int (*end)(struct transport *t);
    /* Ends our side, and tells the peer; it may still send. */
    int (*finish)(struct transport *t);
    /* As recv, for input that nobody looks at. */
    ssize_t (*discard)(struct transport *t, void *buf, size_t n);
    /* Written bytes that the peer has not taken yet; -1 if unknown. */
    int (*n_unsent)(const struct transport *t);
    /* After an end of file: true if the peer is known not to read any more. False over TCP, where a
     * client that waits for its answer may have closed just its sending side. */
    bool (*is_hung_up)(const struct transport *t);
    /* Acknowledges what was received at once: the peer may hold back the rest until then. */
    void (*ack)(struct transport *t);
    /* Asks the kernel which sides have closed. */
    enum transport_sides (*closed)(const struct transport *t);
    /* Ends both sides for the peer, whoever else holds the socket. is_complete: everything has been
     * said. */
    void (*hang_up)(struct transport *t, bool is_complete);
    /* Ends the connection so that the peer sees an error after what it has received, as far as the
     * kernel supports that, and even if a child of the app still holds the socket. Drops what is
     * unsent. If resets_by_input, the peer sees the error only if some input is unread when the
     * last holder closes. */
    void (*reset)(struct transport *t);
    /* Closes the descriptor. The peer notices only if nobody else holds the socket. */
    void (*close)(struct transport *t);
};

/* Takes the connected, non-blocking socket of this address family. */
void transport_plain_init(struct transport *t, int fd, int family);

/* The operations of plain sockets. They use nothing of a transport but its descriptor. Encrypted
 * transports use them, too, with recv as their discard. */
extern const struct transport_ops transport_plain;
ssize_t transport_plain_recv(struct transport *t, void *buf, size_t n);
bool transport_plain_is_hung_up(const struct transport *t);
void transport_plain_ack(struct transport *t);
enum transport_sides transport_plain_closed(const struct transport *t);
void transport_plain_reset(struct transport *t);

static inline bool transport_has_input(const struct transport *t)
{
    return t->ops->has_input != NULL && t->ops->has_input(t);
}

static inline bool transport_is_open(const struct transport *t)
{
    return t->fd != -1;
}

/* The descriptor is the caller's from now on. */
static inline int transport_take_fd(struct transport *t)
{
    int fd = t->fd;
    t->fd = -1;
    return fd;
}

/* Makes the peer count as gone when for so many ms it has acknowledged nothing that was sent, or
 * taken nothing that waits (RFC 5482); 0 is the system's default. No effect if the kernel lacks
 * this, or on unix sockets, where a peer that is gone is noticed at once. */
void transport_set_patience(const struct transport *t, int ms);

/* Looks at the descriptor without taking anything: 1 (bytes are waiting), 0 (end of file), -1
 * (neither). */
int transport_peek(const struct transport *t);

/* The same for n bytes, into buf; returns what recv would. */
ssize_t transport_look(const struct transport *t, void *buf, size_t n);

#endif

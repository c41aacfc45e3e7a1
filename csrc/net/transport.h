/* transport.h - how bytes get in and out of a connection: the owner of its descriptor, and what is
 * done by way of it. Plain sockets; encryption (tls.h) is another table of operations.
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

/* Which sides of a connection have closed it, as far as is known. After one, the client may still
 * read (it has closed its sending side only) or send (we have closed ours). */
enum transport_sides { SIDES_NONE, SIDES_ONE, SIDES_BOTH };

struct tls;

/* Embedded in its connection, and stays where it is. */
struct transport {
    const struct transport_ops *ops;
    struct tls *tls; /* owned; NULL: plain */
    int fd;          /* owned; -1 once closed or given away */
    /* Something that was taken is still inside: see flush. */
    bool has_unsent;
    /* Between here and flush more is written at once: all that is taken may wait for that. */
    bool is_gathering;
    /* And of the file, so many bytes behind those of this sendfile. */
    size_t n_file_ahead;
    /* Whether a reset needs input that lies unread: see unread_byte of struct sprig_conn. */
    bool resets_by_input;
};

struct transport_ops {
    ssize_t (*recv)(struct transport *t, void *buf, size_t n);
    /* Never raises SIGPIPE. more: further bytes follow at once, so a packet may wait for them. What
     * is taken need not be sent: see flush. */
    ssize_t (*writev)(struct transport *t, const struct iovec *iov, int n, bool more);
    /* Sends from in_fd at *offset, advancing it; 0: the file ends there. May raise SIGPIPE, which
     * the loop has a handler for. */
    ssize_t (*sendfile)(struct transport *t, int in_fd, uint64_t *offset, size_t n);
    /* Sends what was taken and is still inside: 0: nothing is left there; -1: EAGAIN, or an error.
     * NULL: nothing ever stays inside. */
    int (*flush)(struct transport *t);
    /* True if recv would give bytes that the descriptor does not poll readable for. NULL: never. */
    bool (*has_input)(const struct transport *t);
    /* Tells the peer within the stream that our side is complete. 0, or -1 and EAGAIN: flush sends
     * the rest of it; again is harmless. NULL: the end of the stream says it. */
    int (*end)(struct transport *t);
    /* Our side is complete, and the peer is told so; it may still send. */
    int (*finish)(struct transport *t);
    /* As recv, for input that nobody looks at. */
    ssize_t (*discard)(struct transport *t, void *buf, size_t n);
    /* Bytes that were written and that the peer has not taken yet; -1: not known. */
    int (*n_unsent)(const struct transport *t);
    /* Behind an end of file: true if the peer is known not to read any more, either. Over TCP that
     * end may be all that a client sends which waits for its answer: false. */
    bool (*is_hung_up)(const struct transport *t);
    /* Has what was received acknowledged at once: the peer may hold back the rest until then. */
    void (*ack)(struct transport *t);
    /* Asks the kernel which sides have closed. */
    enum transport_sides (*closed)(const struct transport *t);
    /* Ends both sides for the peer, whoever else holds the socket. is_complete: all that was to be
     * said was said. */
    void (*hang_up)(struct transport *t, bool is_complete);
    /* Ends the connection so that the peer sees an error behind what it got, as far as the kernel
     * has a way; also if a child of the app still holds the socket. Drops what is unsent. Where
     * resets_by_input, the peer sees it only if something lies unread, when the last holder closes.
     */
    void (*reset)(struct transport *t);
    /* Gives the descriptor back. The peer hears of it only if nobody else holds the socket. */
    void (*close)(struct transport *t);
};

/* Takes the connected, non-blocking socket of this address family. */
void transport_plain_init(struct transport *t, int fd, int family);

/* Operations of plain sockets. They look at nothing of a transport but its descriptor. These are
 * those of encrypted ones as well, with recv as their discard. */
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

/* The peer counts as gone when it has acknowledged nothing for so many ms of what was sent to it,
 * or has taken nothing of what waits (RFC 5482); 0: as the system has it. Does nothing where the
 * kernel has no such thing, and on unix sockets, where a peer that is gone is known at once. */
void transport_set_patience(const struct transport *t, int ms);

/* Looks at the descriptor without taking anything: 1 (bytes wait), 0 (end of file), -1 (neither).
 */
int transport_peek(const struct transport *t);

/* The same for n bytes, into buf; returns what recv would. */
ssize_t transport_look(const struct transport *t, void *buf, size_t n);

#endif

/* protocol.h - what a connection speaks: the table by which the rest of the server drives it.
 *
 * conn.c has the life of a connection, conn_io.c its events and what leaves it, exchange.c what the
 * bridge sees of a request. None of them knows how requests lie on the wire, nor how many there are
 * at a time. Another protocol is another table, chosen in protocols/protocols.c; what it needs to
 * know of a connection lies in conn.own. All functions run in phase 2, with the connection pinned.
 */
#ifndef SPRIG_PROTOCOL_H
#define SPRIG_PROTOCOL_H

#include "sprig.h"

struct sprig_conn;

struct protocol {
    const char *name; /* "HTTP/1" */

    /* ---- the connection, while it is open ---- */

    /* It takes the place of another one, which has received these bytes for it; conn.own is zero.
     * False: no memory. NULL: that is all. */
    bool (*begin)(struct sprig_conn *c, struct sprig_span input);
    /* Runs one step: `what` are reasons of conn.h, CONN_EV_*. Flushes what it queues, and settles.
     */
    void (*step)(struct sprig_conn *c, uint32_t what);
    /* At the end of a pass in which something was queued: the same. */
    void (*flush)(struct sprig_conn *c);
    /* There is room to send: queues what comes next, but not too much at once. NULL if whatever is
     * written is queued at once. */
    void (*fill)(struct sprig_conn *c);
    /* The same in the courier's thread, while the app keeps the loop: must not touch anything of
     * the loop. NULL if nothing is to be queued. */
    void (*carry)(struct sprig_conn *c);
    /* Bytes have left, in conn_flush: all of them, or some. Whose queue is low now, and which
     * deadline is next? */
    void (*flushed)(struct sprig_conn *c, bool is_drained);
    /* A write is blocked: is that what the connection's deadline is about? */
    bool (*awaits_writable)(const struct sprig_conn *c);
    /* The response of this exchange goes on and on: nothing but its next bytes can follow those
     * that are written to the connection, and nothing waits for them to leave. NULL: it never is
     * so. */
    bool (*is_steady)(const struct sprig_exchange *ex);
    /* The server is leaving: take nothing new, and close when the work in progress is done. */
    void (*server_leaves)(struct sprig_conn *c);
    /* No request is at work, nor part of one here. */
    bool (*is_unused)(const struct sprig_conn *c);
    /* True if a request is in progress that may wait for the app, not for its client. */
    bool (*is_answering)(const struct sprig_conn *c);
    /* The exchange that the connection is working on; NULL if there is none. */
    const struct sprig_exchange *(*at_work)(const struct sprig_conn *c);
    /* It was just accepted, and there is no room for it: send 503. */
    void (*turn_away)(struct sprig_conn *c);

    /* ---- its end, in this order; each may come more than once but `over` and `clear` ---- */

    /* What is queued is about to be dropped: exchange_sever for each exchange. */
    void (*sever)(struct sprig_conn *c);
    /* The client has gone: exchange_peer_gone for each. */
    void (*peer_gone)(struct sprig_conn *c);
    /* The connection is over: ends its exchanges. */
    void (*over)(struct sprig_conn *c, enum sprig_end why);
    /* No frame uses it any more: frees what it owns. */
    void (*clear)(struct sprig_conn *c);

    /* ---- one exchange; see sprig_response_* and sprig_exchange_* ---- */

    int (*head)(struct sprig_exchange *ex, const struct sprig_head *head, char *why, size_t n);
    int (*interim)(struct sprig_exchange *ex, const struct sprig_head *head, char *why, size_t n);
    /* As response_trailers. NULL: that is what is called. */
    int (*trailers)(struct sprig_exchange *ex, const struct sprig_header *fields, size_t n_fields,
                    char *why, size_t n);
    /* ex->out has grown, or the response has ended. NULL: that is the queue of the connection. */
    void (*added)(struct sprig_exchange *ex);
    /* Make sure that what the client has so far does not look complete. Ends the exchange. */
    void (*abort)(struct sprig_exchange *ex);
    /* The same in a turn of its own, after on_gone; from now on the exchange is over. */
    void (*fail)(struct sprig_exchange *ex);
    /* CONN_EV_RESUME, _DRAIN or _NOTIFY: it gets a turn. */
    void (*wake)(struct sprig_exchange *ex, uint32_t what);
    /* ex->body_wanted has changed. */
    void (*read_body)(struct sprig_exchange *ex, bool on);
    /* Gives the socket away, with what was received after the request. Both NULL if the socket
     * never belongs to one exchange alone. */
    int (*take_socket)(struct sprig_exchange *ex, int *fd, struct sprig_span *unread);
    struct sprig_span (*unread)(const struct sprig_exchange *ex);
};

/* What a server speaks. It is given to the server from above, because the code below knows no
 * protocol. */
struct protocols {
    /* What is spoken on a connection that was just accepted, or whose handshake is over; its
     * listener, address and transport are known. */
    const struct protocol *(*choose)(const struct sprig_conn *c);
    const struct protocol *http2; /* where the client asks for it; NULL: this build has none */
};

extern const struct protocol protocol_handshake; /* of TLS; another one takes its place */

#endif

/* protocol.h - what a connection speaks: the table by which the rest of the server drives it.
 *
 * conn.c has the life of a connection, its events, deadlines and pins; exchange.c is what the
 * bridge sees of a request. Neither knows how requests lie on the wire. Another protocol is another
 * table, chosen in conn_choose_protocol. All functions run in phase 2, with the connection pinned.
 */
#ifndef SPRIG_PROTOCOL_H
#define SPRIG_PROTOCOL_H

#include "sprig.h"

struct sprig_conn;

struct protocol {
    const char *name; /* "HTTP/1" */

    /* ---- the connection ---- */

    /* One step: `what` are reasons of conn.h, CONN_EV_*. What it queues is flushed behind it. */
    void (*step)(struct sprig_conn *c, uint32_t what);
    /* Behind each step and each flush, unless an outer frame steps this connection: ends what is
     * complete and goes on. */
    void (*settle)(struct sprig_conn *c);
    /* All that was queued is with the kernel: which deadline is next? */
    void (*written)(struct sprig_conn *c);
    /* The server drains: take nothing new, and close when what is at work is done. */
    void (*drain)(struct sprig_conn *c);
    /* No request is at work, nor part of one here. */
    bool (*is_unused)(const struct sprig_conn *c);
    /* The connection is over: ends its exchanges. */
    void (*leave)(struct sprig_conn *c, enum sprig_end why);

    /* ---- one exchange; see sprig_response_* and sprig_exchange_* ---- */

    int (*head)(struct sprig_exchange *ex, const struct sprig_head *head, char *why, size_t n);
    int (*interim)(struct sprig_exchange *ex, const struct sprig_head *head, char *why, size_t n);
    /* What the client got so far must not look whole. Ends the exchange. */
    void (*abort)(struct sprig_exchange *ex);
    /* What the request waited for is there (exchange_resume). */
    void (*resume)(struct sprig_exchange *ex);
    /* Gives the socket away. SPRIG_E_STATE: it is not this exchange's alone. */
    int (*take_socket)(struct sprig_exchange *ex, int *fd, struct sprig_span *unread);
};

extern const struct protocol protocol_h1;

#endif

/* websocket.h - a WebSocket on an exchange (RFC 6455), as the bridge sees it; used beside sprig.h.
 *
 * Life: created when the app accepts the handshake; messages wait until sprig_ws_open, after the
 * 101. From then on it reads frames and answers Pings by itself. on_close is the last event of the
 * peer; then the response ends, and the exchange with it.
 *
 * The contracts use the terms of sprig.h. One thread; a forked child cannot reach its parent's
 * peer. */
#ifndef SPRIG_WEBSOCKET_H
#define SPRIG_WEBSOCKET_H

#include "base/list.h"
#include "sprig.h"

struct sprig_ws;
struct sprig_ws_group;
struct sprig_ws_message;

/* The limits and times of one socket: see the options websocket_* in config.h. */
struct sprig_ws_options {
    uint64_t max_message_bytes, queue_bytes;
    uint32_t max_fragments, deflate_min_bytes, deflate_window_bits, deflate_memory_level;
    double ping_interval, ping_timeout, close_timeout; /* seconds; 0: never */
    enum sprig_ws_policy queue_policy;
    enum sprig_ws_deflate deflate;
};
void sprig_ws_options_read(struct sprig_ws_options *out, const struct sprig_config *config);

/* The callbacks. All run in phase 2; the socket stays alive during each. They may do anything with
 * it, including ending it. */
struct sprig_ws_handler {
    /* A complete message, while sprig_ws_want is on. Text is UTF-8. The bytes are borrowed until
     * Perl is entered. */
    void (*on_message)(struct sprig_ws *ws, struct sprig_span bytes, bool is_binary, void *arg);
    /* A Pong arrived; its payload is borrowed likewise. */
    void (*on_pong)(struct sprig_ws *ws, struct sprig_span payload, void *arg);
    /* The peer broke a rule or a limit, or is silent. on_close follows. Static text. */
    void (*on_error)(struct sprig_ws *ws, const char *reason, void *arg);
    /* Called once: the peer's Close has arrived, was requested and did not arrive, or cannot arrive
     * any more. The code is the peer's (1005: none given), or 1006 without a Close; if the peer
     * broke a rule, it is the code that it was sent. The reason is borrowed likewise. */
    void (*on_close)(struct sprig_ws *ws, uint16_t code, struct sprig_span reason, void *arg);
};

/* ---- the sockets of a server ---- */

/* Shared by the sockets: compression, and the order in which they are closed. NULL + errno. */
struct sprig_ws_group *sprig_ws_group_new(struct sprig_loop *loop);
/* Freed together with its last socket. */
void sprig_ws_group_free(struct sprig_ws_group *group);
/* The number of open sockets, including closing ones. */
uint32_t sprig_ws_group_size(const struct sprig_ws_group *group);
/* Closes all with this code, one after the other within this many seconds, so that clients do not
 * all come back at once; from now on also each new one as soon as it is open. */
void sprig_ws_group_close(struct sprig_ws_group *group, uint16_t code, double seconds);

/* ---- the handshake ---- */

/* Whether the request opens a WebSocket (RFC 6455 section 4.2.1). */
bool sprig_ws_is_handshake(const struct sprig_request *req);

/* The parts of the request that the answer depends on; copied. Missing fields are empty. */
struct sprig_ws_offer {
    struct sprig_span key, protocols, extensions, origin, host;
    char *own; /* owned: the memory of all of them */
};
/* SPRIG_E_NOMEM or 0. */
int sprig_ws_offer_take(struct sprig_ws_offer *offer, const struct sprig_request *req);
void sprig_ws_offer_clear(struct sprig_ws_offer *offer);
/* Whether the client offers this subprotocol; case-sensitive. */
bool sprig_ws_offers(const struct sprig_ws_offer *offer, struct sprig_span protocol);
/* Whether the page that opens it is allowed to (RFC 6455 section 10.2): an entry of the list
 * matches, which is separated by blanks or commas: "https://example.org", "*.example.org" for any
 * scheme, port and name below it, "same" for the request's Host. NULL or "": any. Without an Origin
 * field the client is not a browser, and is allowed. A refused page is named in the log. */
bool sprig_ws_admits(struct sprig_exchange *ex, const struct sprig_ws_offer *offer,
                     const char *origins);

enum { SPRIG_WS_ACCEPT_LEN = 28, SPRIG_WS_EXTENSION_BYTES = 160 };

/* Creates a socket that waits for its 101, and what the 101 says: Sec-WebSocket-Accept and, if
 * *n_extension is not 0, Sec-WebSocket-Extensions. sprig_ws_sever severs it from the exchange. NULL
 * + errno. */
struct sprig_ws_answer {
    char accept[SPRIG_WS_ACCEPT_LEN];
    char extension[SPRIG_WS_EXTENSION_BYTES];
    size_t n_extension;
};
struct sprig_ws *sprig_ws_new(struct sprig_exchange *ex, struct sprig_ws_group *group,
                              const struct sprig_ws_offer *offer,
                              const struct sprig_ws_options *options,
                              const struct sprig_ws_handler *handler, void *arg,
                              struct sprig_ws_answer *answer);

/* The 101 is queued: sends what was held back after it, and begins to read. SPRIG_E_CLOSED: the
 * client is gone. */
int sprig_ws_open(struct sprig_ws *ws);

/* Takes what on_body gives for its exchange. */
void sprig_ws_input(struct sprig_ws *ws, struct sprig_span bytes, bool is_last);

/* Called in on_end: the exchange is over. Calls on_close if it has not been called. */
void sprig_ws_sever(struct sprig_ws *ws);

/* The bridge lets go of it: no more callbacks. Closes an open socket with 1001. */
void sprig_ws_free(struct sprig_ws *ws);

/* ---- one socket ---- */

/* Whether messages are wanted. While they are not, at most one is kept, and then nothing is read,
 * so the peer has to wait. Off at first. Kept messages are delivered in a later turn. */
void sprig_ws_want(struct sprig_ws *ws, bool on);

/* Whether messages can be sent: it waits for its 101, or is open. */
bool sprig_ws_is_open(const struct sprig_ws *ws);

/* The result of sending a message; < 0: SPRIG_E_CLOSED, SPRIG_E_NOMEM. */
enum { SPRIG_WS_QUEUED = 0, SPRIG_WS_DROPPED = 1 };

/* Sends a message; copied. Text must be UTF-8. SPRIG_WS_DROPPED: it would have exceeded
 * queue_bytes, and queue_policy was applied. An empty queue always takes a message. */
int sprig_ws_send(struct sprig_ws *ws, struct sprig_span bytes, bool is_binary);

/* The same for bytes that need not be copied: if it returns SPRIG_WS_QUEUED and *raw is true, the
 * caller must next write exactly these bytes to the exchange (sprig_response_write_ref and so on).
 */
int sprig_ws_send_raw(struct sprig_ws *ws, struct sprig_span bytes, bool is_binary, bool *raw);

/* Sends a Ping with at most 125 bytes. */
int sprig_ws_ping(struct sprig_ws *ws, struct sprig_span payload);

/* From now on sends Pings at this interval, and gives the peer this long to answer (seconds; 0:
 * never), instead of its options. SPRIG_E_NOMEM: nothing has changed. */
int sprig_ws_set_ping(struct sprig_ws *ws, double interval, double timeout);

/* Begins to close: nothing more can be sent, and input is ignored. The reason has at most 123 bytes
 * of UTF-8. SPRIG_E_STATE: it was already closed. */
int sprig_ws_close(struct sprig_ws *ws, uint16_t code, struct sprig_span reason);
/* Whether the code may be sent. */
bool sprig_ws_code_is_valid(uint32_t code);

/* Ends it at once with a reset. */
void sprig_ws_abort(struct sprig_ws *ws);

/* Bytes queued that the kernel does not have yet. */
uint64_t sprig_ws_buffered(const struct sprig_ws *ws);
struct sprig_exchange *sprig_ws_exchange(const struct sprig_ws *ws); /* NULL: severed */

/* ---- one message for many sockets ---- */

/* Framed once, and compressed once, for the first socket that wants it so. Copied; text must be
 * UTF-8. Counted: starts with one count, sprig_ws_message_free gives one back. NULL: out of memory.
 */
struct sprig_ws_message *sprig_ws_message_new(struct sprig_span bytes, bool is_binary);
void sprig_ws_message_free(struct sprig_ws_message *message);
/* Like sprig_ws_send; by reference if that is cheaper than a copy. */
int sprig_ws_send_message(struct sprig_ws *ws, struct sprig_ws_message *message);

/* A watcher that is called once, unlinked, when a socket is over (on_close was called, or it was
 * freed). It must not enter Perl. list_remove(&watch->link) cancels it. */
struct sprig_ws_watch {
    struct list_link link;
    void (*on_end)(struct sprig_ws_watch *watch);
};
void sprig_ws_watch(struct sprig_ws *ws, struct sprig_ws_watch *watch);

#endif

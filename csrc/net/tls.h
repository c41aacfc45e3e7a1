/* tls.h - TLS (RFC 8446, RFC 5246) on a connection: what the rest of the core knows of it.
 *
 * OpenSSL is hidden behind this header; a build without it has tls_none.c instead of the other
 * files, and tls_context_open fails. A connection starts with a plain transport, transport_tls_init
 * puts TLS on it, and transport_tls_accept is called until the handshake is over; from then on the
 * transport's operations take and give plain bytes.
 *
 * OpenSSL never sees the socket. It gets received data from a buffer that all connections of a
 * server share, and its output collects in another one: a recv takes all records that have arrived,
 * a send all records of a flush. Between two calls a connection owns a buffer only for what the
 * socket did not take, or for input that did not fit. */
#ifndef SPRIG_TLS_H
#define SPRIG_TLS_H

#include "base/config.h"
#include "base/span.h"
#include "net/transport.h"

/* A server's certificates, keys and settings. Counted; never changes. */
struct tls_context;

/* Reads the files that the configuration names, now and thus before privileges are dropped. NULL:
 * `why` (n bytes) names the option, the file and what is wrong. */
struct tls_context *tls_context_open(const struct sprig_config *config, char *why, size_t n);
struct tls_context *tls_context_hold(struct tls_context *ctx);
void tls_context_release(struct tls_context *ctx); /* NULL is none */

/* Whether one of its files has changed since it was read, or last looked at. A file that cannot be
 * looked at counts as unchanged. */
bool tls_context_has_changed(struct tls_context *ctx);

/* The keys of our tickets, for the program that this process is about to execute: a descriptor that
 * it inherits, whose number it finds in this variable. -1: there are none. */
#define TLS_TICKETS_VARIABLE "SPRIG_TICKETS"
int tls_tickets_copy(void);

/* "OpenSSL 3.0.11", or NULL in a build without it. */
const char *tls_library(void);

/* The shared buffers of a loop, used only within a call of a transport's operation. They must
 * outlive all transports that refer to them. NULL: out of memory. */
struct tls_io;
struct tls_io *tls_io_new(void);
void tls_io_free(struct tls_io *io); /* NULL is none */

/* Puts TLS on a plain transport. 0, or SPRIG_E_NOMEM: it is still plain. */
int transport_tls_init(struct transport *t, struct tls_context *ctx, struct tls_io *io);

/* Before the handshake: lets the client choose HTTP/2, by ALPN (RFC 7301). */
void transport_tls_offer_http2(struct transport *t);
/* After the handshake: whether it chose HTTP/2. */
bool transport_tls_is_http2(const struct transport *t);

enum tls_progress {
    TLS_WAITS, /* for input or, if has_unsent, for room in the socket */
    TLS_IS_OPEN,
    TLS_IS_MISSING, /* the client speaks plain text: see transport_tls_undo */
    TLS_HAS_ENDED,  /* the peer left */
    TLS_HAS_FAILED  /* an alert was queued; *reason says why, static text */
};

/* Takes one step of the handshake with the arrived input. Queued output is sent by the transport's
 * flush. */
enum tls_progress transport_tls_accept(struct transport *t, const char **reason);

/* Makes it a plain transport again; recv gives what has arrived. */
void transport_tls_undo(struct transport *t);

/* Before the handshake, reads what comes in front of it: receives like recv, without decrypting.
 * *input is all that has arrived and was not skipped; borrowed until the next call for the
 * transport. */
ssize_t transport_tls_receive(struct transport *t, struct sprig_span *input);
/* Skips n bytes; the handshake begins after them. */
void transport_tls_skip(struct transport *t, size_t n);

/* After the handshake: turns it into a plain transport, whose descriptor is one end of a pair of
 * unix sockets. A thread (tls_relay.c) has the other end and continues the TLS: what is written to
 * the pair is encrypted and sent, and what the client sends can be read from it, even while this
 * process does nothing but read there. `input` was already received, and comes first. An end on one
 * side is passed on to the other. 0, or < 0 and errno: nothing has changed. */
int transport_tls_relay(struct transport *t, struct sprig_span input);

/* The number of relays whose pair nobody has open any more, here or in a child, or which have been
 * told everything: their data may still be on its way. */
unsigned tls_relays_ending(void);

/* Passes on what applications get with tls_env: SSL_PROTOCOL and so on. Borrowed for the call. */
typedef void tls_describe_cb(struct sprig_span name, struct sprig_span value, void *arg);
void transport_tls_describe(const struct transport *t, tls_describe_cb *tell, void *arg);

/* "TLSv1.3", and OpenSSL's name of the cipher, of a TLS transport; writes nothing before the end of
 * the handshake. Borrowed from the connection. */
void transport_tls_names(const struct transport *t, const char **protocol, const char **cipher);

/* Whether no byte has arrived so far. */
bool transport_tls_is_silent(const struct transport *t);

#endif

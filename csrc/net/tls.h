/* tls.h - TLS (RFC 8446, RFC 5246) on a connection: what the rest of the core knows of it.
 *
 * OpenSSL is behind this header; a build without it has tls_none.c in place of the other files, and
 * tls_context_open fails there. A connection begins with a plain transport, transport_tls_init puts
 * TLS on it, and transport_tls_accept is called until the handshake is over; from then on the
 * transport's operations take and give plain bytes.
 *
 * OpenSSL never sees the socket. What was received is handed to it from a buffer that all
 * connections of a server share, and what it writes gathers in another one: a recv takes as many
 * records as have come, a send all records of a flush. Between two calls a connection owns a buffer
 * only for what the socket did not take, or for input that did not fit. */
#ifndef SPRIG_TLS_H
#define SPRIG_TLS_H

#include "base/config.h"
#include "base/span.h"
#include "net/transport.h"

/* Certificates, keys and settings of a server. Counted; never changes. */
struct tls_context;

/* Reads what the configuration names. NULL: `why` (n bytes) names the option, the file and what is
 * wrong. Files are read now: before privileges are dropped. */
struct tls_context *tls_context_open(const struct sprig_config *config, char *why, size_t n);
struct tls_context *tls_context_hold(struct tls_context *ctx);
void tls_context_release(struct tls_context *ctx); /* NULL is none */

/* One of its files is another than when it was read, or looked at before. What cannot be looked at
 * counts for unchanged. */
bool tls_context_has_changed(struct tls_context *ctx);

/* The keys of our tickets, for the program that this process is about to execute: a descriptor that
 * it inherits, and whose number it has to find in this variable. -1: there are none. */
#define TLS_TICKETS_VARIABLE "SPRIG_TICKETS"
int tls_tickets_copy(void);

/* "OpenSSL 3.0.11", or NULL in a build without it. */
const char *tls_library(void);

/* The shared buffers: of one loop, used within one call of a transport's operation. Outlive all
 * transports that name them. NULL: no memory. */
struct tls_io;
struct tls_io *tls_io_new(void);
void tls_io_free(struct tls_io *io); /* NULL is none */

/* Puts TLS on a plain transport. 0 or SPRIG_E_NOMEM: it is plain still. */
int transport_tls_init(struct transport *t, struct tls_context *ctx, struct tls_io *io);

/* Before the handshake: its client may choose HTTP/2, by ALPN (RFC 7301). */
void transport_tls_offer_http2(struct transport *t);
/* Behind it: that is what it chose. */
bool transport_tls_is_http2(const struct transport *t);

enum tls_progress {
    TLS_WAITS, /* for input, or, where has_unsent, for room in the socket */
    TLS_IS_OPEN,
    TLS_IS_MISSING, /* the client speaks plain text: see transport_tls_undo */
    TLS_HAS_ENDED,  /* the peer left */
    TLS_HAS_FAILED  /* an alert was queued; *reason says why, static text */
};

/* One step of the handshake, with what has come. What it queued is sent by transport's flush. */
enum tls_progress transport_tls_accept(struct transport *t, const char **reason);

/* It is a plain transport again; what has come is given by recv. */
void transport_tls_undo(struct transport *t);

/* Before the handshake, what stands before it: receives as recv does, without decrypting. *input is
 * all that has come and was not skipped; borrowed until the next call for the transport. */
ssize_t transport_tls_receive(struct transport *t, struct sprig_span *input);
/* So much of it is done; the handshake begins behind it. */
void transport_tls_skip(struct transport *t, size_t n);

/* Behind the handshake: it becomes a plain transport, whose descriptor is one end of a pair of unix
 * sockets. A thread (tls_relay.c) has the other end, and goes on with the TLS: what is written to
 * the pair is encrypted and sent, what the client sends can be read from it, also while this
 * process does nothing but read there. `input` was received already, and comes first. When an end
 * is told on one side it is on the other one. 0, or < 0 and errno: nothing has changed. */
int transport_tls_relay(struct transport *t, struct sprig_span input);

/* How many there are whose pair nobody has open any more, here or in a child, or where all was
 * written: that may still be on its way. */
unsigned tls_relays_ending(void);

/* Tells what applications get with tls_env: SSL_PROTOCOL and so on. Borrowed for the call. */
typedef void tls_describe_cb(struct sprig_span name, struct sprig_span value, void *arg);
void transport_tls_describe(const struct transport *t, tls_describe_cb *tell, void *arg);

/* "TLSv1.3", and the cipher by OpenSSL's name, of a transport with TLS; nothing is written before
 * the end of the handshake. Borrowed from the connection. */
void transport_tls_names(const struct transport *t, const char **protocol, const char **cipher);

/* No byte has come so far. */
bool transport_tls_is_silent(const struct transport *t);

#endif

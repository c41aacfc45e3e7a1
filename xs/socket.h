/* socket.h - psgix.io: the client's socket. */
#ifndef SPRIG_PSGI_SOCKET_H
#define SPRIG_PSGI_SOCKET_H

#include "bridge.h"

/* psgix.io: a scalar that becomes, at the first look, a glob ref blessed into IO::Socket::INET,
 * ::IP or ::UNIX, which is inert until used. Owned by the caller. */
SV *psgi_socket_new(pTHX_ struct psgi_exchange *px);
/* False: undef takes its place, because the connection is not this exchange's alone. */
bool psgi_socket_exists(const struct psgi_exchange *px);
/* True if the app holds it outside the env, or has used it: the server must leave the connection
 * alone. */
bool psgi_socket_is_taken(pTHX_ struct psgi_exchange *px);
/* The exchange is over: hands over the descriptor, or turns the glob into a closed handle. */
void psgi_socket_sever(pTHX_ struct psgi_exchange *px);
/* Leaves the connection to the app: its handle has its own descriptor, ours is closed. */
void psgi_socket_hand_over(pTHX_ struct psgi_exchange *px);

#endif

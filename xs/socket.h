/* socket.h - psgix.io: the client's socket. */
#ifndef SPRIG_PSGI_SOCKET_H
#define SPRIG_PSGI_SOCKET_H

#include "bridge.h"

/* psgix.io: a scalar that becomes, when it is first looked at, a glob ref blessed into
 * IO::Socket::INET, ::IP or ::UNIX, which is inert until it is used. Owned by the caller. */
SV *psgi_socket_new(pTHX_ struct psgi_exchange *px);
/* False: undef takes its place, since the connection is not this exchange's alone. */
bool psgi_socket_exists(const struct psgi_exchange *px);
/* The app holds it beyond the env, or used it: the server must leave the connection alone. */
bool psgi_socket_is_taken(pTHX_ struct psgi_exchange *px);
/* The exchange is over: hands the descriptor over or makes the glob a closed handle. */
void psgi_socket_sever(pTHX_ struct psgi_exchange *px);
/* Leaves the connection to the app: its handle has a descriptor of its own, ours is closed. */
void psgi_socket_hand_over(pTHX_ struct psgi_exchange *px);

#endif

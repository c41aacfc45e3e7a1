/* server.h - the server behind Sprig::Server: listeners, life and end. */
#ifndef SPRIG_PSGI_SERVER_H
#define SPRIG_PSGI_SERVER_H

#include "bridge.h"

/* { host, port, unix } */
HV *psgi_address_info(pTHX_ const struct sprig_address *address);
/* A server that does not listen yet, as a blessed reference owned by the caller. `handler`
 * (borrowed for ever) gets its requests, with the struct psgi_server as `arg`; `left` is called
 * when its last connection has gone after a graceful end. Croaks. */
SV *psgi_server_new(pTHX_ const char *class, const struct sprig_handler *handler, SV *app,
                    HV *options, SV *left);
void psgi_server_unref(pTHX_ struct psgi_server *server);
/* The value of an option as text, or undef; owned by the caller. */
SV *psgi_server_option(pTHX_ struct psgi_server *server, const char *name);
/* The server of such an object; croaks for anything else. */
struct psgi_server *psgi_server_get(pTHX_ SV *ref);
/* Listens on all addresses in the text (listen_spec.h). Returns a list of { id, host, port, unix,
 * fd }, owned by the caller. Croaks. */
AV *psgi_server_listen(pTHX_ struct psgi_server *server, const char *text);
/* Listens on a descriptor (taken) and returns one such hash. `options` are those of struct
 * sprig_listen_options. */
SV *psgi_server_listen_fd(pTHX_ struct psgi_server *server, int fd, HV *options);
/* The address in its plain form, with an absolute path; owned by the caller. Croaks. */
SV *psgi_address_read(pTHX_ const char *text);
/* Becomes the user and group in the options. Croaks. */
void psgi_server_drop_privileges(pTHX_ struct psgi_server *server);
/* Starts the admin listener of a single process, if its options ask for one. Croaks. */
void psgi_server_admin(pTHX_ struct psgi_server *server);
/* See sprig_server_stand_alone; false: gives back the signals. */
void psgi_server_stand_alone(pTHX_ struct psgi_server *server, bool is_alone);
/* Serves a connected stream socket (taken) opened by this process itself. Croaks. */
void psgi_server_adopt(pTHX_ struct psgi_server *server, int fd);
/* Calls `code` with "max_requests" once the server has had so many, and with "harakiri" when an app
 * asks for the end; without `code`, harakiri makes the server leave. */
void psgi_server_on_event(pTHX_ struct psgi_server *server, SV *code);
void psgi_server_tell(pTHX_ struct psgi_server *server, const char *what);
/* The condvar that apps get as psgix.exit_guard. Before the first request. */
void psgi_server_set_exit_guard(pTHX_ struct psgi_server *server, SV *guard);
/* `ref` is the server's object: from now on it lives without a variable until the server has left.
 */
void psgi_server_keep(pTHX_ struct psgi_server *server, SV *ref);
/* Stops one listener; with the last one the server leaves. Does nothing if it is closed. */
void psgi_server_close(pTHX_ struct psgi_server *server, UV id);
/* See struct sprig_handler. */
void psgi_server_on_reloaded(struct sprig_server *core, void *arg);
int psgi_server_on_reload(struct sprig_server *core, void *arg, struct sprig_config *fresh,
                          char *why, size_t n);
/* The server's WebSockets; created for the first one. NULL: out of memory. */
struct sprig_ws_group *psgi_server_websockets(struct psgi_server *server);
/* Another server takes over; call this before it leaves. */
void psgi_server_hand_over(struct psgi_server *server);
/* Graceful end: `left` is called later. */
void psgi_server_leave(pTHX_ struct psgi_server *server);
/* Ends at once. */
void psgi_server_stop(pTHX_ struct psgi_server *server);
/* The number of sockets that the app has taken and whose peer may still be there. */
UV psgi_server_taken(pTHX_ struct psgi_server *server);
/* The gauges of the bridge and, unless NULL, of the server, by name. */
HV *psgi_counters(pTHX_ struct psgi_server *server);

#endif

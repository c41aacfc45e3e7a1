/* listener.h - one listening socket. */
#ifndef SPRIG_LISTENER_H
#define SPRIG_LISTENER_H

#include "net/sockets.h"
#include "serve/server.h"

struct sprig_listener {
    struct sprig_server *server; /* borrowed */
    struct list_link link;       /* in server->listeners */
    struct ready ready;
    struct event event;
    struct timer pause; /* runs while accepting is paused */
    struct sprig_address address;
    struct sprig_socket socket; /* owned */
    uint32_t generation;        /* a child must not unlink its parent's path */
    bool is_paused;
    bool has_yielded; /* to other workers, which have had their chance when the pause is over */
};

/* Accepts whatever waits in the socket's queue before it is closed: these clients were told that
 * their connection is established, and would see a reset. */
void listener_take_waiting(struct sprig_listener *l);

/* A listener accepts at most this many connections in one turn, and fewer if other workers wait for
 * them as well, so that they spread. */
enum { LISTENER_MAX_ACCEPTS = 64, LISTENER_SHARED_ACCEPTS = 1 };

/* The longest queue that is accepted at the end: that of SOMAXCONN. */
enum { LISTENER_MAX_WAITING = 4096 };

/* Accepting pauses this long if the process is out of descriptors. */
enum { LISTENER_PAUSE_MS = 100 };

/* And this long if others have fewer connections: they were woken, too. */
enum { LISTENER_YIELD_MS = 1, LISTENER_YIELDED_ACCEPTS = 4 };

#endif

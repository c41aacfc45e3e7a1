/* listener.h - one listening socket. */
#ifndef SPRIG_LISTENER_H
#define SPRIG_LISTENER_H

#include "server.h"

struct sprig_listener {
    struct sprig_server *server; /* borrowed */
    struct list_link link;       /* in server->listeners */
    struct ready ready;
    struct event event;
    struct timer pause; /* runs while accepting is paused for want of descriptors */
    struct sprig_address address;
    int fd;              /* owned */
    uint32_t generation; /* a child must not unlink its parent's path */
    bool is_paused;
    bool proxy_protocol; /* connections begin with a PROXY header */
    bool made_path;      /* the unix path is ours to remove */
    dev_t path_dev;
    ino_t path_ino;
};

/* At most this many connections are accepted in one turn of a listener. */
enum { LISTENER_MAX_ACCEPTS = 64 };

/* Accepting pauses this long when the process is out of descriptors. */
enum { LISTENER_PAUSE_MS = 100 };

#endif

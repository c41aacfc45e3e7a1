/* websocket_object.h - Sprig::WebSocket: psgix.websocket of a request, and the socket that it
 * becomes.
 *
 *   offered -> accepted -> open -> over
 *
 * The object is a blessed hash with magic. Once open, it lives as long as it hears messages or
 * somebody holds it; when it goes, the socket is closed with 1001. It drops its callbacks when the
 * socket is over, so that one captured in its own callback does not live for ever. */
#ifndef SPRIG_PSGI_WEBSOCKET_OBJECT_H
#define SPRIG_PSGI_WEBSOCKET_OBJECT_H

#include "bridge.h"
#include "websocket.h"

/* The callbacks that an app can set. Most set the first two. */
enum psgi_websocket_event {
    WEBSOCKET_ON_MESSAGE,
    WEBSOCKET_ON_CLOSE,
    N_WEBSOCKET_USUAL,
    WEBSOCKET_ON_OPEN = N_WEBSOCKET_USUAL,
    WEBSOCKET_ON_DRAIN,
    WEBSOCKET_ON_PONG,
    WEBSOCKET_ON_ERROR,
    N_WEBSOCKET_EVENTS
};

/* Parts that few sockets have, or only until they are open. */
struct psgi_websocket_more {
    struct sprig_ws_offer offer; /* owned; until the socket is open */
    bool has_offer;
    AV *waiting;  /* owned: condvars returned by `next`, in order; NULL: none */
    SV *protocol; /* owned: the agreed subprotocol, or NULL */
    SV *callbacks[N_WEBSOCKET_EVENTS - N_WEBSOCKET_USUAL];
};

/* Attached to the object, which counts it, as does the exchange of the core once this is its party.
 * Small, because there may be many that do nothing for hours. */
struct psgi_websocket {
    enum psgi_party party;
    uint8_t refs;
    bool is_accepted : 1;
    bool is_over : 1;                 /* on_close was called, or will never be */
    bool is_running : 1;              /* on_message is running: one message at a time */
    bool owns_itself : 1;             /* holds a reference to itself while it hears messages */
    struct psgi_server *server;       /* counted */
    struct psgi_exchange *px;         /* counted; NULL once it is over, or not needed any more */
    struct sprig_ws *ws;              /* counted; NULL before it is accepted and after it is over */
    struct sprig_ws *carried;         /* the same, until on_end, if the exchange points here */
    SV *body;                         /* the object itself, not counted; NULL once it is gone */
    SV *usual[N_WEBSOCKET_USUAL];     /* owned code refs or NULL */
    struct psgi_websocket_more *more; /* owned; NULL if there is nothing in it */
};

/* The slot of the callback (owned), or NULL. */
SV **psgi_websocket_slot(struct psgi_websocket *w, enum psgi_websocket_event event);
SV *psgi_websocket_callback(const struct psgi_websocket *w, enum psgi_websocket_event event);
/* Creates it if necessary. */
struct psgi_websocket_more *psgi_websocket_more(struct psgi_websocket *w);
static inline bool psgi_websocket_has_offer(const struct psgi_websocket *w)
{
    return w->more != NULL && w->more->has_offer;
}

/* psgix.websocket of a handshake request; owned by the caller. NULL: out of memory. */
SV *psgi_websocket_new(pTHX_ struct psgi_exchange *px);

/* The head of the response is queued: if it is the 101 of an accepted socket, that socket is open
 * from now on. False: it is not. */
bool psgi_websocket_begin(pTHX_ struct psgi_exchange *px);

/* From on_drain; and from on_notify, which releases the env if possible. */
void psgi_websocket_drained(pTHX_ struct psgi_websocket *w);
void psgi_websocket_notified(pTHX_ struct psgi_exchange *px);
/* From on_end, for a request with such an object: severs it. */
void psgi_websocket_ended(pTHX_ struct psgi_exchange *px);

/* The socket takes the place of the bridge's exchange, which is then over for its objects, but not
 * for the core. False: it cannot. */
bool psgi_websocket_take_over(pTHX_ struct psgi_exchange *px);
/* From on_end, for a socket that has done so. */
void psgi_websocket_left(pTHX_ struct psgi_websocket *w);

/* What is attached to such an object; NULL: it is something else. */
struct psgi_websocket *psgi_websocket_find(pTHX_ SV *ref);
/* The core's socket behind it; NULL: not accepted, or over. Croaks for anything else. */
struct sprig_ws *psgi_websocket_core(pTHX_ SV *ref);

/* ---- for websocket_methods.c ---- */

/* Called when messages become wanted or unwanted, or the object's holders change. */
void psgi_websocket_adjust(pTHX_ struct psgi_websocket *w);
/* Calls back with the object and the arguments from args[1] on; fills in args[0]. An exception is
 * reported and closes the socket with 1011. *result as in psgi_call; NULL: not wanted. */
bool psgi_websocket_call(pTHX_ struct psgi_websocket *w, enum psgi_websocket_event event, SV **args,
                         int n_args, SV **result);
/* It is open, and on_open has been called: releases what is no longer needed. */
void psgi_websocket_drop_unused(pTHX_ struct psgi_websocket *w);
/* Creates the core's socket; *answer gets what the 101 must say. Croaks. */
void psgi_websocket_accept(pTHX_ struct psgi_websocket *w, HV *options,
                           struct sprig_ws_answer *answer);

/* ---- websocket_methods.c: these croak if `self` is not a WebSocket, or on misuse, before anything
 * changes ---- */

/* Checks the options (the server's names, websocket_*), and answers the handshake. Returns (accept,
 * extension or undef), both mortal; or nothing: the page's origin is not allowed. */
I32 psgi_websocket_accepted(pTHX_ SV *self, HV *options, SV **accept, SV **extension);
/* Agrees on the subprotocol if the client offers it. */
bool psgi_websocket_choose(pTHX_ SV *self, SV *protocol);
/* Called after the responder: calls on_open if the socket is open. Returns its result, owned by the
 * caller. */
SV *psgi_websocket_opened(pTHX_ SV *self);
void psgi_websocket_set(pTHX_ SV *self, enum psgi_websocket_event event, SV *cb);
/* True: it was queued. */
bool psgi_websocket_send(pTHX_ SV *self, SV *message, bool is_binary);
bool psgi_websocket_ping(pTHX_ SV *self, SV *payload);
void psgi_websocket_close(pTHX_ SV *self, SV *code, SV *reason);
void psgi_websocket_abort(pTHX_ SV *self);
UV psgi_websocket_buffered(pTHX_ SV *self);
SV *psgi_websocket_protocol(pTHX_ SV *self); /* owned by the caller */
bool psgi_websocket_is_open(pTHX_ SV *self);
/* Gives the next message to the condvar; undef if there will be none. */
void psgi_websocket_next(pTHX_ SV *self, SV *condvar);

#endif

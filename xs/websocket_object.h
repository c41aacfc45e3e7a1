/* websocket_object.h - Sprig::WebSocket: psgix.websocket of a request, and the socket that it
 * becomes.
 *
 *   offered -> accepted -> open -> over
 *
 * The object is a blessed hash with magic. Once open it lives as long as it hears messages, or
 * somebody has it; when it goes, the socket is closed with 1001. It lets go of its callbacks when
 * the socket is over, so that one captured in its own callback does not live for ever. */
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

/* What few sockets have, or only until they are open. */
struct psgi_websocket_more {
    struct sprig_ws_offer offer; /* owned; until the socket is open */
    bool has_offer;
    AV *waiting;  /* owned: what `next` has returned, in order; NULL: nothing */
    SV *protocol; /* owned: the subprotocol that was agreed on, or NULL */
    SV *callbacks[N_WEBSOCKET_EVENTS - N_WEBSOCKET_USUAL];
};

/* Attached to the object. Counted: by that, and by the exchange of the core once this is its party.
 * There may be many that do nothing for hours: it is to be small. */
struct psgi_websocket {
    enum psgi_party party;
    uint8_t refs;
    bool is_accepted : 1;
    bool is_over : 1;                 /* on_close was called, or will never be */
    bool is_running : 1;              /* on_message is: it is called for one message at a time */
    bool owns_itself : 1;             /* a reference of its own, while it hears messages */
    struct psgi_server *server;       /* counted */
    struct psgi_exchange *px;         /* counted; NULL once that is over, or not needed any more */
    struct sprig_ws *ws;              /* counted; NULL before it was accepted and once it is over */
    struct sprig_ws *carried;         /* the same, until on_end, where the exchange points here */
    SV *body;                         /* the object itself, not counted; NULL once it is gone */
    SV *usual[N_WEBSOCKET_USUAL];     /* owned code refs or NULL */
    struct psgi_websocket_more *more; /* owned; NULL where there is nothing of it */
};

/* Where the callback is, owned, or NULL. */
SV **psgi_websocket_slot(struct psgi_websocket *w, enum psgi_websocket_event event);
SV *psgi_websocket_callback(const struct psgi_websocket *w, enum psgi_websocket_event event);
/* Makes it if it is not there. */
struct psgi_websocket_more *psgi_websocket_more(struct psgi_websocket *w);
static inline bool psgi_websocket_has_offer(const struct psgi_websocket *w)
{
    return w->more != NULL && w->more->has_offer;
}

/* psgix.websocket of a request that is a handshake; owned by the caller. NULL: no memory. */
SV *psgi_websocket_new(pTHX_ struct psgi_exchange *px);

/* The head of the response is queued: if it is the 101 of a socket that was accepted, that is open
 * from now on. False: it is not. */
bool psgi_websocket_begin(pTHX_ struct psgi_exchange *px);

/* From on_drain; and from on_notify: lets go of the env, if it can. */
void psgi_websocket_drained(pTHX_ struct psgi_websocket *w);
void psgi_websocket_notified(pTHX_ struct psgi_exchange *px);
/* From on_end, for a request that has such an object: severs it. */
void psgi_websocket_ended(pTHX_ struct psgi_exchange *px);

/* The socket takes the place of the exchange of the bridge, which then is over for its objects, but
 * not for the core. False: it cannot. */
bool psgi_websocket_take_over(pTHX_ struct psgi_exchange *px);
/* From on_end, for one that has. */
void psgi_websocket_left(pTHX_ struct psgi_websocket *w);

/* What such an object has attached; NULL: it is none. */
struct psgi_websocket *psgi_websocket_find(pTHX_ SV *ref);
/* The socket of the core behind it; NULL: it was not accepted, or is over. Croaks if it is none. */
struct sprig_ws *psgi_websocket_core(pTHX_ SV *ref);

/* ---- for websocket_methods.c ---- */

/* Whether messages are wanted has changed, or who holds the object. */
void psgi_websocket_adjust(pTHX_ struct psgi_websocket *w);
/* Calls back with the object and what is in args[1] and behind; args[0] is filled in. What it dies
 * of is reported, and closes with 1011. *result as in psgi_call, NULL: not wanted. */
bool psgi_websocket_call(pTHX_ struct psgi_websocket *w, enum psgi_websocket_event event, SV **args,
                         int n_args, SV **result);
/* It is open, and on_open was called: lets go of what nobody needs any more. */
void psgi_websocket_drop_unused(pTHX_ struct psgi_websocket *w);
/* Makes the core's socket: what the 101 has to say is in *answer. Croaks. */
void psgi_websocket_accept(pTHX_ struct psgi_websocket *w, HV *options,
                           struct sprig_ws_answer *answer);

/* ---- websocket_methods.c: they croak if `self` is no WebSocket, or on misuse, before anything is
 * changed ---- */

/* Checks the options (names of the server's, websocket_*), and answers the handshake: (accept,
 * extension or undef), both mortal; or nothing: the page's origin is not allowed. */
I32 psgi_websocket_accepted(pTHX_ SV *self, HV *options, SV **accept, SV **extension);
/* The client offers that subprotocol; then it is the one that is agreed on. */
bool psgi_websocket_choose(pTHX_ SV *self, SV *protocol);
/* Behind the call of the responder: calls on_open if the socket is open. What it returned, owned by
 * the caller. */
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
/* Gives the next message to the condvar, undef if there will be none. */
void psgi_websocket_next(pTHX_ SV *self, SV *condvar);

#endif

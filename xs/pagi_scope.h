/* pagi_scope.h - one call of a PAGI application: the bridge's side of a request, an event stream or
 * a WebSocket. The terms are those of PAGI::Spec and PAGI::Spec::Www.
 *
 *   response   NEW -> STARTED -> COMPLETE    and, for trailers, STARTED -> BODY_SENT -> COMPLETE
 *   client     connected -> left (there is a reason) or served (the response is complete)
 *
 * The application gets four objects: $receive, $send, pagi.connection and pagi.transport. They are
 * created once and reused, unless somebody else still has one. Counted: the exchange holds one
 * count until its end, the application's future another until it is ready, each C frame that enters
 * Perl one more. The last count frees everything that is owned, and the last of the four objects
 * the memory. */
#ifndef SPRIG_PAGI_SCOPE_H
#define SPRIG_PAGI_SCOPE_H

#include "bridge.h"
#include "pagi_hash.h"
#include "websocket.h"

enum psgi_scope_type { SCOPE_HTTP, SCOPE_SSE, SCOPE_WEBSOCKET };

enum psgi_scope_response {
    RESPONSE_NEW,
    RESPONSE_STARTED,   /* the head is out */
    RESPONSE_BODY_SENT, /* the trailers are still missing */
    RESPONSE_COMPLETE
};

/* What the application can hold. */
enum psgi_scope_object {
    SCOPE_RECEIVE,
    SCOPE_SEND,
    SCOPE_CONNECTION,
    SCOPE_TRANSPORT,
    N_SCOPE_OBJECTS
};

/* Callbacks that the application sets on pagi.connection and pagi.transport. */
enum psgi_scope_callback {
    SCOPE_ON_DISCONNECT,
    SCOPE_ON_COMPLETE,
    SCOPE_ON_HIGH_WATER,
    SCOPE_ON_DRAIN,
    N_SCOPE_CALLBACKS
};

struct psgi_scope {
    uint32_t refs;
    uint32_t n_kept;             /* of the objects: those that outlive the last count */
    SV *object[N_SCOPE_OBJECTS]; /* owned until then, not counted afterwards */
    struct psgi_scope_hash hash; /* the scope as the application gets it */
    struct psgi_scope *next_spare;
    /* zero at first, from here on */
    struct psgi_server *server; /* counted */
    struct psgi_exchange *px;   /* severable: NULL once the exchange is over */
    SV *future;                 /* owned: what the application returned, until it is ready */
    AV *waiting;                /* owned: futures of $receive that have no event yet; or NULL */
    AV *events;                 /* owned: events not received yet; or NULL */
    AV *blocked;                /* owned: futures of $send that wait for room; or NULL */
    AV *turns;                  /* owned: those that let others have a turn; or NULL */
    AV *callbacks[N_SCOPE_CALLBACKS]; /* owned, or NULL */
    AV *observers;                 /* owned: disconnect futures; NULL: nobody has asked for one */
    const char *failure;           /* why a WebSocket failed; static text; or NULL */
    const char *reason;            /* why the client left; static text; NULL: it has not */
    SV *detail;                    /* owned: details of the reason; or NULL */
    SV *body;                      /* owned: the request's body, not received yet; or NULL */
    SV *source;                    /* owned: a file handle whose rest is the body; or NULL */
    uint64_t source_left;          /* at most this much of it */
    uint64_t body_left;            /* of a body in a file */
    int body_fd;                   /* owned: that file, or -1 */
    struct sprig_timer *heartbeat; /* owned: of an event stream; or NULL */
    SV *heartbeat_text;            /* owned: its comment */
    struct sprig_ws *ws;           /* counted: an accepted WebSocket, until on_end */
    struct sprig_ws_offer offer;   /* owned: of a handshake that is not answered yet */
    uint64_t n_queued_bytes;       /* bytes in a WebSocket's `events` */
    uint32_t n_ready_sends;        /* since $send last returned a pending future */
    uint16_t close_code;           /* code of a closed WebSocket */
    uint16_t n_calls;              /* $send and $receive calls on the stack */
    SV *close_reason;              /* owned: what the peer said; or NULL */
    enum psgi_scope_type type;
    enum psgi_scope_response response;
    bool is_served : 1;    /* the response was delivered: not connected any more, for no reason */
    bool is_declined : 1;  /* an event stream or WebSocket that is refused with a plain response */
    bool has_trailers : 1; /* promised in the head */
    bool has_length : 1;   /* the head has a length */
    bool is_high : 1;      /* the queue went above high_water_bytes */
    bool body_is_read : 1; /* the last piece of the request's body was received */
    bool body_streams : 1; /* the body arrives through on_body */
    bool is_accepted : 1;  /* a WebSocket: websocket.accept was sent */
    bool is_closed : 1;    /* sse.close or websocket.close was sent */
    bool connect_told : 1; /* websocket.connect was received */
    bool app_is_done : 1;  /* its future is ready */
    bool is_untold : 1;    /* the client has left; its turn to tell so is still to come */
    bool is_aborted : 1;   /* by the application itself */
    bool has_inline : 1;   /* body bytes were sent that are not in a file */
    bool has_failed : 1;   /* by an exception: the client got 500 or was cut off */
};

/* A scope with its four objects and one count; `receive` and `send` are its XSUBs. */
struct psgi_scope *psgi_scope_new(pTHX_ struct psgi_exchange *px, XSUBADDR_t receive,
                                  XSUBADDR_t send);
void psgi_scope_free(pTHX_ struct psgi_scope *scope); /* only from unref */
static inline struct psgi_scope *psgi_scope_ref(struct psgi_scope *scope)
{
    scope->refs++;
    return scope;
}
static inline void psgi_scope_unref(pTHX_ struct psgi_scope *scope)
{
    if (--scope->refs == 0)
        psgi_scope_free(aTHX_ scope);
}

/* The scope of $receive or $send; NULL: another thread's. */
static inline struct psgi_scope *psgi_scope_of_sub(CV *cv)
{
    return CvXSUBANY(cv).any_ptr;
}
/* The scope of a pagi.connection or pagi.transport; croaks for anything else. */
struct psgi_scope *psgi_scope_of(pTHX_ SV *ref, const char *method);

/* The core's exchange; NULL: it is over. */
static inline struct sprig_exchange *psgi_scope_exchange(const struct psgi_scope *scope)
{
    return scope->px != NULL ? scope->px->ex : NULL;
}
static inline bool psgi_scope_is_connected(const struct psgi_scope *scope)
{
    return scope->reason == NULL && !scope->is_served;
}

/* Logs an error (borrowed) with the request's name. */
void psgi_scope_report(pTHX_ struct psgi_scope *scope, SV *message);
/* Calls code of the application; reports an exception. */
void psgi_scope_call(pTHX_ struct psgi_scope *scope, SV *code, SV **args, int n_args);

#endif

/* pagi_scope.h - one call of a PAGI application: a request, an event stream or a WebSocket, from
 * the side of the bridge. The words are those of PAGI::Spec and PAGI::Spec::Www.
 *
 *   response   NEW -> STARTED -> COMPLETE    and, for trailers, STARTED -> BODY_SENT -> COMPLETE
 *   client     connected -> left (there is a reason) or served (the response is complete)
 *
 * The application gets four objects: $receive, $send, pagi.connection and pagi.transport. They are
 * made once and used again with the hash that refers to them, unless somebody else still has one.
 * Counted: the exchange holds one
 * count until its end, the application's future another until it is ready, each C frame that enters
 * Perl one more. At the last one all that is owned goes, and the memory with the last of the four
 * objects. */
#ifndef SPRIG_PAGI_SCOPE_H
#define SPRIG_PAGI_SCOPE_H

#include "bridge.h"
#include "pagi_hash.h"
#include "websocket.h"

enum psgi_scope_type { SCOPE_HTTP, SCOPE_SSE, SCOPE_WEBSOCKET };

enum psgi_scope_response {
    RESPONSE_NEW,
    RESPONSE_STARTED,   /* the head is out */
    RESPONSE_BODY_SENT, /* the trailers are still to come */
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
    uint32_t n_kept;             /* of the objects: those that outlive their last count */
    SV *object[N_SCOPE_OBJECTS]; /* owned until then, not counted afterwards */
    struct psgi_scope_hash hash; /* the scope as the application gets it */
    struct psgi_scope *next_spare;
    /* what follows is zero at first */
    struct psgi_server *server; /* counted */
    struct psgi_exchange *px;   /* severable: NULL once the exchange is over */
    SV *future;                 /* owned: what the application returned, while it is not ready */
    AV *waiting;                /* owned: futures of $receive that have no event yet; or NULL */
    AV *events;                 /* owned: events that nobody has received yet; or NULL */
    AV *blocked;                /* owned: futures of $send that wait for room; or NULL */
    AV *turns;                  /* owned: and those that let others have a turn; or NULL */
    AV *callbacks[N_SCOPE_CALLBACKS]; /* owned, or NULL */
    AV *observers;        /* owned: futures of the disconnect; or NULL: nobody has asked for one */
    const char *failure;  /* what is wrong with a WebSocket; static text; or NULL */
    const char *reason;   /* why the client left; static text; NULL: it has not */
    SV *detail;           /* owned: what is known beyond that; or NULL */
    SV *body;             /* owned: the body of the request, not received yet; or NULL */
    SV *source;           /* owned: a file handle whose rest is the body; or NULL */
    uint64_t source_left; /* at most that much of it */
    uint64_t body_left;   /* of one in a file */
    int body_fd;          /* owned: that file, or -1 */
    struct sprig_timer *heartbeat; /* owned: of an event stream; or NULL */
    SV *heartbeat_text;            /* owned: its comment */
    struct sprig_ws *ws;           /* counted: an accepted WebSocket, until on_end */
    struct sprig_ws_offer offer;   /* owned: of a handshake that is not answered yet */
    uint64_t n_queued_bytes;       /* of `events` of a WebSocket */
    uint32_t n_ready_sends;        /* since $send gave a future that was not ready */
    uint16_t close_code;           /* of a WebSocket that is over */
    uint16_t n_calls;              /* of $send and $receive that are on the stack */
    SV *close_reason;              /* owned: what the peer said; or NULL */
    enum psgi_scope_type type;
    enum psgi_scope_response response;
    bool is_served : 1;    /* the response was delivered: not connected any more, without reason */
    bool is_declined : 1;  /* an event stream or WebSocket that a plain response refuses */
    bool has_trailers : 1; /* promised in the head */
    bool has_length : 1;   /* the head tells a length */
    bool is_high : 1;      /* the queue has gone above high_water_bytes */
    bool body_is_read : 1; /* the last piece of the request's body was received */
    bool body_streams : 1; /* it comes by on_body */
    bool is_accepted : 1;  /* a WebSocket: websocket.accept was sent */
    bool is_closed : 1;    /* sse.close or websocket.close was sent */
    bool connect_told : 1; /* websocket.connect was received */
    bool app_is_done : 1;  /* its future is ready */
    bool is_untold : 1;    /* the client has left, which is told in a turn of its own */
    bool is_aborted : 1;   /* by the application itself */
    bool has_inline : 1;   /* bytes of the body were sent that lie in no file */
    bool has_failed : 1;   /* by an exception: the client is told 500 or cut off */
};

/* A scope with its four objects, one count; `receive` and `send` are the bodies of its subs. */
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

/* The scope of $receive or $send itself, or NULL: of another thread. */
static inline struct psgi_scope *psgi_scope_of_sub(CV *cv)
{
    return CvXSUBANY(cv).any_ptr;
}
/* That of a pagi.connection or pagi.transport; croaks if it is neither. */
struct psgi_scope *psgi_scope_of(pTHX_ SV *ref, const char *method);

/* The exchange of the core, or NULL: it is over. */
static inline struct sprig_exchange *psgi_scope_exchange(const struct psgi_scope *scope)
{
    return scope->px != NULL ? scope->px->ex : NULL;
}
static inline bool psgi_scope_is_connected(const struct psgi_scope *scope)
{
    return scope->reason == NULL && !scope->is_served;
}

/* What failed (borrowed), with the name of the request, in the error log. */
void psgi_scope_report(pTHX_ struct psgi_scope *scope, SV *message);
/* Calls code of the application; what it dies of is reported. */
void psgi_scope_call(pTHX_ struct psgi_scope *scope, SV *code, SV **args, int n_args);

#endif

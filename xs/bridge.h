/* bridge.h - the types that the files of the bridge share, and who owns what. The functions are in
 * headers named after their subject: exchange.h, server.h, env.h, writer.h...
 *
 * The bridge turns a request of the core into a PSGI env, runs the app and turns its return value
 * into a response. It knows the core only through sprig.h. Perl is entered in call.c and nowhere
 * else.
 *
 * Every edge between C and Perl is owning or severable:
 *   sprig_exchange -> psgi_exchange   severable: the bridge frees it in on_end
 *   psgi_exchange  -> env, app values owning
 *   psgi_exchange  -> psgi_handle     severable, not counted; the handle belongs to its Perl object
 *   psgi_handle    -> psgi_exchange   severable: NULL as soon as the exchange is over
 *   psgi_exchange  -> psgi_scope      counted; psgi_scope -> psgi_exchange severable likewise
 * An open WebSocket takes the place of its psgi_exchange when nobody needs that any more. */
#ifndef SPRIG_BRIDGE_H
#define SPRIG_BRIDGE_H

#define PERL_NO_GET_CONTEXT
#include <EXTERN.h>
#include <XSUB.h>
#include <perl.h>

#include "base/list.h"
#include "compat.h"
#include "sprig.h"

struct psgi_keys;      /* keys.c: pre-hashed keys of the env */
struct psgi_env;       /* env.h: an env and its entries */
struct psgi_pump;      /* pump.c: an iterator body that is being sent */
struct psgi_websocket; /* websocket_object.h: psgix.websocket */
struct sprig_ws;       /* websocket.h of the core */
struct sprig_ws_group;
struct psgi_watch; /* watcher.c: the wall clock of a pass, foreign hosts */
struct lazyio;     /* lazyio.c: a file handle without a descriptor */
struct psgi_exchange;
struct psgi_scope; /* pagi_scope.h: a call of a PAGI application */
struct psgi_mount; /* pagi_mounts.h: an application below a path */

/* Takes the value of a promise (borrowed). */
typedef void psgi_on_value(pTHX_ struct psgi_exchange *px, SV *value);

/* Everything that the bridge keeps for one interpreter (MY_CXT; never a static SV *). */
struct psgi {
    PerlInterpreter *perl;
    struct sprig_loop *loop;         /* made on first use, lives until the process ends */
    struct sprig_channels *channels; /* the same; see channels.c */
    struct psgi_keys *keys;
    struct list_link dropped; /* exchanges whose responder or writer was dropped, until on_notify */
    uint64_t n_dropped; /* so far; they are numbered in the order in which they were dropped */
    HV *writer_class;   /* owned: the stash that writers are blessed into */
    HV *watcher_class;  /* owned: the stash of watchers */
    SV *errors;         /* owned: the glob behind psgi.errors, see env.c; NULL until needed */
    bool exit_told;     /* the app has called exit */
    CV *eval;           /* owned: the XSUB through which psgi_eval enters eval */
    struct psgi_eval_job *eval_job;           /* what that XSUB is about to run */
    SV *ready_future;                         /* owned: see pagi_future.h; NULL until needed */
    struct psgi_plain_futures *plain_futures; /* owned: see pagi_future.c; NULL: ask by methods */
    struct psgi_scope *spare_scopes;          /* owned: scopes whose objects nobody else has */
    unsigned n_spare_scopes;
    struct psgi_key *scope_keys;           /* owned: see pagi_hash.h; NULL until needed */
    SV *thrown;                            /* owned: an exception from a %SIG handler, kept for
                                            * psgi_rethrow */
    struct psgi_exchange *spare_exchanges; /* owned: memory for the next ones, by `next_spare` */
    unsigned n_spare_exchanges;
    struct psgi_watch *watch;          /* owned; NULL until first used */
    struct psgi_handle *spare_handles; /* owned: memory for the next ones, by `next_spare` */
    unsigned n_spare_handles;
    SV *spare_responder;     /* owned: an unused one, see responder.c; or NULL */
    SV *spare_socket;        /* owned: a psgix.io that nobody has looked at; or NULL */
    HV *responder_class;     /* owned: the stash of Sprig::Responder */
    struct lazyio *spare_io; /* memory of closed lazy handles, for the next ones */
    uint32_t call_depth;     /* psgi_call frames on the stack */
    uint32_t n_exchanges, n_responders, n_writers, n_readers, n_watchers, n_pumps, n_sockets,
        n_websockets, n_scopes; /* live objects */
    uint32_t n_taken;           /* of these sockets: used by the app and not closed */
    uint64_t n_env_built, n_env_recycled;
};

/* The bridge of this interpreter; croaks in a thread that has not loaded it. */
struct psgi *psgi_get(pTHX);

/* Called once when the module is loaded. */
void psgi_boot(pTHX);

/* One Sprig::Server and its app: the `arg` of all callbacks from the core. */
struct psgi_server {
    struct psgi *psgi;
    struct sprig_server *core; /* owned */
    SV *app;                   /* owned code ref */
    SV *on_left;               /* owned code ref or NULL */
    uint32_t refs;             /* its Perl object's, and one for every exchange */
    SV *self; /* owned while it serves: keeps the object alive without a variable */
    struct sprig_listener **listeners; /* owned array; NULL where closed */
    uint32_t n_listeners, n_open;
    HV *options;    /* owned: its options, for a reload */
    SV *on_event;   /* owned code ref or NULL: called with events, see server.h */
    SV *exit_guard; /* owned: psgix.exit_guard, or NULL for none */
    bool multiprocess, harakiri;
    bool is_reloading;                 /* it drains because another server takes over */
    struct sprig_ws_group *websockets; /* owned; NULL until there is one */
    struct psgi_env *spare_envs;       /* owned: for the next requests */
    uint32_t n_spare_envs;
    struct list_link taken; /* struct lazyio.among: sockets that the app has used and not closed */
    bool is_leaving;
    struct psgi_mount *mounts; /* owned array, longest path first; NULL: only `app` */
    uint32_t n_mounts;
    COP caller; /* who calls the app, as `caller` sees it: see psgi_caller_init */
};

/* Attached to a responder, a writer or a psgix.io object. Freed by that object's magic. */
struct psgi_handle {
    struct psgi_exchange *px; /* severable: NULL once the exchange is over or answered */
    uint32_t *gauge;          /* the counter in struct psgi to decrement when it is freed */
    void (*on_drop)(pTHX_ struct psgi_handle *handle); /* its Perl object is being freed; may be
                                 NULL. Must not enter Perl: sprig_exchange_notify() */
    SV *body; /* the object itself, not counted; set by files that need it, else NULL */
    SV *on_drain, *on_disconnect, *poll_cb; /* writer: owned code refs or NULL */
    SV *on_data, *on_end, *on_error;        /* reader: owned code refs or NULL */
    struct sprig_timer *retry; /* writer: owned, waits until poll_cb may have data again */
    struct psgi_handle *next_spare;
    bool is_used : 1;     /* responder: called; writer: closed; socket: materialised;
                             reader: the body is complete */
    bool is_paused : 1;   /* reader: no data wanted for now */
    bool is_gone : 1;     /* the client left while the response was not complete */
    bool wants_gone : 1;  /* writer: on_disconnect still has to be called */
    bool is_fatal : 1;    /* responder, writer: writing to a client that has left dies */
    bool owns_itself : 1; /* writer: owns a reference to itself because a callback is due */
    bool has_written : 1; /* writer: has written since poll_cb was last called */
};

/* The first member of whatever an exchange of the core points to. */
enum psgi_party {
    PSGI_EXCHANGE, /* struct psgi_exchange */
    PSGI_WEBSOCKET /* struct psgi_websocket: an open one whose request is over */
};

/* The bridge's side of one request and its response. Counted: the exchange of the core holds one
 * count until on_end, and every C frame that calls Perl holds another. */
struct psgi_exchange {
    enum psgi_party party;
    uint32_t refs;
    struct sprig_exchange *ex;        /* severable: NULL after on_end */
    struct psgi_server *server;       /* counted */
    HV *env;                          /* owned by `entries`; NULL: see psgi_env_let_go */
    struct psgi_env *entries;         /* owned: the env, ready to be reused */
    char *name;                       /* owned: the request's name, if the env was released early;
                                       * or NULL */
    struct psgi_handle *responder;    /* severable */
    struct psgi_handle *writer;       /* severable */
    struct psgi_handle *socket;       /* severable: psgix.io */
    struct psgi_handle *reader;       /* severable: psgix.input.reader */
    AV *trailers;                     /* owned: psgix.trailers not received yet */
    CV *informer;                     /* owned: psgix.informational */
    CV *raiser;                       /* owned: psgix.raise, if the app has looked at it */
    struct psgi_pump *pump;           /* owned: an iterator body being sent, or NULL */
    SV *guard;                        /* owned: a guard returned by the delayed callback */
    SV *promise;                      /* owned: a future, condvar or promise being awaited */
    struct psgi_websocket *websocket; /* severable: the object */
    struct sprig_ws *ws;              /* counted: the socket, until on_end; NULL: none */
    struct psgi_scope *scope;         /* counted: set for a PAGI application; NULL: a PSGI one */
    psgi_on_value *on_failure;        /* gets a promise's failure when it is too late for a 500 */
    psgi_on_value *on_value;  /* gets its value; NULL: the promise only keeps a delayed callback
                               * going */
    uint8_t promise_depth;    /* promises that yielded promises, to detect a circle */
    SV *on_complete;          /* owned code ref: fourth element of a response, or NULL */
    struct list_link dropped; /* in psgi.dropped */
    uint64_t drop_number;     /* while it is in that list */
    bool is_answered : 1;     /* a response was accepted: a second one is refused */
    bool responder_dropped : 1;
    bool writer_dropped : 1;
    bool dropped_by_die : 1; /* the object went away because of an exception */
    bool socket_used : 1;    /* the app used psgix.io */
    bool is_pumping : 1;     /* an iterator body is being read */
    struct psgi_exchange *next_spare;
};

#endif

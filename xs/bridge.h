/* bridge.h - what the files of the bridge share: types, ownership, prototypes.
 *
 * The bridge turns a request of the core into a PSGI env, runs the app and turns what it returns
 * into a response. It knows the core only through sprig.h. Perl is entered in call.c and nowhere
 * else.
 *
 * Every edge between C and Perl is owning or severable:
 *   sprig_exchange -> psgi_exchange   severable: the bridge frees it in on_end
 *   psgi_exchange  -> env, app values owning
 *   psgi_exchange  -> psgi_handle     severable, not counted; the handle belongs to its Perl object
 *   psgi_handle    -> psgi_exchange   severable: NULL as soon as the exchange is over */
#ifndef SPRIG_BRIDGE_H
#define SPRIG_BRIDGE_H

#define PERL_NO_GET_CONTEXT
#include <EXTERN.h>
#include <XSUB.h>
#include <perl.h>

#include "base/list.h"
#include "compat.h"
#include "sprig.h"

struct psgi_keys;  /* env.h: pre-hashed keys of the env */
struct psgi_env;   /* env.h: an env and its entries */
struct psgi_pump;  /* bodies.c: an iterator body that is being sent */
struct psgi_watch; /* watcher.c: the wall clock of a pass, foreign hosts */
struct lazyio;     /* lazyio.c: a file handle without a descriptor */
struct psgi_exchange;

/* All that the bridge keeps for one interpreter (MY_CXT; never a static SV *). */
struct psgi {
    PerlInterpreter *perl;
    struct sprig_loop *loop; /* made on first use, lives until the process ends */
    struct psgi_keys *keys;
    struct list_link dropped; /* exchanges whose responder or writer was dropped, until on_notify */
    uint64_t n_dropped;       /* so far; their numbers are in the order of being dropped */
    HV *writer_class;         /* owned: the stash that writers are blessed into */
    SV *errors;               /* owned: the glob behind psgi.errors, see env.c; NULL until then */
    CV *guard;                /* owned: the XSUB through which psgi_guard enters eval */
    struct psgi_guarded *guarded; /* what it is about to run */
    SV *thrown;                   /* owned: an exception of a %SIG handler, until psgi_rethrow */
    struct psgi_exchange *spare_exchanges; /* owned: memory for the next ones, by `next_spare` */
    unsigned n_spare_exchanges;
    struct psgi_watch *watch;          /* owned; NULL until first used */
    struct psgi_handle *spare_handles; /* owned: memory for the next ones, by `next_spare` */
    unsigned n_spare_handles;
    SV *spare_responder;     /* owned: one that nobody knows, see responder.c; or NULL */
    SV *spare_socket;        /* owned: a psgix.io that nobody has looked at; or NULL */
    HV *responder_class;     /* owned: the stash of Sprig::Responder */
    struct lazyio *spare_io; /* memory of closed lazy handles, for the next ones */
    uint32_t call_depth;     /* psgi_call frames on the stack */
    uint32_t n_exchanges, n_responders, n_writers, n_readers, n_watchers, n_pumps,
        n_sockets;    /* live objects */
    uint32_t n_taken; /* of the sockets: those that the app has used and not closed */
    uint64_t n_env_built, n_env_recycled;
};

/* The bridge of this interpreter. psgi_loop() creates the loop if there is none yet; croaks if the
 * system refuses it. */
struct psgi *psgi_get(pTHX);
struct sprig_loop *psgi_loop(pTHX);

/* Messages of the core become warnings of Perl. psgi_loop() sees to that. */
void psgi_log_attach(pTHX);

/* Called once when the module is loaded. */
void psgi_boot(pTHX);

/* To be called after a pass, by psgi_loop_pass: croaks with what a %SIG handler threw while the
 * loop waited (alarm around a blocking recv). During the pass the exception is only kept. */
void psgi_rethrow(pTHX);

/* One Sprig::Server and its app: the `arg` of all callbacks from the core. */
struct psgi_server {
    struct psgi *psgi;
    struct sprig_server *core; /* owned */
    SV *app;                   /* owned code ref */
    SV *on_drained;            /* owned code ref or NULL */
    uint32_t refs;             /* its Perl object, and every exchange */
    SV *self;                  /* owned while it serves: the object goes on without its variable */
    struct sprig_listener **listeners; /* owned array; NULL where closed */
    uint32_t n_listeners, n_open;
    SV *on_event;   /* owned code ref or NULL: called with what happened, see service.c */
    SV *exit_guard; /* owned: psgix.exit_guard, or NULL for none */
    bool multiprocess, harakiri;
    struct psgi_env *spare_envs; /* owned: what the next requests take */
    uint32_t n_spare_envs;
    struct list_link taken; /* struct lazyio.among: sockets that the app has used and not closed */
    bool is_draining;
    COP caller; /* who calls the app, as far as `caller` can see: see psgi_caller_init */
};

/* What is attached to a responder, a writer or a psgix.io object. Freed by the magic of that
 * object. */
struct psgi_handle {
    struct psgi_exchange *px; /* severable: NULL once the exchange is over or answered */
    uint32_t *gauge;          /* the counter of struct psgi to take down when it is freed */
    void (*on_drop)(pTHX_ struct psgi_handle *handle); /* its Perl object is being freed; may be
                                 NULL. Must not enter Perl: sprig_exchange_notify() */
    SV *body; /* the object itself, not counted; set by the files that need it, else NULL */
    SV *on_drain, *on_disconnect, *poll_cb; /* writer: owned code refs or NULL */
    SV *on_data, *on_end, *on_error;        /* reader: owned code refs or NULL */
    struct sprig_timer *retry; /* writer: owned, waits for poll_cb to have data again */
    struct psgi_handle *next_spare;
    bool is_used : 1;     /* responder: called; writer: closed; socket: materialised;
                             reader: the body is complete */
    bool is_paused : 1;   /* reader: nothing is wanted for now */
    bool is_gone : 1;     /* the client left while the response was not complete */
    bool wants_gone : 1;  /* writer: on_disconnect is still to be told */
    bool is_fatal : 1;    /* responder, writer: writing to a client that left dies */
    bool is_held : 1;     /* writer: owns a reference to itself, a callback is due */
    bool has_written : 1; /* writer: since poll_cb was called last */
};

/* One request and its response, on the side of the bridge. Counted: the exchange of the core holds
 * one count until on_end, every C frame that calls Perl holds another. */
struct psgi_exchange {
    struct sprig_exchange *ex;  /* severable: NULL after on_end */
    struct psgi_server *server; /* counted */
    uint32_t refs;
    HV *env;                       /* owned by `entries` */
    struct psgi_env *entries;      /* owned: the env, ready to be recycled */
    struct psgi_handle *responder; /* severable */
    struct psgi_handle *writer;    /* severable */
    struct psgi_handle *socket;    /* severable: psgix.io */
    struct psgi_handle *reader;    /* severable: psgix.input.reader */
    CV *informer;                  /* owned: psgix.informational */
    CV *raiser;                    /* owned: psgix.raise, if the app has looked at it */
    struct psgi_pump *pump;        /* owned: an iterator body on its way, or NULL */
    SV *guard;                     /* owned: a guard that the delayed callback returned */
    SV *promise;                   /* owned: a future, condvar or promise that is waited for */
    bool promise_is_watched : 1; /* it only keeps a delayed callback going: its value is ignored */
    uint8_t promise_depth;       /* promises that yielded promises, to end a circle */
    SV *on_complete;             /* owned code ref: fourth element of a response, or NULL */
    struct list_link dropped;    /* in psgi.dropped */
    uint64_t drop_number;        /* while it is there */
    bool is_answered : 1;        /* an answer was accepted: a second one is refused */
    bool responder_dropped : 1;
    bool writer_dropped : 1;
    bool dropped_by_die : 1; /* the object went away because an exception passed by */
    bool socket_used : 1;    /* the app used psgix.io */
    struct psgi_exchange *next_spare;
};

/* ---- call.c: the one way into Perl ---- */

/* Calls a code reference (or an object with &{}) with borrowed arguments. True: it returned;
 * *result (if not NULL) is its scalar value, owned by the caller. False: it died; *error (if not
 * NULL) is a copy of the exception, owned by the caller. Keeps $@, $! and $? of Perl code that it
 * is called within; a pass of the loop keeps them too, and a nested one $_. exit() passes through.
 * With PL_phase at DESTRUCT nothing is called and false is returned with *error = NULL. Sets
 * dropped_by_die for the exchanges whose objects went away during a call that died. */
bool psgi_call(pTHX_ SV *code, SV **args, int n_args, SV **result, SV **error);

/* The same for code of a server's app, which finds the app's file where it asks for its caller. */
bool psgi_call_for(pTHX_ struct psgi_server *server, SV *code, SV **args, int n_args, SV **result,
                   SV **error);

/* Prepares and frees server->caller: the place of the app, in package Sprig::Server. What croak
 * says at the top level of an app, and what perl warns of there, then names the app and not a file
 * of ours. */
void psgi_caller_init(pTHX_ struct psgi_server *server);
void psgi_caller_clear(pTHX_ struct psgi_server *server);

/* psgi_call for a method of an object or class; false also if there is no such method. */
bool psgi_call_method(pTHX_ SV *invocant, const char *method, SV **args, int n_args, SV **result,
                      SV **error);

/* True if the value can be called: a code ref, blessed or not, or an object that overloads &{}. */
bool psgi_is_code(pTHX_ SV *sv);

/* Runs C code that may croak (string conversion of app values, tied containers) under eval. The
 * function gets `arg`. False: it died, *error as above. */
bool psgi_guard(pTHX_ void (*fn)(pTHX_ void *arg), void *arg, SV **error);

/* What runs in the middle of somebody's code keeps their $@, $! and $?: between ENTER and LEAVE,
 * and gives them back behind LEAVE. That is not done by LEAVE, since exit() passes by with its $?.
 */
struct psgi_status {
    int of_system;
    I32 of_child;
};
void psgi_status_keep(pTHX_ struct psgi_status *status);
void psgi_status_give_back(pTHX_ const struct psgi_status *status);

/* Like warn: the message (borrowed) goes to $SIG{__WARN__} or STDERR. Never dies. */
void psgi_warn(pTHX_ SV *message);
void psgi_warnf(pTHX_ const char *fmt, ...);

/* Whether text for STDERR may as well go to descriptor 2 by sprig_log_print, which never waits: no
 * handler, tie or other file of the application would see it. */
bool psgi_stderr_is_plain(pTHX);

/* Prints "message\n" (one newline) to env's psgi.errors by its print method; falls back to warn.
 * env may be NULL. Never dies. */
void psgi_report(pTHX_ HV *env, SV *message);
void psgi_reportf(pTHX_ HV *env, const char *fmt, ...);

/* ---- handle.c: C structs attached to Perl objects by magic ---- */

/* Attaches a new handle to `body` (the thing referred to: CV, HV, GV) and counts it in *gauge. */
struct psgi_handle *psgi_handle_attach(pTHX_ SV *body, struct psgi_exchange *px, uint32_t *gauge,
                                       void (*on_drop)(pTHX_ struct psgi_handle *));
/* The handle of an object (a reference), or NULL if it is none of ours. */
struct psgi_handle *psgi_handle_get(pTHX_ SV *ref);
/* The handle of such a thing itself, if that has no other magic (weak references, for one). */
struct psgi_handle *psgi_handle_only(SV *body);

/* ---- service.c: the server behind Sprig::Server ---- */

/* NULL, or what is wrong with the options (owned by the caller). Unknown keys are not looked at. */
SV *psgi_options_check(pTHX_ HV *options);
/* The same, into a configuration of the caller's that sprig_config_init has made. */
SV *psgi_options_read(pTHX_ struct sprig_config *config, HV *options);
/* What an option is, also if the hash does not name it; owned by the caller. Croaks. */
SV *psgi_options_get(pTHX_ HV *options, const char *name);
/* { host, port, unix } */
HV *psgi_address_info(pTHX_ const struct sprig_address *address);
/* A server that does not listen yet, as a blessed reference owned by the caller. `drained` is
 * called when its last connection is gone after a graceful end. Croaks. */
SV *psgi_server_new(pTHX_ const char *class, SV *app, HV *options, SV *drained);
void psgi_server_release(pTHX_ struct psgi_server *server);
/* The value of an option as text, or undef; owned by the caller. */
SV *psgi_server_option(pTHX_ struct psgi_server *server, const char *name);
/* The server of such an object; croaks if it is none. */
struct psgi_server *psgi_server_get(pTHX_ SV *ref);
/* Listens on all addresses of the text (listen_spec.h): a list of { id, host, port, unix, fd },
 * owned by the caller. Croaks. */
AV *psgi_server_listen(pTHX_ struct psgi_server *server, const char *text);
/* The same for a descriptor (taken): one { ... }. `options` are those of struct
 * sprig_listen_options.
 */
SV *psgi_server_listen_fd(pTHX_ struct psgi_server *server, int fd, HV *options);
/* The address in its plain form, with an absolute path; owned by the caller. Croaks. */
SV *psgi_address_read(pTHX_ const char *text);
/* Becomes the user and group of the options. Croaks. */
void psgi_server_drop_privileges(pTHX_ struct psgi_server *server);
/* See sprig_server_stand_alone; false: gives the signals back. */
void psgi_server_stand_alone(pTHX_ struct psgi_server *server, bool is_alone);
/* Serves a connected stream socket (taken) of this process itself. Croaks. */
void psgi_server_adopt(pTHX_ struct psgi_server *server, int fd);
/* `code` is called with "max_requests" once when the server has had so many, and with "harakiri"
 * when an app asks for the end; without it, harakiri drains the server. */
void psgi_server_on_event(pTHX_ struct psgi_server *server, SV *code);
void psgi_server_tell(pTHX_ struct psgi_server *server, const char *what);
/* The condvar that apps get as psgix.exit_guard. Before the first request. */
void psgi_server_set_exit_guard(pTHX_ struct psgi_server *server, SV *guard);
/* `ref` is the server's object: from now on it lives without a variable, until it is drained. */
void psgi_server_keep(pTHX_ struct psgi_server *server, SV *ref);
/* Stops one listener; the last one that goes makes the server drain. Harmless if it is closed. */
void psgi_server_close(pTHX_ struct psgi_server *server, UV id);
/* Graceful end: `drained` is called later. */
void psgi_server_drain(pTHX_ struct psgi_server *server);
/* Ends at once. */
void psgi_server_stop(pTHX_ struct psgi_server *server);
/* The gauges of the bridge, and of the server unless that is NULL, by name. */
/* The sockets that the app has taken and that somebody may still hear. */
UV psgi_server_taken(pTHX_ struct psgi_server *server);
HV *psgi_counters(pTHX_ struct psgi_server *server);

/* ---- app.c: one request ---- */

struct psgi_exchange *psgi_exchange_hold(struct psgi_exchange *px);
void psgi_exchange_release(pTHX_ struct psgi_exchange *px);
/* The options of its server, also while that is being stopped. The exchange must not be over. */
const struct sprig_config *psgi_exchange_config(const struct psgi_exchange *px);

/* Answers 500 and reports `message` (borrowed) if no head is out, aborts the response otherwise. */
void psgi_exchange_fail(pTHX_ struct psgi_exchange *px, SV *message);
void psgi_exchange_failf(pTHX_ struct psgi_exchange *px, const char *fmt, ...);

/* sprig_response_end for all of the bridge: on_end waits for the kernel to have every byte if there
 * are cleanup handlers or a completion callback. May free what px points to, not px itself if it is
 * held. */
int psgi_exchange_finish(pTHX_ struct psgi_exchange *px);

/* Takes whatever the app returned: array ref, code ref, promise; all else is a 500. */
void psgi_exchange_accept(pTHX_ struct psgi_exchange *px, SV *returned);

/* A value of the env as it is now, owned by the caller; NULL if there is none. Never dies. */
SV *psgi_env_get(pTHX_ HV *env, const char *key);

extern const struct sprig_handler psgi_handler;

/* ---- env.c, keys.c, recycle.c: see env.h ---- */
struct psgi_keys *psgi_keys_new(pTHX);
/* A complete env for the request, as px->entries; borrowed. Enters no Perl. */
HV *psgi_env_build(pTHX_ struct psgi_exchange *px);
/* The exchange is over. If nobody else has the env, it waits for the next request, without anything
 * that the app put there; else, or if it is not what it was, it goes its own way. May run
 * destructors. */
void psgi_env_release(pTHX_ struct psgi_exchange *px);
/* A reference to the env for one call, and its end: spares making one. */
SV *psgi_env_ref(pTHX_ struct psgi_exchange *px);
void psgi_env_ref_release(pTHX_ struct psgi_exchange *px, SV *ref);
/* Frees the envs that wait. */
void psgi_env_pool_clear(pTHX_ struct psgi_server *server);
/* False if psgix.cleanup.handlers is surely empty. */
bool psgi_env_has_handlers(pTHX_ struct psgi_exchange *px);

/* ---- reply.c ---- */
/* Sends a response [status, headers, body] or, `streaming` being true, also [status, headers]: then
 * the head is sent and 1 is returned, the body is to follow by a writer. 0: accepted and complete
 * or on its way. -1: it was not acceptable, a 500 was sent and reported. */
int psgi_reply_send(pTHX_ struct psgi_exchange *px, SV *response, bool streaming);

/* ---- bodies.c ---- */
/* The body of a response, looked at before the head goes out. Nothing of it is owned but `fd`. */
struct psgi_body {
    enum {
        PSGI_BODY_NONE,
        PSGI_BODY_STRING,
        PSGI_BODY_ARRAY,
        PSGI_BODY_FILE,
        PSGI_BODY_HANDLE
    } kind;
    SV *sv; /* the string, the array itself (not the reference), or what getline is called on */
    uint64_t length; /* SPRIG_LENGTH_UNKNOWN where only reading would tell */
    int fd;          /* FILE: owned duplicate until psgi_body_send or _clear, else -1 */
    uint64_t offset; /* FILE: where its next read would start */
};

/* An object without getline whose string_ref method returns a reference to all of its text. */
bool psgi_body_has_string_ref(pTHX_ SV *sv);
/* Finds out what kind of body it is. Enters no Perl. Returns 1: done; 0: it has magic, overloading
 * or wide strings: pass a plain copy; -1: unusable, *error (owned by the caller) says why. */
int psgi_body_inspect(pTHX_ SV *sv, struct psgi_body *body, SV **error);
/* An object that has getline and says by its method `path` which file it reads: that file, opened;
 * -1: it is none, or cannot be opened. May enter Perl. Then, with the body inspected: _use_path
 * takes the descriptor, and makes a FILE of a HANDLE if it is a regular file. */
int psgi_body_open_path(pTHX_ SV *sv);
void psgi_body_use_path(int fd, struct psgi_body *body);
/* Sends an inspected body behind the queued head and ends the response, now or when all is read.
 * Calls close exactly once where the body has it. */
void psgi_body_send(pTHX_ struct psgi_exchange *px, struct psgi_body *body);
void psgi_body_clear(struct psgi_body *body);
/* True for a string or number whose bytes can be had without magic, overloading or recoding. */
bool psgi_is_plain(SV *sv);

/* An iterator body is at work: not at its end yet. */
bool psgi_pump_is_reading(const struct psgi_exchange *px);
void psgi_pump_run(pTHX_ struct psgi_exchange *px);  /* from on_drain */
void psgi_pump_free(pTHX_ struct psgi_exchange *px); /* closes the body, exactly once */
/* What a piece of a body refers to, if it is a plain reference to a string (which spares the app a
 * copy, see psgix.body.scalar_refs); else the value itself. */
static inline SV *psgi_referent(SV *sv)
{
    SV *target = SvROK(sv) && !SvGMAGICAL(sv) ? SvRV(sv) : NULL;

    return target != NULL && !SvOBJECT(target) && SvTYPE(target) <= SVt_PVMG && !isREGEXP(target)
               ? target
               : sv;
}
/* The bytes of a value: downgraded from UTF-8 where flagged. False: it has wide characters. May run
 * magic and overloading: call it under psgi_guard unless the value is plain. `hold` keeps a
 * temporary copy if one was needed (owned by the caller, else NULL). */
bool psgi_bytes(pTHX_ SV *sv, struct sprig_span *bytes, SV **hold);
/* Writes a value to the response; large ones by reference (sharing the string buffer where perl
 * can). Returns as sprig_response_write, SPRIG_E_INVALID for wide characters. */
int psgi_write_sv(pTHX_ struct sprig_exchange *ex, SV *sv);
/* The same for a byte string without magic that is not empty. */
int psgi_write_bytes(pTHX_ struct sprig_exchange *ex, SV *sv);

/* ---- responder.c, writer.c, promise.c, socket.c ---- */

/* Calls the code ref of a delayed response with (responder, socket): a die is a failed exchange. */
void psgi_stream_start(pTHX_ struct psgi_exchange *px, SV *code);
/* From on_notify: settles dropped responders and writers and tells what is to be told. */
void psgi_stream_notified(pTHX_ struct psgi_exchange *px);
/* From on_gone: tells the writer and cancels what the response waits for. */
void psgi_stream_gone(pTHX_ struct psgi_exchange *px);
/* From on_end, while px->ex is still set: severs responder, writer, socket and promise, and
 * releases the callbacks of the writer. May enter Perl (on_disconnect). */
void psgi_stream_ended(pTHX_ struct psgi_exchange *px, enum sprig_end why);
SV *psgi_responder_new(pTHX_ struct psgi_exchange *px); /* blessed code ref, owned by the caller */
SV *psgi_writer_new(pTHX_ struct psgi_exchange *px);    /* Sprig::Writer, owned by the caller */
/* psgix.informational: a code ref, owned by the caller. */
CV *psgi_informer_new(pTHX_ struct psgi_exchange *px);
/* Gives one that only a spare env has to an exchange. */
void psgi_informer_reuse(struct psgi_exchange *px, CV *cv);
/* The exchange is over: the code ref does nothing any more. */
void psgi_informer_sever(pTHX_ struct psgi_exchange *px);
/* True if it is a Future, condvar or promise; then it is waited for. Ask before psgi_is_code:
 * condvars overload &{}. */
bool psgi_promise_await(pTHX_ struct psgi_exchange *px, SV *sv);
/* psgix.io: a scalar that becomes, when it is first looked at, a glob ref blessed into
 * IO::Socket::INET, ::IP or ::UNIX, which is inert until it is used. Owned by the caller. */
SV *psgi_socket_new(pTHX_ struct psgi_exchange *px);
/* The app holds it beyond the env, or used it: the server must leave the connection alone. */
bool psgi_socket_is_taken(pTHX_ struct psgi_exchange *px);
/* The exchange is over: hands the descriptor over or makes the glob a closed handle. */
void psgi_socket_sever(pTHX_ struct psgi_exchange *px);
void psgi_writer_drained(pTHX_ struct psgi_exchange *px); /* from on_drain */

/* ---- worker.c: this process as a worker, or as the only one ---- */

/* What this process is as a worker: number, generation, control_fd, is_daemon; NULL if it is none.
 * Owned by the caller. */
HV *psgi_worker_info(pTHX);
/* Its listening sockets, as { fd, proxy_protocol }: the descriptors are the caller's from now on.
 */
AV *psgi_worker_take_sockets(pTHX);

/* This server is the one that accepts for the worker. */
void psgi_worker_share(pTHX_ struct psgi_server *server);
/* For tests that play the master: makes this process a worker. The descriptors are taken. */
void psgi_worker_play(pTHX_ UV number, int control_fd, AV *fds);
/* Goes on in the background, see daemon.h, unless that has happened; then the process that waits
 * is told that all is well. The file of the option pid. They croak. */
void psgi_daemonize(pTHX);
void psgi_daemon_ready(pTHX);
void psgi_pidfile_open(pTHX_ const char *path);
void psgi_pidfile_close(pTHX);
void psgi_pidfile_clean(void); /* removes the file only; async-signal-safe */
/* status_fd of sprig_daemonize, for the caller to tell and close; -1: nobody waits. */
int psgi_daemon_take_status(void);

/* ---- master.c: the master of worker processes, in a living interpreter ---- */

/* The master of this process: made, given sockets (see master.h), run. They croak, and then there
 * is no master any more. `argv`: the words by which the program was started. _run returns true in
 * each worker and false in the master when all is over; `on_ready` (code ref or undef) is called
 * when the first worker serves. */
void psgi_master_open(pTHX_ HV *options, AV *argv);
void psgi_master_listen(pTHX_ const char *text);
void psgi_master_adopt(pTHX_ int fd);
AV *psgi_master_addresses(pTHX);
bool psgi_master_is_heir(void); /* it has been handed its sockets */
/* Becomes the user and group of the options: before an app is loaded in the master. */
void psgi_master_drop_privileges(pTHX_ HV *options);
bool psgi_master_run(pTHX_ SV *on_ready);
void psgi_master_close(pTHX);
void psgi_quit_open(void); /* sprig_quit_open, with the files of this process to be removed */

/* ---- watcher.c: AnyEvent watchers on the loop ---- */

/* One pass. Whatever leaves it early (exit, a dying %SIG handler) finds the loop as it was before.
 */
int psgi_loop_pass(pTHX_ bool block);
/* Passes until the hash behind a reference has the key, or the variable `other` has a value. */
void psgi_loop_pass_until(pTHX_ SV *ref, SV *key, SV *other);
/* Calls a callback that belongs to nobody who could hear of its death: reports it to
 * $Sprig::Loop::DIED or by warn. */
void psgi_callback(pTHX_ SV *code, SV **args, int n_args);

/* Watchers: blessed references, owned by the caller; the watcher lives as long as they do. Croak on
 * misuse. `fh`: glob, IO object, references to these, or a descriptor number. */
SV *psgi_watcher_io(pTHX_ SV *fh, int what, SV *code);
SV *psgi_watcher_timer(pTHX_ SV *after, SV *interval, SV *code);
SV *psgi_watcher_signal(pTHX_ SV *signal, SV *code); /* name without or with SIG, or number */
SV *psgi_watcher_idle(pTHX_ SV *code);

NV psgi_loop_time(pTHX); /* seconds since the epoch, as it is */
NV psgi_loop_now(pTHX);  /* the same as of the current pass */
/* Drives the loop from another one by callbacks: see sprig_loop_set_interest. */
void psgi_loop_set_interest(pTHX_ SV *on_interest, SV *on_timeout);

#endif

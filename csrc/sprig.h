/* sprig.h - the public header of the core: everything the Perl bridge may use.
 *
 * Words used in every contract:
 *   borrowed  valid until the named moment, not to be freed
 *   copied    the callee keeps its own
 *   taken     the callee owns it from now on, also when it reports an error
 *   pinned    stays alive during the callback
 *   severed   this pointer is not used (NULL) from now on
 *
 * Threads: one thread only. Fork: see sprig_loop_new. Nothing here knows Perl. */
#ifndef SPRIG_H
#define SPRIG_H

#include "base/config.h"
#include "base/err.h"
#include "base/log.h"
#include "base/span.h"
#include "http/request.h"
#include "net/listen_spec.h"
#include <sys/socket.h>

#define SPRIG_VERSION "0.001"

struct sprig_loop;
struct sprig_server;
struct sprig_listener;
struct sprig_exchange;
struct sprig_io;
struct sprig_timer;
struct sprig_signal;
struct sprig_idle;

/* ---------------------------------------------------------------- options ---- */

/* What no single value tells: workers <= workers_limit, low_water_bytes <= high_water_bytes,
 * temp_dir can be written to; like sprig_config_set. */
int sprig_config_check(const struct sprig_config *c, char *why, size_t n);

/* ---------------------------------------------------------------- the loop ---- */

/* Creates the event base and its descriptors (all close-on-exec). Also replaces a default SIGPIPE
 * disposition by a handler that does nothing. NULL: errno says why.
 *
 * Fork: a child that goes on using the loop gets a base of its own at its first call; watchers and
 * listeners are kept, connections of the parent are dropped without a byte or a shutdown. A child
 * that only execs or exits costs the parent nothing. */
struct sprig_loop *sprig_loop_new(void);

/* Frees a loop without watchers, servers or running passes. Perl never calls it: the loop lives
 * until the process ends. */
void sprig_loop_free(struct sprig_loop *loop);

/* What a host of the loop (the bridge) wants to hear; every member may be NULL. */
struct sprig_loop_hooks {
    /* True if something of the host's must run before the loop may sleep (pending Perl signals). */
    bool (*is_pending)(void *arg);
    /* After each wake-up, outside libevent, before the ready queue is run: run Perl's handlers. */
    void (*on_wake)(void *arg);
    /* Around a whole pass that happens inside another one: keep $@, $_, errno of the outer code. */
    void (*on_nested_enter)(void *arg);
    void (*on_nested_leave)(void *arg);
    void *arg;
};
void sprig_loop_set_hooks(struct sprig_loop *loop, const struct sprig_loop_hooks *hooks);

/* One pass: wait for events (once, unless `block` is false or something is ready), then run what is
 * ready. May be called from within a callback that a pass is running. Returns the number of
 * callbacks run, or SPRIG_E_SYS. */
int sprig_loop_pass(struct sprig_loop *loop, bool block);

/* A descriptor that polls readable whenever a non-blocking pass has work to do: watch it for
 * reading in another event loop and call sprig_loop_pass(loop, false). -1: the platform's backend
 * has none, see sprig_loop_set_interest. It may change after a fork: ask again in the child. */
int sprig_loop_poll_fd(struct sprig_loop *loop);

/* The portable way to be driven by another loop. `on_interest(fd, what)` is called whenever the set
 * of events wanted on a descriptor changes (what: SPRIG_READ | SPRIG_WRITE, 0 = none), and
 * `on_timeout(seconds)` whenever the earliest timer changes (< 0: none). The other loop calls
 * sprig_loop_pass(loop, false) when any of it comes true. */
struct sprig_loop_interest {
    void (*on_interest)(int fd, int what, void *arg);
    void (*on_timeout)(double seconds, void *arg);
    void *arg;
};
void sprig_loop_set_interest(struct sprig_loop *loop, const struct sprig_loop_interest *interest);

/* Makes a sleeping pass return. Async-signal-safe. */
void sprig_loop_wake(struct sprig_loop *loop);

/* If the admin listener has asked for it, describes the connections of this process; each pass does
 * so at its beginning. */
void sprig_loop_look(struct sprig_loop *loop);

/* CLOCK_MONOTONIC in ns as of the current pass; sprig_loop_now_update reads the clock anew. */
uint64_t sprig_loop_now(struct sprig_loop *loop);
uint64_t sprig_loop_now_update(struct sprig_loop *loop);

/* A thread notices when Perl keeps the loop for longer than block_warning seconds, and says so with
 * the request and the place; again after 2, 4, 8 ... times that, and when it ends. Longer than
 * block_timeout, the process ends: the stack is printed, ABRT is sent, KILL follows; only in
 * workers, which are replaced, and where sprig_watchdog_may_end was told. 0: neither. May be called
 * again. */
struct sprig_watchdog {
    double block_warning, block_timeout;
    uint32_t worker; /* number of this process; 0: it is none */
    /* By the thread, while the loop's may be anywhere in Perl: print place and stack. The length;
     * 0: it is not known. */
    size_t (*place)(char *buf, size_t n, void *arg);
    size_t (*stack)(char *buf, size_t n, void *arg);
    void *arg;
};
void sprig_watchdog_start(const struct sprig_watchdog *how);

/* Whether block_timeout ends this process although it is no worker: it is nothing but a server. */
void sprig_watchdog_may_end(bool may_end);

/* How often this process, or one that it was forked from, was the child of a fork: what was begun
 * with another count is the parent's. */
uint32_t sprig_fork_count(void);

/* Counts app calls on the stack: +1 on entering one, -1 on leaving. While the count is positive and
 * `nested` is "hold", complete requests are parked. The bridge must balance it also when Perl
 * unwinds. */
void sprig_loop_count_app_call(struct sprig_loop *loop, int delta);

/* The caller goes back to an app that may keep the loop for long, having written something: what is
 * queued for the end of this pass is sent by another thread if that does not come within a few
 * milliseconds. The next call of any function here takes it back. Costs nothing if nothing is
 * queued. */
void sprig_loop_lend(struct sprig_loop *loop);

/* How many passes are on the stack now, for a depth limit. The bridge restores it to the value it
 * had before a call into Perl when that call is over, be it by a non-local exit; that ends a
 * sprig_loop_lend, too. */
uint32_t sprig_loop_depth(const struct sprig_loop *loop);
void sprig_loop_set_depth(struct sprig_loop *loop, uint32_t depth);

/* ---------------------------------------------------------------- watchers ---- */
/* All callbacks run in phase 2. A watcher may be freed in its own callback or in any other. Frees
 * are safe in a forked child. `what` is the reason below. new: NULL + errno on failure. */

enum { SPRIG_READ = 1, SPRIG_WRITE = 2 };

/* Level-triggered. Descriptors that the backend cannot poll (regular files) are always ready.
 * Several watchers on one descriptor and direction each run. */
typedef void sprig_io_cb(struct sprig_io *io, int what, void *arg);
struct sprig_io *sprig_io_new(struct sprig_loop *loop, int fd, int what, sprig_io_cb *cb,
                              void *arg);
void sprig_io_free(struct sprig_io *io);

/* Fires `after` seconds from now (<= 0: in the next pass, never synchronously), then every
 * `interval` seconds if that is > 0: without drift, and without catching up missed turns. */
typedef void sprig_timer_cb(struct sprig_timer *timer, void *arg);
struct sprig_timer *sprig_timer_new(struct sprig_loop *loop, double after, double interval,
                                    sprig_timer_cb *cb, void *arg);
void sprig_timer_free(struct sprig_timer *timer);

/* Runs once for any number of signals of that number since the last run. The process's handler is
 * ours from the first watcher on a signal until the last one is freed; then the old one is back. */
typedef void sprig_signal_cb(struct sprig_signal *signal, int signo, void *arg);
struct sprig_signal *sprig_signal_new(struct sprig_loop *loop, int signo, sprig_signal_cb *cb,
                                      void *arg);
void sprig_signal_free(struct sprig_signal *signal);

/* Runs in each pass that found nothing else to do; while one exists, passes do not sleep. */
typedef void sprig_idle_cb(struct sprig_idle *idle, void *arg);
struct sprig_idle *sprig_idle_new(struct sprig_loop *loop, sprig_idle_cb *cb, void *arg);
void sprig_idle_free(struct sprig_idle *idle);

/* -------------------------------------------------------------- the server ---- */

/* Why an exchange is over. */
enum sprig_end {
    SPRIG_END_DONE, /* the response is complete and with the kernel (or queued, see
                       sprig_exchange_end_after_flush) */
    SPRIG_END_GONE, /* the client went away, a deadline passed, or the server was freed (as at the
                       graceful_timeout), before it was complete */
    SPRIG_END_ABORTED, /* sprig_response_abort */
    SPRIG_END_DETACHED /* sprig_exchange_detach: the socket belongs to the app */
};

/* Why the client of an exchange is gone, as far as the server knows. */
enum sprig_loss {
    SPRIG_LOSS_CLOSED, /* it closed the connection, or reset its stream; or nothing is known */
    SPRIG_LOSS_READ_TIMEOUT,
    SPRIG_LOSS_READ_ERROR,
    SPRIG_LOSS_WRITE_TIMEOUT,
    SPRIG_LOSS_WRITE_ERROR,
    SPRIG_LOSS_PROTOCOL,  /* it broke a rule of HTTP */
    SPRIG_LOSS_TOO_LARGE, /* its body went beyond max_body_bytes */
    SPRIG_LOSS_OVERFLOW   /* more waits for it than max_output_bytes */
};

/* The callbacks to the bridge. All run in phase 2, with the exchange pinned. */
struct sprig_handler {
    /* A request is complete, body included unless it streams: run the app. The request's spans are
     * borrowed until the handler first enters Perl. */
    void (*on_request)(struct sprig_exchange *ex, void *arg);
    /* The output queue fell to low_water_bytes or below, after it had been above high_water_bytes
     * or after sprig_response_want_drain. */
    void (*on_drain)(struct sprig_exchange *ex, void *arg);
    /* The client closed its sending side or vanished, while the response was not complete. Told
     * once. Writing is still possible if it only half-closed. */
    void (*on_gone)(struct sprig_exchange *ex, void *arg);
    /* Part of a body that streams (sprig_exchange_is_streaming), decoded and not empty unless it is
     * the last. The bytes are borrowed until Perl is entered. A body that breaks off ends the
     * exchange instead. */
    void (*on_body)(struct sprig_exchange *ex, struct sprig_span bytes, bool is_last, void *arg);
    /* What sprig_exchange_notify asked for. */
    void (*on_notify)(struct sprig_exchange *ex, void *arg);
    /* The last call for this exchange: all pointers to it are severed on return. */
    void (*on_end)(struct sprig_exchange *ex, enum sprig_end why, void *arg);
    /* The server is leaving and its last connection is gone. */
    void (*on_left)(struct sprig_server *server, void *arg);
    /* It has served enough, for the reason of this option (static text): max_requests, max_rss or
     * max_lifetime. Told once, and it goes on. */
    void (*on_retire)(struct sprig_server *server, const char *why, void *arg);
    /* HUP has come to a server that stands alone: reads the configuration anew into *fresh, which
     * the caller clears. SPRIG_E_NOTFOUND: there is no file to read. Else < 0 and `why` (n
     * bytes). */
    int (*on_reload)(struct sprig_server *server, void *arg, struct sprig_config *fresh, char *why,
                     size_t n);
    /* It counts from now on. */
    void (*on_reloaded)(struct sprig_server *server, void *arg);
    /* Whether the body of this request streams, as below the path of streaming_input. May be NULL;
     * must not enter Perl. */
    bool (*streams)(const struct sprig_request *req, void *arg);
};

/* Copies config and handler. NULL + errno. */
struct sprig_server *sprig_server_new(struct sprig_loop *loop, const struct sprig_config *config,
                                      const struct sprig_handler *handler, void *arg);

/* Opens the access log if the configuration names one; before privileges are dropped. Lines are
 * written soon after the answers. On failure < 0 and `why` (n bytes). */
int sprig_server_open_log(struct sprig_server *server, char *why, size_t n);

/* Makes the options of a running server those of *fresh, which is copied: limits, deadlines,
 * overload, proxies and the access log change, for what begins from now on; `kept` (n bytes) gets
 * the names of options that differ and cannot change. On failure < 0 and `why` (n bytes), and
 * nothing has changed. */
int sprig_server_reload(struct sprig_server *server, const struct sprig_config *fresh, char *kept,
                        char *why, size_t n);

/* Writes the lines that wait, at the end of a process that does not free its server. */
void sprig_server_flush_log(struct sprig_server *server);

/* Closes everything at once, open exchanges end with SPRIG_END_GONE, and frees the server. */
void sprig_server_free(struct sprig_server *server);

/* What a listener is bound to. */
struct sprig_address {
    char host[256]; /* numeric address without brackets, or "unix/" */
    char port[108]; /* decimal, or the path of the unix socket */
    bool is_unix;
    bool is_tls; /* clients have to speak TLS */
};

/* Binds and listens; see listen_spec.h. A stale unix socket is replaced, a living one stays. A name
 * with several addresses (localhost) is listened on at all of them. With proxy_protocol each
 * connection has to begin with a PROXY header, and to come from one of trusted_proxies. The number
 * of listeners, at most `max`, or < 0, and `why` (n bytes) names the address and the reason:
 * "cannot listen on 127.0.0.1:80: Permission denied". */
int sprig_server_listen(struct sprig_server *server, const struct sprig_listen_spec *spec,
                        struct sprig_listener **out, size_t max, char *why, size_t n);

/* Serves an already listening socket (inherited descriptor); taken. */
struct sprig_listener *sprig_server_listen_fd(struct sprig_server *server, int fd,
                                              const struct sprig_listen_options *options, char *why,
                                              size_t n);
const struct sprig_address *sprig_listener_address(const struct sprig_listener *listener);
int sprig_listener_fd(const struct sprig_listener *listener);

/* Serves a connected stream socket (taken) whose other end this process has itself: the probe of a
 * worker. Its local address is "unix/"; it and its requests count towards no limit and no counter
 * but n_connections. 0, SPRIG_E_NOMEM. */
int sprig_server_adopt(struct sprig_server *server, int fd);

/* When all listeners are open: becomes user and group of the configuration, for good. On failure <
 * 0 and `why` (n bytes); the process has to end then. */
int sprig_server_drop_privileges(struct sprig_server *server, char *why, size_t n);

/* This server accepts from sockets of which other processes accept as well: it shows its number of
 * connections on the board (slots from 0; borrowed until the server is freed), and where it has
 * clearly more than another it lets that one go first. See board.h. */
struct sprig_board;
void sprig_server_share(struct sprig_server *server, struct sprig_board *board, uint32_t slot);

/* Certificates and keys that a master has read while it could: before the first listener with TLS.
 * NULL is none; counted. */
struct tls_context;
void sprig_server_share_tls(struct sprig_server *server, struct tls_context *tls);

/* HUP, USR1 and USR2 mean something to a master; where there is none, people and tools send them
 * all the same, and they must not end the process. Where nobody else has a handler or a watcher for
 * them, from now on HUP opens the access log anew and says what it did, USR2 says that it needs a
 * master. Until sprig_server_give_back_signals, or the end of the server. */
void sprig_server_stand_alone(struct sprig_server *server);
void sprig_server_give_back_signals(struct sprig_server *server);

/* From open to close (calls nest) these signals do nothing by themselves: around the life of such a
 * server, while the application is being loaded, and behind its end. */
void sprig_alone_open(void);
void sprig_alone_close(void);

/* Stops accepting, closes, removes its unix path if that is still the one it made and this process
 * made it. Frees the listener. Its connections are served on. */
void sprig_listener_close(struct sprig_listener *listener);

/* Graceful end: closes all listeners, and idle connections as soon as they have been idle for a
 * short while more; lets exchanges finish, each last response with "Connection: close"; those of
 * event streams are told by on_gone and ended, one after the other within half of graceful_timeout;
 * then handler.on_left. */
void sprig_server_leave(struct sprig_server *server);
/* To be said before: another server takes over what comes from now on. So nobody waits for the end
 * of this one, and clients that are slow have more time for what they have begun. */
void sprig_server_hand_over(struct sprig_server *server);

/* Counters, for tests and metrics; all gauges but n_requests and n_accepted. */
struct sprig_counters {
    uint64_t n_accepted, n_requests, n_refused;
    uint32_t n_connections, n_exchanges, n_listeners;
};
void sprig_server_counters(const struct sprig_server *server, struct sprig_counters *out);
const struct sprig_config *sprig_server_config(const struct sprig_server *server);

/* ------------------------------------------------------------ one exchange ---- */

/* Valid from on_request until on_end returns. */

/* Borrowed until Perl is entered; afterwards only the flags and the version may be read. */
const struct sprig_request *sprig_exchange_request(struct sprig_exchange *ex);
struct sprig_server *sprig_exchange_server(struct sprig_exchange *ex);

/* The bridge's own pointer; NULL at first. */
void *sprig_exchange_app(const struct sprig_exchange *ex);
void sprig_exchange_set_app(struct sprig_exchange *ex, void *app);

/* The request's body. `mem` is borrowed until Perl is entered; where fd is not -1, the body is in
 * that file (owned by the caller from now on, at offset 0) and mem is empty. Asks once. */
struct sprig_body {
    struct sprig_span mem;
    int fd;
    uint64_t size;
};
void sprig_exchange_take_body(struct sprig_exchange *ex, struct sprig_body *body);

/* The body was not read before on_request (option streaming_input): it comes by on_body, while
 * sprig_exchange_read_body is on. At first it is off, and the client has to wait. Where the
 * response is complete before the body, the connection is closed after it. */
bool sprig_exchange_is_streaming(const struct sprig_exchange *ex);
void sprig_exchange_read_body(struct sprig_exchange *ex, bool on);

/* Behind a 101 that is queued: what the client sends from now on is no HTTP (RFC 9110 section 7.8).
 * It comes by on_body, like a body without end that streams, its end of file as the last; limits
 * and deadlines of bodies do not apply. may_spill: what the client does not take may go to a
 * temporary file; otherwise it stays in memory, and the caller sees to it that it is not too much.
 * SPRIG_E_STATE: there was no 101; SPRIG_E_CLOSED. */
int sprig_exchange_open_tunnel(struct sprig_exchange *ex, bool may_spill);

/* Nobody reads the request of an open tunnel any more, and no frame is on the stack that has called
 * the app with it: frees it. */
void sprig_exchange_forget_request(struct sprig_exchange *ex);

/* Text of both ends, borrowed until the connection ends. For a unix socket the remote host is
 * "unix/" and the remote port empty. */
void sprig_exchange_remote(struct sprig_exchange *ex, struct sprig_span *host,
                           struct sprig_span *port);
const struct sprig_address *sprig_exchange_local(struct sprig_exchange *ex);

/* What trusted proxies tell about this request, in its header fields or by the PROXY protocol
 * (remote_host is always told: it is the socket's peer if nobody knows better). Borrowed until Perl
 * is entered. */
void sprig_exchange_forwarded(struct sprig_exchange *ex, struct sprig_forwarded *out);

/* Tells the log that this request was refused: "403 for 192.0.2.1: REASON (DETAIL)". reason is
 * static text; without a detail the method and the path stand there. Of each reason only some lines
 * a second are written. */
void sprig_exchange_tell(struct sprig_exchange *ex, int status, const char *reason,
                         struct sprig_span detail);

/* The user that the app found out, for the access log: asked for in on_end, copied. */
bool sprig_exchange_wants_user(const struct sprig_exchange *ex);
void sprig_exchange_set_user(struct sprig_exchange *ex, struct sprig_span user);

/* on_end(DONE) comes only when the kernel has every byte, not as soon as all is queued. */
void sprig_exchange_end_after_flush(struct sprig_exchange *ex);

/* Asks for one on_notify in phase 2. The way out of places where nothing may be done at once, such
 * as the destructor of a Perl object; legal at any time until on_end. */
void sprig_exchange_notify(struct sprig_exchange *ex);

/* The app has no way to the socket, though the request asks for an upgrade: what comes is taken in
 * before the answer, so that a client that leaves is noticed. */
void sprig_exchange_keep_input(struct sprig_exchange *ex);

/* The client is known to have left (on_gone was or will be called). */
bool sprig_exchange_is_gone(const struct sprig_exchange *ex);
/* Why, and what is known beyond that (*detail: static text, or NULL). For on_gone, and for on_end
 * unless all was done. */
enum sprig_loss sprig_exchange_loss(const struct sprig_exchange *ex, const char **detail);

/* What is asked of it can have an effect: it is not broken off, nor that of a parent process. */
bool sprig_exchange_is_live(const struct sprig_exchange *ex);

/* False: the connection carries other requests as well. Then the next two functions are not for
 * this one. */
bool sprig_exchange_owns_socket(const struct sprig_exchange *ex);

/* Takes the socket away from the server: *fd is the caller's, *unread (borrowed until the next
 * pass) are bytes behind the request that were received already. Output that is still queued is
 * written first, as far as the kernel takes it. Ends the exchange: on_end(DETACHED) is called
 * before it returns. */
int sprig_exchange_detach(struct sprig_exchange *ex, int *fd, struct sprig_span *unread);

/* Gives the app the socket, beside the server: *fd is a duplicate that is the caller's, not below
 * first_fd, and *unread (borrowed until the next pass) are bytes behind the request that were
 * received already. Nothing is read or parsed after this exchange; the response can still be
 * written. Where the client speaks TLS the descriptor gives and takes plain text: it is one end of
 * a pair of unix sockets, whose other end a thread serves. < 0 and errno: it cannot be. */
int sprig_exchange_share_socket(struct sprig_exchange *ex, int first_fd, int *fd,
                                struct sprig_span *unread);

/* How many sockets were shared with TLS, and closed since, of which something may be on its way. */
unsigned sprig_sockets_ending(void);

/* How many sides of a connected socket have closed it, as far as the kernel tells: 0, 1 or 2. */
int sprig_socket_closed(int fd);

/* The id of the request (option request_id), or nothing. Borrowed until the exchange ends. */
struct sprig_span sprig_exchange_request_id(struct sprig_exchange *ex);

typedef void sprig_pair_cb(struct sprig_span name, struct sprig_span value, void *arg);

/* The fields behind the request's body (RFC 9110 section 6.5), once that is complete: in
 * on_request, or with the last on_body. Names are in lower case; those that can only mean something
 * ahead of a body, and those with '_', are left out. Borrowed for the call. */
bool sprig_exchange_has_trailers(const struct sprig_exchange *ex);
void sprig_exchange_trailers(const struct sprig_exchange *ex, sprig_pair_cb *tell, void *arg);

/* The client speaks TLS with this server. Then: tells what is known of that, as variables with the
 * names that Apache's mod_ssl has (SSL_PROTOCOL, SSL_CLIENT_S_DN, ...). Borrowed for the call. */
bool sprig_exchange_is_tls(const struct sprig_exchange *ex);
void sprig_exchange_describe_tls(const struct sprig_exchange *ex, sprig_pair_cb *tell, void *arg);

/* ------------------------------------------------------------ the response ---- */

/* Length of a body that is not known in advance. */
#define SPRIG_LENGTH_UNKNOWN UINT64_MAX

struct sprig_head {
    int status;                   /* 200..999, or 101 */
    struct sprig_header *headers; /* borrowed for the call; bytes, order kept */
    size_t n_headers;
    uint64_t length; /* of the body that will follow, or SPRIG_LENGTH_UNKNOWN */
};

/* Validates and queues the head, and decides the framing (RFC 9112 section 6.3): Content-Length,
 * chunked, close-delimited or none. SPRIG_E_INVALID: nothing is queued, `why` (n bytes) says what
 * is wrong ("header 'X-A' has a control character in its value"). SPRIG_E_STATE: there was one
 * before. SPRIG_E_CLOSED: the client is gone, or memory was short and the connection is reset;
 * treat as success. */
int sprig_response_head(struct sprig_exchange *ex, const struct sprig_head *head, char *why,
                        size_t n);

/* An interim response (RFC 9110 section 15.2): 102..199 but not 101; before the head only. Left out
 * for HTTP/1.0 clients. */
int sprig_response_interim(struct sprig_exchange *ex, const struct sprig_head *head, char *why,
                           size_t n);

/* Body bytes. Where the response has no body they are dropped; beyond a Content-Length that the app
 * announced they are cut (logged); HTTP/2 resets the stream then, which is SPRIG_E_CLOSED. > 0:
 * queued, and the queue is above high_water_bytes; 0: queued; < 0: SPRIG_E_CLOSED (also where
 * memory is short), SPRIG_E_STATE. Chunks that the app makes itself and makes wrong abort the
 * response (SPRIG_E_CLOSED). _ref, _shared (of memory that lives on without the response) and _file
 * take the reference in every case: see outq.h. Bytes leave at the end of the current pass, or at
 * once when the queue is above high_water_bytes. What the client does not take is moved to a
 * temporary file beyond output_buffer_bytes; beyond max_output_bytes, and where that file cannot be
 * written, the response is aborted (SPRIG_E_CLOSED). */
int sprig_response_write(struct sprig_exchange *ex, struct sprig_span bytes);
int sprig_response_write_pieces(struct sprig_exchange *ex, const struct sprig_span *pieces,
                                size_t n);
int sprig_response_write_ref(struct sprig_exchange *ex, struct sprig_span bytes,
                             void (*release)(void *arg), void *arg);
int sprig_response_write_shared(struct sprig_exchange *ex, struct sprig_span bytes,
                                void (*release)(void *arg), void *arg);
int sprig_response_write_file(struct sprig_exchange *ex, int fd, uint64_t offset, uint64_t length,
                              void (*release)(void *arg), void *arg);

/* The body is one of which the app may want only the beginning, such as a file that it has opened:
 * over HTTP/2, too, bytes beyond Content-Length are cut. */
void sprig_response_may_exceed(struct sprig_exchange *ex);
/* Bytes were cut: more of them have no effect. */
bool sprig_response_has_excess(const struct sprig_exchange *ex);

/* Fields behind the body; sprig_response_end follows. They are dropped where the response has no
 * body. SPRIG_E_STATE: it cannot have any: there is no head yet, it is not chunked by us (HTTP/1.0,
 * a length that was announced, HTTP/2). SPRIG_E_INVALID: `why` (n bytes) says what is wrong, and
 * nothing is queued. SPRIG_E_CLOSED. */
int sprig_response_trailers(struct sprig_exchange *ex, const struct sprig_header *fields,
                            size_t n_fields, char *why, size_t n);

/* The body is complete. If it is shorter than announced, the connection is aborted and it is
 * logged. on_end follows, now or later. */
int sprig_response_end(struct sprig_exchange *ex);

/* Ends the exchange so that what was sent cannot be taken for complete: reset where the head is
 * out, close otherwise. `reason` goes to the log. on_end(ABORTED) is called before it returns. */
void sprig_response_abort(struct sprig_exchange *ex, const char *reason);

/* The same, but in a turn of its own: nothing is called before. For where the client is to blame.
 */
void sprig_response_cut(struct sprig_exchange *ex, const char *reason);

/* The head is out (or queued). */
bool sprig_response_has_head(const struct sprig_exchange *ex);

/* True if the body bytes are of no use: HEAD, 204, 304, client gone. */
bool sprig_response_is_bodyless(const struct sprig_exchange *ex);

/* The head says that the body is a text/event-stream. */
bool sprig_response_has_events(const struct sprig_exchange *ex);

/* From now on, until the end of the response, a comment of an event stream is sent every so many
 * seconds (0: no more of them) if nothing waits to be sent. A client that acknowledges nothing for
 * so long, or for 3 seconds if that is more, counts as gone: where the kernel can tell, one that
 * has vanished without a word is noticed within two heartbeats. 0, SPRIG_E_CLOSED, SPRIG_E_NOMEM.
 */
int sprig_response_set_heartbeat(struct sprig_exchange *ex, double seconds);

/* Bytes queued and not yet with the kernel. */
uint64_t sprig_response_buffered(const struct sprig_exchange *ex);

/* Asks for one on_drain as soon as the queue is at or below low_water_bytes, at the earliest in the
 * next step of the loop. */
void sprig_response_want_drain(struct sprig_exchange *ex);

/* Writes what is queued now rather than at the end of the pass. */
void sprig_response_flush(struct sprig_exchange *ex);

#endif

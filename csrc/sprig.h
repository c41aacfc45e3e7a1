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

/* Checks what concerns several options or the system: workers <= workers_limit, low_water_bytes <=
 * high_water_bytes, and that temp_dir is writable. Reports like sprig_config_set. */
int sprig_config_check(const struct sprig_config *c, char *why, size_t n);

/* ---------------------------------------------------------------- the loop ---- */

/* Creates the event base and its descriptors (all close-on-exec). If SIGPIPE has its default
 * disposition, installs a handler that does nothing. On failure NULL, and errno is set.
 *
 * Fork: a child that goes on using the loop gets a base of its own with its first call. It keeps
 * watchers and listeners, and drops the parent's connections without a byte or a shutdown. A child
 * that only execs or exits costs the parent nothing. */
struct sprig_loop *sprig_loop_new(void);

/* Frees a loop that has no watchers, servers or running passes. The bridge never calls this: its
 * loop lives until the process ends. */
void sprig_loop_free(struct sprig_loop *loop);

/* Callbacks to the host of the loop (the bridge). Each may be NULL. */
struct sprig_loop_hooks {
    /* True if the host has work to do before the loop may sleep (pending Perl signals). */
    bool (*is_pending)(void *arg);
    /* Called after each wake-up, outside libevent and before the ready queue runs: runs Perl's
     * handlers. */
    void (*on_wake)(void *arg);
    /* Called around a pass that runs inside another one: saves and restores $@, $_ and errno. */
    void (*on_nested_enter)(void *arg);
    void (*on_nested_leave)(void *arg);
    void *arg;
};
void sprig_loop_set_hooks(struct sprig_loop *loop, const struct sprig_loop_hooks *hooks);

/* Runs one pass: waits for events (once, and not at all if `block` is false or something is ready),
 * then runs whatever is ready. A callback may call this again. Returns the number of callbacks run,
 * or SPRIG_E_SYS. */
int sprig_loop_pass(struct sprig_loop *loop, bool block);

/* A descriptor that is readable whenever a non-blocking pass has work to do. Watch it in another
 * event loop and call sprig_loop_pass(loop, false). -1 if the platform's backend has none: use
 * sprig_loop_set_interest. It may change after a fork, so ask again in the child. */
int sprig_loop_poll_fd(struct sprig_loop *loop);

/* The portable way to run inside another loop. Sprig calls `on_interest(fd, what)` when the set of
 * events wanted on a descriptor changes (what: SPRIG_READ | SPRIG_WRITE, 0 for none), and
 * `on_timeout(seconds)` when the earliest timer changes (< 0 for none). When one of them comes
 * true, the other loop calls sprig_loop_pass(loop, false). */
struct sprig_loop_interest {
    void (*on_interest)(int fd, int what, void *arg);
    void (*on_timeout)(double seconds, void *arg);
    void *arg;
};
void sprig_loop_set_interest(struct sprig_loop *loop, const struct sprig_loop_interest *interest);

/* Makes a sleeping pass return. Async-signal-safe. */
void sprig_loop_wake(struct sprig_loop *loop);

/* Describes the connections of this process if the admin listener has asked for that. Each pass
 * starts with this. */
void sprig_loop_look(struct sprig_loop *loop);

/* CLOCK_MONOTONIC in ns as of the current pass; sprig_loop_now_update reads the clock anew. */
uint64_t sprig_loop_now(struct sprig_loop *loop);
uint64_t sprig_loop_now_update(struct sprig_loop *loop);

/* Starts a thread that notices when Perl keeps the loop for longer than block_warning seconds. It
 * logs the request and the place, again after 2, 4, 8 ... times that, and once more when the block
 * ends. After block_timeout it ends the process: it prints the stack, sends ABRT, and then KILL. It
 * does so only in workers, which are replaced, and where sprig_watchdog_may_end allows it. 0 turns
 * either off. May be called again. */
struct sprig_watchdog {
    double block_warning, block_timeout;
    uint32_t worker; /* number of this worker; 0 in other processes */
    /* Called by that thread while the loop's thread may be anywhere in Perl: print the place and
     * the stack. Return the length, or 0 if it is unknown. */
    size_t (*place)(char *buf, size_t n, void *arg);
    size_t (*stack)(char *buf, size_t n, void *arg);
    void *arg;
};
void sprig_watchdog_start(const struct sprig_watchdog *how);

/* Lets block_timeout end this process although it is no worker: it does nothing but serve. */
void sprig_watchdog_may_end(bool may_end);

/* How many forks lie between the first process and this one. Whatever was begun with another count
 * belongs to the parent. */
uint32_t sprig_fork_count(void);

/* Counts the calls of the app that are on the stack: +1 when one begins, -1 when it ends. While the
 * count is positive and `nested` is "hold", complete requests are parked. The bridge must keep it
 * balanced even when Perl unwinds. */
void sprig_loop_count_app_call(struct sprig_loop *loop, int delta);

/* Call this before control returns to an app that has written something and may now keep the loop
 * for long. If the pass does not end within a few milliseconds, another thread sends the queued
 * output. The next call of any function here takes the output back. Costs nothing if nothing is
 * queued. */
void sprig_loop_lend(struct sprig_loop *loop);

/* How many passes are on the stack now, to limit the depth. After a call into Perl, the bridge
 * restores the value from before, also after a non-local exit. That also ends a sprig_loop_lend. */
uint32_t sprig_loop_depth(const struct sprig_loop *loop);
void sprig_loop_set_depth(struct sprig_loop *loop, uint32_t depth);

/* ---------------------------------------------------------------- watchers ---- */
/* All callbacks run in phase 2. You may free a watcher in its own callback or in any other, and in
 * a forked child. `what` is the reason, see below. sprig_*_new return NULL and set errno on
 * failure. */

enum { SPRIG_READ = 1, SPRIG_WRITE = 2 };

/* Level-triggered. Descriptors that the backend cannot poll (regular files) are always ready.
 * Several watchers may share a descriptor and direction; each of them runs. */
typedef void sprig_io_cb(struct sprig_io *io, int what, void *arg);
struct sprig_io *sprig_io_new(struct sprig_loop *loop, int fd, int what, sprig_io_cb *cb,
                              void *arg);
void sprig_io_free(struct sprig_io *io);

/* Fires `after` seconds from now (<= 0: in the next pass, never synchronously), and then every
 * `interval` seconds if that is > 0. It does not drift, and skips the turns it has missed. */
typedef void sprig_timer_cb(struct sprig_timer *timer, void *arg);
struct sprig_timer *sprig_timer_new(struct sprig_loop *loop, double after, double interval,
                                    sprig_timer_cb *cb, void *arg);
void sprig_timer_free(struct sprig_timer *timer);

/* Runs once for any number of signals since the last run. Sprig handles the signal from its first
 * watcher on; when the last one is freed, the old handler is back. */
typedef void sprig_signal_cb(struct sprig_signal *signal, int signo, void *arg);
struct sprig_signal *sprig_signal_new(struct sprig_loop *loop, int signo, sprig_signal_cb *cb,
                                      void *arg);
void sprig_signal_free(struct sprig_signal *signal);

/* Runs in every pass that has nothing else to do. While an idle watcher exists, passes do not
 * sleep. */
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
    /* A request has arrived, with its body unless that streams: run the app. The request's spans
     * are borrowed until the handler first enters Perl. */
    void (*on_request)(struct sprig_exchange *ex, void *arg);
    /* The output queue has fallen to low_water_bytes or below, after it had been above
     * high_water_bytes or after sprig_response_want_drain. */
    void (*on_drain)(struct sprig_exchange *ex, void *arg);
    /* The client closed its sending side or vanished before the response was complete. Called once.
     * Writing is still possible if the client only half-closed. */
    void (*on_gone)(struct sprig_exchange *ex, void *arg);
    /* Part of a streaming body (sprig_exchange_is_streaming), decoded, and empty only if it is the
     * last. The bytes are borrowed until Perl is entered. If the body breaks off, the exchange ends
     * instead. */
    void (*on_body)(struct sprig_exchange *ex, struct sprig_span bytes, bool is_last, void *arg);
    /* The answer to sprig_exchange_notify. */
    void (*on_notify)(struct sprig_exchange *ex, void *arg);
    /* The last call for this exchange. When it returns, all pointers to the exchange are severed.
     */
    void (*on_end)(struct sprig_exchange *ex, enum sprig_end why, void *arg);
    /* The server is leaving and its last connection is gone. */
    void (*on_left)(struct sprig_server *server, void *arg);
    /* The server has reached the limit of this option (static text): max_requests, max_rss or
     * max_lifetime. Called once; the server goes on. */
    void (*on_retire)(struct sprig_server *server, const char *why, void *arg);
    /* A server without a master got HUP: read the configuration again into *fresh, which the caller
     * clears. Return SPRIG_E_NOTFOUND if there is no file to read. On other failures return < 0 and
     * set `why` (n bytes). */
    int (*on_reload)(struct sprig_server *server, void *arg, struct sprig_config *fresh, char *why,
                     size_t n);
    /* The new configuration is in effect. */
    void (*on_reloaded)(struct sprig_server *server, void *arg);
    /* Whether the body of this request streams, as below the path of streaming_input. May be NULL;
     * must not enter Perl. */
    bool (*streams)(const struct sprig_request *req, void *arg);
};

/* Copies config and handler. On failure NULL, and errno is set. */
struct sprig_server *sprig_server_new(struct sprig_loop *loop, const struct sprig_config *config,
                                      const struct sprig_handler *handler, void *arg);

/* Opens the access log if the configuration names one. Call it before privileges are dropped. Lines
 * are written soon after the responses. On failure < 0 and `why` (n bytes). */
int sprig_server_open_log(struct sprig_server *server, char *why, size_t n);

/* Gives a running server the options in *fresh, which is copied. Limits, deadlines, overload,
 * proxies and the access log change for whatever begins from now on. `kept` (n bytes) gets the
 * names of options that differ but cannot change. On failure < 0 and `why` (n bytes); nothing has
 * changed then. */
int sprig_server_reload(struct sprig_server *server, const struct sprig_config *fresh, char *kept,
                        char *why, size_t n);

/* Writes the log lines that are waiting. For a process that ends without freeing its server. */
void sprig_server_flush_log(struct sprig_server *server);

/* Closes everything at once and frees the server. Open exchanges end with SPRIG_END_GONE. */
void sprig_server_free(struct sprig_server *server);

/* The address of a listener. */
struct sprig_address {
    char host[256]; /* numeric address without brackets, or "unix/" */
    char port[108]; /* decimal, or the path of the unix socket */
    bool is_unix;
    bool is_tls; /* clients must speak TLS */
};

/* Binds and listens; see listen_spec.h. A stale unix socket is replaced, one in use is left alone.
 * If a name has several addresses (localhost), listens on all of them. With proxy_protocol each
 * connection must begin with a PROXY header and come from one of trusted_proxies. Returns the
 * number of listeners, at most `max`. On failure < 0, and `why` (n bytes) names the address and the
 * reason: "cannot listen on 127.0.0.1:80: Permission denied". */
int sprig_server_listen(struct sprig_server *server, const struct sprig_listen_spec *spec,
                        struct sprig_listener **out, size_t max, char *why, size_t n);

/* Serves an already listening socket (inherited descriptor); taken. */
struct sprig_listener *sprig_server_listen_fd(struct sprig_server *server, int fd,
                                              const struct sprig_listen_options *options, char *why,
                                              size_t n);
const struct sprig_address *sprig_listener_address(const struct sprig_listener *listener);
int sprig_listener_fd(const struct sprig_listener *listener);

/* Serves a connected stream socket (taken) whose other end is in this process: the probe of a
 * worker. Its local address is "unix/". It and its requests count towards no limit, and towards no
 * counter except n_connections. Returns 0 or SPRIG_E_NOMEM. */
int sprig_server_adopt(struct sprig_server *server, int fd);

/* Call this when all listeners are open: becomes the configured user and group, for good. On
 * failure < 0 and `why` (n bytes); the process must then end. */
int sprig_server_drop_privileges(struct sprig_server *server, char *why, size_t n);

/* This server shares its listening sockets with other processes. It shows its number of connections
 * on the board (slots from 0; borrowed until the server is freed), and if it has clearly more than
 * another process, it lets that one accept first. See board.h. */
struct sprig_board;
void sprig_server_share(struct sprig_server *server, struct sprig_board *board, uint32_t slot);

/* Certificates and keys that the master read while it still could. Call this before the first
 * listener with TLS. NULL for none; counted. */
struct tls_context;
void sprig_server_share_tls(struct sprig_server *server, struct tls_context *tls);

/* HUP, USR1 and USR2 are for a master, but people and tools send them to servers without one, and
 * they must not end the process. Unless somebody else handles or watches these signals, HUP now
 * reopens the access log and says what it did, and USR2 says that it needs a master. Lasts until
 * sprig_server_give_back_signals or the end of the server. */
void sprig_server_stand_alone(struct sprig_server *server);
void sprig_server_give_back_signals(struct sprig_server *server);

/* From open to close (calls nest), these signals do nothing by themselves: while the application is
 * being loaded, while such a server lives, and after its end. */
void sprig_alone_open(void);
void sprig_alone_close(void);

/* Stops accepting, closes the socket, and frees the listener. Removes the unix path if this process
 * made it and it has not been replaced since. Its connections go on. */
void sprig_listener_close(struct sprig_listener *listener);

/* Ends the server gracefully. Closes all listeners at once, and idle connections after a short
 * wait. Exchanges may finish; the last response of each connection says "Connection: close". Event
 * streams get on_gone and are ended one after the other within half of graceful_timeout. When all
 * is done, calls handler.on_left. */
void sprig_server_leave(struct sprig_server *server);
/* To be said before: another server takes over what comes from now on. So nobody waits for the end
 * of this one, and clients that are slow have more time for what they have begun. */
void sprig_server_hand_over(struct sprig_server *server);

/* Counters for tests and metrics. All are gauges except n_requests and n_accepted. */
struct sprig_counters {
    uint64_t n_accepted, n_requests, n_refused;
    uint32_t n_connections, n_exchanges, n_listeners;
};
void sprig_server_counters(const struct sprig_server *server, struct sprig_counters *out);
const struct sprig_config *sprig_server_config(const struct sprig_server *server);

/* ------------------------------------------------------------ one exchange ---- */

/* Valid from on_request until on_end returns. */

/* Borrowed until Perl is entered. Afterwards, read only the flags and the version. */
const struct sprig_request *sprig_exchange_request(struct sprig_exchange *ex);
struct sprig_server *sprig_exchange_server(struct sprig_exchange *ex);

/* A pointer for the bridge; NULL at first. */
void *sprig_exchange_app(const struct sprig_exchange *ex);
void sprig_exchange_set_app(struct sprig_exchange *ex, void *app);

/* The request body. `mem` is borrowed until Perl is entered. If fd is not -1, the body is in that
 * file (at offset 0, owned by the caller from now on) and mem is empty. Ask once. */
struct sprig_body {
    struct sprig_span mem;
    int fd;
    uint64_t size;
};
void sprig_exchange_take_body(struct sprig_exchange *ex, struct sprig_body *body);

/* True if the body was not read before on_request (option streaming_input). It arrives through
 * on_body while sprig_exchange_read_body is on. That is off at first, and the client has to wait.
 * If the response is complete before the body, the connection is closed after it. */
bool sprig_exchange_is_streaming(const struct sprig_exchange *ex);
void sprig_exchange_read_body(struct sprig_exchange *ex, bool on);

/* Call this after queuing a 101: whatever the client sends from now on is not HTTP (RFC 9110
 * section 7.8). It arrives through on_body like an endless streaming body, with the end of file as
 * the last piece; limits and deadlines of bodies do not apply. may_spill: output that the client
 * does not take may go to a temporary file. Otherwise it stays in memory, and the caller must limit
 * it. SPRIG_E_STATE if there was no 101; SPRIG_E_CLOSED. */
int sprig_exchange_open_tunnel(struct sprig_exchange *ex, bool may_spill);

/* Frees the request of an open tunnel. Nobody may read it any more, and no frame on the stack may
 * have called the app with it. */
void sprig_exchange_forget_request(struct sprig_exchange *ex);

/* Both addresses as text, borrowed until the connection ends. For a unix socket, the remote host is
 * "unix/" and the remote port is empty. */
void sprig_exchange_remote(struct sprig_exchange *ex, struct sprig_span *host,
                           struct sprig_span *port);
const struct sprig_address *sprig_exchange_local(struct sprig_exchange *ex);

/* What trusted proxies say about this request, in header fields or by the PROXY protocol.
 * remote_host is always set; without a proxy it is the socket's peer. Borrowed until Perl is
 * entered. */
void sprig_exchange_forwarded(struct sprig_exchange *ex, struct sprig_forwarded *out);

/* Tells the log that this request was refused: "403 for 192.0.2.1: REASON (DETAIL)". reason is
 * static text; without a detail the method and the path stand there. Of each reason only some lines
 * a second are written. */
void sprig_exchange_tell(struct sprig_exchange *ex, int status, const char *reason,
                         struct sprig_span detail);

/* The user for the access log, as the app has determined it. Set it in on_end if it is wanted;
 * copied. */
bool sprig_exchange_wants_user(const struct sprig_exchange *ex);
void sprig_exchange_set_user(struct sprig_exchange *ex, struct sprig_span user);

/* on_end(DONE) then waits until the kernel has every byte, instead of coming as soon as all is
 * queued. */
void sprig_exchange_end_after_flush(struct sprig_exchange *ex);

/* Asks for one on_notify in phase 2. Use it where nothing may be done at once, such as in the
 * destructor of a Perl object. Legal at any time until on_end. */
void sprig_exchange_notify(struct sprig_exchange *ex);

/* The app has no way to the socket, although the request asks for an upgrade: reads input before
 * the answer, so that a client that leaves is noticed. */
void sprig_exchange_keep_input(struct sprig_exchange *ex);

/* True if the client has left: on_gone was called or will be. */
bool sprig_exchange_is_gone(const struct sprig_exchange *ex);
/* Why, and what is known beyond that (*detail: static text, or NULL). For on_gone, and for on_end
 * unless all was done. */
enum sprig_loss sprig_exchange_loss(const struct sprig_exchange *ex, const char **detail);

/* True if calls still have an effect: the exchange is not broken off, and does not belong to a
 * parent process. */
bool sprig_exchange_is_live(const struct sprig_exchange *ex);

/* False if the connection carries other requests as well. The next two functions are then not
 * available. */
bool sprig_exchange_owns_socket(const struct sprig_exchange *ex);

/* Takes the socket away from the server. *fd belongs to the caller; *unread (borrowed until the
 * next pass) holds bytes received after the request. Queued output is written first, as far as the
 * kernel takes it. Ends the exchange: on_end(DETACHED) is called before this returns. */
int sprig_exchange_detach(struct sprig_exchange *ex, int *fd, struct sprig_span *unread);

/* Shares the socket with the app. *fd is a duplicate for the caller, not below first_fd, and
 * *unread (borrowed until the next pass) holds bytes received after the request. The server reads
 * and parses nothing more on this connection, but can still write the response. If the client
 * speaks TLS, the descriptor carries plain text: it is one end of a pair of unix sockets, and a
 * thread serves the other. On failure < 0, and errno is set. */
int sprig_exchange_share_socket(struct sprig_exchange *ex, int first_fd, int *fd,
                                struct sprig_span *unread);

/* The number of sockets shared over TLS and closed since whose last bytes may still be on their
 * way. */
unsigned sprig_sockets_ending(void);

/* How many sides of a connected socket have closed it, as far as the kernel knows: 0, 1 or 2. */
int sprig_socket_closed(int fd);

/* The request's id (option request_id), or nothing. Borrowed until the exchange ends. */
struct sprig_span sprig_exchange_request_id(struct sprig_exchange *ex);

typedef void sprig_pair_cb(struct sprig_span name, struct sprig_span value, void *arg);

/* The trailers of the request (RFC 9110 section 6.5), once the body is complete: in on_request, or
 * with the last on_body. Names are in lower case. Fields that only make sense before a body, and
 * names with '_', are left out. Borrowed for the call. */
bool sprig_exchange_has_trailers(const struct sprig_exchange *ex);
void sprig_exchange_trailers(const struct sprig_exchange *ex, sprig_pair_cb *tell, void *arg);

/* True if the client speaks TLS with this server. describe_tls then reports the details as
 * variables named like those of Apache's mod_ssl (SSL_PROTOCOL, SSL_CLIENT_S_DN, ...). Borrowed for
 * the call. */
bool sprig_exchange_is_tls(const struct sprig_exchange *ex);
void sprig_exchange_describe_tls(const struct sprig_exchange *ex, sprig_pair_cb *tell, void *arg);

/* ------------------------------------------------------------ the response ---- */

/* The length of the body is not known in advance. */
#define SPRIG_LENGTH_UNKNOWN UINT64_MAX

struct sprig_head {
    int status;                   /* 200..999, or 101 */
    struct sprig_header *headers; /* borrowed for the call; bytes, order kept */
    size_t n_headers;
    uint64_t length; /* of the body that will follow, or SPRIG_LENGTH_UNKNOWN */
};

/* Validates and queues the head, and decides the framing (RFC 9112 section 6.3): Content-Length,
 * chunked, close-delimited or none. SPRIG_E_INVALID: nothing is queued, and `why` (n bytes) says
 * what is wrong ("header 'X-A' has a control character in its value"). SPRIG_E_STATE: there already
 * was a head. SPRIG_E_CLOSED: the client is gone, or memory was short and the connection is reset;
 * treat it as success. */
int sprig_response_head(struct sprig_exchange *ex, const struct sprig_head *head, char *why,
                        size_t n);

/* An interim response (RFC 9110 section 15.2): 102..199 except 101, and only before the head. Not
 * sent to HTTP/1.0 clients. */
int sprig_response_interim(struct sprig_exchange *ex, const struct sprig_head *head, char *why,
                           size_t n);

/* Body bytes. They are dropped if the response has no body, and cut (and logged) beyond the
 * Content-Length that the app announced. Returns > 0 if they are queued and the queue is above
 * high_water_bytes, 0 if they are queued; < 0: SPRIG_E_CLOSED (also when memory is short) or
 * SPRIG_E_STATE. Malformed chunks made by the app itself abort the response (SPRIG_E_CLOSED). _ref,
 * _shared (memory that outlives the response) and _file take the reference in every case: see
 * outq.h. Bytes leave at the end of the current pass, or at once if the queue is above
 * high_water_bytes. Beyond output_buffer_bytes, output that the client does not take moves to a
 * temporary file. Beyond max_output_bytes, or if that file cannot be written, the response is
 * aborted (SPRIG_E_CLOSED). */
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

/* Trailers; sprig_response_end follows. They are dropped if the response has no body.
 * SPRIG_E_STATE: trailers are not possible, because there is no head yet or Sprig does not chunk
 * the response (HTTP/1.0, an announced length). SPRIG_E_INVALID: `why` (n bytes) says what is
 * wrong, and nothing is queued. SPRIG_E_CLOSED. */
int sprig_response_trailers(struct sprig_exchange *ex, const struct sprig_header *fields,
                            size_t n_fields, char *why, size_t n);

/* The body is complete. If it is shorter than announced, the connection is aborted and the log says
 * so. on_end follows, now or later. */
int sprig_response_end(struct sprig_exchange *ex);

/* Ends the exchange so that the client cannot take the response for complete: resets the connection
 * if the head is out, closes it otherwise. `reason` goes to the log. on_end(ABORTED) is called
 * before this returns. */
void sprig_response_abort(struct sprig_exchange *ex, const char *reason);

/* The same, but in a turn of its own, so nothing is called before this returns. Use it when the
 * client is to blame. */
void sprig_response_cut(struct sprig_exchange *ex, const char *reason);

/* The head is out (or queued). */
bool sprig_response_has_head(const struct sprig_exchange *ex);

/* True if body bytes have no use: HEAD, 204, 304, or the client is gone. */
bool sprig_response_is_bodyless(const struct sprig_exchange *ex);

/* True if the head says that the body is a text/event-stream. */
bool sprig_response_has_events(const struct sprig_exchange *ex);

/* From now on until the response ends, sends a comment of an event stream every so many seconds if
 * nothing else waits to be sent (0 stops this). A client that acknowledges nothing for that long,
 * or for 3 seconds if that is more, counts as gone. Where the kernel supports it, a client that has
 * vanished silently is noticed within two heartbeats. Returns 0, SPRIG_E_CLOSED or SPRIG_E_NOMEM.
 */
int sprig_response_set_heartbeat(struct sprig_exchange *ex, double seconds);

/* Bytes that are queued and not yet with the kernel. */
uint64_t sprig_response_buffered(const struct sprig_exchange *ex);

/* Asks for one on_drain as soon as the queue is at or below low_water_bytes, in the next step of
 * the loop at the earliest. */
void sprig_response_want_drain(struct sprig_exchange *ex);

/* Writes the queue now instead of at the end of the pass. */
void sprig_response_flush(struct sprig_exchange *ex);

#endif

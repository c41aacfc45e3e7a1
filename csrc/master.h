/* master.h - worker processes: started, watched, replaced, reloaded, ended. Public, like sprig.h.
 *
 * A master opens the listening sockets, forks and from then on only waits: it has no event loop, no
 * interpreter (unless the caller has one) and handles no request. Slots 1..workers hold one serving
 * worker each and, while that one is being replaced, one that is starting. A worker leaves only
 * when the next one of its slot serves.
 *
 * The control socket of a worker is a socket pair; either side writes lines:
 *   worker: "loaded"        the app is there, the event loop runs
 *   master: "probe"         show it
 *   master: "look"          somebody asks for your connections: see base/stats.h
 *   worker: "ready"         it listens; before that, the option probe was tried
 *   worker: "retire WHY"    wants to be replaced (max_requests), and serves on until told to leave
 *   worker: "leaving WHY"   ends by itself as soon as it can (psgix.harakiri): a new one is needed
 *   worker: "watch PATH"    has loaded this file (option dev)
 *   worker: "error TEXT"    cannot start: it ends
 * The end of file tells a worker that the master is gone: it ends gracefully.
 *
 * Signals to the master: TERM, QUIT end gracefully, a second one or INT at once; HUP starts a new
 * generation of workers, each of which replaces one of the old; TTIN, TTOU one worker more or less;
 * USR2 starts the program anew with these sockets, and when that serves, ends this one. To a worker
 * the master sends QUIT (leave), INT (leave at once) and in the end KILL. */
#ifndef SPRIG_MASTER_H
#define SPRIG_MASTER_H

#include "net/sockets.h"
#include "sprig.h"
#include <stdint.h>

struct sprig_master;

/* What a process that was forked as a worker is. */
struct sprig_worker {
    uint32_t number;              /* of its slot, from 1 on */
    uint32_t generation;          /* from 1 on */
    int control_fd;               /* owned; non-blocking, close-on-exec */
    bool is_daemon;               /* sprig_daemon_detach when ready */
    char *failure;                /* owned: in development, why the one before could not start: this
                                     one explains that, and loads nothing; or NULL */
    struct tls_context *tls;      /* counted: certificates and keys, or NULL */
    struct sprig_board *board;    /* owned; of the sockets that all workers share, or NULL */
    struct sprig_socket *sockets; /* owned array; the descriptors belong to the worker, removing the
                                   * paths is up to the master */
    size_t n_sockets;
};

/* `argv` (NULL-terminated; borrowed, like config) is what USR2 executes. status_fd is -1 or comes
 * from sprig_daemonize. If USR2 of another master executed this process, it already has its
 * sockets. On failure NULL: out of memory, or `why` (n bytes) has the reason. */
struct sprig_master *sprig_master_new(const struct sprig_config *config, char *const *argv,
                                      int status_fd, char *why, size_t n);
void sprig_master_free(struct sprig_master *m);

/* Before it runs: removes what sprig_master_free would remove, and frees nothing. For a process
 * that is about to end (see sprig_quit_clean). Async-signal-safe. */
void sprig_master_clean(const struct sprig_master *m);

/* True if this process was started by a master that it is to replace: it must not listen or
 * daemonize by itself. May be called without a master, before the process has done anything. */
bool sprig_master_is_successor(void);

/* The folder in which the master was started, by the name its user knows ($PWD); a link in it may
 * lead elsewhere by now. NULL if unknown. Borrowed until the master is freed. */
const char *sprig_master_folder(const struct sprig_master *m);

/* Opens one more address (see sprig_server_listen), or takes a socket that is already listening
 * (taken only on success), whose clients speak TLS if `is_tls`. With the option reuseport, each
 * worker has a socket of its own. A successor takes the socket it has inherited for that address,
 * with the options the address has now; if its sockets come from systemd or Server::Starter, it
 * opens none. Returns 0, or < 0 and `why`. */
int sprig_master_listen(struct sprig_master *m, const struct sprig_listen_spec *spec, char *why,
                        size_t n);
int sprig_master_adopt(struct sprig_master *m, int fd, bool is_tls, char *why, size_t n);

/* All addresses have been named. As soon as it serves, a successor closes the other sockets it has
 * inherited; until then, the old master needs them. */
void sprig_master_settle(struct sprig_master *m);

/* With the option dev: the number of watched files. */
size_t sprig_master_watched(const struct sprig_master *m);

/* The addresses it listens on, i from 0; NULL after the last. Borrowed until the master is freed.
 */
const struct sprig_address *sprig_master_address(const struct sprig_master *m, size_t i);

/* Called once, in the master, when the first worker serves. */
void sprig_master_on_ready(struct sprig_master *m, void (*cb)(void *arg), void *arg);

/* Called by HUP for a new configuration. It returns the one to use from now on, borrowed like the
 * old one, and puts the names of changed options that cannot take effect into `kept`. Or it returns
 * NULL and `why` (n bytes each); nothing is reloaded then. */
void sprig_master_on_reload(struct sprig_master *m,
                            const struct sprig_config *(*cb)(void *arg, char *kept, char *why,
                                                             size_t n),
                            void *arg);

/* Forks the workers and returns when all is over. Like fork, it returns in two kinds of process: >
 * 0 in each worker, with *worker filled in (signal handlers and mask as before the call, except
 * that HUP, USR1, USR2, TTIN and TTOU do nothing); 0 in the master after a regular end; < 0 there
 * if it could not go on, with `why`. It writes and removes the pid file (option pid). A worker must
 * free the master as well. */
int sprig_master_run(struct sprig_master *m, struct sprig_worker *worker, char *why, size_t n);

/* Closes and frees what sprig_master_run has filled in. */
void sprig_worker_clear(struct sprig_worker *worker);

#endif

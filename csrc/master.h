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
    struct sprig_socket *sockets; /* owned array of its own; the descriptors are the worker's, the
                                     paths are the master's to remove */
    size_t n_sockets;
};

/* `argv` (ends with NULL; borrowed, as is config) is how USR2 executes the program. status_fd: -1,
 * or of sprig_daemonize. If the process was executed by the USR2 of another master, its sockets are
 * here already. NULL: out of memory, or `why` (n bytes) says what cannot be. */
struct sprig_master *sprig_master_new(const struct sprig_config *config, char *const *argv,
                                      int status_fd, char *why, size_t n);
void sprig_master_free(struct sprig_master *m);

/* Before it runs: removes what sprig_master_free would remove, and frees nothing. For a process
 * that is about to end (see sprig_quit_clean): async-signal-safe. */
void sprig_master_clean(const struct sprig_master *m);

/* The process was started by a master that it is to replace: it must not listen or become a daemon
 * by itself. Can be asked without a master, before the process has done anything. */
bool sprig_master_is_successor(void);

/* The folder the master was started in, by the name its user knows it by ($PWD): a link in it may
 * lead elsewhere by now. NULL: unknown. Borrowed until the master is freed. */
const char *sprig_master_folder(const struct sprig_master *m);

/* Opens one more address (see sprig_server_listen), or takes a socket that listens already (taken
 * only on success), whose clients speak TLS if `is_tls`. With the option reuseport there is one
 * socket for each worker. An heir takes the socket that it has inherited for that address, with the
 * options that the address has now; if its sockets are of systemd or Server::Starter, it opens
 * none. 0 or < 0 and `why`. */
int sprig_master_listen(struct sprig_master *m, const struct sprig_listen_spec *spec, char *why,
                        size_t n);
int sprig_master_adopt(struct sprig_master *m, int fd, bool is_tls, char *why, size_t n);

/* All addresses were named. An heir lets go of the others that it has inherited, as soon as it
 * serves: until then the master before needs them. */
void sprig_master_settle(struct sprig_master *m);

/* With the option dev: how many files are being watched. */
size_t sprig_master_watched(const struct sprig_master *m);

/* The addresses listened on, i from 0; NULL behind the last. Borrowed until the master is freed. */
const struct sprig_address *sprig_master_address(const struct sprig_master *m, size_t i);

/* Called once, in the master, when the first worker serves. */
void sprig_master_on_ready(struct sprig_master *m, void (*cb)(void *arg), void *arg);

/* What HUP asks for a new configuration. It returns the one that counts from now on, borrowed as
 * the one before, with the names of options that have changed and cannot in `kept`; or NULL, with
 * `why` (n bytes each): then nothing is reloaded. */
void sprig_master_on_reload(struct sprig_master *m,
                            const struct sprig_config *(*cb)(void *arg, char *kept, char *why,
                                                             size_t n),
                            void *arg);

/* Forks the workers and stays until all is over. Like fork it returns in two kinds of process: > 0
 * in each worker, with *worker filled in (signal handlers and mask as they were before the call,
 * but HUP, USR1, USR2, TTIN and TTOU do nothing); 0 in the master, after a regular end; < 0 there
 * if it could not go on, with `why`. The pid file (option pid) is written and removed here. In a
 * worker the master is to be freed as well. */
int sprig_master_run(struct sprig_master *m, struct sprig_worker *worker, char *why, size_t n);

/* Closes and frees what sprig_master_run has filled in. */
void sprig_worker_clear(struct sprig_worker *worker);

#endif

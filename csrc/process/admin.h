/* admin.h - the admin listener: numbers, health and commands over HTTP/1.
 *
 * It has no event loop and no interpreter. Its owner polls its descriptors (the master) or gives it
 * a thread (a single process, see admin_thread.h), so that it answers while Perl blocks. Each
 * connection serves one request. admin_routes.c decides what is answered, and to whom. */
#ifndef SPRIG_ADMIN_H
#define SPRIG_ADMIN_H

#include "base/config.h"
#include "base/stats.h"
#include "base/text.h"
#include "net/sockets.h"
#include <poll.h>

enum admin_verb {
    ADMIN_RELOAD,
    ADMIN_UPGRADE,
    ADMIN_REOPEN,
    ADMIN_DRAIN,
    ADMIN_UNDRAIN,
    ADMIN_STOP,
    ADMIN_QUIT,
    ADMIN_ADD,
    ADMIN_REMOVE,
    ADMIN_KILL
};

/* The process whose listener it is. */
struct admin_host {
    const struct sprig_config *config; /* borrowed */
    struct stats_board *stats;         /* borrowed */
    bool is_master;
    /* Carries out the verb (number: the worker to kill), or starts to. Returns 0, or the status of
     * an answer that says why not; `said` (n bytes) is one line for people. */
    int (*act)(enum admin_verb verb, uint32_t number, char *said, size_t n, void *arg);
    /* True if it was not told to end or to drain, and somebody serves. */
    bool (*is_ready)(void *arg);
    /* The wanted number of workers, and their generation. */
    void (*get_wanted)(uint32_t *n_workers, uint32_t *generation, void *arg);
    /* What the last reload has not done, in lines; borrowed. NULL: nobody keeps that. */
    const char *(*get_note)(void *arg);
    /* Makes each serving process look at n_asked of its entry. */
    void (*ask)(void *arg);
    void *arg;
};

struct admin;

/* One of the process's descriptors is a file in memory with this name. Its first line says where
 * the listener is, its second line which file has the token, if there is one. "sprig ctl --pid"
 * finds both that way, however the server was started. */
#define ADMIN_NOTE "sprig-admin"

/* Whether the option admin can be an address of it. 0, or SPRIG_E_INVALID and `why` (n bytes);
 * admin_open asks this itself. */
int admin_check(const struct sprig_config *config, char *why, size_t n);

/* Listens where config->admin says, or takes over sockets that already do. On failure NULL and
 * `why`. */
struct admin *admin_open(const struct admin_host *host, const struct sprig_socket *sockets,
                         size_t n_sockets, char *why, size_t n);

/* Closes everything and frees it; `unlink` removes the path of its unix socket, if it created that.
 */
void admin_close(struct admin *a, bool unlink);

/* Closes only the descriptors, in a forked process. Async-signal-safe. */
void admin_abandon(struct admin *a);

/* The configuration was read anew. */
void admin_set_config(struct admin *a, const struct sprig_config *config);

/* Fills in the descriptors to poll, at most `max`, and returns their number. */
size_t admin_poll(const struct admin *a, struct pollfd *fds, size_t max);
enum { ADMIN_MAX_POLL = 80 };

/* Milliseconds until it must run although nothing has arrived; -1 for never. */
int admin_timeout(const struct admin *a);

/* Does what can be done now, without waiting. */
void admin_run(struct admin *a);

/* The sockets it listens on, borrowed: for a successor. */
const struct sprig_socket *admin_sockets(const struct admin *a, size_t *n);

#endif

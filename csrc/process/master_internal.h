/* master_internal.h - what the files of the master share. */
#ifndef SPRIG_MASTER_INTERNAL_H
#define SPRIG_MASTER_INTERNAL_H

#include "base/board.h"
#include "base/stats.h"
#include "process/admin.h"
#include "process/dev.h"
#include "process/pidfile.h"
#include "process/processes.h"
#include <limits.h>

/* One address and its sockets: one, or one per slot with reuseport. */
struct bound {
    struct sprig_address address;
    char *place; /* owned; the address as configured, without options. NULL: somebody else has
                  * opened it */
    bool is_inherited, is_wanted; /* by the configuration of an heir */
    struct sprig_socket *sockets; /* owned */
    uint32_t n_sockets;
};

/* The place of one worker. */
struct slot {
    struct process *serving, *starting; /* in the all; either may be NULL */
    uint64_t crash_delay_ms;            /* of the last restart */
    uint64_t start_at_ms;               /* not before */
};

enum ending { ENDING_NOT, ENDING_GRACEFUL, ENDING_AT_ONCE };

struct sprig_master {
    const struct sprig_config *config; /* borrowed */
    char *const *argv;                 /* borrowed */
    struct bound *bounds;
    size_t n_bounds;
    struct bound *unwanted; /* inherited, and the master before needs them until we serve */
    size_t n_unwanted;
    struct slot *slots;
    uint32_t n_slots;   /* of them; more than n_workers after TTOU */
    uint32_t n_workers; /* wanted */
    struct processes processes;
    struct tls_context *tls;   /* counted; NULL: no socket is for TLS */
    struct sprig_board *board; /* owned; NULL: each worker has sockets of its own */
    struct stats_board *stats; /* owned */
    int stats_fd;              /* owned; by which a successor finds it, or -1 */
    struct admin *admin;       /* owned; NULL: nobody may ask */
    bool is_admin_foreign;     /* its socket was opened by systemd, */
    bool is_admin_inherited;   /* or by the master before */
    struct dev *dev;           /* owned; NULL: nobody develops here */
    bool is_drained;           /* somebody has said so: /readyz says no, serving goes on */
    struct sprig_pidfile pidfile;
    int given_pid_fd; /* owned; the file of the master before, until all workers serve; or -1 */
    /* The generation that a reload asks for; until one of its workers serves, it may be abandoned.
     */
    uint32_t generation, served_generation, last_generation;
    bool is_reloading;
    char reload_note[2 * LINE_MAX_BYTES]; /* what the last reload has not done; lines */
    /* The last start has failed: it tries one at a time, after a growing pause. */
    bool is_failing;
    uint64_t fail_delay_ms, failed_at_ms;
    char last_error[LINE_MAX_BYTES];
    /* Who waits to hear that we serve; -1: nobody. */
    int status_fd;      /* sprig_daemonize; as soon as the first worker serves */
    int predecessor_fd; /* control socket of the master before; when all workers serve */
    bool is_deputy;     /* from process 1, which stays */
    bool has_run;       /* before that, the paths of sockets are removed with the master */
    bool has_served;
    void (*on_ready)(void *arg);
    void *on_ready_arg;
    const struct sprig_config *(*on_reload)(void *arg, char *kept, char *why, size_t n);
    void *on_reload_arg;
    enum ending ending;
    uint64_t told_to_end_ms;      /* by a signal, so that a later one means more; 0: not yet */
    uint64_t watchdog_ms, fed_ms; /* how often systemd is told that we live; 0: never */
    uint64_t end_at_ms;           /* drain_delay: when the end begins; 0: not told */
    bool knows_watchdog;
    const char *failure; /* why the run has failed, or NULL */
    /* An upgrade: the one that is starting, and the one that serves in our place. */
    struct process *successor, *deputy;
    bool was_handed_over; /* we go; as process 1 we stay, for the deputy's sake */
};

/* Reads the certificates if there is a socket for TLS. 0 or < 0 and `why`. */
int master_open_tls(struct sprig_master *m, char *why, size_t n);

/* Closes everything; `unlink` removes the unix paths that are ours. Those that a successor has
 * inherited are not, until it has announced itself. */
void master_close_sockets(struct sprig_master *m, bool unlink);
void master_unlink_sockets(const struct sprig_master *m);

/* Puts aside the sockets that the old master listens on and we do not; false if memory is short. */
bool master_put_aside(struct sprig_master *m, const struct bound *b);

/* Closes everything put aside and removes its paths: the old master is no longer needed. */
void master_close_unwanted(struct sprig_master *m);

/* With reuseport: as many as there are workers. */
int master_add_sockets(struct sprig_master *m, char *why, size_t n);
void master_drop_sockets(struct sprig_master *m);

/* Takes one more socket of the address with that index, or of the next, from the old master.
 * Returns 0, SPRIG_E_NOMEM or SPRIG_E_SYS. */
int master_add_socket(struct sprig_master *m, size_t index, const struct sprig_socket *s);

/* In a worker: takes the sockets of its slot; the others are closed with the master. */
int master_move_sockets(struct sprig_master *m, struct sprig_worker *w);

/* The paths of the admin listener are ours to remove. */
bool master_owns_admin(const struct sprig_master *m);

/* master_admin.c: opens the counters and the admin listener, or takes over those of the old master.
 * Returns 0, or < 0 and `why`. */
int master_open_admin(struct sprig_master *m, char *why, size_t n);

/* Nobody can ask any more. */
void master_close_admin(struct sprig_master *m, bool unlink);

/* Closes the descriptor of the counters, which only a successor needs; they stay mapped. */
void master_close_stats(struct sprig_master *m);

/* For the environment of a successor: sets UPGRADE_ADMIN, and lets the descriptors pass. */
void master_pass_admin(const struct sprig_master *m);

/* In a new worker: counts in this entry, and keeps nothing else of it. */
void master_leave_admin(struct sprig_master *m, struct stats *s);

/* What HUP, TTIN and TTOU do. */
void master_reload(struct sprig_master *m);

/* Something that a reload was to do and has not done: logged, and kept for whoever waits for the
 * end of the reload. */
void master_note(struct sprig_master *m, enum sprig_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

void master_add_worker(struct sprig_master *m);
void master_remove_worker(struct sprig_master *m);
void master_send_all(const struct sprig_master *m, int signo);

/* The time a worker gets beyond its own deadline (graceful_timeout), and at a fast end. */
enum { LEAVE_GRACE_MS = 5 * 1000, FAST_END_MS = 1000 };

/* The pauses before a restart begin with this. */
enum { DELAY_MIN_MS = 100 };

/* Starts the workers that are missing. Returns 1 in a new worker, which is filled in. */
int policy_start_workers(struct sprig_master *m, struct sprig_worker *worker);

/* When to start the next one, by clock_ms; UINT64_MAX if not before something happens. */
uint64_t policy_next_start(const struct sprig_master *m);

/* Nobody accepts in this slot's name any more. */
void policy_slot_is_empty(struct sprig_master *m, uint32_t number);

/* What the workers and a successor do, for m. */
extern const struct process_events policy_events;

/* How long a leaving process may take; 0 for ever. */
uint64_t master_leave_ms(const struct sprig_master *m);

/* Begins to end; does nothing that was done before. */
void master_end(struct sprig_master *m, enum ending how);

/* Sends the worker away; it finishes what it has begun. A successor takes its workers with it. */
void master_dismiss(struct sprig_master *m, struct process *p);

/* Handles USR2: starts the program with our sockets. Returns in this process only. */
void upgrade_start(struct sprig_master *m);

/* Gives up on a successor that does not become ready. */
void upgrade_watch(struct sprig_master *m);

/* The successor serves. */
void upgrade_complete(struct sprig_master *m, struct process *p);

/* It has ended. */
void upgrade_gone(struct sprig_master *m, struct process *p, int status);

/* What ps shows of us. */
void master_show_title(const struct sprig_master *m);

/* Tells systemd that we serve. */
void master_notify_ready(const struct sprig_master *m);

/* Feeds systemd's watchdog when that is due and the loops of all workers answer. Returns when it is
 * due next, by clock_ms; UINT64_MAX for never. */
uint64_t master_feed_watchdog(struct sprig_master *m);

/* Takes the sockets that the environment names. 0 or < 0 and `why`. */
int upgrade_inherit(struct sprig_master *m, char *why, size_t n);

/* Tells the master before that it can go. */
void upgrade_announce(struct sprig_master *m);

#endif

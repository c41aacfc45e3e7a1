/* processes.h - in the master: the processes it has forked, what they say on their control sockets,
 * and how they end. */
#ifndef SPRIG_PROCESSES_H
#define SPRIG_PROCESSES_H

#include "base/list.h"
#include "base/stats.h"
#include "master.h"
#include <signal.h>

/* STARTING -> SERVING -> LEAVING -> gone. A start that fails or is no longer wanted goes straight
 * to LEAVING, or is gone at once. */
enum process_state { PROCESS_STARTING, PROCESS_SERVING, PROCESS_LEAVING };

enum { LINE_MAX_BYTES = 1024 };

/* The number for a process that is no worker but a master: the successor in an upgrade. */
enum { SUCCESSOR_NUMBER = 0 };

struct process {
    struct list_link link; /* in processes.list */
    pid_t pid;
    int control_fd; /* owned; -1 after its end of file */
    enum process_state state;
    uint32_t number; /* of its slot, or SUCCESSOR_NUMBER */
    uint32_t generation;
    bool is_excuse;       /* it serves why the application cannot be loaded (--dev) */
    bool wants_out;       /* has asked to be replaced */
    enum restart why_out; /* wants_out: for that reason */
    struct stats *stats;  /* borrowed: what it counts; NULL: nothing */
    bool is_over;         /* was collected: whatever is heard now are its last words */
    uint64_t since_ms;    /* of the state */
    uint64_t deadline_ms; /* killed at that time; 0: never */
    uint64_t asked_ms;    /* when its loop was asked for an answer, see process_answers; 0: never */
    uint32_t n_asked;     /* the answer that is waited for */
    char line[LINE_MAX_BYTES];
    size_t line_len;
    bool is_cut;                /* the rest of a line that was too long follows */
    char error[LINE_MAX_BYTES]; /* why it cannot start; "" if it did not say */
};

/* Reports what a process has said or done; `text` is borrowed for the call. */
struct process_events {
    void (*on_loaded)(struct process *p, void *arg);
    void (*on_ready)(struct process *p, void *arg);
    void (*on_leaving)(struct process *p, void *arg);
    void (*on_watch)(struct process *p, const char *path, void *arg);
    /* The process is gone; `status` is that of waitpid. Freed on return. */
    void (*on_gone)(struct process *p, int status, void *arg);
};

struct processes {
    struct list_link list;
    uint32_t n_processes;
    const struct process_events *events;
    void *arg;
};

void processes_init(struct processes *all, const struct process_events *events, void *arg);

/* Frees what is known of the processes and closes their control sockets; the processes live on. */
void processes_clear(struct processes *all);

/* Forks. Returns 1 in the child, which has its end of the control socket in *control_fd and none of
 * the others; 0 in the parent, with the process in *out; or SPRIG_E_SYS or SPRIG_E_NOMEM. Signals
 * must be blocked. */
int processes_fork(struct processes *all, uint32_t number, uint32_t generation,
                   struct process **out, int *control_fd);

/* Reads all lines that have come. */
void processes_hear(struct processes *all);
void process_hear(struct processes *all, struct process *p);

/* Writes a line; nobody may be there to read it. */
void process_say(const struct process *p, const char *line);

/* Sends an empty message: it wakes the loop, which then answers whoever has asked (base/stats.h).
 */
void process_wake(const struct process *p);

/* True unless this function asked its loop that many ms ago and got no answer. If it answered, asks
 * again: call it regularly. */
bool process_answers(struct process *p, uint64_t limit_ms);

/* Collects the processes that have ended. Process 1 also collects all others that are its children
 * by now. */
void processes_reap(struct processes *all);

/* Enters the state and sets a deadline that many ms from now (0 for none). */
void process_enter(struct process *p, enum process_state state, uint64_t ms);

/* Kills those whose deadline is over. */
void processes_kill_late(struct processes *all);

/* The earliest deadline, or 0. */
uint64_t processes_next_deadline(const struct processes *all);

/* "ended by signal 9 (Killed)", "exited with status 3". Returns buf. */
char *status_text(int status, char *buf, size_t n);

/* CLOCK_MONOTONIC in ms. */
uint64_t clock_ms(void);

#endif

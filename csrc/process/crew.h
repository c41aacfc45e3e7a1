/* crew.h - inside the master: its worker processes, their slots and their lines. */
#ifndef SPRIG_CREW_H
#define SPRIG_CREW_H

#include "base/list.h"
#include "master.h"
#include <signal.h>

/* STARTING -> SERVING -> LEAVING -> gone; a start that fails, or is not wanted any more, goes
 * straight to LEAVING or is gone at once. */
enum process_state { PROCESS_STARTING, PROCESS_SERVING, PROCESS_LEAVING };

enum { LINE_MAX_BYTES = 1024 };

/* The number of the process that is no worker, but a master: that of an upgrade. */
enum { SUCCESSOR_NUMBER = 0 };

struct process {
    struct list_link link; /* in crew.processes */
    pid_t pid;
    int control_fd; /* owned; -1 after its end of file */
    enum process_state state;
    uint32_t number; /* of its slot, or SUCCESSOR_NUMBER */
    uint32_t generation;
    bool wants_out;       /* has asked to be replaced */
    bool is_over;         /* was collected: what is heard now are its last words */
    uint64_t since_ms;    /* of the state */
    uint64_t deadline_ms; /* killed at that time; 0: never */
    char line[LINE_MAX_BYTES];
    size_t line_len;
    bool is_cut;                /* the rest of a line that was too long follows */
    char error[LINE_MAX_BYTES]; /* why it cannot start; "" if it did not say */
};

/* What a process has said or done; `text` is borrowed for the call. */
struct crew_events {
    void (*on_loaded)(struct process *p, void *arg);
    void (*on_ready)(struct process *p, void *arg);
    void (*on_leaving)(struct process *p, void *arg);
    /* It is gone, `status` is that of waitpid. Freed on return. */
    void (*on_gone)(struct process *p, int status, void *arg);
};

struct crew {
    struct list_link processes;
    uint32_t n_processes;
    const struct crew_events *events;
    void *arg;
};

void crew_init(struct crew *crew, const struct crew_events *events, void *arg);

/* Frees what is known of the processes and closes the lines to them; the processes stay. */
void crew_clear(struct crew *crew);

/* Forks. 1 in the child, which has its end of the line in *control_fd and no lines to others; 0 in
 * the parent, with the process in *out; SPRIG_E_SYS or SPRIG_E_NOMEM. Signals must be blocked. */
int crew_fork(struct crew *crew, uint32_t number, uint32_t generation, struct process **out,
              int *control_fd);

/* Reads all lines that have come. */
void crew_hear(struct crew *crew);
void process_hear(struct crew *crew, struct process *p);

/* Writes a line; nobody may be there to read it. */
void process_say(const struct process *p, const char *line);

/* Collects the processes that have ended. As process 1 also all others that are children by now. */
void crew_reap(struct crew *crew);

/* Enters the state, and sets the deadline that many ms from now (0: none). */
void process_enter(struct process *p, enum process_state state, uint64_t ms);

/* Kills those whose deadline is over. */
void crew_kill_late(struct crew *crew);

/* The earliest deadline, or 0. */
uint64_t crew_next_deadline(const struct crew *crew);

/* "ended by signal 9 (Killed)", "exited with status 3". Returns buf. */
char *status_text(int status, char *buf, size_t n);

/* CLOCK_MONOTONIC in ms. */
uint64_t clock_ms(void);

/* ----------------------------------------------------------------- signals ---- */

/* Takes the handlers of the master's signals, and blocks those signals but while it waits. A HUP
 * that was ignored when the process began (nohup) stays ignored, unless `is_daemon`: then there is
 * no terminal any more that could send it. One master a process. 0 or SPRIG_E_SYS. */
int notices_open(bool is_daemon);

/* Gives handlers and mask back as they were. In a worker all of these signals are let in; HUP, USR1
 * and USR2 get a handler that does nothing (and that a program of the app does not inherit), TTIN
 * and TTOU are ignored. */
void notices_close(bool is_worker);

/* Waits until a signal comes or one of the descriptors is readable, at most `timeout_ms` (-1: for
 * ever). Then all signals that have come are noted; TTIN and TTOU only if a process has sent them,
 * and not the terminal. */
struct pollfd;
void notices_wait(struct pollfd *fds, size_t n, int timeout_ms);

/* The signal has come since it was asked for last. */
bool notices_take(int signo);

#endif

/* admin_internal.h - what the files of the admin listener share. */
#ifndef SPRIG_ADMIN_INTERNAL_H
#define SPRIG_ADMIN_INTERNAL_H

#include "http/request.h"
#include "process/admin.h"

enum {
    ADMIN_MAX_SOCKETS = SPRIG_LISTEN_MAX_ADDRESSES,
    ADMIN_MAX_CONNS = ADMIN_MAX_POLL - ADMIN_MAX_SOCKETS,
    ADMIN_MAX_HEAD = 16 * 1024,
    ADMIN_TIMEOUT_MS = 10 * 1000, /* for a head, and for each step of an answer */
    ADMIN_ASK_MS = 1000,          /* for the processes to describe their connections */
    ADMIN_ASK_TICK_MS = 10,
    ADMIN_EVENT_MS = 1000 /* between the events of a live page */
};

enum admin_waits { WAITS_FOR_HEAD, WAITS_FOR_CONNS, WAITS_FOR_EVENT, WAITS_FOR_CLIENT };

struct admin_conn {
    int fd; /* owned; -1: unused */
    enum admin_waits waits;
    uint64_t due_ms; /* when what it waits for is over */
    struct text in, out;
    size_t n_sent; /* of out */
    bool is_last;  /* behind `out` nothing follows */
    bool is_json;  /* WAITS_FOR_CONNS: as what */
    bool is_head;  /* HEAD: no body */
};

struct admin {
    struct admin_host host;
    struct sprig_socket sockets[ADMIN_MAX_SOCKETS];
    size_t n_sockets;
    bool is_local; /* all of them are unix sockets: who may open them is the system's to say */
    char *token;   /* owned; NULL: none is asked for */
    int note_fd;   /* owned: ADMIN_NOTE, or -1 */
    struct admin_conn conns[ADMIN_MAX_CONNS];
};

/* admin_routes.c: fills c->out, or makes it wait for something else. */
void admin_answer(struct admin *a, struct admin_conn *c, const struct sprig_request *req);
void admin_answer_status(struct admin_conn *c, int status, const char *headers, const char *text);
void admin_answer_body(struct admin_conn *c, const char *type, const struct text *body);

/* The due time has come, or everything was answered. */
void admin_answer_conns(struct admin *a, struct admin_conn *c);
bool admin_has_all_conns(const struct admin *a);
void admin_add_event(struct admin *a, struct admin_conn *c);

/* 0, or -1 and `why`. */
int admin_read_token(struct admin *a, char *why, size_t n);

/* ---- what it says ---- */

void admin_add_metrics(struct text *out, const struct admin *a, bool is_openmetrics);
void admin_add_json(struct text *out, const struct admin *a);
void admin_add_conns_json(struct text *out, const struct admin *a);
void admin_add_status_text(struct text *out, const struct admin *a);
void admin_add_workers_text(struct text *out, const struct admin *a);
void admin_add_conns_text(struct text *out, const struct admin *a);
void admin_add_stuck_text(struct text *out, const struct admin *a);
void admin_add_config_text(struct text *out, const struct admin *a);
extern const char admin_page[];

/* What the system knows of a process; zeros: nothing. */
struct process_usage {
    uint64_t rss_bytes;
    double cpu_seconds;
    bool is_stopped; /* by a signal such as STOP */
};
struct process_usage process_usage_get(uint32_t pid);

/* "serving", or "blocked" if its loop has been at work for longer than block_warning, or if the
 * process was stopped. */
const char *admin_state(const struct admin *a, const struct stats *s);
bool admin_is_blocked(const struct admin *a, const struct stats *s);

#define admin_foreach(a, s)                                                                        \
    for (struct stats *s = (a)->host.stats->entries;                                               \
         s < (a)->host.stats->entries + (a)->host.stats->n_entries; s++)                           \
        if (s->state != STATS_FREE)

#endif

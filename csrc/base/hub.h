/* hub.h - messages that all processes of a server hear: a log in memory that they share.
 *
 * Whoever publishes appends to the log, under a lock; everybody reads it from where he was. So all
 * see all messages in one order. The log is of a fixed size: what is oldest is overwritten, but
 * messages that their channel remembers (hub_remember) are carried along, in up to half of it, so
 * that a process that starts later finds them. Nobody waits for a reader.
 *
 * A process that is killed, even while it has the lock, takes nothing of it along. */
#ifndef SPRIG_HUB_H
#define SPRIG_HUB_H

#include "base/span.h"
#include <stdint.h>
#include <sys/types.h>

/* Longest name of a channel, in bytes. */
enum { HUB_NAME_BYTES = 200 };

/* As published and as read; in the latter case borrowed from the reader. Numbers grow, also from
 * one start of the server to the next; they have gaps. */
struct hub_message {
    uint64_t number;
    struct sprig_span channel, text, event, id; /* ptr NULL: not given (event, id) */
    bool is_binary;
};

struct hub;

/* How large the hub of this process will be, in bytes, and for how many processes at one time; no
 * effect once there is one. */
void hub_plan(uint64_t bytes, uint32_t n_processes);

/* The hub of this process and of all that it forks from now on, made at the first call; or that of
 * the program that has executed this one (hub_pass), if it is what would be made now: as large, for
 * as many processes, and laid out alike. NULL: errno says why. It stays until the process ends. */
struct hub *hub_get(void);
/* The same; one that is made now can be passed on. */
struct hub *hub_get_to_pass(void);

/* For a program that this process is about to execute: leaves the descriptors of the hub open for
 * it, and prints what HUB_VARIABLE has to be there; "": there is none that can be passed on. */
#define HUB_VARIABLE "SPRIG_CHANNELS"
enum { HUB_TEXT_BYTES = 32 };
void hub_pass(char text[HUB_TEXT_BYTES]);

/* A hub apart, for tests; free unmaps it in this process only. */
struct hub *hub_new(uint64_t bytes, uint32_t n_processes);
void hub_free(struct hub *hub);

/* Readable, edge-triggered (nobody takes anything out of it), whenever hub_wake was called; -1:
 * there is no such thing here, look from time to time. Borrowed. */
int hub_wake_fd(const struct hub *hub);

/* Tells all processes that there is something to read. Legal in any thread. */
void hub_wake(const struct hub *hub);

/* This process reads: to be called after a fork as well; hub_reader_init does. */
void hub_attach(struct hub *hub);

/* There are other processes that read. */
bool hub_is_shared(const struct hub *hub);

/* The longest message, all its parts together. */
size_t hub_max_bytes(const struct hub *hub);

/* Appends a message; *number gets its own. SPRIG_E_LIMIT: longer than hub_max_bytes, or the name of
 * the channel is; SPRIG_E_NOMEM; SPRIG_E_STATE: the lock was not to be had within a second. */
int hub_publish(struct hub *hub, const struct hub_message *message, uint64_t *number);

/* From now on the last n messages of the channel stay, as far as there is room; never fewer than
 * somebody else has asked for. There is room for 4096 channels: for one more, that which has no
 * members and was silent for longest is forgotten. */
void hub_remember(struct hub *hub, struct sprig_span channel, uint32_t n);

/* Calls back with the messages of a channel that are still there and whose number is `up_to` at
 * most: the last n at least, in no order. `seen` must not use the hub. */
void hub_history(struct hub *hub, struct sprig_span channel, uint32_t n, uint64_t up_to,
                 void (*seen)(const struct hub_message *message, void *arg), void *arg);

/* Where one process reads. */
struct hub_reader {
    struct hub *hub;
    uint64_t at;          /* in the log */
    uint64_t last_number; /* read, or passed by */
    uint64_t n_lost;      /* bytes of the log that were overwritten before they were read */
    char *bytes;          /* owned: a copy of a part of the log */
    size_t n, used, room;
};

/* Starts behind what is there now. */
void hub_reader_init(struct hub_reader *r, struct hub *hub);
void hub_reader_clear(struct hub_reader *r);

/* The next message; false: there is none for now. Valid until the next call. */
bool hub_read(struct hub_reader *r, struct hub_message *message);

/* How many members of the channel this process has, and how many all of them that are alive have.
 */
void hub_set_members(struct hub *hub, struct sprig_span channel, uint32_t n);
uint32_t hub_members(struct hub *hub, struct sprig_span channel);

/* For tests: takes the lock, and leaves it to whoever outlives this process. */
bool hub_seize(struct hub *hub);

#endif

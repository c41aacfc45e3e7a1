/* hub.h - messages to all processes of a server: a log in memory that they share.
 *
 * A publisher appends to the log under a lock, and every process reads on from where it was, so all
 * see all messages in the same order. The log has a fixed size and overwrites the oldest entries.
 * Messages that their channel remembers (hub_remember) are carried along, in up to half of the log,
 * so that a process that starts later finds them. Nobody waits for a reader.
 *
 * A process that is killed takes nothing with it, not even while it holds the lock. */
#ifndef SPRIG_HUB_H
#define SPRIG_HUB_H

#include "base/span.h"
#include <stdint.h>
#include <sys/types.h>

/* Longest name of a channel, in bytes. */
enum { HUB_NAME_BYTES = 200 };

/* A message as published and as read; when read, it is borrowed from the reader. Numbers grow, also
 * from one start of the server to the next, and have gaps. */
struct hub_message {
    uint64_t number;
    struct sprig_span channel, text, event, id; /* ptr NULL: not given (event, id) */
    bool is_binary;
};

struct hub;

/* Sets the size in bytes of this process's hub, and how many processes may use it at a time. No
 * effect once there is a hub. */
void hub_plan(uint64_t bytes, uint32_t n_processes);

/* The hub of this process and of everything it forks from now on, created at the first call. If the
 * program that executed this one passed its hub on (hub_pass), and that has the same size, number
 * of processes and layout, takes that one. On failure NULL, and errno is set. It stays until the
 * process ends. */
struct hub *hub_get(void);
/* The same; a hub created now can be passed on. */
struct hub *hub_get_to_pass(void);

/* Prepares the hub for a program that this process is about to execute: keeps its descriptors open,
 * and prints the value for HUB_VARIABLE, or "" if the hub cannot be passed on. */
#define HUB_VARIABLE "SPRIG_CHANNELS"
enum { HUB_TEXT_BYTES = 32 };
void hub_pass(char text[HUB_TEXT_BYTES]);

/* A separate hub, for tests; free unmaps it in this process only. */
struct hub *hub_new(uint64_t bytes, uint32_t n_processes);
void hub_free(struct hub *hub);

/* A descriptor that becomes readable (edge-triggered; nobody takes anything out of it) whenever
 * hub_wake is called. -1 if the system has none: look from time to time. Borrowed. */
int hub_wake_fd(const struct hub *hub);

/* Tells all processes that there is something to read. Any thread may call it. */
void hub_wake(const struct hub *hub);

/* Registers this process as a reader. Call it after a fork as well; hub_reader_init does. */
void hub_attach(struct hub *hub);

/* There are other processes that read. */
bool hub_is_shared(const struct hub *hub);

/* The longest message, all its parts together. */
size_t hub_max_bytes(const struct hub *hub);

/* Appends a message; *number gets its number. SPRIG_E_LIMIT: it is longer than hub_max_bytes, or
 * the channel's name is too long. SPRIG_E_NOMEM. SPRIG_E_STATE: the lock could not be had within a
 * second. */
int hub_publish(struct hub *hub, const struct hub_message *message, uint64_t *number);

/* Keeps the last n messages of the channel from now on, as far as there is room, and never fewer
 * than somebody else has asked for. There is room for 4096 channels. One more makes the hub forget
 * the channel without members that has been silent longest. */
void hub_remember(struct hub *hub, struct sprig_span channel, uint32_t n);

/* Calls back with the stored messages of a channel whose number is at most `up_to`: at least the
 * last n, in any order. `seen` must not use the hub. */
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

/* Reads the next message; false if there is none yet. Valid until the next call. */
bool hub_read(struct hub_reader *r, struct hub_message *message);

/* The number of members of the channel in this process, and in all processes that are alive. */
void hub_set_members(struct hub *hub, struct sprig_span channel, uint32_t n);
uint32_t hub_members(struct hub *hub, struct sprig_span channel);

/* For tests: takes the lock, and leaves it to whoever outlives this process. */
bool hub_seize(struct hub *hub);

#endif

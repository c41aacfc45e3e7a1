/* channel.h - the public header of channels: a message published in a channel reaches its members
 * in this process and in all others that share the hub (base/hub.h).
 *
 * A message is encoded once for each kind of member and queued to all members, without calling
 * anybody. The words of sprig.h apply. There is one set of channels per process. */
#ifndef SPRIG_CHANNEL_H
#define SPRIG_CHANNEL_H

#include "sprig.h"

struct sprig_channels;
struct sprig_channel;
struct sprig_ws;

/* A message to publish. Text is UTF-8; ptr is NULL if it is not given. */
struct sprig_publication {
    struct sprig_span text;
    struct sprig_span event; /* the name of the event, for event streams: sse_is_field */
    struct sprig_span id;    /* sse_is_field; not given: its number */
    uint64_t number;         /* told by on_message; for sprig_channel_deliver: its place in time */
    bool is_binary;          /* for WebSockets only */
};

/* Numbers of messages from elsewhere, whose ids have the form MILLISECONDS-NUMBER: the former
 * shifted by this, plus the latter. */
enum { PUBLICATION_MS_SHIFT = 20 };

/* The callbacks to the bridge, in phase 2. */
struct sprig_channels_handler {
    /* A message in a channel that has an app (sprig_channel_set_app). Borrowed for the call. */
    void (*on_message)(struct sprig_channel *channel, const struct sprig_publication *message,
                       void *app, void *arg);
    /* A member has left: its `app` belongs to the bridge again. */
    void (*on_left)(void *app, void *arg);
    void *arg;
};

/* Sets the size of the memory that all processes share (options channel_bytes, workers). It is
 * created when it is first needed, or by _share in the process that forks the others: 0 or
 * SPRIG_E_SYS. */
void sprig_channels_plan(const struct sprig_config *config);
int sprig_channels_share(void);

/* NULL + errno. Lives until the process ends. */
struct sprig_channels *sprig_channels_new(struct sprig_loop *loop,
                                          const struct sprig_channels_handler *handler);

/* Longest name, in bytes. */
enum { SPRIG_CHANNEL_NAME_BYTES = 200 };

/* The channel with that name, counted. Each process has one as long as somebody refers to it or it
 * has members. It remembers its last `history` messages (the largest number asked for counts),
 * including those from other processes and from before. NULL if memory is short, or if the name is
 * empty or too long. */
struct sprig_channel *sprig_channel_get(struct sprig_channels *all, struct sprig_span name,
                                        uint32_t history);
void sprig_channel_release(struct sprig_channel *channel);

/* From now on, on_message is called with this; NULL stops that. The value is the bridge's own
 * otherwise. Returns 0 or SPRIG_E_NOMEM. */
int sprig_channel_set_app(struct sprig_channel *channel, void *app);
void *sprig_channel_app(const struct sprig_channel *channel);

/* Publishes to the members in all processes; those in this one get it before the function returns.
 * SPRIG_E_LIMIT: longer than sprig_channels_max_bytes; SPRIG_E_NOMEM; SPRIG_E_STATE: the other
 * processes are stuck. */
int sprig_channel_publish(struct sprig_channel *channel, const struct sprig_publication *p);
size_t sprig_channels_max_bytes(struct sprig_channels *all);

/* The same for this process alone: for messages from elsewhere, in the order of their numbers. */
int sprig_channel_deliver(struct sprig_channel *channel, const struct sprig_publication *p);

/* How a member is treated. */
struct sprig_join {
    uint64_t queue_bytes;    /* what may wait for it to read */
    enum sprig_slow slow;    /* beyond */
    struct sprig_span since; /* the id it has seen last: what is remembered from there on comes
                                first; an unknown one or "0": all of it; ptr NULL: none */
    void *app;               /* taken unless an error is returned; given back by on_left */
};

/* Makes a response whose head says text/event-stream a member, until it ends or leaves. A response
 * that is already a member joins again. Returns 0, SPRIG_E_CLOSED or SPRIG_E_NOMEM. */
int sprig_channel_join(struct sprig_channel *channel, struct sprig_exchange *ex,
                       const struct sprig_join *how);
/* False: it is no member. */
bool sprig_channel_leave(struct sprig_channel *channel, struct sprig_exchange *ex);

/* The same for a WebSocket that waits for its 101 or is open, until it is over. What becomes of one
 * that does not keep up is a matter of its own options: `slow` and `queue_bytes` are not looked at.
 */
int sprig_channel_join_ws(struct sprig_channel *channel, struct sprig_ws *ws,
                          const struct sprig_join *how);
bool sprig_channel_leave_ws(struct sprig_channel *channel, struct sprig_ws *ws);

/* The number of members in all processes that are alive. */
uint32_t sprig_channel_members(struct sprig_channel *channel);

/* Live channels and members of this process, for tests. */
void sprig_channels_count(const struct sprig_channels *all, uint32_t *n_channels,
                          uint32_t *n_members);

#endif

/* channel_internal.h - the parts of a channel, for the files of this folder. */
#ifndef SPRIG_CHANNEL_INTERNAL_H
#define SPRIG_CHANNEL_INTERNAL_H

#include "base/hub.h"
#include "channel.h"
#include "channel/message.h"
#include "loop/loop.h"

struct sprig_channels {
    struct sprig_loop *loop; /* borrowed */
    struct sprig_channels_handler handler;
    struct hub *hub; /* borrowed; NULL until something is published, joined or listened to */
    struct hub_reader reader;
    struct list_link *buckets; /* owned: of struct sprig_channel.link */
    uint32_t n_buckets;        /* a power of two */
    uint32_t n_channels, n_members;
    struct ready read;     /* others have published */
    struct event wake;     /* of the hub; added once there is a channel */
    struct timer look;     /* where the loop cannot wait for that */
    struct flushable tell; /* the other processes, at the end of the pass */
    struct list_link left; /* struct member.link: on_left is to be called */
    struct ready settle;   /* calls it */
    struct fork_hook on_fork;
    uint32_t last_pass;      /* of the loop, in which there was a message */
    bool had_more;           /* and it was not the only one */
    uint64_t last_delivered; /* number given to a message from elsewhere */
};

struct sprig_channel {
    struct sprig_channels *all;
    struct list_link link; /* in its bucket */
    uint32_t refs;         /* whoever got it, and each member */
    uint32_t hash;
    uint32_t n_remembered; /* messages that history may have */
    uint32_t n_history, n_members;
    struct list_link history; /* struct message.in_history, oldest first */
    struct list_link members; /* struct member.link */
    struct list_link told;    /* struct message.in_told: for on_message */
    struct ready tell;        /* calls it */
    void *app;                /* severable: of the bridge; NULL: nobody listens */
    bool is_fed;              /* by sprig_channel_deliver: the hub has nothing of it */
    uint8_t n_name;
    char name[];
};

static inline struct sprig_span channel_name(const struct sprig_channel *ch)
{
    return span_make(ch->name, ch->n_name);
}

/* Begins to read. False if the memory cannot be had. */
bool channels_attach(struct sprig_channels *all);

/* Delivers what others have published so far. */
void channels_read(struct sprig_channels *all);

/* member.c: queues a message to all members; ends them all, since they would miss one; forgets them
 * all, in a forked child. */
void members_send(struct sprig_channel *ch, struct message *m);
void members_lose(struct sprig_channel *ch);
void members_forget(struct sprig_channel *ch);
void members_settle(struct ready *r, uint32_t what); /* on_left */

#endif

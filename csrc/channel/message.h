/* message.h - one message of a channel in this process: counted, and encoded at most once for each
 * kind of member. */
#ifndef SPRIG_MESSAGE_H
#define SPRIG_MESSAGE_H

#include "base/list.h"
#include "channel.h"
#include "websocket.h"

struct message {
    uint32_t refs;
    struct list_link in_history; /* of its channel; owns a count there */
    struct list_link in_told;    /* waits for on_message; the same */
    struct sprig_publication of; /* its own copies */
    char *chunk;                 /* owned: the chunk with the event; NULL: not yet */
    size_t n_chunk;
    struct sprig_span event;         /* in it */
    struct sprig_ws_message *framed; /* counted: for WebSockets; NULL: not yet */
    char bytes[];
};

/* Copies; starts with a count of one. If has_id, a message without an id gets its number as one.
 * NULL if memory is short. */
struct message *message_new(const struct sprig_publication *p, bool has_id);
void message_release(void *message);

/* Makes the chunk and the event, unless they exist. False if memory is short. */
bool message_make_event(struct message *m);

/* The message for WebSockets, borrowed; NULL if memory is short. */
struct sprig_ws_message *message_framed(struct message *m);

static inline bool message_has_event(struct message *m)
{
    return m->chunk != NULL || message_make_event(m);
}

#endif

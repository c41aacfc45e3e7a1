/* member.c - the members of a channel: joining, getting messages, falling behind, leaving. */
#include "base/clock.h"
#include "channel/channel_internal.h"

#include "base/err.h"
#include "base/hot.h"
#include "base/number.h"
#include "net/outq.h"
#include "serve/conn.h"
#include "serve/feed.h"
#include "ws/socket.h"
#include <stdlib.h>
#include <time.h>

/* How far another host's clock may be ahead. */
enum { CLOCK_SKEW_SECONDS = 60 };

/* One membership, of an event stream or a WebSocket. Owned by its channel, and by `left` when it is
 * over. */
struct member {
    struct list_link link;     /* in channel.members; later in channels.left */
    struct sprig_exchange *ex; /* severable: NULL when it is over, or for a WebSocket */
    struct sprig_ws *ws;       /* severable, too; one of the two is set */
    uint64_t after;            /* it has seen this message and all before it */
    uint64_t queue_bytes;
    enum sprig_slow slow;
    struct sprig_channel *channel;
    struct feed_watch watch;
    struct sprig_ws_watch ws_watch;
    void *app;
};

/* ----------------------------------------------------------------- leaving ---- */

static void member_count(struct sprig_channel *ch, int delta)
{
    ch->n_members += (uint32_t)delta;
    ch->all->n_members += (uint32_t)delta;
    hub_set_members(ch->all->hub, channel_name(ch), ch->n_members);
}

/* The bridge gets its data back in a turn of its own: a membership may be ended in the middle of
 * anything. */
static void member_end(struct member *mb)
{
    struct sprig_channels *all = mb->channel->all;
    list_remove(&mb->watch.link);
    list_remove(&mb->ws_watch.link);
    list_remove(&mb->link);
    mb->ex = NULL;
    mb->ws = NULL;
    member_count(mb->channel, -1);
    list_append(&all->left, &mb->link);
    ready_add(all->loop, &all->settle, 1);
}

static void on_end(struct feed_watch *watch)
{
    member_end(list_entry(watch, struct member, watch));
}

static void on_ws_end(struct sprig_ws_watch *watch)
{
    member_end(list_entry(watch, struct member, ws_watch));
}

void members_settle(struct ready *r, uint32_t what)
{
    (void)what;
    struct sprig_channels *all = list_entry(r, struct sprig_channels, settle);
    struct list_link *first;
    while ((first = list_first(&all->left)) != NULL) {
        struct member *mb = list_entry(first, struct member, link);
        void *app = mb->app;
        list_remove(first);
        sprig_channel_release(mb->channel);
        free(mb);
        all->handler.on_left(app, all->handler.arg);
    }
}

void members_forget(struct sprig_channel *ch)
{
    struct list_link *first;
    while ((first = list_first(&ch->members)) != NULL)
        member_end(list_entry(first, struct member, link));
}

/* ----------------------------------------------------------------- writing ---- */

/* The member would miss a message without knowing it, so its client has to come back and ask for
 * what it missed. Calls no handler: a Close is queued, or the stream is cut. */
static void member_lose(struct member *mb)
{
    struct sprig_exchange *ex = mb->ex;
    if (mb->ws != NULL && sprig_ws_is_open(mb->ws) &&
        sprig_ws_close(mb->ws, WS_CLOSE_ERROR, SPAN_LIT("out of memory")) != 0)
        ex = sprig_ws_exchange(mb->ws);
    if (ex != NULL)
        sprig_response_cut(ex, "out of memory");
    member_end(mb);
}

/* With an empty queue, a reference is cheaper than a copy; a large message is shared with the other
 * members and the history. What may be moved to a file needs a copy of its own. */
static int member_queue(struct member *mb, struct message *m)
{
    bool is_small = m->event.len < OUTQ_REF_MIN_BYTES && mb->ex->out->size > 0;
    if (is_small || mb->slow == SPRIG_SLOW_SPILL)
        return sprig_response_write(mb->ex, m->event);
    m->refs++;
    return exchange_write_chunk(mb->ex, span_make(m->chunk, m->n_chunk), m->event, message_release,
                                m);
}

static bool member_has_room(const struct member *mb, size_t n)
{
    uint64_t waiting = mb->ex->out->size;
    return waiting == 0 || waiting + n <= mb->queue_bytes;
}

/* False: it has not read what was sent to it. Messages published in this very turn may just not
 * have been sent yet, so they are flushed first. */
static bool member_keeps_up(const struct member *mb, size_t n)
{
    if (mb->slow == SPRIG_SLOW_SPILL || member_has_room(mb, n))
        return true;
    sprig_response_flush(mb->ex);
    return member_has_room(mb, n);
}

static void member_queue_event(struct member *mb, struct message *m)
{
    if (!message_has_event(m)) {
        member_lose(mb);
    } else if (member_keeps_up(mb, m->event.len)) {
        if (member_queue(mb, m) < 0)
            member_end(mb);
    } else if (mb->slow == SPRIG_SLOW_CLOSE) {
        sprig_response_cut(mb->ex, "a member of a channel does not keep up");
        member_end(mb);
    }
}

/* The WebSocket's own options decide what happens if it does not keep up. */
static void member_send_framed(struct member *mb, struct message *m)
{
    struct sprig_ws_message *framed = message_framed(m);
    int rc = framed != NULL ? sprig_ws_send_message(mb->ws, framed) : SPRIG_E_NOMEM;
    if (rc == SPRIG_E_NOMEM)
        member_lose(mb);
    else if (rc < 0)
        member_end(mb);
}

static void member_queue_message(struct member *mb, struct message *m)
{
    if (m->of.number <= mb->after)
        return;
    mb->after = 0;
    if (mb->ws != NULL)
        member_send_framed(mb, m);
    else if (!m->of.is_binary)
        member_queue_event(mb, m);
}

/* What is published in one pass leaves together. But a message that is likely to be the only one,
 * as those before it were, need not be queued for that. */
static bool is_alone(struct sprig_channels *all)
{
    uint32_t pass = loop_n_passes(all->loop);
    bool is_first = pass != all->last_pass, had_more = all->had_more;
    all->last_pass = pass;
    all->had_more = !is_first;
    return is_first && !had_more;
}

HOT static inline bool member_send(struct member *mb, struct message *m)
{
    return mb->ex != NULL && mb->after == 0 && message_has_event(m) &&
           exchange_send_chunk(mb->ex, span_make(m->chunk, m->n_chunk), m->event);
}

/* Of the three members that come next, one step each: the kernel leaves little in the cache, and
 * to wait for it would take longer than all the rest. */
static FETCHING void members_fetch(const struct list_link *head, const struct list_link *next)
{
    const struct member *mb = list_entry(next, struct member, link);
    if (next == head || mb->ex == NULL)
        return;
    exchange_fetch_conn(mb->ex);
    next = next->next;
    mb = list_entry(next, struct member, link);
    if (next == head || mb->ex == NULL)
        return;
    exchange_fetch(mb->ex);
    FETCH(next->next);
}

HOT void members_send(struct sprig_channel *ch, struct message *m)
{
    bool at_once = is_alone(ch->all) && !m->of.is_binary;
    list_foreach_safe (it, next, &ch->members) {
        members_fetch(&ch->members, next);
        struct member *mb = list_entry(it, struct member, link);
        if (!at_once || !member_send(mb, m))
            member_queue_message(mb, m);
    }
}

void members_lose(struct sprig_channel *ch)
{
    list_foreach_safe (it, next, &ch->members)
        member_lose(list_entry(it, struct member, link));
}

/* ----------------------------------------------------------------- joining ---- */

/* "17", or "1526919030474-55" as other servers number their messages, which may come from a process
 * that has heard more than this one. An id beyond what is possible now is not one of ours. */
static uint64_t number_of(const struct sprig_channel *ch, struct sprig_span id)
{
    uint64_t number, rest = 0;
    uint64_t latest = ch->all->reader.last_number;
    if (!number_take(&id, UINT64_MAX >> PUBLICATION_MS_SHIFT, &number))
        return 0;
    if (id.len > 0 && *id.ptr == '-') {
        id = span_make(id.ptr + 1, id.len - 1);
        number = number << PUBLICATION_MS_SHIFT;
        latest = (clock_real_ns() / NS_PER_MS + CLOCK_SKEW_SECONDS * 1000) << PUBLICATION_MS_SHIFT;
        if (!number_take(&id, (1 << PUBLICATION_MS_SHIFT) - 1, &rest))
            return 0;
    }
    return id.len == 0 && number + rest <= latest ? number + rest : 0;
}

/* The number of the last message with that id, or the number that the id itself is. */
static uint64_t number_since(struct sprig_channel *ch, struct sprig_span id)
{
    for (struct list_link *it = ch->history.prev; it != &ch->history; it = it->prev) {
        const struct message *m = list_entry(it, struct message, in_history);
        if (m->of.id.ptr != NULL && span_eq(m->of.id, id))
            return m->of.number;
    }
    return number_of(ch, id);
}

/* Limited by what the channel remembers, not by queue_bytes: a new member cannot have fallen behind
 * yet. False: the membership has ended. */
static bool member_repeat(struct member *mb, struct message *m)
{
    if (m->of.number <= mb->after)
        return true;
    if (mb->ws != NULL)
        member_send_framed(mb, m);
    else if (!m->of.is_binary && !message_has_event(m))
        member_lose(mb);
    else if (!m->of.is_binary && member_queue(mb, m) < 0)
        member_end(mb);
    return mb->ws != NULL || mb->ex != NULL;
}

static void member_replay(struct member *mb)
{
    struct sprig_channel *ch = mb->channel;
    list_foreach_safe (it, next, &ch->history)
        if (!member_repeat(mb, list_entry(it, struct message, in_history)))
            return;
}

static struct member *member_find(struct sprig_channel *ch, struct sprig_exchange *ex)
{
    if (ex->feed == NULL)
        return NULL;
    list_foreach (it, &ex->feed->watches) {
        struct feed_watch *watch = list_entry(it, struct feed_watch, link);
        struct member *mb = list_entry(it, struct member, watch.link);
        if (watch->on_end == on_end && mb->channel == ch)
            return mb;
    }
    return NULL;
}

static struct member *member_find_ws(struct sprig_channel *ch, struct sprig_ws *ws)
{
    list_foreach (it, &ws->watches) {
        struct sprig_ws_watch *watch = list_entry(it, struct sprig_ws_watch, link);
        struct member *mb = list_entry(it, struct member, ws_watch.link);
        if (watch->on_end == on_ws_end && mb->channel == ch)
            return mb;
    }
    return NULL;
}

static struct member *member_new(struct sprig_channel *ch, const struct sprig_join *how)
{
    struct member *mb = channels_attach(ch->all) ? calloc(1, sizeof *mb) : NULL;
    if (mb == NULL)
        return NULL;
    mb->watch.on_end = on_end;
    mb->ws_watch.on_end = on_ws_end;
    list_init(&mb->watch.link);
    list_init(&mb->ws_watch.link);
    mb->channel = ch;
    mb->queue_bytes = how->queue_bytes;
    mb->slow = how->slow;
    mb->app = how->app;
    return mb;
}

/* The member is watched from now on; an earlier membership of the same client has ended. */
static void member_begin(struct member *mb, const struct sprig_join *how)
{
    struct sprig_channel *ch = mb->channel;
    channels_read(ch->all);
    ch->refs++;
    list_append(&ch->members, &mb->link);
    member_count(ch, 1);
    if (how->since.ptr == NULL)
        return;
    mb->after = number_since(ch, how->since);
    member_replay(mb);
}

int sprig_channel_join(struct sprig_channel *ch, struct sprig_exchange *ex,
                       const struct sprig_join *how)
{
    struct member *mb = member_new(ch, how);
    if (mb == NULL)
        return SPRIG_E_NOMEM;
    sprig_channel_leave(ch, ex);
    int rc = feed_watch(ex, &mb->watch);
    if (rc != 0) {
        free(mb);
        return rc;
    }
    mb->ex = ex;
    member_begin(mb, how);
    return 0;
}

int sprig_channel_join_ws(struct sprig_channel *ch, struct sprig_ws *ws,
                          const struct sprig_join *how)
{
    loop_check_fork(ch->all->loop);
    loop_recall(ch->all->loop);
    if (!sprig_ws_is_open(ws))
        return SPRIG_E_CLOSED;
    struct member *mb = member_new(ch, how);
    if (mb == NULL)
        return SPRIG_E_NOMEM;
    sprig_channel_leave_ws(ch, ws);
    sprig_ws_watch(ws, &mb->ws_watch);
    mb->ws = ws;
    member_begin(mb, how);
    return 0;
}

static bool channel_end_member(struct sprig_channel *ch, struct member *mb)
{
    loop_check_fork(ch->all->loop);
    loop_recall(ch->all->loop);
    if (mb != NULL)
        member_end(mb);
    return mb != NULL;
}

bool sprig_channel_leave(struct sprig_channel *ch, struct sprig_exchange *ex)
{
    return channel_end_member(ch, member_find(ch, ex));
}

bool sprig_channel_leave_ws(struct sprig_channel *ch, struct sprig_ws *ws)
{
    return channel_end_member(ch, member_find_ws(ch, ws));
}

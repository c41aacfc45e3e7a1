/* member.c - who listens to a channel: joining, being written to, keeping up or not, leaving. */
#include "channel/channel_internal.h"

#include "base/err.h"
#include "base/number.h"
#include "net/outq.h"
#include "serve/conn.h"
#include "serve/feed.h"
#include <stdlib.h>
#include <time.h>

/* What other hosts' clocks may be ahead. */
enum { CLOCK_SKEW_SECONDS = 60 };

/* One membership; owned by its channel, and of `left` when it is over. */
struct member {
    struct list_link link; /* in channel.members; later in channels.left */
    struct sprig_channel *channel;
    struct sprig_exchange *ex; /* severable: NULL when it is over */
    struct feed_watch watch;
    uint64_t queue_bytes;
    uint64_t after; /* number of a message that it has seen, and so those before */
    enum sprig_slow slow;
    void *app;
};

/* ----------------------------------------------------------------- leaving ---- */

static void member_count(struct sprig_channel *ch, int delta)
{
    ch->n_members += (uint32_t)delta;
    ch->all->n_members += (uint32_t)delta;
    hub_set_members(ch->all->hub, channel_name(ch), ch->n_members);
}

/* What is the bridge's goes back to it in a turn of its own: whoever ends a membership may be in
 * the middle of anything. */
static void member_end(struct member *mb)
{
    struct sprig_channels *all = mb->channel->all;
    list_remove(&mb->watch.link);
    list_remove(&mb->link);
    mb->ex = NULL;
    member_count(mb->channel, -1);
    list_append(&all->left, &mb->link);
    ready_add(all->loop, &all->settle, 1);
}

static void on_end(struct feed_watch *watch)
{
    member_end(list_entry(watch, struct member, watch));
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

/* To an empty queue a reference is cheaper than a copy, and a large message is shared with the
 * other members and with history. What may be moved to a file has to be a copy of its own. */
static int member_write(struct member *mb, struct message *m)
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

/* False: it has not read what was sent to it. What was published in this very turn may just not
 * have been sent yet. */
static bool member_keeps_up(const struct member *mb, size_t n)
{
    if (mb->slow == SPRIG_SLOW_SPILL || member_has_room(mb, n))
        return true;
    sprig_response_flush(mb->ex);
    return member_has_room(mb, n);
}

static void member_send(struct member *mb, struct message *m)
{
    if (m->of.number <= mb->after || m->of.is_binary)
        return;
    mb->after = 0;
    if (!message_has_event(m)) {
        sprig_response_cut(mb->ex, "out of memory");
        member_end(mb);
    } else if (member_keeps_up(mb, m->event.len)) {
        if (member_write(mb, m) < 0)
            member_end(mb);
    } else if (mb->slow == SPRIG_SLOW_CLOSE) {
        sprig_response_cut(mb->ex, "a member of a channel does not keep up");
        member_end(mb);
    }
}

void members_send(struct sprig_channel *ch, struct message *m)
{
    list_foreach_safe (it, next, &ch->members)
        member_send(list_entry(it, struct member, link), m);
}

/* ----------------------------------------------------------------- joining ---- */

/* "17", or "1526919030474-55" as others number their messages: told by a process that may have
 * heard more than this one. One that cannot be is somebody else's. */
static uint64_t number_of(const struct sprig_channel *ch, struct sprig_span id)
{
    struct timespec now;
    uint64_t number, rest = 0;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t latest = ch->all->reader.last_number;
    if (!number_take(&id, UINT64_MAX >> PUBLICATION_MS_SHIFT, &number))
        return 0;
    if (id.len > 0 && *id.ptr == '-') {
        id = span_make(id.ptr + 1, id.len - 1);
        number = number << PUBLICATION_MS_SHIFT;
        latest = ((uint64_t)now.tv_sec + CLOCK_SKEW_SECONDS) * 1000 << PUBLICATION_MS_SHIFT;
        if (!number_take(&id, (1 << PUBLICATION_MS_SHIFT) - 1, &rest))
            return 0;
    }
    return id.len == 0 && number + rest <= latest ? number + rest : 0;
}

/* The last message of that id; else the number that the id is. */
static uint64_t number_since(struct sprig_channel *ch, struct sprig_span id)
{
    for (struct list_link *it = ch->history.prev; it != &ch->history; it = it->prev) {
        const struct message *m = list_entry(it, struct message, in_history);
        if (m->of.id.ptr != NULL && span_eq(m->of.id, id))
            return m->of.number;
    }
    return number_of(ch, id);
}

/* Bounded by what the channel remembers, not by queue_bytes: a member that has just come cannot
 * have fallen behind. */
static void member_replay(struct member *mb)
{
    struct sprig_channel *ch = mb->channel;
    list_foreach_safe (it, next, &ch->history) {
        struct message *m = list_entry(it, struct message, in_history);
        if (m->of.number <= mb->after || m->of.is_binary || !message_has_event(m))
            continue;
        if (member_write(mb, m) < 0) {
            member_end(mb);
            return;
        }
    }
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

int sprig_channel_join(struct sprig_channel *ch, struct sprig_exchange *ex,
                       const struct sprig_join *how)
{
    struct member *mb = channels_attach(ch->all) ? calloc(1, sizeof *mb) : NULL;
    if (mb == NULL)
        return SPRIG_E_NOMEM;
    mb->watch.on_end = on_end;
    int rc = feed_watch(ex, &mb->watch);
    if (rc != 0) {
        free(mb);
        return rc;
    }
    list_remove(&mb->watch.link); /* so that it is not found */
    sprig_channel_leave(ch, ex);
    list_append(&ex->feed->watches, &mb->watch.link);
    channels_read(ch->all);
    mb->channel = ch;
    ch->refs++;
    mb->ex = ex;
    mb->queue_bytes = how->queue_bytes;
    mb->slow = how->slow;
    mb->app = how->app;
    list_append(&ch->members, &mb->link);
    member_count(ch, 1);
    if (how->since.ptr != NULL) {
        mb->after = number_since(ch, how->since);
        member_replay(mb);
    }
    return 0;
}

bool sprig_channel_leave(struct sprig_channel *ch, struct sprig_exchange *ex)
{
    loop_guard(ch->all->loop);
    loop_recall(ch->all->loop);
    struct member *mb = member_find(ch, ex);
    if (mb == NULL)
        return false;
    member_end(mb);
    return true;
}

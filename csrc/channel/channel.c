/* channel.c - this process's channels: publishing, reading, remembering; see csrc/channel.h */
#include "base/clock.h"
#include "channel/channel_internal.h"

#include "base/err.h"
#include "base/log.h"
#include "base/number.h"
#include <stdlib.h>
#include <time.h>

enum { FIRST_BUCKETS = 64 };

/* How often to look for messages where the loop cannot wait for other processes. */
#define LOOK_NS (20 * 1000 * 1000ull)

_Static_assert((int)SPRIG_CHANNEL_NAME_BYTES == (int)HUB_NAME_BYTES, "names fit into the hub");

/* ------------------------------------------------------------------ waking ---- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct sprig_channels *all = arg;
    ready_add(all->loop, &all->read, 1);
}

static void look_again(struct sprig_channels *all)
{
    timer_start(all->loop, &all->look, sprig_loop_now(all->loop) + LOOK_NS);
}

static void run_look(struct ready *r, uint32_t what)
{
    (void)what;
    struct timer *timer = list_entry(r, struct timer, ready);
    struct sprig_channels *all = list_entry(timer, struct sprig_channels, look);
    look_again(all);
    channels_read(all);
}

/* The hub's descriptor only ever gives an edge: a level-triggered loop would never sleep. */
static void channels_watch(struct sprig_channels *all)
{
    bool has_edges = loop_has_edges(all->loop) && hub_wake_fd(all->hub) != -1;
    event_assign(&all->wake, loop_base(all->loop), hub_wake_fd(all->hub),
                 EV_READ | EV_PERSIST | EV_ET, on_wake, all);
    if (!has_edges || loop_event_add(all->loop, &all->wake) != 0)
        look_again(all);
}

static void run_read(struct ready *r, uint32_t what)
{
    (void)what;
    struct sprig_channels *all = list_entry(r, struct sprig_channels, read);
    if (!loop_has_edges(all->loop) && !list_linked(&all->look.ready.link) &&
        all->look.slot == TIMER_OFF) {
        loop_event_del(all->loop, &all->wake); /* since then another loop has taken over */
        look_again(all);
    }
    channels_read(all);
}

static void flush_tell(struct flushable *f)
{
    struct sprig_channels *all = list_entry(f, struct sprig_channels, tell);
    hub_wake(all->hub);
}

static void settle_tell(struct flushable *f)
{
    (void)f; /* others are told once more, at the end of the pass */
}

static const struct flushable_ops tell_ops = {flush_tell, flush_tell, settle_tell};

/* Tells them at the end of the pass, or at once if no pass is running. */
static void tell_others(struct sprig_channels *all)
{
    if (!hub_is_shared(all->hub))
        return;
    if (sprig_loop_depth(all->loop) > 0)
        loop_flush_later(all->loop, &all->tell);
    else
        hub_wake(all->hub);
}

/* ------------------------------------------------------------- all channels ---- */

static uint32_t hash_of(struct sprig_span name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.ptr[i]) * 16777619u;
    return h ^ h >> 15;
}

static struct list_link *buckets_new(uint32_t n)
{
    struct list_link *buckets = malloc(n * sizeof *buckets);
    for (uint32_t i = 0; buckets != NULL && i < n; i++)
        list_init(&buckets[i]);
    return buckets;
}

/* Without memory for more buckets, the lists get longer. */
static void buckets_grow(struct sprig_channels *all)
{
    uint32_t n = 2 * all->n_buckets;
    struct list_link *grown = buckets_new(n), *first;
    if (grown == NULL)
        return;
    for (uint32_t i = 0; i < all->n_buckets; i++)
        while ((first = list_first(&all->buckets[i])) != NULL) {
            list_remove(first);
            uint32_t hash = list_entry(first, struct sprig_channel, link)->hash;
            list_append(&grown[hash & (n - 1)], first);
        }
    free(all->buckets);
    all->buckets = grown;
    all->n_buckets = n;
}

static struct sprig_channel *channel_find(struct sprig_channels *all, struct sprig_span name,
                                          uint32_t hash)
{
    list_foreach (it, &all->buckets[hash & (all->n_buckets - 1)]) {
        struct sprig_channel *ch = list_entry(it, struct sprig_channel, link);
        if (ch->hash == hash && span_eq(channel_name(ch), name))
            return ch;
    }
    return NULL;
}

/* In a forked child: the members are the parent's clients. */
static void channels_on_fork(struct fork_hook *h)
{
    struct sprig_channels *all = list_entry(h, struct sprig_channels, on_fork);
    if (all->hub == NULL)
        return;
    hub_attach(all->hub);
    for (uint32_t i = 0; i < all->n_buckets; i++)
        list_foreach (it, &all->buckets[i])
            members_forget(list_entry(it, struct sprig_channel, link));
}

void sprig_channels_plan(const struct sprig_config *config)
{
    uint32_t workers = config->workers_limit > 0 ? config->workers_limit : 4 * config->workers;
    hub_plan(config->channel_bytes, 16 + 3 * workers);
}

int sprig_channels_share(void)
{
    return hub_get_to_pass() != NULL ? 0 : SPRIG_E_SYS;
}

struct sprig_channels *sprig_channels_new(struct sprig_loop *loop,
                                          const struct sprig_channels_handler *handler)
{
    struct sprig_channels *all = calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->loop = loop;
    all->handler = *handler;
    all->n_buckets = FIRST_BUCKETS;
    all->buckets = buckets_new(FIRST_BUCKETS);
    if (all->buckets == NULL) {
        free(all);
        return NULL;
    }
    loop_check_fork(loop);
    ready_init(&all->read, run_read);
    ready_init(&all->settle, members_settle);
    timer_init(&all->look, run_look);
    list_init(&all->left);
    flushable_init(&all->tell, &tell_ops);
    all->on_fork.on_fork = channels_on_fork;
    loop_on_fork(loop, &all->on_fork);
    return all;
}

void sprig_channels_count(const struct sprig_channels *all, uint32_t *n_channels,
                          uint32_t *n_members)
{
    *n_channels = all->n_channels;
    *n_members = all->n_members;
}

size_t sprig_channels_max_bytes(struct sprig_channels *all)
{
    return channels_attach(all) ? hub_max_bytes(all->hub) - SPRIG_CHANNEL_NAME_BYTES : 0;
}

/* ----------------------------------------------------------------- history ---- */

static void history_trim(struct sprig_channel *ch)
{
    while (ch->n_history > ch->n_remembered) {
        struct message *m = list_entry(list_first(&ch->history), struct message, in_history);
        list_remove(&m->in_history);
        ch->n_history--;
        message_release(m);
    }
}

/* Keeps the history in order of numbers; a late arrival is mostly the newest. */
static void history_add(struct sprig_channel *ch, struct message *m)
{
    struct list_link *at = ch->history.prev;
    while (at != &ch->history &&
           list_entry(at, struct message, in_history)->of.number > m->of.number)
        at = at->prev;
    m->refs++;
    list_append(at->next, &m->in_history);
    ch->n_history++;
    history_trim(ch);
}

static struct sprig_publication publication_of(const struct hub_message *m)
{
    return (struct sprig_publication){m->text, m->event, m->id, m->number, m->is_binary};
}

static void history_take(const struct hub_message *from, void *arg)
{
    struct sprig_channel *ch = arg;
    struct sprig_publication p = publication_of(from);
    struct message *m = message_new(&p, true);
    if (m == NULL)
        return;
    history_add(ch, m);
    message_release(m);
}

/* Replaces the history with what the hub still has of it. */
static void history_fetch(struct sprig_channel *ch)
{
    struct sprig_channels *all = ch->all;
    uint32_t n = ch->n_remembered;
    if (ch->is_fed)
        return;
    channels_read(all);
    ch->n_remembered = 0;
    history_trim(ch);
    ch->n_remembered = n;
    hub_remember(all->hub, channel_name(ch), n);
    hub_history(all->hub, channel_name(ch), n, all->reader.last_number, history_take, ch);
}

/* ------------------------------------------------------------- one channel ---- */

static struct sprig_channel *channel_new(struct sprig_channels *all, struct sprig_span name,
                                         uint32_t hash)
{
    struct sprig_channel *ch = calloc(1, sizeof *ch + name.len);
    if (ch == NULL)
        return NULL;
    ch->all = all;
    ch->hash = hash;
    list_init(&ch->history);
    list_init(&ch->members);
    list_init(&ch->told);
    ch->n_name = (uint8_t)name.len;
    memcpy(ch->name, name.ptr, name.len);
    if (all->n_channels >= 2 * all->n_buckets)
        buckets_grow(all);
    list_append(&all->buckets[hash & (all->n_buckets - 1)], &ch->link);
    all->n_channels++;
    return ch;
}

bool channels_attach(struct sprig_channels *all)
{
    if (all->hub != NULL)
        return true;
    all->hub = hub_get();
    if (all->hub == NULL)
        return false;
    hub_reader_init(&all->reader, all->hub);
    channels_watch(all);
    for (uint32_t i = 0; i < all->n_buckets; i++)
        list_foreach (it, &all->buckets[i]) {
            struct sprig_channel *ch = list_entry(it, struct sprig_channel, link);
            if (ch->n_remembered > 0)
                history_fetch(ch);
        }
    return true;
}

static void run_tell(struct ready *r, uint32_t what)
{
    (void)what;
    struct sprig_channel *ch = list_entry(r, struct sprig_channel, tell);
    struct list_link *first;
    ch->refs++;
    while ((first = list_first(&ch->told)) != NULL) {
        struct message *m = list_entry(first, struct message, in_told);
        list_remove(first);
        if (ch->app != NULL)
            ch->all->handler.on_message(ch, &m->of, ch->app, ch->all->handler.arg);
        message_release(m);
    }
    sprig_channel_release(ch);
}

struct sprig_channel *sprig_channel_get(struct sprig_channels *all, struct sprig_span name,
                                        uint32_t history)
{
    uint32_t hash = hash_of(name);
    if (name.len == 0 || name.len > SPRIG_CHANNEL_NAME_BYTES)
        return NULL;
    loop_check_fork(all->loop);
    loop_recall(all->loop);
    struct sprig_channel *ch = channel_find(all, name, hash);
    if (ch == NULL) {
        ch = channel_new(all, name, hash);
        if (ch == NULL)
            return NULL;
        ready_init(&ch->tell, run_tell);
    }
    ch->refs++;
    if (history > ch->n_remembered) {
        ch->n_remembered = history;
        if (all->hub != NULL)
            history_fetch(ch);
    }
    return ch;
}

void sprig_channel_release(struct sprig_channel *ch)
{
    struct list_link *first;
    if (--ch->refs > 0)
        return;
    ready_cancel(&ch->tell);
    while ((first = list_first(&ch->told)) != NULL) {
        list_remove(first);
        message_release(list_entry(first, struct message, in_told));
    }
    ch->n_remembered = 0;
    history_trim(ch);
    list_remove(&ch->link);
    ch->all->n_channels--;
    free(ch);
}

int sprig_channel_set_app(struct sprig_channel *ch, void *app)
{
    if (app != NULL && !channels_attach(ch->all))
        return SPRIG_E_NOMEM;
    ch->app = app;
    return 0;
}

void *sprig_channel_app(const struct sprig_channel *ch)
{
    return ch->app;
}

/* -------------------------------------------------------------- publishing ---- */

static int channel_take(struct sprig_channel *ch, const struct sprig_publication *p)
{
    if (ch->n_members == 0 && ch->n_remembered == 0 && ch->app == NULL)
        return 0;
    struct message *m = message_new(p, ch->n_remembered > 0);
    if (m == NULL)
        return SPRIG_E_NOMEM;
    if (ch->n_remembered > 0)
        history_add(ch, m);
    if (ch->app != NULL) {
        m->refs++;
        list_append(&ch->told, &m->in_told);
        ready_add(ch->all->loop, &ch->tell, 1);
    }
    members_send(ch, m);
    message_release(m);
    return 0;
}

void channels_read(struct sprig_channels *all)
{
    struct hub_message from;
    loop_recall(all->loop);
    while (hub_read(&all->reader, &from)) {
        struct sprig_channel *ch = channel_find(all, from.channel, hash_of(from.channel));
        struct sprig_publication p = publication_of(&from);
        if (ch == NULL || channel_take(ch, &p) == 0)
            continue;
        log_later(SPRIG_LOG_ERROR, "channel: out of memory: a message was lost");
        members_lose(ch);
    }
    if (all->reader.n_lost > 0)
        log_later(SPRIG_LOG_WARN,
                  "channel: messages were overwritten before this process read them; channel_bytes "
                  "may be too small, or the application keeps the loop for too long");
    all->reader.n_lost = 0;
}

int sprig_channel_publish(struct sprig_channel *ch, const struct sprig_publication *p)
{
    struct sprig_channels *all = ch->all;
    struct hub_message m = {0, channel_name(ch), p->text, p->event, p->id, p->is_binary};
    uint64_t number;
    loop_check_fork(all->loop);
    loop_recall(all->loop);
    if (!channels_attach(all))
        return SPRIG_E_NOMEM;
    int rc = hub_publish(all->hub, &m, &number);
    if (rc != 0)
        return rc;
    ch->refs++;
    channels_read(all);
    tell_others(all);
    sprig_channel_release(ch);
    return 0;
}

/* The number for a message that came without one. */
static uint64_t next_number(struct sprig_channels *all)
{
    uint64_t number = clock_real_ns() / NS_PER_MS << PUBLICATION_MS_SHIFT;
    all->last_delivered = number > all->last_delivered ? number : all->last_delivered + 1;
    return all->last_delivered;
}

int sprig_channel_deliver(struct sprig_channel *ch, const struct sprig_publication *p)
{
    struct sprig_publication numbered = *p;
    loop_check_fork(ch->all->loop);
    loop_recall(ch->all->loop);
    if (p->number == 0)
        numbered.number = next_number(ch->all);
    ch->is_fed = true;
    return channel_take(ch, &numbered);
}

uint32_t sprig_channel_members(struct sprig_channel *ch)
{
    loop_check_fork(ch->all->loop);
    if (!channels_attach(ch->all))
        return 0;
    return hub_members(ch->all->hub, channel_name(ch));
}

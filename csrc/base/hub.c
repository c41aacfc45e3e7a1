/* hub.c - the log that a server's processes share, and the number of members in each; see hub.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_mutex_clocklock */
#endif
#include "base/clock.h"
#include "base/err.h"
#include "base/hub_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 << 10, /* copied out of the log at once, unless one message is longer */
    LOCK_SECONDS = 1
};

/* -------------------------------------------------------------------- lock ---- */

/* The monotonic clock, where the system can wait by it: the other one may be set meanwhile. */
#if defined __GLIBC__ && defined __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 30)
#define HAS_CLOCKLOCK
#endif
#endif

static int wait_for_lock(pthread_mutex_t *lock)
{
    struct timespec until;
#ifdef HAS_CLOCKLOCK
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOCK_SECONDS;
    return pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until);
#else
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LOCK_SECONDS;
    return pthread_mutex_timedlock(lock, &until);
#endif
}

/* Held only while a few bytes are copied. If the holder dies, the log is still consistent. */
static bool hub_lock(struct hub *hub)
{
    pthread_mutex_t *lock = &hub->shared->lock;
    int rc = pthread_mutex_trylock(lock);
    if (rc == EBUSY)
        rc = wait_for_lock(lock);
    if (rc == EOWNERDEAD)
        rc = pthread_mutex_consistent(lock);
    return rc == 0;
}

static void hub_unlock(struct hub *hub)
{
    pthread_mutex_unlock(&hub->shared->lock);
}

bool hub_seize(struct hub *hub)
{
    return hub_lock(hub);
}

/* --------------------------------------------------------------- directory ---- */

static uint32_t bucket_of(struct sprig_span name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.ptr[i]) * 16777619u;
    return (h ^ h >> 16) % HUB_BUCKETS;
}

static struct row *row_find(struct shared *s, struct sprig_span name)
{
    for (uint32_t i = s->buckets[bucket_of(name)]; i != 0; i = s->rows[i].next)
        if (span_eq(span_make(s->rows[i].name, s->rows[i].n_name), name))
            return &s->rows[i];
    return NULL;
}

static uint32_t *row_members(struct hub *hub, const struct row *row)
{
    return hub->members + (uint64_t)(row - hub->shared->rows) * hub->n_seats;
}

static uint32_t count_members(struct hub *hub, const struct row *row)
{
    const uint32_t *members = row_members(hub, row);
    uint32_t n = 0;
    for (uint32_t i = 0; i < hub->n_seats; i++)
        if (members[i] > 0 && (kill(hub->seats[i], 0) == 0 || errno != ESRCH))
            n += members[i];
    return n;
}

/* Evicts the channel that has been silent longest among those without members; 0: there is none. */
static uint32_t row_evict(struct hub *hub)
{
    struct shared *s = hub->shared;
    uint32_t oldest = 0;
    for (uint32_t i = 1; i <= s->n_rows; i++)
        if ((oldest == 0 || s->rows[i].last_number < s->rows[oldest].last_number) &&
            count_members(hub, &s->rows[i]) == 0)
            oldest = i;
    if (oldest == 0)
        return 0;
    struct row *row = &s->rows[oldest];
    uint32_t *link = &s->buckets[bucket_of(span_make(row->name, row->n_name))];
    while (*link != oldest)
        link = &s->rows[*link].next;
    *link = row->next;
    memset(row_members(hub, row), 0, hub->n_seats * sizeof(uint32_t));
    return oldest;
}

/* The row of a channel, made if necessary; NULL: all rows are taken by channels with members. */
static struct row *row_get(struct hub *hub, struct sprig_span name)
{
    struct shared *s = hub->shared;
    struct row *row = row_find(s, name);
    if (row != NULL)
        return row;
    uint32_t i = s->n_rows < HUB_ROWS ? s->n_rows + 1 : row_evict(hub);
    if (i == 0)
        return NULL;
    row = &s->rows[i];
    uint32_t *bucket = &s->buckets[bucket_of(name)];
    *row = (struct row){.next = *bucket,
                        .n_messages = s->number,
                        .last_number = s->number,
                        .n_name = (uint8_t)name.len};
    memcpy(row->name, name.ptr, name.len);
    if (i > s->n_rows)
        s->n_rows = i;
    __atomic_store_n(bucket, i, __ATOMIC_RELEASE);
    return row;
}

/* --------------------------------------------------------------------- log ---- */

static void log_put(struct hub *hub, uint64_t at, const void *bytes, size_t n)
{
    size_t offset = at % hub->size, first = hub->size - offset < n ? hub->size - offset : n;
    if (n == 0)
        return;
    memcpy(hub->log + offset, bytes, first);
    memcpy(hub->log, (const char *)bytes + first, n - first);
}

static void log_get(const struct hub *hub, uint64_t at, void *bytes, size_t n)
{
    size_t offset = at % hub->size, first = hub->size - offset < n ? hub->size - offset : n;
    if (n == 0)
        return;
    memcpy(bytes, hub->log + offset, first);
    memcpy((char *)bytes + first, hub->log, n - first);
}

static struct sprig_span take(const char **at, size_t n, bool is_there)
{
    struct sprig_span part = span_make(is_there ? *at : NULL, n);
    *at += n;
    return part;
}

/* The message of an entry; its parts start at `at`. */
static struct hub_message message_of(const struct entry *e, const char *at)
{
    struct hub_message m = {.number = e->number, .is_binary = e->is_binary};
    m.channel = take(&at, e->n_channel, true);
    m.event = take(&at, e->n_event, e->has_event);
    m.id = take(&at, e->n_id, e->has_id);
    m.text = take(&at, e->n_text, true);
    return m;
}

static bool is_remembered(const struct row *row, const struct entry *e)
{
    return row != NULL && e->nth + row->n_remembered > row->n_messages;
}

/* Takes the oldest entry off the log. If its channel still remembers it, appends it again: there is
 * now exactly enough room. */
static void log_take_oldest(struct hub *hub)
{
    struct shared *s = hub->shared;
    struct entry e;
    log_get(hub, s->tail, &e, sizeof e);
    log_get(hub, s->tail, hub->scratch, e.n_bytes);
    s->kept -= e.is_kept ? e.n_bytes : 0;
    struct row *row = row_find(s, span_make(hub->scratch + sizeof e, e.n_channel));
    bool keep = is_remembered(row, &e) && s->kept + e.n_bytes <= hub->size / 2;
    __atomic_store_n(&s->tail, s->tail + e.n_bytes, __ATOMIC_RELEASE);
    if (!keep)
        return;
    e.is_kept = true;
    e.prev_at = row->newest_at;
    memcpy(hub->scratch, &e, sizeof e);
    log_put(hub, s->head, hub->scratch, e.n_bytes);
    row->newest_at = s->head;
    s->kept += e.n_bytes;
    __atomic_store_n(&s->head, s->head + e.n_bytes, __ATOMIC_RELEASE);
}

static void log_append(struct hub *hub, struct entry *e, const struct hub_message *m)
{
    struct shared *s = hub->shared;
    struct row *row = row_get(hub, m->channel);
    while (s->head + e->n_bytes - s->tail > hub->size)
        log_take_oldest(hub);
    e->number = ++s->number;
    if (row != NULL) {
        e->nth = ++row->n_messages;
        e->prev_at = row->newest_at;
        row->newest_at = s->head;
        row->last_number = e->number;
    }
    struct sprig_span parts[] = {m->channel, m->event, m->id, m->text};
    uint64_t at = s->head + sizeof *e;
    log_put(hub, s->head, e, sizeof *e);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; at += parts[i++].len)
        log_put(hub, at, parts[i].ptr, parts[i].len);
    __atomic_store_n(&s->head, s->head + e->n_bytes, __ATOMIC_RELEASE);
}

size_t hub_max_bytes(const struct hub *hub)
{
    return hub->size / HUB_PARTS_OF_LOG - sizeof(struct entry) - 8;
}

int hub_publish(struct hub *hub, const struct hub_message *m, uint64_t *number)
{
    uint64_t n = (uint64_t)m->channel.len + m->event.len + m->id.len + m->text.len;
    if (m->channel.len > HUB_NAME_BYTES || n > hub_max_bytes(hub))
        return SPRIG_E_LIMIT;
    struct entry e = {.n_bytes = (uint32_t)round_up(sizeof e + n, 8),
                      .n_text = (uint32_t)m->text.len,
                      .n_event = (uint32_t)m->event.len,
                      .n_id = (uint32_t)m->id.len,
                      .n_channel = (uint8_t)m->channel.len,
                      .is_binary = m->is_binary,
                      .has_event = m->event.ptr != NULL,
                      .has_id = m->id.ptr != NULL};
    if (!hub_lock(hub))
        return SPRIG_E_STATE;
    log_append(hub, &e, m);
    hub_unlock(hub);
    *number = e.number;
    return 0;
}

void hub_remember(struct hub *hub, struct sprig_span channel, uint32_t n)
{
    if (channel.len > HUB_NAME_BYTES || !hub_lock(hub))
        return;
    struct row *row = row_get(hub, channel);
    if (row != NULL && row->n_remembered < n)
        row->n_remembered = n;
    hub_unlock(hub);
}

/* ----------------------------------------------------------------- reading ---- */

/* Walks the links back from the channel's newest entry. Once an entry is not a copy and is older
 * than asked for, all entries before it are older too. */
void hub_history(struct hub *hub, struct sprig_span channel, uint32_t n, uint64_t up_to,
                 void (*seen)(const struct hub_message *message, void *arg), void *arg)
{
    struct shared *s = hub->shared;
    char *bytes = malloc(hub->size / HUB_PARTS_OF_LOG);
    if (bytes == NULL || channel.len > HUB_NAME_BYTES || !hub_lock(hub)) {
        free(bytes);
        return;
    }
    const struct row *row = row_find(s, channel);
    uint64_t at = row != NULL ? row->newest_at : 0;
    bool is_any = row != NULL && row->newest_at >= s->tail && s->head > s->tail;
    while (is_any) {
        struct entry e;
        log_get(hub, at, &e, sizeof e);
        log_get(hub, at, bytes, e.n_bytes);
        struct hub_message m = message_of(&e, bytes + sizeof e);
        if (!span_eq(m.channel, channel) || (!e.is_kept && e.nth + n <= row->n_messages))
            break;
        if (e.number <= up_to && e.nth + n > row->n_messages)
            seen(&m, arg);
        is_any = e.prev_at >= s->tail && e.prev_at < at;
        at = e.prev_at;
    }
    hub_unlock(hub);
    free(bytes);
}

void hub_reader_init(struct hub_reader *r, struct hub *hub)
{
    *r = (struct hub_reader){.hub = hub};
    hub_attach(hub);
    if (!hub_lock(hub))
        return;
    r->at = hub->shared->head;
    r->last_number = hub->shared->number;
    hub_unlock(hub);
}

void hub_reader_clear(struct hub_reader *r)
{
    free(r->bytes);
    *r = (struct hub_reader){.hub = r->hub};
}

static bool reader_reserve(struct hub_reader *r, size_t n)
{
    if (n <= r->room)
        return true;
    char *grown = realloc(r->bytes, n);
    if (grown == NULL)
        return false;
    r->bytes = grown;
    r->room = n;
    return true;
}

/* Copies the next entries, at least one and as many as fit. The caller holds the lock. */
static void reader_copy(struct hub_reader *r)
{
    const struct hub *hub = r->hub;
    const struct shared *s = hub->shared;
    if (r->at < s->tail) {
        r->n_lost += s->tail - r->at;
        r->at = s->tail;
    }
    while (r->at < s->head) {
        struct entry e;
        log_get(hub, r->at, &e, sizeof e);
        if (r->n > 0 && r->n + e.n_bytes > READ_BYTES)
            return;
        if (!reader_reserve(r, r->n + e.n_bytes > READ_BYTES ? e.n_bytes : READ_BYTES))
            return;
        log_get(hub, r->at, r->bytes + r->n, e.n_bytes);
        r->n += e.n_bytes;
        r->at += e.n_bytes;
    }
}

static bool reader_fill(struct hub_reader *r)
{
    r->n = r->used = 0;
    if (__atomic_load_n(&r->hub->shared->head, __ATOMIC_ACQUIRE) == r->at || !hub_lock(r->hub))
        return false;
    reader_copy(r);
    hub_unlock(r->hub);
    return r->n > 0;
}

bool hub_read(struct hub_reader *r, struct hub_message *message)
{
    while (r->used < r->n || reader_fill(r)) {
        struct entry e;
        memcpy(&e, r->bytes + r->used, sizeof e);
        *message = message_of(&e, r->bytes + r->used + sizeof e);
        r->used += e.n_bytes;
        if (e.is_kept)
            continue;
        r->last_number = e.number;
        return true;
    }
    return false;
}

/* ----------------------------------------------------------------- members ---- */

static void seat_take(struct hub *hub, uint32_t seat)
{
    hub->seats[seat] = hub->seat_of = getpid();
    hub->seat = seat;
    for (uint32_t row = 1; row <= hub->shared->n_rows; row++)
        hub->members[(uint64_t)row * hub->n_seats + seat] = 0;
}

/* Each process has a column of numbers; when it is gone, the next process gets the column. False:
 * there are more processes than planned. */
static bool seat_get(struct hub *hub)
{
    if (hub->seat_of == getpid())
        return true;
    for (uint32_t i = 0; i < hub->n_seats; i++) {
        pid_t pid = hub->seats[i];
        if (pid == 0 || pid == getpid() || (kill(pid, 0) == -1 && errno == ESRCH)) {
            seat_take(hub, i);
            return true;
        }
    }
    return false;
}

void hub_set_members(struct hub *hub, struct sprig_span channel, uint32_t n)
{
    if (channel.len > HUB_NAME_BYTES || !hub_lock(hub))
        return;
    struct row *row = n > 0 ? row_get(hub, channel) : row_find(hub->shared, channel);
    if (row != NULL && seat_get(hub))
        row_members(hub, row)[hub->seat] = n;
    hub_unlock(hub);
}

uint32_t hub_members(struct hub *hub, struct sprig_span channel)
{
    uint32_t n = 0;
    if (!hub_lock(hub))
        return 0;
    const struct row *row = row_find(hub->shared, channel);
    if (row != NULL)
        n = count_members(hub, row);
    hub_unlock(hub);
    return n;
}

/* ------------------------------------------------------------------ waking ---- */

void hub_attach(struct hub *hub)
{
    struct shared *s = hub->shared;
    if (!hub_lock(hub))
        return;
    if (s->reader == 0)
        s->reader = getpid();
    else if (s->reader != getpid())
        s->has_others = true;
    hub_unlock(hub);
}

bool hub_is_shared(const struct hub *hub)
{
    return hub->shared->has_others || hub->shared->reader != getpid();
}

int hub_wake_fd(const struct hub *hub)
{
    return hub->wake_fd;
}

void hub_wake(const struct hub *hub)
{
    uint64_t one = 1;
    int saved = errno;
    ssize_t ignored = hub->wake_fd != -1 ? write(hub->wake_fd, &one, sizeof one) : 0;
    (void)ignored;
    errno = saved;
}

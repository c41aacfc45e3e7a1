/* interest.c - see interest.h */
#include "loop/interest.h"

#include "loop/loop_internal.h"
#include <stdlib.h>
#include <string.h>

static bool interest_reserve(struct interest *in, int fd)
{
    if ((size_t)fd < in->n_counts)
        return true;
    size_t n = in->n_counts ? in->n_counts : 64;
    while (n <= (size_t)fd)
        n *= 2;
    struct interest_count *grown = realloc(in->counts, n * sizeof *grown);
    if (grown == NULL)
        return false;
    memset(grown + in->n_counts, 0, (n - in->n_counts) * sizeof *grown);
    in->counts = grown;
    in->n_counts = n;
    return true;
}

static int interest_what(const struct interest_count *c)
{
    return (c->n_read ? SPRIG_READ : 0) | (c->n_write ? SPRIG_WRITE : 0);
}

void interest_change(struct interest *in, int fd, short events, int delta)
{
    if (in->host.on_interest == NULL || fd < 0 || !interest_reserve(in, fd))
        return;
    struct interest_count *c = &in->counts[fd];
    int before = interest_what(c);
    if (events & EV_READ)
        c->n_read = (uint16_t)(c->n_read + delta);
    if (events & EV_WRITE)
        c->n_write = (uint16_t)(c->n_write + delta);
    if (interest_what(c) != before)
        in->host.on_interest(fd, interest_what(c), in->host.arg);
}

void interest_timeout(struct interest *in, double seconds)
{
    if (in->host.on_timeout != NULL)
        in->host.on_timeout(seconds, in->host.arg);
}

static int interest_add_existing(const struct event_base *base, const struct event *ev, void *arg)
{
    (void)base;
    interest_change(arg, event_get_fd(ev), event_get_events(ev), 1);
    return 0;
}

void interest_set(struct interest *in, const struct sprig_loop_interest *host,
                  struct event_base *base)
{
    interest_clear(in);
    in->host = *host;
    event_base_foreach_event(base, interest_add_existing, in);
}

void interest_clear(struct interest *in)
{
    free(in->counts);
    memset(in, 0, sizeof *in);
}

bool loop_has_edges(const struct sprig_loop *loop)
{
    return loop->interest.host.on_interest == NULL &&
           (event_base_get_features(loop->base) & EV_FEATURE_ET) != 0;
}

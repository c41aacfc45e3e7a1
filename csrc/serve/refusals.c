/* refusals.c - limits log lines of one kind per second; see refusals.h */
#include "serve/refusals.h"

#include "base/clock.h"
#include "base/log.h"
#include <stdio.h>

static void write_line(int status, const char *client, const char *reason, const char *behind)
{
    char answer[16] = "reset";
    if (status == REFUSALS_HANDSHAKE)
        snprintf(answer, sizeof answer, "no TLS");
    else if (status != 0)
        snprintf(answer, sizeof answer, "%d", status);
    log_later(SPRIG_LOG_WARN, *behind != '\0' ? "%s for %s: %s (%s)" : "%s for %s: %s%s", answer,
              client, reason, behind);
}

/* A second is over: reports what came in it beyond the limit. */
static void finish(struct refusal_kind *k)
{
    struct refusal_kind old = *k;
    *k = (struct refusal_kind){.since_ns = 0};
    const char *reason = old.reason ? old.reason : "other reasons";
    char more[48] = "";
    if (old.n_untold > 1)
        snprintf(more, sizeof more, "and %u more like it", old.n_untold - 1);
    if (old.n_untold > 0)
        write_line(old.status, old.client, reason, more);
}

/* The sink may enter Perl and end the server, so nothing is looked at after log_undefer. */
static void refusals_finish(struct refusals *r, uint64_t before_ns)
{
    bool is_left = false;
    log_defer();
    for (int i = 0; i < REFUSALS_KINDS; i++) {
        struct refusal_kind *k = &r->kinds[i];
        if (k->since_ns != 0 && k->since_ns <= before_ns)
            finish(k);
        is_left |= k->n_untold > 0;
    }
    r->is_waiting =
        is_left && timer_start(r->loop, &r->timer, sprig_loop_now(r->loop) + NS_PER_S) == 0;
    log_undefer();
}

static void refusals_run(struct ready *ready, uint32_t what)
{
    (void)what;
    struct refusals *r = list_entry(list_entry(ready, struct timer, ready), struct refusals, timer);
    refusals_finish(r, sprig_loop_now(r->loop) - NS_PER_S);
}

void refusals_init(struct refusals *r, struct sprig_loop *loop)
{
    memset(r, 0, sizeof *r);
    r->loop = loop;
    timer_init(&r->timer, refusals_run);
}

/* The entry for this status and reason, or a free or outdated one, or the last, which is shared by
 * all that find no room. */
static struct refusal_kind *find_kind(struct refusals *r, int status, const char *reason)
{
    uint64_t now = sprig_loop_now(r->loop);
    struct refusal_kind *usable = NULL;
    for (int i = 0; i < REFUSALS_KINDS - 1; i++) {
        struct refusal_kind *k = &r->kinds[i];
        if (k->since_ns != 0 && k->reason == reason && k->status == status)
            return k;
        bool is_past = k->n_untold == 0 && k->since_ns + NS_PER_S <= now;
        if (usable == NULL && (k->since_ns == 0 || is_past))
            usable = k;
    }
    if (usable != NULL)
        *usable = (struct refusal_kind){.reason = reason, .status = status};
    else
        usable = &r->kinds[REFUSALS_KINDS - 1];
    return usable;
}

void refusals_tell(struct refusals *r, int status, const char *client, const char *reason,
                   const char *what)
{
    uint64_t now = sprig_loop_now(r->loop);
    struct refusal_kind *k = find_kind(r, status, reason);
    if (k->n_untold == 0 && k->since_ns + NS_PER_S <= now)
        *k = (struct refusal_kind){.reason = k->reason, .status = k->status, .since_ns = now};
    if (k->n++ < (status == REFUSALS_HANDSHAKE ? 1 : REFUSALS_PER_SECOND)) {
        write_line(status, client, reason, what);
        return;
    }
    k->n_untold++;
    if (!r->is_waiting)
        r->is_waiting = timer_start(r->loop, &r->timer, k->since_ns + NS_PER_S) == 0;
    snprintf(k->client, sizeof k->client, "%s", client);
}

void refusals_clear(struct refusals *r)
{
    timer_stop(r->loop, &r->timer);
    r->is_waiting = false;
    log_defer();
    for (int i = 0; i < REFUSALS_KINDS; i++)
        finish(&r->kinds[i]);
    log_undefer();
}

void refusals_forget(struct refusals *r)
{
    timer_stop(r->loop, &r->timer);
    r->is_waiting = false;
    memset(r->kinds, 0, sizeof r->kinds);
}

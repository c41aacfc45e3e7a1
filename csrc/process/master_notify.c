/* master_notify.c - what a master reports to systemd, and shows in ps; see master_internal.h and
 * notify.h */
#include "process/master_internal.h"

#include "base/notify.h"
#include "process/title.h"

void master_show_title(const struct sprig_master *m)
{
    if (m->ending != ENDING_NOT)
        sprig_title_set("master, ending");
    else if (m->deputy != NULL)
        sprig_title_set("process 1, in front of the master %d", (int)m->deputy->pid);
    else
        sprig_title_set("master, %u worker%s, generation %u", m->n_workers,
                        m->n_workers == 1 ? "" : "s", m->generation);
}

/* systemd does not listen to a successor that is not the main process yet; it reports again when it
 * is. */
void master_notify_ready(const struct sprig_master *m)
{
    if (m->ending == ENDING_NOT)
        notify_ready("Serving with %u worker%s, generation %u", m->n_workers,
                     m->n_workers == 1 ? "" : "s", m->served_generation);
}

/* On a busy machine an answer may take a while. */
enum { ANSWER_MS = 1000 };

/* Whether a serving worker's loop has been busy for so long that it counts as stuck, or does not
 * answer at all because the process was stopped. */
static bool is_stuck(struct process *p, uint64_t limit_ms)
{
    if (p->state != PROCESS_SERVING || p->stats == NULL)
        return false;
    return stats_busy_ns(p->stats, clock_ms() * 1000000) > limit_ms * 1000000 ||
           !process_answers(p, limit_ms > ANSWER_MS ? limit_ms : ANSWER_MS);
}

/* Asks all of them, even after one has not answered. */
static bool all_answer(const struct sprig_master *m)
{
    bool all = true;
    list_foreach (it, &m->processes.list)
        all &= !is_stuck(list_entry(it, struct process, link), m->watchdog_ms);
    return all;
}

uint64_t master_feed_watchdog(struct sprig_master *m)
{
    uint64_t now = clock_ms();
    if (!m->knows_watchdog) {
        m->knows_watchdog = true;
        m->watchdog_ms = notify_watchdog_ms();
    }
    if (m->watchdog_ms == 0)
        return UINT64_MAX;
    if (now >= m->fed_ms + m->watchdog_ms) {
        m->fed_ms = now;
        if (all_answer(m))
            notify_watchdog();
    }
    return m->fed_ms + m->watchdog_ms;
}

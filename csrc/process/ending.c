/* ending.c - how a master dismisses its processes, and ends itself; see master_internal.h */
#include "process/master_internal.h"

#include "base/notify.h"

uint64_t master_leave_ms(const struct sprig_master *m)
{
    double seconds = m->config->graceful_timeout;
    return seconds > 0 ? (uint64_t)(seconds * 1000) + LEAVE_GRACE_MS : 0;
}

void master_dismiss(struct sprig_master *m, struct process *p)
{
    bool is_starting = p->state == PROCESS_STARTING, is_master = p->number == SUCCESSOR_NUMBER;
    uint64_t ms = is_starting && !is_master ? FAST_END_MS : master_leave_ms(m);
    if (m->ending == ENDING_NOT && !is_starting && !is_master)
        process_say(p, "replaced\n"); /* its clients are served elsewhere */
    kill(p->pid, is_starting ? SIGTERM : SIGQUIT);
    process_enter(p, PROCESS_LEAVING, is_master && ms > 0 ? ms + LEAVE_GRACE_MS : ms);
}

/* A successor gets time to end its own workers. */
static void end_at_once(struct process *p)
{
    bool is_master = p->number == SUCCESSOR_NUMBER;
    kill(p->pid, p->state == PROCESS_STARTING && !is_master ? SIGTERM : SIGINT);
    process_enter(p, PROCESS_LEAVING, is_master ? 3 * FAST_END_MS : FAST_END_MS);
}

/* An inherited admin listener belongs to the previous master until that has heard that we serve;
 * once we have handed over, everything belongs to the successor. */
bool master_owns_admin(const struct sprig_master *m)
{
    return !m->was_handed_over && (m->predecessor_fd == -1 || !m->is_admin_inherited);
}

/* Closes our own sockets first: once the workers' are closed, too, new clients are refused rather
 * than left waiting. */
void master_end(struct sprig_master *m, enum ending how)
{
    if (m->ending >= how)
        return;
    if (m->ending == ENDING_NOT && !m->was_handed_over)
        notify_stopping();
    if (m->ending == ENDING_NOT)
        master_close_sockets(m, !m->was_handed_over);
    if (m->was_handed_over)
        master_close_admin(m, false);
    m->ending = how;
    master_show_title(m);
    list_foreach (it, &m->processes.list) {
        struct process *p = list_entry(it, struct process, link);
        if (p == m->deputy && m->was_handed_over)
            continue;
        if (how == ENDING_GRACEFUL && p->state != PROCESS_LEAVING)
            master_dismiss(m, p);
        if (how == ENDING_AT_ONCE)
            end_at_once(p);
    }
}

/* backlog.c - what waits at a socket: an incomplete message, input that nobody has asked for,
 * frames that must not be sent yet. */
#include "ws/socket.h"

#include <stdlib.h>

static void on_resume(struct ready *r, uint32_t what)
{
    (void)what;
    sprig_ws_input(list_entry(r, struct ws_backlog, resume)->ws, span_make(NULL, 0), false);
}

/* Each message needs a backlog for a moment, so the last one is kept. */
static struct ws_backlog *take_memory(struct sprig_ws_group *group)
{
    struct ws_backlog *b = group->spare;
    group->spare = NULL;
    return b != NULL ? b : malloc(sizeof *b);
}

struct ws_backlog *ws_backlog(struct sprig_ws *ws)
{
    struct ws_backlog *b = ws->backlog;
    if (b != NULL || (b = take_memory(ws->settings->group)) == NULL)
        return b;
    *b = (struct ws_backlog){.ws = ws};
    ws_reader_init(&b->reader);
    utf8_init(&b->text);
    ready_init(&b->resume, on_resume);
    return ws->backlog = b;
}

void ws_resume_later(struct sprig_ws *ws)
{
    if (ws->backlog != NULL)
        ready_add(ws->settings->group->loop, &ws->backlog->resume, 1);
}

void ws_backlog_drop(struct sprig_ws *ws)
{
    struct ws_backlog *b = ws->backlog;
    if (b == NULL)
        return;
    ready_cancel(&b->resume);
    ws_buffer_clear(&b->message);
    ws_buffer_clear(&b->kept);
    ws_buffer_clear(&b->early);
    ws_reader_clear(&b->reader);
    ws_backlog_settle(ws);
}

/* A complete message that nobody wants yet waits, too. */
static bool is_empty(const struct ws_backlog *b)
{
    return ws_reader_is_idle(&b->reader) && b->message.bytes == NULL && b->kept.bytes == NULL &&
           b->early.bytes == NULL && !list_linked(&b->resume.link);
}

void ws_backlog_settle(struct sprig_ws *ws)
{
    struct ws_backlog *b = ws->backlog;
    if (b == NULL || b->n_users > 0 || ws->has_message || !is_empty(b))
        return;
    ws_reader_clear(&b->reader);
    ws->backlog = NULL;
    if (ws->settings->group->spare == NULL)
        ws->settings->group->spare = b;
    else
        free(b);
}

/* settings.c - what sockets with the same options share: the options, and their deadlines. */
#include "ws/socket.h"

#include <stdlib.h>
#include <string.h>

/* An app may give each socket its own options: then do not search through all of them. */
enum { MAX_LOOKED_AT = 8 };

/* ---------------------------------------------------------------- deadlines ---- */

/* The handler may do anything, including giving back the last count of these settings, but the list
 * that calls this must still exist afterwards. So it is called in a turn of its own. */
static void expire(struct deadline *d)
{
    struct ws_settings *settings = list_entry(d, struct sprig_ws, deadline)->settings;
    list_append(&settings->expired, &d->link);
    ready_add(settings->group->loop, &settings->due, 1);
}

/* Queues the rest again before it calls anything: a nested pass then continues with the others. */
static void on_due(struct ready *r, uint32_t what)
{
    (void)what;
    struct ws_settings *settings = list_entry(r, struct ws_settings, due);
    struct list_link *first;
    settings->refs++;
    while ((first = list_first(&settings->expired)) != NULL) {
        list_remove(first);
        if (!list_empty(&settings->expired))
            ready_add(settings->group->loop, &settings->due, 1);
        struct deadline *d = list_entry(first, struct deadline, link);
        ws_due(list_entry(d, struct sprig_ws, deadline));
    }
    ws_settings_unref(settings);
}

/* Initialises all three even if one fails. */
static int start_deadlines(struct ws_settings *s)
{
    struct sprig_loop *loop = s->group->loop;
    double look = s->options.ping_interval > 0 ? s->options.ping_interval : WS_LOOK_SECONDS;
    int ping = deadline_list_init(&s->ping, loop, look, expire);
    int pong = deadline_list_init(&s->pong, loop, s->options.ping_timeout, expire);
    int close = deadline_list_init(&s->close, loop, s->options.close_timeout, expire);
    return ping != 0 ? ping : pong != 0 ? pong : close;
}

/* --------------------------------------------------------------------- life ---- */

static struct ws_settings *find(struct sprig_ws_group *group,
                                const struct sprig_ws_options *options,
                                const struct sprig_ws_handler *handler)
{
    unsigned n = 0;
    list_foreach (it, &group->settings) {
        struct ws_settings *s = list_entry(it, struct ws_settings, link);
        if (s->handler == handler && memcmp(&s->options, options, sizeof *options) == 0)
            return s;
        if (++n == MAX_LOOKED_AT)
            break;
    }
    return NULL;
}

static void settings_free(struct ws_settings *s)
{
    list_remove(&s->link);
    ready_cancel(&s->due);
    deadline_list_clear(&s->ping);
    deadline_list_clear(&s->pong);
    deadline_list_clear(&s->close);
    ws_group_unref(s->group);
    free(s);
}

static struct ws_settings *settings_new(struct sprig_ws_group *group,
                                        const struct sprig_ws_options *options,
                                        const struct sprig_ws_handler *handler)
{
    struct ws_settings *s = malloc(sizeof *s);
    if (s == NULL)
        return NULL;
    *s = (struct ws_settings){.options = *options, .handler = handler, .group = group};
    list_init(&s->link);
    list_init(&s->expired);
    ready_init(&s->due, on_due);
    group->refs++;
    if (start_deadlines(s) == 0) {
        list_append(&group->settings, &s->link);
        return s;
    }
    settings_free(s);
    return NULL;
}

struct ws_settings *ws_settings_take(struct sprig_ws_group *group,
                                     const struct sprig_ws_options *options,
                                     const struct sprig_ws_handler *handler)
{
    struct ws_settings *s = find(group, options, handler);
    if (s == NULL)
        s = settings_new(group, options, handler);
    if (s != NULL)
        s->refs++;
    return s;
}

void ws_settings_unref(struct ws_settings *s)
{
    if (--s->refs == 0)
        settings_free(s);
}

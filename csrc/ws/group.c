/* group.c - a server's sockets: what they share, and how they are closed when it leaves; options.
 */
#include "ws/socket.h"

#include "base/stats.h"
#include <math.h>

/* While a group leaves, some sockets are told at each tick. */
#define LEAVE_TICK_SECONDS 0.02

/* The last ones need time to answer, too. */
#define LEAVE_SHARE 0.8

void sprig_ws_options_read(struct sprig_ws_options *out, const struct sprig_config *config)
{
    *out = (struct sprig_ws_options){
        .max_message_bytes = config->websocket_max_message_bytes,
        .queue_bytes = config->websocket_queue_bytes,
        .max_fragments = config->websocket_max_fragments,
        .deflate_min_bytes = config->websocket_deflate_min_bytes,
        .deflate_window_bits = config->websocket_deflate_window_bits,
        .deflate_memory_level = config->websocket_deflate_memory_level,
        .ping_interval = config->websocket_ping_interval,
        .ping_timeout = config->websocket_ping_timeout,
        .close_timeout = config->websocket_close_timeout,
        .queue_policy = config->websocket_queue_policy,
        .deflate = config->websocket_deflate,
    };
}

/* -------------------------------------------------------------------- going ---- */

static void leave_some(struct ready *r, uint32_t what);

struct sprig_ws_group *sprig_ws_group_new(struct sprig_loop *loop)
{
    struct sprig_ws_group *group = calloc(1, sizeof *group);
    if (group == NULL)
        return NULL;
    group->loop = loop;
    group->refs = 1;
    list_init(&group->sockets);
    list_init(&group->settings);
    timer_init(&group->leaving, leave_some);
    return group;
}

void ws_group_unref(struct sprig_ws_group *group)
{
    if (--group->refs > 0)
        return;
    timer_stop(group->loop, &group->leaving);
    ws_zlib_free(group->zlib);
    free(group->spare);
    free(group);
}

void sprig_ws_group_free(struct sprig_ws_group *group)
{
    ws_group_unref(group);
}

uint32_t sprig_ws_group_size(const struct sprig_ws_group *group)
{
    return group->n_sockets;
}

struct ws_zlib *ws_group_zlib(struct sprig_ws_group *group)
{
    if (group->zlib == NULL)
        group->zlib = ws_zlib_new();
    return group->zlib;
}

static void tell_to_leave(struct sprig_ws *ws)
{
    uint16_t code = ws->settings->group->leave_code;
    sprig_ws_close(ws, code,
                   code == WS_CLOSE_RESTART ? SPAN_LIT("restarting") : SPAN_LIT("going away"));
}

/* Each is moved to the end of the list when it is told: closing one may end others, too. */
static void leave_some(struct ready *r, uint32_t what)
{
    (void)what;
    struct timer *timer = list_entry(r, struct timer, ready);
    struct sprig_ws_group *group = list_entry(timer, struct sprig_ws_group, leaving);
    group->refs++;
    for (uint32_t n = group->n_each_time; n > 0 && group->n_to_leave > 0; n--) {
        struct list_link *first = list_first(&group->sockets);
        group->n_to_leave--;
        if (first == NULL)
            break;
        list_remove(first);
        list_append(&group->sockets, first);
        tell_to_leave(list_entry(first, struct sprig_ws, link));
    }
    if (group->n_to_leave > 0)
        timer_start(group->loop, &group->leaving,
                    sprig_loop_now(group->loop) + (uint64_t)(LEAVE_TICK_SECONDS * 1e9));
    ws_group_unref(group);
}

void sprig_ws_group_close(struct sprig_ws_group *group, uint16_t code, double seconds)
{
    double ticks = seconds > 0 ? seconds * LEAVE_SHARE / LEAVE_TICK_SECONDS : 1;
    group->leave_code = code;
    group->n_to_leave = group->n_sockets;
    group->n_each_time = 1 + (uint32_t)ceil(group->n_sockets / (ticks < 1 ? 1 : ticks));
    leave_some(&group->leaving.ready, 1);
}

void ws_group_enter(struct sprig_ws *ws)
{
    struct sprig_ws_group *group = ws->settings->group;
    list_append(&group->sockets, &ws->link);
    group->n_sockets++;
    stats_add(STAT_WEBSOCKETS, 1);
    if (group->leave_code != 0)
        tell_to_leave(ws);
}

void ws_group_leave(struct sprig_ws *ws)
{
    if (!list_linked(&ws->link))
        return;
    list_remove(&ws->link);
    ws->settings->group->n_sockets--;
    stats_add(STAT_WEBSOCKETS, (uint64_t)-1);
}

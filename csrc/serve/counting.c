/* counting.c - counts the stages of a request in the shared counters; see counting.h */
#include "serve/counting.h"

#include "loop/loop.h"
#include "serve/conn.h"

static uint64_t since(uint64_t then_ns, uint64_t now_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* The request is in a buffer that will be reused. In HTTP/1 its two parts are adjacent there. */
static void keep_label(struct sprig_exchange *ex)
{
    struct sprig_span method = ex->in->request.method, target = ex->in->request.target;
    if (method.ptr + method.len + 1 == target.ptr) {
        size_t n = method.len + 1 + target.len;
        ex->n_label = (uint8_t)(n < sizeof ex->in->label ? n : sizeof ex->in->label);
        memcpy(ex->in->label, method.ptr, ex->n_label);
        return;
    }
    size_t n_method = method.len < 32 ? method.len : 32;
    size_t room = sizeof ex->in->label - n_method - 1;
    size_t n_target = target.len < room ? target.len : room;
    memcpy(ex->in->label, method.ptr, n_method);
    ex->in->label[n_method] = ' ';
    memcpy(ex->in->label + n_method + 1, target.ptr, n_target);
    ex->n_label = (uint8_t)(n_method + 1 + n_target);
}

void counting_start(struct sprig_exchange *ex)
{
    if (ex->conn->listener == NULL)
        return;
    if (ex->app_ns == 0)
        ex->app_ns = loop_clock(ex->conn->server->loop);
    ex->is_counted = true;
    stats_add(STAT_STARTED, 1);
    stats_add(STAT_ACTIVE, 1);
    if (ex->conn->n_requests > 1)
        stats_add(STAT_REUSED, 1);
    stats_time(TIMES_QUEUE, since(ex->complete_ns, ex->app_ns) + ex->queued_ns);
    keep_label(ex);
    stats_enter(ex->in->label, ex->n_label);
}

void counting_first_byte(struct sprig_exchange *ex)
{
    if (!ex->is_counted)
        return;
    ex->first_ns = loop_clock_read(ex->conn->server->loop);
    ex->is_half_sent = true;
    stats_add(STAT_STREAMING, 1);
}

static enum stats_number class_of(int status)
{
    if (status < 200 || status > 599)
        return STAT_ANSWERED_OTHER;
    return (enum stats_number)(STAT_ANSWERED_2 + status / 100 - 2);
}

static void count_end(const struct sprig_exchange *ex, enum sprig_end why)
{
    switch (why) {
    case SPRIG_END_DONE:
        stats_add(class_of(ex->response.status), 1);
        break;
    case SPRIG_END_GONE:
        stats_add(STAT_DISCONNECTS, 1);
        break;
    case SPRIG_END_ABORTED:
        stats_add(STAT_CUT, 1);
        break;
    case SPRIG_END_DETACHED:
        stats_add(STAT_DETACHED, 1);
        break;
    }
}

void counting_end(struct sprig_exchange *ex, enum sprig_end why)
{
    if (!ex->is_counted)
        return;
    ex->is_counted = false;
    stats_add(STAT_ACTIVE, (uint64_t)-1);
    if (ex->is_half_sent)
        stats_add(STAT_STREAMING, (uint64_t)-1);
    count_end(ex, why);
    if (why != SPRIG_END_DONE)
        return;
    uint64_t ns = since(ex->complete_ns, loop_clock_read(ex->conn->server->loop));
    unsigned bucket = stats_bucket(ns);
    stats_time_in(TIMES_REQUEST, bucket, ns);
    if (ex->first_ns == 0)
        stats_time_in(TIMES_FIRST_BYTE, bucket, ns);
    else
        stats_time(TIMES_FIRST_BYTE, since(ex->complete_ns, ex->first_ns));
}

void counting_refuse(int status)
{
    static const struct {
        int status;
        enum stats_number number;
    } known[] = {
        {400, STAT_REFUSED_400}, {408, STAT_REFUSED_408}, {413, STAT_REFUSED_413},
        {414, STAT_REFUSED_414}, {431, STAT_REFUSED_431}, {503, STAT_REFUSED_503},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].status == status) {
            stats_add(known[i].number, 1);
            return;
        }
    stats_add(STAT_REFUSED_OTHER, 1);
}

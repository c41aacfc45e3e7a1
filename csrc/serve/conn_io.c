/* conn_io.c - a connection's events and output: reading on and off, flushing, blocked and broken
 * writes; see conn.h */
#include "serve/conn.h"

#include "base/apart.h"
#include "base/hot.h"
#include "loop/timer.h"
#include <errno.h>

/* A new connection is read at once if the pass began less than this ago. */
enum { FIRST_READ_NS = 10 * 1000 * 1000 };

/* How much one connection writes per turn; large files go out in slices, so that others get their
 * share. */
enum { CONN_WRITE_SLICE_BYTES = 1024 * 1024 };

/* -------------------------------------------------------------- read event ---- */

void conn_on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct sprig_conn *c = arg;
    uint32_t ev = 0;
    if (what & (EV_READ | EV_CLOSED))
        ev |= CONN_EV_READABLE;
    if (what & EV_WRITE)
        ev |= CONN_EV_WRITABLE;
    ready_add(c->server->loop, &c->ready, ev);
}

/* With unread_byte the socket is always readable, so only its end is of interest, if the kernel can
 * report that separately. 0: it cannot; writes will fail instead. */
static short conn_read_events(const struct sprig_conn *c)
{
    if (!c->unread_byte)
        return EV_READ;
    bool has_closed = event_base_get_features(loop_base(c->server->loop)) & EV_FEATURE_EARLY_CLOSE;
    return has_closed ? EV_CLOSED : 0;
}

static void conn_stop_reading(struct sprig_conn *c)
{
    if (c->reading == READING_ON)
        loop_event_del(c->server->loop, &c->read_event);
    c->reading = READING_OFF;
}

static void conn_start_reading(struct sprig_conn *c, short events)
{
    if (c->reading == READING_ON)
        return;
    event_assign(&c->read_event, loop_base(c->server->loop), c->transport.fd,
                 (short)(events | EV_PERSIST), conn_on_event, c);
    c->reading = READING_ON;
    if (loop_event_add(c->server->loop, &c->read_event) == 0) {
        if (transport_has_input(&c->transport))
            ready_add(c->server->loop, &c->ready, CONN_EV_READABLE);
        return;
    }
    c->reading = READING_OFF;
    conn_break(c);
    log_later(SPRIG_LOG_ERROR, "cannot watch the connection of %s: %s", conn_client(c),
              strerror(errno));
}

void conn_set_reading(struct sprig_conn *c, bool on)
{
    short events = on ? conn_read_events(c) : 0;
    if (events != 0)
        conn_start_reading(c, events);
    else
        conn_stop_reading(c);
}

void conn_read_anew(struct sprig_conn *c)
{
    if (c->reading != READING_ON)
        return;
    conn_set_reading(c, false);
    conn_set_reading(c, true);
}

void conn_take_unread(struct sprig_conn *c)
{
    char byte;
    if (!c->unread_byte)
        return;
    c->unread_byte = false;
    if (!transport_is_open(&c->transport))
        return;
    (void)!c->transport.ops->recv(&c->transport, &byte, 1);
    if (transport_peek(&c->transport) > 0)
        c->must_linger = true;
    conn_read_anew(c);
}

bool conn_is_overtaken(const struct sprig_conn *c)
{
    struct sprig_loop *loop = c->server->loop;
    return c->reading == READING_FIRST && loop_clock(loop) - sprig_loop_now(loop) > FIRST_READ_NS;
}

/* -------------------------------------------------------------- write event ---- */

void conn_stop_writing(struct sprig_conn *c)
{
    if (!conn_is_blocked(c))
        return;
    loop_event_del(c->server->loop, c->rare->write_event);
    c->output = OUTPUT_FREE;
}

static void conn_start_writing(struct sprig_conn *c)
{
    if (conn_is_blocked(c))
        return;
    struct conn_rare *rare = conn_rare(c);
    if (rare != NULL && rare->write_event == NULL)
        rare->write_event = event_new(loop_base(c->server->loop), c->transport.fd,
                                      EV_WRITE | EV_PERSIST, conn_on_event, c);
    if (rare == NULL || rare->write_event == NULL ||
        loop_event_add(c->server->loop, rare->write_event) != 0) {
        conn_break(c);
        return;
    }
    c->output = OUTPUT_BLOCKED;
}

/* ---------------------------------------------------------------- deadlines ---- */

bool conn_write_is_stalled(struct sprig_conn *c)
{
    int n_unsent = c->transport.ops->n_unsent(&c->transport);
    bool moves = n_unsent >= 0 && n_unsent < c->n_unsent;
    c->n_unsent = n_unsent;
    c->n_stalled = moves ? 0 : c->n_stalled + 1;
    if (c->n_stalled >= WRITE_TICKS)
        return true;
    deadline_set(&c->server->write_deadlines, &c->deadline);
    return false;
}

void conn_rest_deadline(struct sprig_conn *c)
{
    if (conn_is_blocked(c))
        deadline_set(&c->server->write_deadlines, &c->deadline);
    else
        deadline_clear(&c->deadline);
}

void conn_await_request(struct sprig_conn *c)
{
    struct sprig_server *server = c->server;
    if (!server->is_leaving)
        deadline_set(&server->keepalive_deadlines, &c->deadline);
    else if (c->n_requests > 0)
        deadline_set(&server->leave_deadlines, &c->deadline);
    else
        conn_await_first(c);
}

void conn_await_first(struct sprig_conn *c)
{
    struct deadline_list *list = &c->server->first_deadlines;
    uint64_t at = sprig_loop_now(c->server->loop) + list->length_ns;
    if (!list_linked(&c->deadline.link) || c->deadline.at > at)
        deadline_set(list, &c->deadline);
}

/* ------------------------------------------------------------------ breaking ---- */

void conn_mark_broken(struct sprig_conn *c)
{
    conn_stop_writing(c);
    c->protocol->sever(c);
    c->output = OUTPUT_BROKEN;
}

void conn_break(struct sprig_conn *c)
{
    if (conn_is_broken(c) || !transport_is_open(&c->transport))
        return;
    conn_mark_broken(c);
    outq_clear(&c->out);
    deadline_clear(&c->deadline);
    ready_add(c->server->loop, &c->ready, CONN_EV_BROKEN);
}

void conn_on_broken(struct sprig_conn *c)
{
    if (c->state == CONN_CLOSED || c->state == CONN_DETACHED)
        return;
    conn_pin(c);
    c->protocol->peer_gone(c);
    if (c->state != CONN_CLOSED)
        conn_reset(c, SPRIG_END_GONE);
    conn_unpin(c);
}

/* Describes what a peer can do to a socket; other values of errno may come from something else. */
static const char *failure_text(void)
{
    bool is_peers = errno == EPIPE || errno == ECONNRESET || errno == ETIMEDOUT;
    return is_peers ? strerror(errno) : NULL;
}

void conn_fail_reading(struct sprig_conn *c)
{
    conn_lose(c, SPRIG_LOSS_READ_ERROR, failure_text());
    conn_on_broken(c);
}

/* ------------------------------------------------------------------ flushing ---- */

static void conn_wait_writable(struct sprig_conn *c, uint64_t n_written)
{
    bool is_first = !conn_is_blocked(c);
    conn_start_writing(c);
    if ((n_written == 0 && !is_first) || !c->protocol->awaits_writable(c))
        return;
    c->n_stalled = 0;
    c->n_unsent = c->transport.ops->n_unsent(&c->transport);
    deadline_set(&c->server->write_deadlines, &c->deadline);
}

/* Output of the streams is queued only as fast as the socket takes it, bit by bit, up to the end of
 * the slice. */
static enum outq_result conn_flush_streams(struct sprig_conn *c, uint64_t *n_written)
{
    enum outq_result result;
    uint64_t n;
    do {
        c->protocol->fill(c);
        if (conn_is_broken(c))
            return OUTQ_GONE;
        result = outq_flush(&c->out, &c->transport, CONN_WRITE_SLICE_BYTES, &n);
        *n_written += n;
    } while (result == OUTQ_DRAINED && n > 0 && *n_written < CONN_WRITE_SLICE_BYTES);
    return result == OUTQ_DRAINED && n > 0 ? OUTQ_MORE : result;
}

void conn_flush(struct sprig_conn *c)
{
    if (!transport_is_open(&c->transport) || conn_is_broken(c))
        return;
    list_remove(&c->flush.link);
    uint64_t n_written = 0;
    enum outq_result result =
        c->protocol->fill != NULL
            ? conn_flush_streams(c, &n_written)
            : outq_flush(&c->out, &c->transport, CONN_WRITE_SLICE_BYTES, &n_written);
    switch (result) {
    case OUTQ_DRAINED:
        conn_stop_writing(c);
        break;
    case OUTQ_BLOCKED:
        conn_wait_writable(c, n_written);
        break;
    case OUTQ_MORE:
        ready_add(c->server->loop, &c->ready, CONN_EV_WRITABLE);
        break;
    case OUTQ_GONE:
        conn_lose(c, SPRIG_LOSS_WRITE_ERROR, failure_text());
        conn_break(c);
        return;
    case OUTQ_SHORT:
        conn_break(c);
        log_later(SPRIG_LOG_ERROR,
                  "the file became shorter while it was being sent: response aborted");
        return;
    }
    c->protocol->flushed(c, result == OUTQ_DRAINED);
}

bool conn_end_output(struct sprig_conn *c)
{
    const struct transport_ops *ops = c->transport.ops;
    if (ops->end == NULL || ops->end(&c->transport) == 0)
        return true;
    if (errno == EAGAIN)
        conn_wait_writable(c, 0);
    else
        conn_break(c);
    return false;
}

HOT static void conn_run_flush(struct flushable *f)
{
    struct sprig_conn *c = list_entry(f, struct sprig_conn, flush);
    conn_pin(c);
    conn_register(c);
    c->protocol->flush(c);
    conn_unpin(c);
}

/* Called by the courier, which has a descriptor table of its own. */
static void conn_carry(struct flushable *f)
{
    struct sprig_conn *c = list_entry(f, struct sprig_conn, flush);
    if (!transport_is_open(&c->transport) || conn_is_broken(c))
        return;
    apart_borrow(c->transport.fd);
    if (c->protocol->carry != NULL)
        c->protocol->carry(c);
    outq_carry(&c->out, &c->transport);
    apart_give_back(c->transport.fd);
}

static void conn_settle_carried(struct flushable *f)
{
    struct sprig_conn *c = list_entry(f, struct sprig_conn, flush);
    if (!outq_settle(&c->out)) {
        conn_lose(c, SPRIG_LOSS_WRITE_ERROR, NULL);
        conn_break(c);
    }
}

void conn_init_flush(struct sprig_conn *c)
{
    static const struct flushable_ops ops = {conn_run_flush, conn_carry, conn_settle_carried};
    flushable_init(&c->flush, &ops);
}

void conn_begin(struct sprig_conn *c)
{
    c->reading = READING_FIRST;
    loop_flush_later(c->server->loop, &c->flush);
    ready_add_now(c->server->loop, &c->ready, CONN_EV_READABLE);
}

/* exchange_output.c - the response to one request, over any protocol: sprig_response_*, and how its
 * queue is kept within bounds */
#include "serve/conn.h"

#include "base/tempfile.h"
#include "serve/counting.h"
#include "serve/feed.h"
#include "serve/request_id.h"
#include <errno.h>
#include <stdlib.h>

/* Output beyond output_buffer_bytes is moved to the file in portions of at least this size. */
enum { SPILL_BYTES = 64 * 1024 };

/* ------------------------------------------------------------------- its queue ---- */

void exchange_check_low_water(struct sprig_exchange *ex)
{
    if (ex->first_ns == 0 && ex->response.head_out)
        counting_first_byte(ex);
    if (!(ex->want_drain || ex->was_high) || ex->response.ended)
        return;
    if (ex->out->size <= ex->conn->server->config.low_water_bytes)
        ex->conn->protocol->wake(ex, CONN_EV_DRAIN);
}

static void exchange_spill(struct sprig_exchange *ex)
{
    const struct sprig_config *config = &ex->conn->server->config;
    if (outq_spill(ex->out, config->output_buffer_bytes, config->temp_dir) == 0)
        return;
    int error = errno;
    ex->conn->protocol->fail(ex);
    log_later(SPRIG_LOG_ERROR,
              "response aborted: cannot store output beyond output_buffer_bytes in temp_dir %s: %s",
              tempfile_dir(config->temp_dir), strerror(error));
}

/* Sends until memory holds at most `limit`, or nothing more can be sent. */
static void exchange_push(struct sprig_exchange *ex, uint64_t limit)
{
    uint64_t size;
    do {
        size = ex->out->size;
        if (!conn_is_blocked(ex->conn))
            conn_flush(ex->conn);
    } while (ex->out->in_memory > limit && ex->out->size < size && !ex->is_over);
}

/* For an app that writes without checking, to a client that does not read: what the socket does not
 * take must not pile up in memory. */
static void exchange_bound_memory(struct sprig_exchange *ex)
{
    const struct sprig_config *config = &ex->conn->server->config;
    uint64_t limit = config->output_buffer_bytes + SPILL_BYTES;
    exchange_push(ex, limit);
    uint64_t waiting = ex->out->in_memory + ex->out->spilled;
    if (config->max_output_bytes != 0 && waiting > config->max_output_bytes) {
        exchange_lose(ex, SPRIG_LOSS_OVERFLOW, "max_output_bytes: the client reads too slowly");
        ex->conn->protocol->fail(ex);
        conn_tell(ex->conn, ex, 0, "max_output_bytes: the client reads too slowly");
    } else if (ex->out->in_memory > limit && !ex->keeps_output) {
        exchange_spill(ex);
    }
}

__attribute__((noinline)) static void exchange_added_more(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    if (c->protocol->added != NULL)
        c->protocol->added(ex);
    if (ex->out->size > c->server->config.high_water_bytes) {
        ex->was_high = true;
        exchange_bound_memory(ex);
    }
    conn_flush_later(c); /* this also settles */
}

/* Its queue has grown, or the response has ended. */
static inline void exchange_added(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    if (ex->is_over)
        return;
    if (c->protocol->added != NULL || ex->out->size > c->server->config.high_water_bytes)
        exchange_added_more(ex);
    else
        conn_flush_later(c);
}

/* --------------------------------------------------------------------- writing ---- */

/* The response cannot go on, and must not look complete; the caller is told that the client is
 * gone. */
static int exchange_abandon(struct sprig_exchange *ex, const char *reason)
{
    ex->conn->protocol->fail(ex);
    log_later(SPRIG_LOG_ERROR, "response aborted: %s", reason);
    return SPRIG_E_CLOSED;
}

/* Handles a failed response function; misuse is left to the caller. */
static int exchange_failed(struct sprig_exchange *ex, int rc)
{
    return rc == SPRIG_E_NOMEM ? exchange_abandon(ex, sprig_err_text(rc)) : rc;
}

/* RFC 9110 section 9.3.6: 2xx to CONNECT means that bytes are tunnelled from now on. Nobody does
 * that unless the app uses the socket, and most apps do not look at the method. So the response is
 * replaced and the app's body dropped. */
static const struct sprig_head *exchange_no_tunnel(struct sprig_exchange *ex,
                                                   const struct sprig_head *head)
{
    static struct sprig_header allow = {SPAN_LIT("Allow"), SPAN_LIT("")};
    static const struct sprig_head refused = {405, &allow, 1, 0};
    if (!ex->response.is_connect || head->status < 200 || head->status > 299 || ex->has_socket)
        return head;
    ex->response.is_dropped = true;
    return &refused;
}

int sprig_response_head(struct sprig_exchange *ex, const struct sprig_head *head, char *why,
                        size_t n)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    ex->response.no_chunks = !ex->conn->server->config.chunked_responses;
    head = exchange_no_tunnel(ex, head);
    struct sprig_head room;
    struct sprig_header *fields = NULL;
    if (ex->conn->server->config.request_id != SPRIG_REQUEST_ID_OFF)
        head = request_id_add(ex, head, &room, &fields);
    int rc = ex->conn->protocol->head(ex, head, why, n);
    free(fields);
    if (rc != 0)
        return exchange_failed(ex, rc);
    if (ex->record != NULL)
        conn_log_head(ex, head);
    if (ex->response.has_events)
        feed_begin(ex);
    exchange_added(ex);
    return 0;
}

int sprig_response_interim(struct sprig_exchange *ex, const struct sprig_head *head, char *why,
                           size_t n)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    int rc = ex->conn->protocol->interim(ex, head, why, n);
    if (rc == 0) {
        stats_add(STAT_INFORMED, 1);
        sprig_response_flush(ex);
    }
    return exchange_failed(ex, rc);
}

/* The common end of all writes: checks the high-water mark, and logs if bytes were cut. */
static int exchange_wrote(struct sprig_exchange *ex, int rc, bool was_cut)
{
    if (rc == SPRIG_E_INVALID)
        return exchange_abandon(ex, "the app's own chunks are malformed");
    if (rc < 0)
        return exchange_failed(ex, rc);
    if (ex->response.cut && !was_cut && ex->response.version == 20 && !ex->may_exceed)
        return exchange_abandon(ex, "the body is longer than its Content-Length");
    if (ex->response.cut && !was_cut)
        log_later(SPRIG_LOG_ERROR, "the app wrote more than its Content-Length: the rest was cut");
    exchange_added(ex);
    return ex->is_over ? SPRIG_E_CLOSED : ex->out->size > ex->conn->server->config.high_water_bytes;
}

void sprig_response_may_exceed(struct sprig_exchange *ex)
{
    ex->may_exceed = true;
}

bool sprig_response_has_excess(const struct sprig_exchange *ex)
{
    return ex->response.cut;
}

int sprig_response_write(struct sprig_exchange *ex, struct sprig_span bytes)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    bool was_cut = ex->response.cut;
    return exchange_wrote(ex, response_body(&ex->response, ex->out, bytes), was_cut);
}

int sprig_response_write_pieces(struct sprig_exchange *ex, const struct sprig_span *pieces,
                                size_t n)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    bool was_cut = ex->response.cut;
    return exchange_wrote(ex, response_body_pieces(&ex->response, ex->out, pieces, n), was_cut);
}

int sprig_response_write_ref(struct sprig_exchange *ex, struct sprig_span bytes,
                             void (*release)(void *arg), void *arg)
{
    if (exchange_is_over(ex)) {
        release(arg);
        return SPRIG_E_CLOSED;
    }
    bool was_cut = ex->response.cut;
    int rc = response_body_ref(&ex->response, ex->out, bytes, release, arg);
    return exchange_wrote(ex, rc, was_cut);
}

int sprig_response_write_shared(struct sprig_exchange *ex, struct sprig_span bytes,
                                void (*release)(void *arg), void *arg)
{
    if (exchange_is_over(ex)) {
        release(arg);
        return SPRIG_E_CLOSED;
    }
    bool was_cut = ex->response.cut;
    int rc = response_body_shared(&ex->response, ex->out, bytes, release, arg);
    return exchange_wrote(ex, rc, was_cut);
}

int exchange_write_chunk(struct sprig_exchange *ex, struct sprig_span chunk,
                         struct sprig_span bytes, outq_release_cb *release, void *arg)
{
    if (exchange_is_over(ex)) {
        release(arg);
        return SPRIG_E_CLOSED;
    }
    bool was_cut = ex->response.cut;
    int rc = response_body_chunk(&ex->response, ex->out, chunk, bytes, release, arg);
    return exchange_wrote(ex, rc, was_cut);
}

HOT bool exchange_send_chunk(struct sprig_exchange *ex, struct sprig_span chunk,
                             struct sprig_span bytes)
{
    struct sprig_conn *c = ex->conn;
    if (ex->is_over || chunk.len > CONN_PIECE_BYTES || !response_makes_chunks(&ex->response) ||
        c->protocol->is_steady == NULL || !c->protocol->is_steady(ex))
        return false;
    size_t n = conn_send_past(c, chunk);
    if (n == 0)
        return false;
    ex->response.n_body += bytes.len;
    if (n < chunk.len)
        exchange_wrote(ex, outq_add(ex->out, span_make(chunk.ptr + n, chunk.len - n)), true);
    return true;
}

int sprig_response_write_file(struct sprig_exchange *ex, int fd, uint64_t offset, uint64_t length,
                              void (*release)(void *arg), void *arg)
{
    if (exchange_is_over(ex)) {
        release(arg);
        return SPRIG_E_CLOSED;
    }
    bool was_cut = ex->response.cut;
    int rc = response_body_file(&ex->response, ex->out, fd, offset, length, release, arg);
    return exchange_wrote(ex, rc, was_cut);
}

int sprig_response_trailers(struct sprig_exchange *ex, const struct sprig_header *fields,
                            size_t n_fields, char *why, size_t n)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    const struct protocol *protocol = ex->conn->protocol;
    int rc = protocol->trailers != NULL
                 ? protocol->trailers(ex, fields, n_fields, why, n)
                 : response_trailers(&ex->response, ex->out, fields, n_fields, why, n);
    return rc == SPRIG_E_NOMEM ? exchange_abandon(ex, sprig_err_text(rc)) : rc;
}

int sprig_response_end(struct sprig_exchange *ex)
{
    if (exchange_is_over(ex))
        return SPRIG_E_CLOSED;
    int rc = response_end(&ex->response, ex->out);
    if (rc == SPRIG_E_STATE && ex->response.head_out && !ex->response.ended) {
        if (sprig_exchange_is_gone(ex)) /* an app that was told so may stop */
            ex->conn->protocol->abort(ex);
        else
            sprig_response_abort(ex, "the body is shorter than its Content-Length");
        return rc;
    }
    if (rc == SPRIG_E_NOMEM)
        sprig_response_abort(ex, sprig_err_text(rc));
    if (rc == 0 && ex->feed != NULL)
        feed_free(ex);
    if (rc == 0)
        exchange_added(ex); /* even without new bytes: the flush settles the exchange */
    return exchange_failed(ex, rc);
}

void sprig_response_abort(struct sprig_exchange *ex, const char *reason)
{
    if (exchange_is_over(ex))
        return;
    ex->conn->protocol->abort(ex);
    if (reason != NULL)
        sprig_log(SPRIG_LOG_ERROR, "response aborted: %s", reason);
}

void sprig_response_cut(struct sprig_exchange *ex, const char *reason)
{
    if (exchange_is_over(ex))
        return;
    ex->conn->protocol->fail(ex);
    log_later(SPRIG_LOG_DEBUG, "response cut: %s", reason);
}

bool sprig_response_has_head(const struct sprig_exchange *ex)
{
    return ex->response.head_out;
}

bool sprig_response_has_events(const struct sprig_exchange *ex)
{
    return ex->response.has_events;
}

bool sprig_response_is_bodyless(const struct sprig_exchange *ex)
{
    return ex->response.bodyless || ex->is_over;
}

uint64_t sprig_response_buffered(const struct sprig_exchange *ex)
{
    loop_recall(ex->conn->server->loop);
    return ex->out->size;
}

void sprig_response_want_drain(struct sprig_exchange *ex)
{
    if (exchange_is_over(ex))
        return;
    ex->want_drain = true;
    exchange_check_low_water(ex);
}

void sprig_response_flush(struct sprig_exchange *ex)
{
    struct sprig_conn *c = ex->conn;
    if (exchange_is_over(ex) || conn_is_blocked(c) || ex->out->size == 0)
        return;
    conn_flush(c);
    if (ex->response.ended)
        conn_flush_later(c); /* this settles it */
}

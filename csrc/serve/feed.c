/* feed.c - heartbeats of event streams, and notice of their end to those who write to them; see
 * feed.h */
#include "serve/feed.h"

#include "serve/conn.h"
#include <stdlib.h>

/* A client may be gone if it acknowledges nothing for this long, however short the heartbeat
 * interval. */
enum { PATIENCE_MIN_MS = 3000 };

/* All heartbeats with the same interval share one timer. In server.pulses. */
struct pulse {
    struct list_link link;
    struct deadline_list beats;
    uint32_t n_feeds;
};

/* Writes a heartbeat even if there were events since the last one, because the client counts on it.
 * Output that still waits to be sent will do as well. */
static void beat(struct deadline *d)
{
    struct feed *feed = list_entry(d, struct feed, beat);
    struct sprig_exchange *ex = feed->ex;
    if (ex->is_over || ex->response.ended)
        return;
    deadline_set(&feed->pulse->beats, &feed->beat);
    if (ex->out->size == 0)
        sprig_response_write(ex, SPAN_LIT(":\n\n"));
}

static struct pulse *pulse_find(struct sprig_server *server, double seconds)
{
    uint64_t length_ns = (uint64_t)(seconds * 1e9);
    list_foreach (it, &server->pulses) {
        struct pulse *pulse = list_entry(it, struct pulse, link);
        if (pulse->beats.length_ns == length_ns)
            return pulse;
    }
    struct pulse *pulse = calloc(1, sizeof *pulse);
    if (pulse == NULL)
        return NULL;
    if (deadline_list_init(&pulse->beats, server->loop, seconds, beat) != 0) {
        deadline_list_clear(&pulse->beats);
        free(pulse);
        return NULL;
    }
    pulse->beats.length_ns = length_ns;
    list_append(&server->pulses, &pulse->link);
    return pulse;
}

static void feed_stop_beating(struct feed *feed)
{
    struct pulse *pulse = feed->pulse;
    feed->pulse = NULL;
    deadline_clear(&feed->beat);
    if (pulse == NULL || --pulse->n_feeds > 0)
        return;
    list_remove(&pulse->link);
    deadline_list_clear(&pulse->beats);
    free(pulse);
}

/* How long the client may be silent; 0: the system's default. */
static void feed_set_patience(struct sprig_exchange *ex, double seconds)
{
    double ms = seconds * 1000;
    if (seconds > 0 && ms < PATIENCE_MIN_MS)
        ms = PATIENCE_MIN_MS;
    transport_set_patience(&ex->conn->transport, ms < INT32_MAX ? (int)ms : INT32_MAX);
}

/* First tells the application, which may still write something, as if the client had left; it
 * mostly ends the stream then. Later ends the stream itself. */
static void part(struct farewell *f)
{
    struct feed *feed = list_entry(f, struct feed, farewell);
    struct sprig_conn *c = feed->ex->conn;
    if (feed->ex->is_over)
        return;
    conn_pin(c);
    if (f->is_told)
        sprig_response_end(feed->ex);
    else
        exchange_tell_gone(feed->ex);
    conn_unpin(c);
}

/* The feed of an exchange whose body is being written; NULL: the body has ended, or no memory
 * (*err). */
static struct feed *feed_of(struct sprig_exchange *ex, int *err)
{
    *err = SPRIG_E_CLOSED;
    loop_check_fork(ex->conn->server->loop); /* may abandon the connection */
    loop_recall(ex->conn->server->loop);
    if (ex->is_over || ex->response.ended || !ex->response.head_out)
        return NULL;
    if (ex->feed != NULL)
        return ex->feed;
    *err = SPRIG_E_NOMEM;
    struct feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return NULL;
    feed->ex = ex;
    list_init(&feed->watches);
    deadline_init(&feed->beat);
    farewell_wait(&ex->conn->server->farewells, &feed->farewell, part);
    return ex->feed = feed;
}

void feed_begin(struct sprig_exchange *ex)
{
    int err;
    feed_of(ex, &err);
}

int feed_watch(struct sprig_exchange *ex, struct feed_watch *watch)
{
    int err;
    struct feed *feed = feed_of(ex, &err);
    if (feed == NULL)
        return err;
    list_append(&feed->watches, &watch->link);
    return 0;
}

bool feed_is_watched(const struct sprig_exchange *ex)
{
    return ex->feed != NULL && !list_empty(&ex->feed->watches);
}

int sprig_response_set_heartbeat(struct sprig_exchange *ex, double seconds)
{
    int err;
    struct feed *feed = feed_of(ex, &err);
    if (feed == NULL)
        return err;
    struct pulse *pulse = seconds > 0 ? pulse_find(ex->conn->server, seconds) : NULL;
    if (seconds > 0 && pulse == NULL)
        return SPRIG_E_NOMEM;
    if (pulse != NULL)
        pulse->n_feeds++;
    feed_stop_beating(feed);
    feed->pulse = pulse;
    if (pulse != NULL)
        deadline_set(&pulse->beats, &feed->beat);
    feed_set_patience(ex, seconds);
    return 0;
}

void feed_free(struct sprig_exchange *ex)
{
    struct feed *feed = ex->feed;
    struct list_link *first;
    ex->feed = NULL;
    if (feed == NULL)
        return;
    if (feed->pulse != NULL)
        feed_set_patience(ex, 0); /* the connection goes on */
    feed_stop_beating(feed);
    list_remove(&feed->farewell.link);
    while ((first = list_first(&feed->watches)) != NULL) {
        list_remove(first);
        struct feed_watch *watch = list_entry(first, struct feed_watch, link);
        watch->on_end(watch);
    }
    free(feed);
}

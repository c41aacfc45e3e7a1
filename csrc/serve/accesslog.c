/* accesslog.c - the access log's file: collects, writes, reopens; see accesslog.h */
#include "serve/accesslog.h"

#include "base/clock.h"
#include "base/stats.h"
#include "loop/signals.h"
#include "loop/timer.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FILE_BYTES = 256 * 1024, /* this many bytes of lines are written before the end of the pass */
    PIPE_BYTES = 32 * 1024,  /* likewise, to a pipe, which takes twice as many at a time */
    RETRY_MS = 1,        /* a reader that keeps up has room again by then; for others it doubles */
    RECORD_BYTES = 2048, /* larger records are not kept for reuse */
    MAX_FREE = 64
};

/* ------------------------------------------------------------- the file ---- */

static bool is_file(const struct log_target *t)
{
    return !t->is_pipe && !t->is_socket && t->syslog.n_address == 0;
}

/* What waits for the end of the pass must not count as lost. */
static size_t full_bytes(const struct access_log *log)
{
    size_t full = is_file(&log->target) ? FILE_BYTES : PIPE_BYTES;
    return full < log->most / 2 ? full : log->most / 2;
}

static void lose_lines(struct access_log *log, size_t from, int error)
{
    log->has_failed = true;
    log->error = error ? error : EIO;
    uint64_t n = log_target_lines(log->lines.bytes + from, log->lines.n - from);
    log->n_lost += n;
    stats_add(STAT_LOG_DROPPED, n);
    log->lines.n = from;
}

static void choose_retry(struct access_log *log, bool is_read)
{
    log->retry_ms = is_read || log->retry_ms == 0 ? RETRY_MS : 2 * log->retry_ms;
    if (log->retry_ms > ACCESS_LOG_DELAY_MS)
        log->retry_ms = ACCESS_LOG_DELAY_MS;
}

/* What a slow reader does not take waits; what the system refuses is dropped, since a disk may stay
 * full for days. */
static void keep_rest(struct access_log *log, size_t done)
{
    log->is_stuck = errno == EAGAIN || errno == EWOULDBLOCK;
    if (log->is_stuck) {
        choose_retry(log, done > 0);
        log->lines.n -= done;
        memmove(log->lines.bytes, log->lines.bytes + done, log->lines.n);
        return;
    }
    if (done > 0)
        log->is_torn = log->lines.bytes[done - 1] != '\n';
    lose_lines(log, done, errno);
    log->lines.n = 0;
}

static void write_lines(struct access_log *log)
{
    size_t n = log->lines.n;
    log->written_ns = sprig_loop_now(log->loop);
    if (n == 0)
        return;
    if (log->pid != getpid()) {
        log->lines.n = 0;
        return;
    }
    if (log->is_torn && log_target_write(&log->target, "\n", 1) == 1)
        log->is_torn = false;
    size_t done = log->is_torn ? 0 : log_target_write(&log->target, log->lines.bytes, n);
    if (done < n) {
        keep_rest(log, done);
        return;
    }
    log->lines.n = 0;
    log->has_failed = log->is_stuck = false;
}

/* Reports what has changed since the last time; may enter Perl. */
static void tell_changes(struct access_log *log)
{
    if (log->n_lost > 0 && !log->is_failing) {
        log->is_failing = true;
        sprig_log(SPRIG_LOG_ERROR, "cannot write to the access log %s: %s; lines are lost",
                  log->path, log->error == EAGAIN ? "nobody reads it" : strerror(log->error));
    } else if (log->is_failing && !log->has_failed) {
        uint64_t n_lost = log->n_lost;
        log->is_failing = false;
        log->n_lost = 0;
        sprig_log(SPRIG_LOG_WARN, "the access log %s is being written again; %llu lines were lost",
                  log->path, (unsigned long long)n_lost);
    }
}

/* Called when the first lines arrive, or some are left. */
static void schedule(struct access_log *log)
{
    uint64_t delay_ms = log->is_stuck ? log->retry_ms : ACCESS_LOG_DELAY_MS;
    uint64_t next = log->written_ns + delay_ms * NS_PER_MS;
    log->pid = getpid();
    if (next <= sprig_loop_now(log->loop) || timer_start(log->loop, &log->timer, next) != 0)
        loop_flush_later(log->loop, &log->flush);
}

/* Within a request, so whatever there is to tell waits. */
static void write_full(struct access_log *log)
{
    write_lines(log);
    if (log->is_stuck)
        schedule(log);
}

static void write_and_tell(struct access_log *log)
{
    if (log->lines.n == 0)
        return;
    write_lines(log);
    tell_changes(log);
    if (log->is_stuck)
        schedule(log);
}

static void on_flush(struct flushable *f)
{
    write_and_tell(list_entry(f, struct access_log, flush));
}

static void on_timer(struct ready *r, uint32_t what)
{
    (void)what;
    struct timer *timer = list_entry(r, struct timer, ready);
    write_and_tell(list_entry(timer, struct access_log, timer));
}

/* Lines from before the signal belong to the old file, except those that nobody reads there. A
 * descriptor that was opened before the server stays as it is. */
bool access_log_reopen(struct access_log *log)
{
    struct log_target target;
    write_lines(log);
    if (log->target.is_inherited || log->target.syslog.n_address > 0)
        return false;
    if (log_target_open(&target, log->path) == -1) {
        sprig_log(SPRIG_LOG_ERROR, "cannot reopen the access log %s: %s; the old one stays in use",
                  log->path, strerror(errno));
        return false;
    }
    log_target_close(&log->target);
    log->target = target;
    log->full = full_bytes(log);
    log->is_torn = false;
    return true;
}

static void on_signal(struct sprig_signal *signal, int signo, void *arg)
{
    (void)signal, (void)signo;
    access_log_reopen(arg);
}

/* ------------------------------------------------------------ open and close ---- */

struct access_log *access_log_open(struct sprig_loop *loop, const char *path, const char *format,
                                   uint64_t most, char *why, size_t n)
{
    char bad[64];
    struct access_log *log = calloc(1, sizeof(*log));
    if (!log) {
        snprintf(why, n, "cannot write to %s: %s", path, sprig_err_text(SPRIG_E_NOMEM));
        return NULL;
    }
    log->loop = loop;
    log->target.fd = -1;
    log->most = most;
    static const struct flushable_ops ops = {.flush = on_flush};
    flushable_init(&log->flush, &ops);
    timer_init(&log->timer, on_timer);
    int err = log_format_read(&log->format, format, bad, sizeof(bad));
    if (!err && !(log->path = strdup(path)))
        err = SPRIG_E_NOMEM;
    if (!err && log_target_open(&log->target, log->path) == -1)
        err = SPRIG_E_SYS;
    if (err) {
        char as[48] = "";
        if (err == SPRIG_E_SYS && errno == EACCES)
            snprintf(as, sizeof as, " (as user id %u)", (unsigned)geteuid());
        snprintf(why, n, "cannot write to %s: %s%s", path,
                 err == SPRIG_E_SYS ? strerror(errno) : sprig_err_text(err), as);
        access_log_close(log);
        return NULL;
    }
    log->full = full_bytes(log);
    log->format.is_coloured = log_target_has_colours(&log->target);
    log->signal = sprig_signal_new(loop, SIGUSR1, on_signal, log);
    if (log->signal)
        signal_trust(log->signal);
    return log;
}

void access_log_forget(struct access_log *log)
{
    log->lines.n = 0;
}

static void record_free(struct access_record *record)
{
    free(record->data.bytes);
    free(record);
}

/* A reader that is merely slow gets the last lines, too. */
void access_log_flush(struct access_log *log)
{
    uint64_t deadline = clock_monotonic_ns() + (uint64_t)ACCESS_LOG_END_MS * NS_PER_MS;
    write_lines(log);
    while (log->lines.n > 0 && clock_monotonic_ns() < deadline) {
        log_target_wait(&log->target, ACCESS_LOG_DELAY_MS);
        write_lines(log);
    }
    if (log->lines.n > 0)
        lose_lines(log, 0, EAGAIN);
}

void access_log_retire(struct access_log *log)
{
    log->is_retired = true;
    if (log->signal)
        sprig_signal_free(log->signal);
    log->signal = NULL;
    if (log->n_out == 0)
        access_log_close(log);
}

void access_log_close(struct access_log *log)
{
    access_log_flush(log);
    tell_changes(log);
    loop_recall(log->loop);
    list_remove(&log->flush.link);
    timer_stop(log->loop, &log->timer);
    if (log->signal)
        sprig_signal_free(log->signal);
    log_target_close(&log->target);
    while (log->free) {
        struct access_record *record = log->free;
        log->free = record->next_free;
        record_free(record);
    }
    log_format_clear(&log->format);
    free(log->lines.bytes);
    free(log->path);
    free(log);
}

/* ------------------------------------------------------------------- records ---- */

static struct access_record *record_take(struct access_log *log)
{
    struct access_record *record = log->free;
    if (!record)
        return calloc(1, sizeof(*record));
    log->free = record->next_free;
    log->n_free--;
    record->data.n = 0;
    record->data.is_short = record->has_headers = false;
    return record;
}

void access_record_free(struct access_record *record)
{
    struct access_log *log = record->log;
    log->n_out--;
    if (record->data.room > RECORD_BYTES || log->n_free >= MAX_FREE) {
        record_free(record);
    } else {
        record->next_free = log->free;
        log->free = record;
        log->n_free++;
    }
    if (log->is_retired && log->n_out == 0)
        access_log_close(log);
}

struct access_record *access_record_new(struct access_log *log, const struct log_input *in)
{
    struct access_record *record = record_take(log);
    if (!record)
        return NULL;
    record->log = log;
    record->data.is_json = log->format.is_json;
    log->n_out++;
    log_format_input(&log->format, in, &record->data);
    record->headers_at = record->user_at = record->data.n;
    if (log->format.has_time)
        record->started_ns = loop_clock(log->loop);
    return record;
}

void access_record_headers(struct access_record *record, const struct sprig_header *headers,
                           size_t n_headers, uint64_t length)
{
    const struct log_format *format = &record->log->format;
    if (!format->has_out || record->has_headers)
        return;
    record->has_headers = true;
    log_format_headers(format, headers, n_headers, length, &record->data);
    record->user_at = record->data.n;
}

bool access_record_wants_user(const struct access_record *record)
{
    return record->log->format.has_user;
}

void access_record_user(struct access_record *record, struct sprig_span user)
{
    if (!record->log->format.has_user)
        return;
    record->data.n = record->user_at;
    log_format_escape(&record->data, user);
}

/* --------------------------------------------------------------------- lines ---- */

void access_log_add(struct access_record *record, int status, const char *refused, uint64_t n_body,
                    const struct log_times *times)
{
    struct access_log *log = record->log;
    const struct log_buffer *data = &record->data;
    uint64_t now = loop_clock(log->loop);
    struct log_output out = {
        .input = data->bytes,
        .input_bytes = record->headers_at,
        .headers = record->has_headers ? data->bytes + record->headers_at : NULL,
        .headers_bytes = record->user_at - record->headers_at,
        .user = span_make(data->bytes + record->user_at, data->n - record->user_at),
        .status = status,
        .refused = refused,
        .n_body = n_body,
        .duration_ns = log->format.has_time ? now - record->started_ns : 0,
        .queue_ns = times->queue_ns,
        .app_ns = times->app_ns,
        .send_ns = times->send_ns,
        .now_ns = now,
    };
    if (log->lines.n == 0)
        schedule(log);
    else if (log->lines.n > log->full && !log->is_stuck)
        write_full(log);
    out.pid = log->pid;
    size_t before = log->lines.n;
    if (!data->is_short)
        log_format_line(&log->format, &out, &log->lines);
    if (log->lines.n > log->most)
        lose_lines(log, before, EAGAIN);
    access_record_free(record);
}

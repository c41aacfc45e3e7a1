/* accesslog.c - the file of the access log: gathering, writing, reopening; see accesslog.h */
#include "accesslog.h"

#include "signals.h"
#include "timer.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FULL_BYTES = 64 * 1024, /* of lines: written without waiting for the end of the pass */
    RECORD_BYTES = 2048,    /* of larger records are not kept and used again */
    MAX_FREE = 64,
    NS_PER_MS = 1000000
};

/* ------------------------------------------------------------- the file ---- */

static int open_file(const char *path)
{
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY;
    if (geteuid() == 0)
        flags |= O_NOFOLLOW;
    return open(path, flags, 0666);
}

/* Writes all of the bytes by one call, if the system takes them at once. Returns how many were
 * written; less than all: errno. */
static size_t write_all(int fd, const char *bytes, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t rc = write(fd, bytes + done, n - done);
        if (rc > 0)
            done += (size_t)rc;
        else if (rc == 0 || errno != EINTR)
            return done;
    }
    return done;
}

static uint64_t count_lines(const char *bytes, size_t n)
{
    uint64_t lines = 0;
    for (const char *end = bytes + n; (bytes = memchr(bytes, '\n', (size_t)(end - bytes)));)
        lines++, bytes++;
    return lines;
}

/* What did not get into the file is dropped: it may stay full for days. */
static void write_lines(struct access_log *log)
{
    size_t n = log->lines.n;
    log->lines.n = 0;
    log->written_ns = sprig_loop_now(log->loop);
    if (n == 0 || log->pid != getpid())
        return;
    errno = 0;
    if (log->is_torn && write_all(log->fd, "\n", 1) == 1)
        log->is_torn = false;
    size_t done = log->is_torn ? 0 : write_all(log->fd, log->lines.bytes, n);
    log->has_failed = done < n;
    if (log->has_failed) {
        log->error = errno ? errno : EIO;
        log->n_lost += count_lines(log->lines.bytes + done, n - done);
    }
    if (done > 0)
        log->is_torn = log->lines.bytes[done - 1] != '\n';
}

/* Says what has changed since the last time; may enter Perl. */
static void tell(struct access_log *log)
{
    if (log->n_lost > 0 && !log->is_failing) {
        log->is_failing = true;
        sprig_log(SPRIG_LOG_ERROR, "cannot write to the access log %s: %s; lines are lost",
                  log->path, strerror(log->error));
    } else if (log->is_failing && !log->has_failed) {
        uint64_t n_lost = log->n_lost;
        log->is_failing = false;
        log->n_lost = 0;
        sprig_log(SPRIG_LOG_WARN, "the access log %s is being written again; %llu lines were lost",
                  log->path, (unsigned long long)n_lost);
    }
}

static void write_and_tell(struct access_log *log)
{
    if (log->lines.n == 0)
        return;
    write_lines(log);
    tell(log);
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

/* Lines that came before the signal belong to the old file. */
static void on_signal(struct sprig_signal *signal, int signo, void *arg)
{
    (void)signal, (void)signo;
    struct access_log *log = arg;
    write_lines(log);
    int fd = open_file(log->path);
    if (fd == -1) {
        sprig_log(SPRIG_LOG_ERROR, "cannot reopen the access log %s: %s; the old one goes on",
                  log->path, strerror(errno));
        return;
    }
    close(log->fd);
    log->fd = fd;
    log->is_torn = false;
}

/* ------------------------------------------------------------ open and close ---- */

/* Whatever the application makes the working folder later. */
static char *absolute_path(const char *path)
{
    char *folder, *absolute;
    if (*path == '/' || !(folder = getcwd(NULL, 0)))
        return strdup(path);
    size_t n = strlen(folder) + strlen(path) + 2;
    absolute = malloc(n);
    if (absolute)
        snprintf(absolute, n, "%s/%s", folder, path);
    free(folder);
    return absolute;
}

struct access_log *access_log_open(struct sprig_loop *loop, const char *path, const char *format,
                                   char *why, size_t n)
{
    char bad[64];
    struct access_log *log = calloc(1, sizeof(*log));
    if (!log) {
        snprintf(why, n, "cannot write to %s: %s", path, sprig_err_text(SPRIG_E_NOMEM));
        return NULL;
    }
    log->loop = loop;
    log->fd = -1;
    log->flush.flush = on_flush;
    list_init(&log->flush.link);
    timer_init(&log->timer, on_timer);
    int err = log_format_read(&log->format, format, bad, sizeof(bad));
    if (!err && !(log->path = absolute_path(path)))
        err = SPRIG_E_NOMEM;
    if (!err && (log->fd = open_file(log->path)) == -1)
        err = SPRIG_E_SYS;
    if (err) {
        snprintf(why, n, "cannot write to %s: %s", path,
                 err == SPRIG_E_SYS ? strerror(errno) : sprig_err_text(err));
        access_log_close(log);
        return NULL;
    }
    log->signal = sprig_signal_new(loop, SIGUSR1, on_signal, log);
    if (log->signal)
        signal_trust(log->signal);
    return log;
}

void access_log_flush(struct access_log *log)
{
    write_lines(log);
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

void access_log_close(struct access_log *log)
{
    write_lines(log);
    list_remove(&log->flush.link);
    timer_stop(log->loop, &log->timer);
    if (log->signal)
        sprig_signal_free(log->signal);
    if (log->fd != -1)
        close(log->fd);
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

void access_record_free(struct access_log *log, struct access_record *record)
{
    if (record->data.room > RECORD_BYTES || log->n_free >= MAX_FREE) {
        record_free(record);
        return;
    }
    record->next_free = log->free;
    log->free = record;
    log->n_free++;
}

struct access_record *access_record_new(struct access_log *log, const struct log_input *in)
{
    struct access_record *record = record_take(log);
    if (!record)
        return NULL;
    log_format_input(&log->format, in, &record->data);
    record->headers_at = record->user_at = record->data.n;
    if (log->format.has_time)
        record->started_ns = timer_clock();
    return record;
}

void access_record_headers(struct access_log *log, struct access_record *record,
                           const struct sprig_header *headers, size_t n_headers, uint64_t length)
{
    if (!log->format.has_out || record->has_headers)
        return;
    record->has_headers = true;
    log_format_headers(&log->format, headers, n_headers, length, &record->data);
    record->user_at = record->data.n;
}

void access_record_user(struct access_log *log, struct access_record *record,
                        struct sprig_span user)
{
    if (!log->format.has_user)
        return;
    record->data.n = record->user_at;
    log_format_escape(&record->data, user);
}

/* --------------------------------------------------------------------- lines ---- */

/* When there were no lines before. */
static void schedule(struct access_log *log)
{
    uint64_t next = log->written_ns + (uint64_t)ACCESS_LOG_DELAY_MS * NS_PER_MS;
    log->pid = getpid();
    if (next <= sprig_loop_now(log->loop) || timer_start(log->loop, &log->timer, next) != 0)
        loop_flush_later(log->loop, &log->flush);
}

void access_log_add(struct access_log *log, struct access_record *record, int status,
                    uint64_t n_body)
{
    const struct log_buffer *data = &record->data;
    struct log_output out = {
        .input = data->bytes,
        .input_bytes = record->headers_at,
        .headers = record->has_headers ? data->bytes + record->headers_at : NULL,
        .headers_bytes = record->user_at - record->headers_at,
        .user = span_make(data->bytes + record->user_at, data->n - record->user_at),
        .status = status,
        .n_body = n_body,
        .duration_ns = log->format.has_time ? timer_clock() - record->started_ns : 0,
    };
    if (log->lines.n == 0)
        schedule(log);
    else if (log->lines.n > FULL_BYTES)
        write_lines(log);
    out.pid = log->pid;
    if (!data->is_short)
        log_format_line(&log->format, &out, &log->lines);
    access_record_free(log, record);
}

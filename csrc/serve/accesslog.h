/* accesslog.h - the file with a line for each request: written behind the responses,
 * reopened on a signal. One for each server that has the option.
 *
 * Lines are gathered and written by one write(2) to a file opened for appending, so that processes
 * that share the file do not mix theirs: at the end of a pass where the last write is some time
 * ago, else ACCESS_LOG_DELAY_MS behind it. Nothing here waits for a reader (see log_target.h):
 * lines that a pipe does not take are kept, up to log_buffer_bytes, and tried again. What
 * cannot be written is lost, counted, said once and again when writing succeeds, and never hurts a
 * response. */
#ifndef ACCESSLOG_H
#define ACCESSLOG_H

#include "base/log_target.h"
#include "loop/loop.h"
#include "serve/logformat.h"

enum {
    ACCESS_LOG_DELAY_MS = 100,
    ACCESS_LOG_END_MS = 1000, /* at the end, for lines that nobody has taken yet */
};

/* What a line needs from its request, from the head to the end of the exchange. */
struct access_record {
    struct access_log *log; /* borrowed: stays until it has all its records back */
    struct access_record *next_free;
    uint64_t started_ns;    /* with %T or %D */
    struct log_buffer data; /* what the request tells, then the headers, then the user */
    size_t headers_at, user_at;
    bool has_headers;
};

struct access_log {
    struct sprig_loop *loop; /* borrowed */
    struct log_format format;
    char *path; /* owned; as sprig_config has it */
    struct log_target target;
    size_t most; /* bytes of lines in memory, the last one included */
    size_t full; /* with so many they are written at once */
    pid_t
        pid; /* whose lines are in the buffer: a forked child does not write those of its parent */
    struct log_buffer lines;
    uint64_t written_ns; /* when the last write was */
    uint64_t n_lost;     /* lines, since writing failed */
    int error;           /* errno of the last write that failed */
    bool has_failed;     /* the last write did */
    uint32_t retry_ms;   /* while it is stuck: until the next attempt */
    bool is_failing;     /* was told: the next success is told, too */
    bool is_stuck;       /* the last write left lines: the timer tries again */
    bool is_torn;        /* part of a line was written last, the rest of which is lost */
    struct flushable flush;
    struct timer timer;
    struct sprig_signal *signal; /* owned: USR1 */
    struct access_record *free;  /* owned pool */
    uint32_t n_free;
    uint32_t n_out;  /* records of requests in progress */
    bool is_retired; /* is closed with the last of them */
};

/* Opens the file by log_target_open. Watches USR1, which reopens it, unless the path names a
 * descriptor. On failure NULL, and `why` (n bytes) says "cannot write to PATH: ...". */
struct access_log *access_log_open(struct sprig_loop *loop, const char *path, const char *format,
                                   uint64_t most, char *why, size_t n);

/* Reopens the file. False if it is a descriptor, or if it cannot be opened; that is logged, and the
 * old file stays in use. */
bool access_log_reopen(struct access_log *log);

/* Like access_log_flush, unless the lines belong to another process; reports what is lost, and
 * frees. */
void access_log_close(struct access_log *log);

/* Like access_log_close, but waits until the requests in progress have their lines: the server now
 * has another log, or none. */
void access_log_retire(struct access_log *log);

/* Writes what is left, for the end of a server. Waits at most ACCESS_LOG_END_MS for a slow reader,
 * and is silent if that fails. */
void access_log_flush(struct access_log *log);

/* In a forked child: what was gathered belongs to the parent. */
void access_log_forget(struct access_log *log);

/* The record of a request; NULL: no memory. */
struct access_record *access_record_new(struct access_log *log, const struct log_input *in);

/* The response's headers; the user, behind them. */
void access_record_headers(struct access_record *record, const struct sprig_header *headers,
                           size_t n_headers, uint64_t length);
void access_record_user(struct access_record *record, struct sprig_span user);
bool access_record_wants_user(const struct access_record *record);

/* Adds the line and takes the record. refused: why the server did not ask the application (static
 * text), or NULL. */
struct log_times {
    uint64_t queue_ns, app_ns, send_ns;
};
void access_log_add(struct access_record *record, int status, const char *refused, uint64_t n_body,
                    const struct log_times *times);
void access_record_free(struct access_record *record);

#endif

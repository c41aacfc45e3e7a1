/* log_print.c - the error log: prints messages, and what the application prints, on standard error
 * or where the options say; see log.h */
#include "base/apart.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/log.h"
#include "base/log_start.h"
#include "base/log_target.h"
#include "base/privileges.h"
#include "base/stats.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RETRY_MS = 100, END_RETRIES = 10, OUTPUT_BYTES = 8 * 1024 };

/* Waiting bytes of one level, which syslog is told with each line. For other targets all are of the
 * same one. */
struct level_run {
    enum sprig_log_level level;
    size_t n;
};

static struct {
    char *path; /* owned; NULL: descriptor 2, whatever that is */
    struct log_target target;
    bool is_json;
    enum sprig_log_level level;
    size_t most;   /* limit of waiting bytes */
    char *waiting; /* owned: not written yet; whole lines, except for the first */
    size_t n, room;
    struct level_run *runs; /* owned: what is waiting, in its order */
    size_t n_runs, room_runs;
    pid_t pid;       /* the process that made these lines */
    bool is_at_exit; /* written when the process ends */
    uint64_t n_lost; /* messages lost since the last successful write */
    int error;       /* why the last one was lost */
    bool is_torn;    /* only the beginning of the last line was written */
    void (*on_waiting)(void *arg);
    void *arg;
} out = {.target = {.fd = -1}, .level = SPRIG_LOG_INFO, .most = 1024 * 1024};

static uint32_t worker_number;

void sprig_log_set_worker(uint32_t number)
{
    worker_number = number;
    if (number > 0)
        log_start_over();
}

enum sprig_log_level sprig_log_level(void)
{
    return getenv("SPRIG_DEBUG") != NULL ? SPRIG_LOG_DEBUG : out.level;
}

/* ------------------------------------------------------------------- opening ---- */

/* Other code and child programs print to descriptor 2, so it leads to the same place. */
static void become_stderr(const struct log_target *t)
{
    if (t->syslog.n_address == 0 && t->fd > STDERR_FILENO)
        dup2(t->fd, STDERR_FILENO);
}

static bool is_same_path(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static int open_path(const char *path, char *why, size_t n)
{
    struct log_target target = {.fd = -1};
    char *copy = path != NULL ? strdup(path) : NULL;
    if (path != NULL && (copy == NULL || log_target_open(&target, path) == -1)) {
        snprintf(why, n, "error_log: cannot write to %s: %s", path, strerror(errno));
        free(copy);
        return SPRIG_E_SYS;
    }
    if (target.fd != -1 && !target.is_inherited)
        become_stderr(&target);
    log_target_close(&out.target);
    free(out.path);
    out.path = copy;
    out.target = target;
    return 0;
}

int sprig_log_configure(const struct sprig_config *config, char *why, size_t n)
{
    if (!is_same_path(config->error_log, out.path)) {
        int rc = open_path(config->error_log, why, n);
        if (rc != 0)
            return rc;
        privileges_give_file(config, out.target.fd);
    }
    out.is_json = config->error_log_format == SPRIG_LOG_JSON;
    out.level = (enum sprig_log_level)config->log_level;
    out.most = config->log_buffer_bytes;
    return 0;
}

bool sprig_log_is_json(void)
{
    return out.is_json;
}

void sprig_log_be_json(bool is_json)
{
    out.is_json = is_json;
}

void sprig_log_reopen(void)
{
    char why[512] = "error_log: no memory";
    if (out.path == NULL || !log_target_is_path(out.path))
        return;
    char *path = strdup(out.path);
    if (path == NULL || open_path(path, why, sizeof why) != 0)
        sprig_log(SPRIG_LOG_ERROR, "%s (as user id %u); the old file stays in use", why,
                  (unsigned)geteuid());
    free(path);
}

bool sprig_log_has_file(void)
{
    return out.path != NULL;
}

bool sprig_log_is_plain_file(void)
{
    struct stat st;
    return !out.is_json && out.target.syslog.n_address == 0 && fstat(STDERR_FILENO, &st) == 0 &&
           S_ISREG(st.st_mode);
}

/* ------------------------------------------------------------------- writing ---- */

static size_t write_to_target(const char *bytes, size_t n)
{
    return out.target.fd != -1 ? log_target_write(&out.target, bytes, n)
                               : log_target_write_to(STDERR_FILENO, bytes, n);
}

static bool is_slow(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK;
}

/* A slow reader gets the rest of the line later. A full disk does not: once it has room again, the
 * next text starts on a line of its own. */
static size_t write_now(const char *bytes, size_t n)
{
    if (out.is_torn && write_to_target("\n", 1) == 1)
        out.is_torn = false;
    size_t done = out.is_torn ? 0 : write_to_target(bytes, n);
    if (done > 0 && done < n && !is_slow(errno))
        out.is_torn = bytes[done - 1] != '\n';
    return done;
}

/* A forked child has inherited its parent's lines, which the parent will write. */
static void forget_others(void)
{
    if (out.pid != getpid())
        out.n = out.n_runs = out.n_lost = 0;
    out.pid = getpid();
}

static size_t print_origin(enum sprig_log_level level, char *buf, size_t n);

/* The line that reports lost messages goes before the first message that can be written again. */
static void tell_lost(void)
{
    char text[160], line[400];
    size_t len;
    snprintf(text, sizeof text, "%llu message%s lost: %s", (unsigned long long)out.n_lost,
             out.n_lost == 1 ? "" : "s",
             is_slow(out.error) ? "nobody read them" : strerror(out.error));
    if (out.is_json) {
        len = (size_t)snprintf(line, sizeof line, "{\"severityText\":\"WARN\",\"body\":\"%s\"}\n",
                               text);
    } else {
        len = print_origin(SPRIG_LOG_WARN, line, sizeof line);
        len += (size_t)snprintf(line + len, sizeof line - len, "sprig: %s\n", text);
    }
    out.target.syslog.level = SPRIG_LOG_WARN;
    if (write_now(line, len) == len)
        out.n_lost = 0;
}

/* What is left of the runs when so many bytes are gone. */
static void drop_runs(size_t done)
{
    size_t i = 0;
    for (; i < out.n_runs && done >= out.runs[i].n; i++)
        done -= out.runs[i].n;
    if (i < out.n_runs)
        out.runs[i].n -= done;
    out.n_runs -= i;
    memmove(out.runs, out.runs + i, out.n_runs * sizeof *out.runs);
}

/* Returns how many bytes were written. */
static size_t write_waiting(void)
{
    size_t done = 0;
    for (size_t i = 0; i < out.n_runs; i++) {
        out.target.syslog.level = out.runs[i].level;
        size_t n = write_now(out.waiting + done, out.runs[i].n);
        done += n;
        if (n < out.runs[i].n)
            break;
    }
    return done;
}

static void lose(uint64_t n, int error)
{
    out.n_lost += n;
    out.error = error;
    stats_add(STAT_LOG_DROPPED, n);
}

static void flush_waiting(void)
{
    size_t done = write_waiting();
    if (done < out.n && !is_slow(errno)) { /* nobody will ever take it */
        lose(log_target_lines(out.waiting + done, out.n - done), errno);
        done = out.n;
    }
    out.n -= done;
    memmove(out.waiting, out.waiting + done, out.n);
    drop_runs(done);
}

bool sprig_log_flush(void)
{
    enum sprig_log_level level = out.target.syslog.level; /* of the line that is to come */
    forget_others();
    if (out.n > 0)
        flush_waiting();
    if (out.n == 0 && out.n_lost > 0)
        tell_lost();
    out.target.syslog.level = level;
    return out.n > 0;
}

void sprig_log_on_waiting(void (*cb)(void *arg), void *arg)
{
    out.on_waiting = cb;
    out.arg = arg;
}

static bool make_room(size_t n)
{
    size_t room = 2 * (out.n + n);
    if (out.n + n <= out.room)
        return true;
    char *grown = realloc(out.waiting, room);
    if (grown == NULL)
        return false;
    out.waiting = grown;
    out.room = room;
    return true;
}

/* The bytes belong to the last run, or to one of their own. False: no memory. */
static bool add_to_runs(size_t n)
{
    enum sprig_log_level level =
        out.target.syslog.n_address > 0 ? out.target.syslog.level : SPRIG_LOG_INFO;
    if (out.n_runs > 0 && out.runs[out.n_runs - 1].level == level) {
        out.runs[out.n_runs - 1].n += n;
        return true;
    }
    if (out.n_runs == out.room_runs) {
        size_t room = 2 * out.n_runs + 8;
        struct level_run *grown = realloc(out.runs, room * sizeof *grown);
        if (grown == NULL)
            return false;
        out.runs = grown;
        out.room_runs = room;
    }
    out.runs[out.n_runs++] = (struct level_run){level, n};
    return true;
}

/* The rest of a text that is already partly written is always kept, whatever the limit. */
static bool keep(const char *bytes, size_t n, bool is_begun)
{
    size_t kept = out.n + out.n_runs * sizeof *out.runs;
    if (kept + n > out.most && !is_begun)
        return false;
    if (!make_room(n) || !add_to_runs(n))
        return false;
    memcpy(out.waiting + out.n, bytes, n);
    out.n += n;
    if (!out.is_at_exit)
        out.is_at_exit = atexit(sprig_log_finish) == 0;
    if (out.n == n && out.on_waiting != NULL)
        out.on_waiting(out.arg);
    return true;
}

bool sprig_log_print_text(const char *text, size_t n)
{
    int saved = errno;
    size_t done = 0;
    bool is_kept = true;
    if (!sprig_log_flush() && out.n_lost == 0)
        done = write_now(text, n);
    if (done < n)
        is_kept = (out.n > 0 || out.n_lost > 0 || is_slow(errno)) &&
                  keep(text + done, n - done, done > 0);
    if (!is_kept)
        lose(1, out.n > 0 ? EAGAIN : errno);
    errno = saved;
    return is_kept;
}

void sprig_log_finish(void)
{
    for (int i = 0; sprig_log_flush() && i < END_RETRIES; i++) {
        struct log_target standard = {.fd = STDERR_FILENO};
        log_target_wait(out.target.fd != -1 ? &out.target : &standard, RETRY_MS);
    }
}

/* ------------------------------------------------------------------- how it looks ---- */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* "2026-11-30T04:46:34.123Z [1234 worker 2 warn] "; nothing on a terminal, where a person is
 * watching, or for syslog, which records all that itself. */
static size_t print_origin(enum sprig_log_level level, char *buf, size_t n)
{
    char worker[24] = "";
    buf[0] = '\0';
    if (out.target.syslog.n_address > 0 || isatty(STDERR_FILENO))
        return 0;
    if (worker_number > 0)
        snprintf(worker, sizeof worker, " worker %u", worker_number);
    size_t len = clock_print(clock_real_ns(), buf);
    struct sprig_span id = log_request_id();
    return len + (size_t)snprintf(buf + len, n - len, " [%ld%s %s%s%.*s] ", (long)getpid(), worker,
                                  level_names[level], id.len > 0 ? " " : "", (int)id.len, id.ptr);
}

/* Escapes text for a JSON string, without the quotes. Control characters become \xHH, and so do all
 * non-ASCII bytes if the text is not valid UTF-8. `to` needs room for six times as many bytes. */
static size_t escape_json(const char *text, size_t n, char *to)
{
    static const char hex[] = "0123456789ABCDEF";
    char *at = to;
    bool is_utf8 = utf8_is_valid(span_make(text, n));
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            *at++ = '\\';
            *at++ = (char)c;
        } else if ((c >= 0x20 && c < 0x7f) || (c >= 0x80 && is_utf8)) {
            *at++ = (char)c;
        } else if (c == '\n' || c == '\t') {
            *at++ = '\\';
            *at++ = c == '\n' ? 'n' : 't';
        } else {
            *at++ = '\\';
            *at++ = '\\';
            *at++ = 'x';
            *at++ = hex[c >> 4];
            *at++ = hex[c & 15];
        }
    }
    return (size_t)(at - to);
}

/* Uses the severity numbers of OpenTelemetry's data model: 5, 9, 13, 17. The caller frees the
 * result; NULL: out of memory. */
static char *make_json(enum sprig_log_level level, const char *text, size_t n, size_t *n_line)
{
    static const char *const severities[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    char date[40], *line = malloc(6 * n + 400);
    if (line == NULL)
        return NULL;
    clock_print(clock_real_ns(), date);
    size_t len = (size_t)sprintf(
        line,
        "{\"timestamp\":\"%s\",\"severityText\":\"%s\",\"severityNumber\":%d,\"process.pid\":%ld",
        date, severities[level], 4 * (int)level + 5, (long)getpid());
    if (worker_number > 0)
        len += (size_t)sprintf(line + len, ",\"sprig.worker\":%u", worker_number);
    struct sprig_span id = log_request_id();
    if (id.len > 0)
        len += (size_t)sprintf(line + len, ",\"sprig.request_id\":\"%.*s\"", (int)id.len, id.ptr);
    len += (size_t)sprintf(line + len, ",\"body\":\"");
    len += escape_json(text, n, line + len);
    memcpy(line + len, "\"}\n", 3);
    *n_line = len + 3;
    return line;
}

static void print_json(enum sprig_log_level level, const char *text, size_t n)
{
    size_t n_line;
    char *line = make_json(level, text, n, &n_line);
    if (line != NULL)
        sprig_log_print_text(line, n_line);
    else
        lose(1, ENOMEM);
    free(line);
}

enum { ORIGIN_BYTES = 200, PLAIN_BYTES = ORIGIN_BYTES + SPRIG_PRINT_BYTES + 32 };

/* Makes problems stand out on a terminal. */
static const char *colour_of(enum sprig_log_level level)
{
    struct log_target target = {.fd = STDERR_FILENO};
    if (level < SPRIG_LOG_WARN || out.target.syslog.n_address > 0 ||
        !log_target_has_colours(&target))
        return "";
    return level == SPRIG_LOG_WARN ? "\033[33m" : "\033[31m";
}

/* Fills buf, which has PLAIN_BYTES. */
static size_t make_plain(enum sprig_log_level level, const char *message, char *buf)
{
    size_t len = print_origin(level, buf, ORIGIN_BYTES);
    const char *colour = colour_of(level);
    return len + (size_t)snprintf(buf + len, PLAIN_BYTES - len, "%ssprig: %.*s%s\n", colour,
                                  (int)SPRIG_PRINT_BYTES, message, *colour ? "\033[0m" : "");
}

void sprig_log_print(enum sprig_log_level level, const char *message)
{
    char line[PLAIN_BYTES];
    out.target.syslog.level = level;
    if (level == SPRIG_LOG_ERROR)
        log_start_print(message);
    if (out.is_json)
        print_json(level, message, strnlen(message, SPRIG_PRINT_BYTES));
    else
        sprig_log_print_text(line, make_plain(level, message, line));
}

static void print_aside(enum sprig_log_level level, const char *message)
{
    char plain[PLAIN_BYTES], *line = NULL;
    size_t n;
    if (out.is_json)
        line = make_json(level, message, strnlen(message, SPRIG_PRINT_BYTES), &n);
    else
        n = make_plain(level, message, plain);
    if (!out.is_json || line != NULL)
        (void)!write_now(line != NULL ? line : plain, n);
    free(line);
}

void sprig_log_print_aside(enum sprig_log_level level, const char *message)
{
    int fd = out.target.fd;
    if (level < out.level)
        return;
    apart_borrow(STDERR_FILENO);
    if (fd != STDERR_FILENO)
        apart_borrow(fd);
    print_aside(level, message);
    if (fd != STDERR_FILENO)
        apart_give_back(fd);
    apart_give_back(STDERR_FILENO);
}

/* ---- what the application prints ---- */

/* The start of a line that has not been completed. */
static struct {
    char bytes[OUTPUT_BYTES];
    size_t n;
} part;

static void print_part(enum sprig_log_level level)
{
    if (part.n > 0)
        print_json(level, part.bytes, part.n);
    part.n = 0;
}

void sprig_log_print_output(enum sprig_log_level level, const char *text, size_t n)
{
    out.target.syslog.level = level;
    if (!out.is_json) {
        sprig_log_print_text(text, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n' || part.n == sizeof part.bytes)
            print_part(level);
        if (text[i] != '\n')
            part.bytes[part.n++] = text[i];
    }
}

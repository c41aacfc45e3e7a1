/* log.c - formats the core's messages, keeps them while libevent runs, and hands them to the sink.
 */
#include "base/log.h"
#include "base/invariant.h"
#include "base/stats.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_BYTES = 1024, KEPT_BYTES = 16 * 1024 };

static sprig_log_sink_cb *log_sink;
static enum sprig_log_level log_min = SPRIG_LOG_WARN;
static void *log_arg;

/* The current request. The watchdog's thread reads it while the loop is blocked. */
static struct log_request request;

void log_request_enter(struct sprig_span id, struct log_request *before)
{
    *before = request;
    before->is_other = true;
    request.n = (uint8_t)(id.len < LOG_REQUEST_BYTES ? id.len : LOG_REQUEST_BYTES);
    if (request.n > 0)
        memcpy(request.bytes, id.ptr, request.n);
}

void log_request_leave(const struct log_request *before)
{
    request = *before;
}

struct sprig_span log_request_id(void)
{
    return span_make(request.bytes, request.n);
}

/* The kept messages, each of them a level byte, a request id, NUL, the text, NUL. */
static struct {
    char *bytes; /* owned; NULL while nothing is kept */
    size_t len;
    unsigned depth;
    unsigned n_lost; /* messages that did not fit */
} kept;

void sprig_log_set_sink(sprig_log_sink_cb *sink, enum sprig_log_level min, void *arg)
{
    log_sink = sink;
    log_min = min;
    log_arg = arg;
}

static void keep(enum sprig_log_level level, const char *text, size_t len)
{
    if (!kept.bytes)
        kept.bytes = malloc(KEPT_BYTES);
    if (!kept.bytes || kept.len + request.n + len + 3 > KEPT_BYTES) {
        kept.n_lost++;
        stats_add(STAT_LOG_DROPPED, 1);
        return;
    }
    kept.bytes[kept.len++] = (char)level;
    memcpy(kept.bytes + kept.len, request.bytes, request.n);
    kept.len += request.n;
    kept.bytes[kept.len++] = '\0';
    memcpy(kept.bytes + kept.len, text, len + 1);
    kept.len += len + 1;
}

static void hand_over(enum sprig_log_level level, const char *text)
{
    if (log_sink && level >= log_min)
        log_sink(level, text, log_arg);
}

void log_clean(char *text)
{
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

__attribute__((format(printf, 2, 0))) static void
log_va(enum sprig_log_level level, const char *fmt, va_list args, bool is_later)
{
    char text[MESSAGE_BYTES];
    int n = vsnprintf(text, sizeof text, fmt, args);
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    log_clean(text);
    if (is_later)
        keep(level, text, len);
    else
        hand_over(level, text);
}

void sprig_log(enum sprig_log_level level, const char *fmt, ...)
{
    if (!log_sink || level < log_min)
        return;
    va_list args;
    va_start(args, fmt);
    log_va(level, fmt, args, kept.depth > 0);
    va_end(args);
}

void log_later(enum sprig_log_level level, const char *fmt, ...)
{
    if (!log_sink || level < log_min)
        return;
    va_list args;
    va_start(args, fmt);
    log_va(level, fmt, args, true);
    va_end(args);
}

void log_defer(void)
{
    kept.depth++;
}

/* The sink may itself log, hold and release, so everything is taken off first. */
__attribute__((noinline, cold)) static void hand_over_kept(void)
{
    char *bytes = kept.bytes;
    size_t len = kept.len;
    unsigned n_lost = kept.n_lost;
    kept.bytes = NULL;
    kept.len = kept.n_lost = 0;
    for (size_t at = 0; at < len;) {
        struct log_request before;
        enum sprig_log_level level = (enum sprig_log_level)bytes[at++];
        struct sprig_span id = span_str(bytes + at);
        at += id.len + 1;
        log_request_enter(id, &before);
        hand_over(level, bytes + at);
        log_request_leave(&before);
        at += strlen(bytes + at) + 1;
    }
    free(bytes);
    if (n_lost)
        sprig_log(SPRIG_LOG_WARN, "%u log messages lost: too many at once", n_lost);
}

void log_deliver(void)
{
    if (kept.depth == 0 && (kept.len > 0 || kept.n_lost > 0))
        hand_over_kept();
}

void log_undefer(void)
{
    if (INVARIANT(kept.depth > 0))
        kept.depth--;
    log_deliver();
}

/* How many bytes the escaped character takes. */
static size_t escaped_len(char c)
{
    return c >= 0x20 && c < 0x7f && c != '\\' && c != '"' ? 1 : 4;
}

char *log_escape(char *dst, size_t n, struct sprig_span bytes)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t total = 0;
    for (size_t i = 0; i < bytes.len && total < n; i++)
        total += escaped_len(bytes.ptr[i]);
    bool cut = total >= n;
    size_t room = cut ? n - 4 : n - 1; /* "..." and the terminator */
    char *at = dst;
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        size_t need = escaped_len(bytes.ptr[i]);
        if (need > room)
            break;
        room -= need;
        if (need == 1) {
            *at++ = (char)c;
            continue;
        }
        *at++ = '\\';
        *at++ = 'x';
        *at++ = hex[c >> 4];
        *at++ = hex[c & 15];
    }
    strcpy(at, cut ? "..." : "");
    return dst;
}

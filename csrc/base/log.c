/* log.c - formats messages of the core, keeps them while libevent runs, hands them to the sink. */
#include "base/log.h"
#include "base/invariant.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_BYTES = 1024, HELD_BYTES = 16 * 1024 };

static sprig_log_sink_cb *log_sink;
static enum sprig_log_level log_min = SPRIG_LOG_WARN;
static void *log_arg;

/* Messages kept while held: a level byte, the text, NUL, and so on. */
static struct {
    char *bytes; /* owned; NULL while nothing is kept */
    size_t len;
    unsigned depth;
    unsigned n_lost; /* messages that did not fit */
} held;

void sprig_log_set_sink(sprig_log_sink_cb *sink, enum sprig_log_level min, void *arg)
{
    log_sink = sink;
    log_min = min;
    log_arg = arg;
}

static void keep(enum sprig_log_level level, const char *text, size_t len)
{
    if (!held.bytes)
        held.bytes = malloc(HELD_BYTES);
    if (!held.bytes || held.len + len + 2 > HELD_BYTES) {
        held.n_lost++;
        return;
    }
    held.bytes[held.len] = (char)level;
    memcpy(held.bytes + held.len + 1, text, len + 1);
    held.len += len + 2;
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

__attribute__((format(printf, 2, 0))) static void tell(enum sprig_log_level level, const char *fmt,
                                                       va_list args, bool is_held)
{
    char text[MESSAGE_BYTES];
    int n = vsnprintf(text, sizeof text, fmt, args);
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    log_clean(text);
    if (is_held)
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
    tell(level, fmt, args, held.depth > 0);
    va_end(args);
}

void log_later(enum sprig_log_level level, const char *fmt, ...)
{
    if (!log_sink || level < log_min)
        return;
    va_list args;
    va_start(args, fmt);
    tell(level, fmt, args, true);
    va_end(args);
}

void log_hold(void)
{
    held.depth++;
}

/* The sink may log, hold and release in its turn: everything is taken off first. */
__attribute__((noinline, cold)) static void hand_over_kept(void)
{
    char *bytes = held.bytes;
    size_t len = held.len;
    unsigned n_lost = held.n_lost;
    held.bytes = NULL;
    held.len = held.n_lost = 0;
    for (size_t at = 0; at < len; at += strlen(bytes + at + 1) + 2)
        hand_over((enum sprig_log_level)bytes[at], bytes + at + 1);
    free(bytes);
    if (n_lost)
        sprig_log(SPRIG_LOG_WARN, "%u log messages lost: too many at once", n_lost);
}

void log_deliver(void)
{
    if (held.depth == 0 && (held.len > 0 || held.n_lost > 0))
        hand_over_kept();
}

void log_release(void)
{
    if (INVARIANT(held.depth > 0))
        held.depth--;
    log_deliver();
}

/* Bytes that this one takes when escaped. */
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

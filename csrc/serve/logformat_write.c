/* logformat_write.c - writes lines of the access log; see logformat.h */
#include "base/clock.h"
#include "base/number.h"
#include "http/date.h"
#include "serve/logformat_put.h"
#include <time.h>

enum { NS_PER_SECOND = 1000 * 1000 * 1000, NS_SLOW = NS_PER_SECOND / 5 };

/* [22/Nov/2026:00:52:42 +0000], whatever the locale. */
static void write_time(char *at, const struct tm *tm)
{
    long minutes = tm->tm_gmtoff / 60;
    *at++ = '[';
    at = log_put_two(at, (unsigned)tm->tm_mday);
    *at++ = '/';
    at = put(at, span_make(date_month((unsigned)tm->tm_mon), 3));
    *at++ = '/';
    at = log_put_two(at, (unsigned)(tm->tm_year + 1900) / 100 % 100);
    at = log_put_two(at, (unsigned)(tm->tm_year + 1900) % 100);
    *at++ = ':';
    at = log_put_two(at, (unsigned)tm->tm_hour);
    *at++ = ':';
    at = log_put_two(at, (unsigned)tm->tm_min);
    *at++ = ':';
    at = log_put_two(at, (unsigned)tm->tm_sec);
    *at++ = ' ';
    *at++ = minutes < 0 ? '-' : '+';
    minutes = minutes < 0 ? -minutes : minutes;
    at = log_put_two(at, (unsigned)(minutes / 60));
    at = log_put_two(at, (unsigned)(minutes % 60));
    *at++ = ']';
}

static time_t seconds_now(void)
{
    return (time_t)(clock_ns(CLOCK_REAL_CHEAP) / NS_PER_S);
}

/* Formatted once a second; the zone may change meanwhile, so it uses localtime, not _r. */
static char *put_time(char *at)
{
    static char text[LOG_TIME_BYTES];
    static time_t second = -1;
    time_t now = seconds_now();
    if (now != second) {
        const struct tm *tm = localtime(&now);
        if (!tm)
            return put(at, SPAN_LIT("-"));
        write_time(text, tm);
        second = now;
    }
    return put(at, span_make(text, sizeof(text)));
}

static char *put_strftime(char *at, struct sprig_span format)
{
    time_t now = seconds_now();
    const struct tm *tm = localtime(&now);
    char text[LOG_STRFTIME_BYTES];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = tm ? strftime(text, sizeof(text), format.ptr, tm) : 0;
#pragma GCC diagnostic pop
    *at++ = '[';
    at = log_put_escaped(at, span_make(text, n), false);
    *at++ = ']';
    return at;
}

/* The time of day and its text, kept as long as they are valid. */
struct iso_time {
    char text[CLOCK_TEXT_BYTES];
    size_t len;
    uint64_t second;   /* since 1970 */
    uint64_t until_ns; /* CLOCK_MONOTONIC: when the millisecond is over */
};

static void read_iso_time(struct iso_time *t, uint64_t now_ns)
{
    uint64_t real = clock_real_ns();
    if (t->len == 0 || real / NS_PER_S != t->second) {
        t->len = clock_print(real, t->text);
        t->second = real / NS_PER_S;
    } else {
        unsigned ms = (unsigned)(real / NS_PER_MS % 1000);
        t->text[t->len - 4] = (char)('0' + ms / 100); /* ".123Z" */
        log_put_two(t->text + t->len - 3, ms % 100);
    }
    t->until_ns = now_ns + NS_PER_MS - real % NS_PER_MS;
}

/* 2026-11-22T00:52:42.123Z, when the line is written. */
char *log_put_iso_time(char *at, uint64_t now_ns)
{
    static struct iso_time known;
    if (now_ns == 0 || now_ns >= known.until_ns)
        read_iso_time(&known, now_ns);
    memcpy(at, known.text, LOG_BLOCK_BYTES); /* more than the text has */
    return at + known.len;
}

/* Cached: a process has only one at a time. */
char *log_put_pid(char *at, pid_t pid)
{
    static char text[LOG_NUMBER_BYTES];
    static pid_t known;
    static size_t len;
    if (pid != known) {
        len = (size_t)(number_write(text, (uint64_t)pid) - text);
        known = pid;
    }
    return put(at, span_make(text, len));
}

/* 00:52:42 */
static char *put_clock(char *at)
{
    time_t now = seconds_now();
    const struct tm *tm = localtime(&now);
    if (tm == NULL)
        return put(at, SPAN_LIT("-"));
    at = log_put_two(at, (unsigned)tm->tm_hour);
    *at++ = ':';
    at = log_put_two(at, (unsigned)tm->tm_min);
    *at++ = ':';
    return log_put_two(at, (unsigned)tm->tm_sec);
}

/* "0.42 ms", "1.50 s" */
static char *put_took(char *at, uint64_t ns)
{
    bool is_long = ns >= NS_PER_SECOND;
    uint64_t hundredths = ns / (is_long ? NS_PER_SECOND / 100 : NS_PER_SECOND / 100000);
    at = number_write(at, hundredths / 100);
    *at++ = '.';
    at = log_put_two(at, (unsigned)(hundredths % 100));
    return put(at, is_long ? SPAN_LIT(" s") : SPAN_LIT(" ms"));
}

/* Our own texts. They may contain quotes, which would end a quoted field of some formats. */
char *log_put_reason(char *at, const char *reason)
{
    for (size_t i = 0; reason[i] != '\0' && i < LOG_REASON_BYTES; i++)
        *at++ = (char)(reason[i] == '"' || reason[i] == '\\' ? '\'' : reason[i]);
    return at;
}

/* Takes the next part of what was written before. */
static struct sprig_span next_part(const char **parts)
{
    uint32_t n;
    memcpy(&n, *parts, sizeof(n));
    struct sprig_span part = span_make(*parts + LOG_PART_BYTES, n);
    *parts = part.ptr + n;
    return part;
}

static char *put_late(const struct log_item *item, const struct log_output *out,
                      const char **headers, char *at)
{
    switch ((int)item->kind) {
    case LOG_USER:
        return put(at, out->user.len ? out->user : SPAN_LIT("-"));
    case LOG_TIME:
        return put_time(at);
    case LOG_STATUS:
        return log_put_status(at, out->status);
    case LOG_BYTES:
        return out->n_body ? number_write(at, out->n_body) : put(at, SPAN_LIT("-"));
    case LOG_SECONDS:
        return number_write(at, out->duration_ns / 1000000000);
    case LOG_MICROSECONDS:
        return number_write(at, out->duration_ns / 1000);
    case LOG_PID:
        return log_put_pid(at, out->pid);
    case LOG_OUT_HEADER:
        return put(at, *headers ? next_part(headers) : SPAN_LIT("-"));
    case LOG_STRFTIME:
        return put_strftime(at, item->text);
    case LOG_REFUSED:
        return out->refused != NULL ? log_put_reason(at, out->refused) : put(at, SPAN_LIT("-"));
    case LOG_ISO_TIME:
        return log_put_iso_time(at, out->now_ns);
    case LOG_QUEUE_TIME:
        return number_write(at, out->queue_ns / 1000);
    case LOG_APP_TIME:
        return number_write(at, out->app_ns / 1000);
    case LOG_SEND_TIME:
        return number_write(at, out->send_ns / 1000);
    case LOG_CLOCK:
        return put_clock(at);
    case LOG_TOOK:
        return put_took(at, out->duration_ns);
    }
    return at;
}

/* "" if the item has no colour. */
static const char *colour_of(const struct log_item *item, const struct log_output *out)
{
    static const char *const of_class[] = {"31", "36", "32", "36", "33", "31"};
    if (item->kind == LOG_CLOCK)
        return "2";
    if (item->kind == LOG_STATUS)
        return of_class[out->status < 600 ? out->status / 100 : 0];
    if (item->kind == LOG_TOOK)
        return out->duration_ns >= NS_PER_SECOND ? "31" : out->duration_ns >= NS_SLOW ? "33" : "2";
    return "";
}

static char *put_coloured(const struct log_item *item, const struct log_output *out,
                          const char **headers, char *at)
{
    struct sprig_span colour = span_str(colour_of(item, out));
    if (colour.len == 0)
        return put_late(item, out, headers, at);
    at = put(at, SPAN_LIT("\033["));
    at = put(at, colour);
    *at++ = 'm';
    at = put_late(item, out, headers, at);
    return put(at, SPAN_LIT("\033[0m"));
}

void log_format_line(const struct log_format *f, const struct log_output *out, struct log_buffer *b)
{
    const char *parts = out->input, *headers = out->headers;
    if (f->is_json) {
        log_json_line(out, b);
        return;
    }
    size_t most = out->input_bytes + out->headers_bytes + f->most_bytes;
    if (f->has_user)
        most += f->n_items * out->user.len;
    char *at = log_buffer_room(b, most);
    if (!at)
        return;
    for (const struct log_item *item = f->items, *end = item + f->n_items; item < end; item++) {
        if (item->n_early > 0) {
            at = put(at, next_part(&parts));
            item += item->n_early - 1;
            continue;
        }
        at = put_text(at, item->before);
        at = f->is_coloured ? put_coloured(item, out, &headers, at)
                            : put_late(item, out, &headers, at);
    }
    b->n = (size_t)(at - b->bytes);
}

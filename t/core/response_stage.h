/* response_stage.h - a response that is written to a queue, and what of it reaches the wire, as
 * text. */
#ifndef RESPONSE_STAGE_H
#define RESPONSE_STAGE_H

#include "base/err.h"
#include "http/date.h"
#include "http/response.h"
#include "tap.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct outq_pool pool;
static struct outq q;
static struct response r;
static char why[256];

/* ------------------------------------------------------------- the stage ---- */

/* Everything that was queued, as text; the value of Date, where it is of this time, as "DATE". */
static char wire[200000];
static size_t n_wire;
static int n_calls;

static inline ssize_t wire_writev(struct transport *t, const struct iovec *iov, int n, bool more)
{
    (void)t, (void)more;
    size_t before = n_wire;
    n_calls++;
    for (int i = 0; i < n; i++) {
        memcpy(wire + n_wire, iov[i].iov_base, iov[i].iov_len);
        n_wire += iov[i].iov_len;
    }
    return (ssize_t)(n_wire - before);
}

static inline ssize_t wire_sendfile(struct transport *t, int in_fd, uint64_t *offset, size_t n)
{
    (void)t;
    ssize_t got = pread(in_fd, wire + n_wire, n, (off_t)*offset);
    *offset += (uint64_t)got;
    n_wire += (size_t)got;
    return got;
}

static const struct transport_ops wire_ops = {.writev = wire_writev, .sendfile = wire_sendfile};
static struct transport to_wire = {.ops = &wire_ops, .fd = -1};

static inline bool is_now(const char *date)
{
    char text[DATE_LEN];
    for (time_t now = time(NULL), at = now - 2; at <= now + 1; at++) {
        date_format(text, at);
        if (memcmp(text, date, DATE_LEN) == 0)
            return true;
    }
    return false;
}

static inline const char *sent(void)
{
    uint64_t n;
    n_wire = 0;
    n_calls = 0;
    if (outq_flush(&q, &to_wire, 0, &n) != OUTQ_DRAINED)
        return "not drained";
    wire[n_wire] = '\0';
    char *date = strstr(wire, "\r\nDate: ");
    if (date && is_now(date + 8)) {
        memcpy(date + 8, "DATE", 4);
        memmove(date + 12, date + 8 + DATE_LEN, n_wire + 1 - (size_t)(date + 8 + DATE_LEN - wire));
        n_wire -= DATE_LEN - 4;
    }
    return wire;
}

static inline void sent_is(const char *expected, const char *name)
{
    sent();
    is_bytes(wire, n_wire, expected, "%s", name);
}

static bool no_chunks; /* of the next response */

/* Starts the response to a request: a method and what was special, "GET", "HEAD 1.0 close". The
 * client keeps the connection unless it says "close" or, in HTTP/1.0, does not say "keep". */
static inline void start(const char *request)
{
    bool old = strstr(request, "1.0") != NULL;
    struct sprig_request req = {.version = old ? 10 : 11, .is_head = !strncmp(request, "HEAD", 4)};
    req.method = span_make(request, strcspn(request, " "));
    req.keep_alive = old ? strstr(request, "keep") != NULL : !strstr(request, "close");
    req.upgrade = strstr(request, "upgrade") != NULL;
    outq_clear(&q);
    response_init(&r, &req, strstr(request, "draining") == NULL);
    r.no_chunks = no_chunks;
}

/* Splits "Name: value|Name: value". */
static inline size_t split(const char *text, struct sprig_header *headers)
{
    size_t n = 0;
    while (*text) {
        size_t line = strcspn(text, "|"), name = strcspn(text, ":");
        headers[n].name = span_make(text, name);
        headers[n++].value = span_trim(span_make(text + name + 1, line - name - 1));
        text += line + (text[line] == '|');
    }
    return n;
}

static const char *server_header;

static inline int head(int status, const char *headers, uint64_t length)
{
    struct sprig_header split_up[20];
    struct sprig_head h = {.status = status, .headers = split_up, .length = length};
    h.n_headers = split(headers, split_up);
    strcpy(why, "untouched");
    return response_head(&r, &q, &h, server_header, why, sizeof(why));
}

static inline int body(const char *text)
{
    return response_body(&r, &q, span_str(text));
}

static inline int end(void)
{
    return response_end(&r, &q);
}

#define UNKNOWN SPRIG_LENGTH_UNKNOWN
#define DATE    "Date: DATE\r\n"

static inline void stage_open(void)
{
    outq_pool_init(&pool);
    outq_init(&q, &pool);
}

static inline int stage_close(void)
{
    outq_clear(&q);
    outq_pool_clear(&pool);
    return done_testing();
}

#endif

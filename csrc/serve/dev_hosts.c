/* dev_hosts.c - see dev_hosts.h */
#include "serve/dev_hosts.h"

#include <arpa/inet.h>
#include <stdio.h>

/* ------------------------------------------------------------------- names ---- */

/* "[::1]:5000" becomes "::1", "localhost.:5000" becomes "localhost". */
static struct sprig_span bare_name(struct sprig_span host)
{
    if (host.len > 0 && host.ptr[0] == '[') {
        const char *end = memchr(host.ptr, ']', host.len);
        return end != NULL ? span_make(host.ptr + 1, (size_t)(end - host.ptr) - 1) : host;
    }
    const char *colon = memchr(host.ptr, ':', host.len);
    size_t n = colon != NULL ? (size_t)(colon - host.ptr) : host.len;
    return span_make(host.ptr, n > 0 && host.ptr[n - 1] == '.' ? n - 1 : n);
}

/* `end` is ".test" for all names below test. */
static bool ends_with(struct sprig_span name, struct sprig_span end)
{
    return name.len > end.len && span_ieq(span_make(name.ptr + name.len - end.len, end.len), end);
}

static bool is_loopback(struct sprig_span name)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;
    if (name.len >= sizeof text)
        return false;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool matches(struct sprig_span name, struct sprig_span pattern)
{
    if (pattern.len > 1 && pattern.ptr[0] == '*')
        return ends_with(name, span_make(pattern.ptr + 1, pattern.len - 1));
    return pattern.len > 0 && span_ieq(name, pattern);
}

bool dev_hosts_has(const char *list, struct sprig_span host)
{
    struct sprig_span name = bare_name(host);
    if (span_ieq(name, SPAN_LIT("localhost")) || ends_with(name, SPAN_LIT(".localhost")) ||
        is_loopback(name))
        return true;
    for (const char *at = list != NULL ? list : ""; *at != '\0';) {
        size_t n = strcspn(at, ",");
        if (matches(name, span_trim(span_make(at, n))))
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

/* ---------------------------------------------------------------- requests ---- */

static void answer(struct sprig_exchange *ex, struct sprig_span name)
{
    static struct sprig_header fields[] = {
        {SPAN_LIT("Content-Type"), SPAN_LIT("text/plain; charset=utf-8")},
        {SPAN_LIT("X-Content-Type-Options"), SPAN_LIT("nosniff")},
        {SPAN_LIT("Cache-Control"), SPAN_LIT("no-store")}};
    char text[512], why[256];
    int n_name = name.len < 100 ? (int)name.len : 100;
    int n = snprintf(text, sizeof text,
                     "sprig --dev does not answer for the host %.*s: a page on the web could read "
                     "your application this way.\nIf the host is yours, start sprig with "
                     "--dev-hosts %.*s\n",
                     n_name, name.ptr, n_name, name.ptr);
    struct sprig_head head = {403, fields, sizeof fields / sizeof *fields, (uint64_t)n};
    if (sprig_response_head(ex, &head, why, sizeof why) == 0 &&
        sprig_response_write(ex, span_make(text, (size_t)n)) >= 0)
        sprig_response_end(ex);
}

bool dev_hosts_refuse(struct sprig_exchange *ex)
{
    const struct sprig_request *req = &ex->in->request;
    struct sprig_span host = req->authority;
    if (host.ptr == NULL)
        host = request_header(req, SPAN_LIT("host"));
    if (host.len == 0 || dev_hosts_has(ex->conn->server->config.dev_hosts, host))
        return false;
    conn_tell(ex->conn, ex, 403, "dev_hosts: the host that was asked for is not this machine");
    answer(ex, bare_name(host));
    return true;
}

/* target.c - checks and splits the request target. */
#include "http/target.h"
#include "base/number.h"
#include "http/chars.h"
#include <arpa/inet.h>

static bool is_percent_triplet(const char *at, const char *end)
{
    return end - at >= 3 && char_is(at[1], CHAR_HEX) && char_is(at[2], CHAR_HEX);
}

/* Registered names and IPv4 addresses: *( unreserved / pct-encoded / sub-delims ). */
static const char *skip_name(const char *at, const char *end)
{
    while (at < end) {
        if (char_is(*at, CHAR_REGNAME))
            at++;
        else if (*at == '%' && is_percent_triplet(at, end))
            at += 3;
        else
            break;
    }
    return at;
}

/* After the "v" of IPvFuture: 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ). */
static bool is_future(const char *at, const char *end)
{
    const char *dot = at;
    while (dot < end && char_is(*dot, CHAR_HEX))
        dot++;
    if (dot == at || dot == end || *dot != '.' || dot + 1 == end)
        return false;
    for (at = dot + 1; at < end; at++)
        if (*at != ':' && !char_is(*at, CHAR_REGNAME))
            return false;
    return true;
}

/* "[" IPv6address / IPvFuture "]". NULL: neither. */
static const char *skip_literal(const char *at, const char *end)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    const char *close = memchr(at, ']', (size_t)(end - at));
    if (!close)
        return NULL;
    size_t n = (size_t)(close - at - 1);
    if (n > 0 && (at[1] == 'v' || at[1] == 'V'))
        return is_future(at + 2, close) ? close + 1 : NULL;
    if (n >= sizeof text)
        return NULL;
    memcpy(text, at + 1, n);
    text[n] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1 ? close + 1 : NULL;
}

/* RFC 3986 section 3.2.3: *DIGIT. */
static bool is_port(const char *at, const char *end)
{
    uint64_t port;
    return at == end || number_read(span_make(at, (size_t)(end - at)), 65535, &port);
}

bool target_is_authority(struct sprig_span s)
{
    if (s.len == 0)
        return false;
    const char *end = s.ptr + s.len;
    const char *host_end = *s.ptr == '[' ? skip_literal(s.ptr, end) : skip_name(s.ptr, end);
    if (!host_end || host_end == s.ptr)
        return false;
    return host_end == end || (*host_end == ':' && is_port(host_end + 1, end));
}

static const char *check_connect(struct sprig_span target)
{
    if (!target_is_authority(target))
        return "CONNECT target is not host:port";
    /* "[::1]" has colons but no digit at its end, "a1" has a digit but no colon. */
    if (!char_is(target.ptr[target.len - 1], CHAR_DIGIT) || !memchr(target.ptr, ':', target.len))
        return "CONNECT target has no port";
    return NULL;
}

/* The length of "http://" or "https://"; 0 if it is neither. */
static size_t scheme_len(struct sprig_span target)
{
    if (target.len >= 7 && strncasecmp(target.ptr, "http://", 7) == 0)
        return 7;
    if (target.len >= 8 && strncasecmp(target.ptr, "https://", 8) == 0)
        return 8;
    return 0;
}

/* The end of the authority that starts at `at`: at '/', '?' or `end`. */
static const char *authority_end(const char *at, const char *end)
{
    while (at < end && *at != '/' && *at != '?')
        at++;
    return at;
}

/* Checks the path, up to the query. */
static const char *check_path(const char **from, const char *end)
{
    const char *at = *from;
    for (; at < end && *at != '?' && char_is(*at, CHAR_TARGET); at++) {
        if (*at != '%')
            continue;
        if (!is_percent_triplet(at, end))
            return "bad percent-encoding in the path";
        if (at[1] == '0' && at[2] == '0')
            return "%00 in the path";
    }
    *from = at;
    return NULL;
}

/* Checks every byte of path and query. */
static const char *check_bytes(const char *at, const char *end)
{
    const char *reason = check_path(&at, end);
    if (reason)
        return reason;
    while (at < end && char_is(*at, CHAR_TARGET))
        at++;
    if (at == end)
        return NULL;
    return *at == '#' ? "fragment in the request target"
                      : "invalid character in the request target";
}

const char *target_check(struct sprig_span method, struct sprig_span target)
{
    if (target.len == 0)
        return "empty request target";
    const char *at = target.ptr, *end = target.ptr + target.len;
    if (span_eq(method, SPAN_LIT("CONNECT")))
        return check_connect(target);
    if (*at == '/')
        return check_bytes(at, end);
    if (span_eq(target, SPAN_LIT("*")))
        return span_eq(method, SPAN_LIT("OPTIONS")) ? NULL : "'*' is for OPTIONS only";
    size_t scheme = scheme_len(target);
    if (scheme == 0)
        return "request target is neither a path nor an http URI";
    at += scheme;
    const char *path = authority_end(at, end);
    if (!target_is_authority(span_make(at, (size_t)(path - at))))
        return "bad host in the request target";
    return check_bytes(path, end);
}

bool target_split(struct sprig_request *req)
{
    const char *at = req->target.ptr, *end = req->target.ptr + req->target.len;
    req->query = span_make(end, 0);
    req->path = SPAN_LIT("/");
    if (*at != '/') {
        size_t scheme = scheme_len(req->target);
        if (scheme == 0 || span_eq(req->method, SPAN_LIT("CONNECT"))) {
            req->uri = req->target;
            return false;
        }
        at += scheme;
        const char *path = authority_end(at, end);
        req->authority = span_make(at, (size_t)(path - at));
        at = path;
    }
    req->uri = span_make(at, (size_t)(end - at));
    const char *mark = at < end ? memchr(at, '?', (size_t)(end - at)) : NULL;
    const char *path_end = mark ? mark : end;
    if (mark)
        req->query = span_make(mark + 1, (size_t)(end - mark - 1));
    if (path_end > at)
        req->path = span_make(at, (size_t)(path_end - at));
    else if (at == end)
        req->uri = req->path;
    return path_end == at && at < end;
}

/* proxy.c - the PROXY protocol and forwarding header fields; see proxy.h */
#include "proxy.h"

#include "target.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------- PROXY protocol, version 1 ---- */

enum { V1_MAX_BYTES = 107 };

/* The next word of a line of words with one space between; false at the end. */
static bool next_word(struct sprig_span *line, struct sprig_span *word)
{
    if (line->ptr == NULL)
        return false;
    const char *space = memchr(line->ptr, ' ', line->len);
    size_t n = space ? (size_t)(space - line->ptr) : line->len;
    *word = span_make(line->ptr, n);
    *line = space ? span_make(space + 1, line->len - n - 1) : span_make(NULL, 0);
    return true;
}

static bool copy_word(struct sprig_span word, char *to, size_t n)
{
    if (word.len == 0 || word.len >= n)
        return false;
    memcpy(to, word.ptr, word.len);
    to[word.len] = '\0';
    return true;
}

static bool is_port(struct sprig_span s)
{
    unsigned v = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s.ptr[i] - '0');
    }
    return s.len > 0 && s.len <= 5 && v <= 65535 && (s.len == 1 || s.ptr[0] != '0');
}

static bool read_host(struct sprig_span *line, int family, char *to, size_t n)
{
    struct sprig_span word;
    uint8_t bytes[16];
    return next_word(line, &word) && copy_word(word, to, n) && inet_pton(family, to, bytes) == 1;
}

static bool read_port(struct sprig_span *line, char *to, size_t n)
{
    struct sprig_span word;
    return next_word(line, &word) && is_port(word) && copy_word(word, to, n);
}

static bool read_v1(struct sprig_span line, struct proxy_header *out)
{
    struct sprig_span word;
    next_word(&line, &word); /* PROXY */
    if (!next_word(&line, &word))
        return false;
    if (span_eq(word, SPAN_LIT("UNKNOWN")))
        return true;
    int family = span_eq(word, SPAN_LIT("TCP4"))   ? AF_INET
                 : span_eq(word, SPAN_LIT("TCP6")) ? AF_INET6
                                                   : -1;
    out->is_told = true;
    return family != -1 && read_host(&line, family, out->remote_host, sizeof out->remote_host) &&
           read_host(&line, family, out->local_host, sizeof out->local_host) &&
           read_port(&line, out->remote_port, sizeof out->remote_port) &&
           read_port(&line, out->local_port, sizeof out->local_port) && line.ptr == NULL;
}

static long parse_v1(struct sprig_span bytes, struct proxy_header *out)
{
    const char *lf = memchr(bytes.ptr, '\n', bytes.len < V1_MAX_BYTES ? bytes.len : V1_MAX_BYTES);
    if (lf == NULL)
        return bytes.len < V1_MAX_BYTES ? 0 : -1;
    size_t n = (size_t)(lf - bytes.ptr);
    if (lf[-1] != '\r' || !read_v1(span_make(bytes.ptr, n - 1), out))
        return -1;
    return (long)n + 1;
}

/* ------------------------------------------------- PROXY protocol, version 2 ---- */

static const struct sprig_span v2_signature = {"\r\n\r\n\0\r\nQUIT\n", 12};

enum { V2_FIXED_BYTES = 16, V2_LOCAL = 0x20, V2_PROXY = 0x21, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };

static void read_v2(const unsigned char *p, int family, size_t n_address, struct proxy_header *out)
{
    const unsigned char *ports = p + 2 * n_address;
    inet_ntop(family, p, out->remote_host, sizeof out->remote_host);
    inet_ntop(family, p + n_address, out->local_host, sizeof out->local_host);
    snprintf(out->remote_port, sizeof out->remote_port, "%d", ports[0] << 8 | ports[1]);
    snprintf(out->local_port, sizeof out->local_port, "%d", ports[2] << 8 | ports[3]);
    out->is_told = true;
}

static long parse_v2(struct sprig_span bytes, struct proxy_header *out)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    if (bytes.len > 12 && p[12] != V2_LOCAL && p[12] != V2_PROXY)
        return -1;
    if (bytes.len < V2_FIXED_BYTES)
        return 0;
    size_t n = (size_t)(p[14] << 8 | p[15]);
    bool is_tcp4 = p[12] == V2_PROXY && p[13] == V2_TCP4;
    bool is_tcp6 = p[12] == V2_PROXY && p[13] == V2_TCP6;
    if (n > PROXY_MAX_BYTES || (is_tcp4 && n < 12) || (is_tcp6 && n < 36))
        return -1;
    if (bytes.len < V2_FIXED_BYTES + n)
        return 0;
    if (is_tcp4)
        read_v2(p + V2_FIXED_BYTES, AF_INET, 4, out);
    else if (is_tcp6)
        read_v2(p + V2_FIXED_BYTES, AF_INET6, 16, out);
    return (long)(V2_FIXED_BYTES + n);
}

/* True if what has come of `bytes` is how `start` begins. */
static bool may_start(struct sprig_span bytes, struct sprig_span start)
{
    return memcmp(bytes.ptr, start.ptr, bytes.len < start.len ? bytes.len : start.len) == 0;
}

long proxy_header_parse(struct sprig_span bytes, struct proxy_header *out)
{
    memset(out, 0, sizeof *out);
    if (bytes.len == 0)
        return 0;
    if (may_start(bytes, SPAN_LIT("PROXY ")))
        return bytes.len < 6 ? 0 : parse_v1(bytes, out);
    if (may_start(bytes, v2_signature))
        return bytes.len < v2_signature.len ? 0 : parse_v2(bytes, out);
    return -1;
}

/* -------------------------------------------------------- header fields ---- */

/* The last elements of all header lines of one name, taken together as one list. */
enum { MAX_ELEMENTS = 32 };

struct elements {
    struct sprig_span at[MAX_ELEMENTS];
    uint32_t n;
};

static void elements_read(struct elements *e, const struct sprig_request *req,
                          struct sprig_span name)
{
    e->n = 0;
    for (uint32_t i = 0; i < req->n_headers; i++) {
        if (!span_ieq(req->headers[i].name, name))
            continue;
        struct sprig_span list = req->headers[i].value, element;
        while (span_next_element(&list, &element)) {
            if (e->n == MAX_ELEMENTS)
                memmove(e->at, e->at + 1, --e->n * sizeof *e->at);
            e->at[e->n++] = element;
        }
    }
}

/* The element that the proxy wrote which is `hops` away, or the first if there are not so many. */
static struct sprig_span elements_pick(const struct elements *e, uint32_t hops)
{
    if (e->n == 0)
        return span_make(NULL, 0);
    return e->at[hops == 0 || hops > e->n ? (hops == 0 ? e->n - 1 : 0) : e->n - hops];
}

/* "1.2.3.4", "1.2.3.4:80", "::1", "[::1]", "[::1]:80" into address and port. */
static bool split_node(struct sprig_span node, struct sprig_span *host, struct sprig_span *port)
{
    const char *colon = memrchr(node.ptr ? node.ptr : "", ':', node.len);
    *host = node;
    *port = span_make(NULL, 0);
    if (node.len > 1 && node.ptr[0] == '[') {
        const char *end = memchr(node.ptr, ']', node.len);
        if (end == NULL)
            return false;
        *host = span_make(node.ptr + 1, (size_t)(end - node.ptr) - 1);
        size_t n_rest = node.len - host->len - 2;
        if (n_rest > 0 && end[1] == ':')
            *port = span_make(end + 2, n_rest - 1);
        else if (n_rest > 0)
            return false;
    } else if (colon != NULL && memchr(node.ptr, ':', node.len) == colon) {
        *host = span_make(node.ptr, (size_t)(colon - node.ptr));
        *port = span_make(colon + 1, node.len - host->len - 1);
    }
    if (port->ptr != NULL && !is_port(*port))
        *port = span_make(NULL, 0); /* RFC 7239 allows obfuscated ones */
    return cidr_is_address(*host);
}

/* The value of a parameter of a Forwarded element ("for=...;proto=..."), quotes removed. */
static struct sprig_span parameter(struct sprig_span element, struct sprig_span name)
{
    while (element.len > 0) {
        const char *end = memchr(element.ptr, ';', element.len);
        size_t n = end ? (size_t)(end - element.ptr) : element.len;
        struct sprig_span pair = span_trim(span_make(element.ptr, n));
        element = end ? span_make(end + 1, element.len - n - 1) : span_make(NULL, 0);
        if (pair.len <= name.len || pair.ptr[name.len] != '=' ||
            !span_ieq(span_make(pair.ptr, name.len), name))
            continue;
        struct sprig_span v = span_make(pair.ptr + name.len + 1, pair.len - name.len - 1);
        if (v.len >= 2 && v.ptr[0] == '"' && v.ptr[v.len - 1] == '"')
            v = span_make(v.ptr + 1, v.len - 2);
        return v;
    }
    return span_make(NULL, 0);
}

/* From right to left, as long as the address is that of a trusted proxy. Returns how many elements
 * were used. */
static uint32_t find_client(const struct elements *e, const struct cidr_list *trusted,
                            bool is_rfc7239, struct sprig_forwarded *out)
{
    uint32_t hops = 0;
    while (hops < e->n) {
        struct sprig_span node = e->at[e->n - hops - 1], host, port;
        if (is_rfc7239)
            node = parameter(node, SPAN_LIT("for"));
        if (!split_node(node, &host, &port))
            break;
        hops++;
        out->remote_host = host;
        out->remote_port = port.ptr != NULL ? port : span_make("", 0);
        if (!cidr_list_has(trusted, host))
            break;
    }
    return hops;
}

static struct sprig_span valid_scheme(struct sprig_span s)
{
    if (s.ptr != NULL && span_ieq(s, SPAN_LIT("https")))
        return SPAN_LIT("https");
    if (s.ptr != NULL && span_ieq(s, SPAN_LIT("http")))
        return SPAN_LIT("http");
    return span_make(NULL, 0);
}

/* The port that the client used: as told, or that of the host, or that of the scheme. */
static void complete_port(struct sprig_forwarded *out, struct sprig_span told)
{
    if (told.ptr != NULL && is_port(told)) {
        out->port = told;
        return;
    }
    struct sprig_span host = out->host;
    const char *colon = host.ptr != NULL ? memrchr(host.ptr, ':', host.len) : NULL;
    struct sprig_span port = span_make(NULL, 0);
    if (colon != NULL && memchr(colon, ']', host.len - (size_t)(colon - host.ptr)) == NULL)
        port = span_make(colon + 1, host.len - (size_t)(colon - host.ptr) - 1);
    if (port.ptr != NULL && is_port(port))
        out->port = port;
    else if (out->scheme.ptr != NULL)
        out->port = out->scheme.len == 5 ? SPAN_LIT("443") : SPAN_LIT("80");
}

static void take_host(struct sprig_forwarded *out, struct sprig_span host)
{
    if (host.ptr != NULL && target_is_authority(host))
        out->host = host;
}

static void read_rfc7239(const struct sprig_request *req, const struct cidr_list *trusted,
                         struct sprig_forwarded *out)
{
    struct elements e;
    elements_read(&e, req, SPAN_LIT("Forwarded"));
    uint32_t hops = find_client(&e, trusted, true, out);
    struct sprig_span element = elements_pick(&e, hops);
    out->scheme = valid_scheme(parameter(element, SPAN_LIT("proto")));
    take_host(out, parameter(element, SPAN_LIT("host")));
    complete_port(out, span_make(NULL, 0));
}

static void read_x_forwarded(const struct sprig_request *req, const struct cidr_list *trusted,
                             struct sprig_forwarded *out)
{
    struct elements e;
    elements_read(&e, req, SPAN_LIT("X-Forwarded-For"));
    uint32_t hops = find_client(&e, trusted, false, out);
    elements_read(&e, req, SPAN_LIT("X-Forwarded-Proto"));
    out->scheme = valid_scheme(elements_pick(&e, hops));
    elements_read(&e, req, SPAN_LIT("X-Forwarded-Host"));
    take_host(out, elements_pick(&e, hops));
    elements_read(&e, req, SPAN_LIT("X-Forwarded-Port"));
    complete_port(out, elements_pick(&e, hops));
}

void proxy_forwarded(const struct sprig_request *req, const struct cidr_list *trusted,
                     enum sprig_proxy_headers which, struct sprig_span peer,
                     struct sprig_forwarded *out)
{
    memset(out, 0, sizeof *out);
    if (!cidr_list_has(trusted, peer))
        return;
    if (which == SPRIG_PROXY_FORWARDED)
        read_rfc7239(req, trusted, out);
    else if (which == SPRIG_PROXY_X_FORWARDED)
        read_x_forwarded(req, trusted, out);
}

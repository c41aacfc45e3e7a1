/* proxy.c - the PROXY protocol and forwarding headers; see proxy.h */
#include "http/proxy.h"

#include "base/number.h"
#include "http/elements.h"
#include "http/target.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* Why no PROXY header was found. */
enum { PROXY_MALFORMED = -1, PROXY_TOO_LARGE = -2, PROXY_NONE = -3 };

/* ------------------------------------------------- PROXY protocol, version 1 ---- */

enum { V1_MAX_BYTES = 107 };

/* Takes the next word of a line with one space between words; false at the end. */
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

/* Refuses leading zeros, because programs compare ports as text. */
static bool is_port(struct sprig_span s)
{
    uint64_t port;
    return number_read(s, 65535, &port) && (s.len == 1 || s.ptr[0] != '0');
}

static bool read_host(struct sprig_span *line, int family, char *to, size_t n)
{
    struct sprig_span word;
    uint8_t bytes[16];
    if (!next_word(line, &word) || !copy_word(word, to, n) || inet_pton(family, to, bytes) != 1)
        return false;
    cidr_print(family, bytes, to);
    return true;
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
        return bytes.len < V1_MAX_BYTES ? 0 : PROXY_MALFORMED;
    size_t n = (size_t)(lf - bytes.ptr);
    if (lf[-1] != '\r' || !read_v1(span_make(bytes.ptr, n - 1), out))
        return PROXY_MALFORMED;
    return (long)n + 1;
}

/* ------------------------------------------------- PROXY protocol, version 2 ---- */

static const struct sprig_span v2_signature = {"\r\n\r\n\0\r\nQUIT\n", 12};

enum { V2_FIXED_BYTES = 16, V2_LOCAL = 0x20, V2_PROXY = 0x21, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };

static void read_v2(const unsigned char *p, int family, size_t n_address, struct proxy_header *out)
{
    const unsigned char *ports = p + 2 * n_address;
    cidr_print(family, p, out->remote_host);
    cidr_print(family, p + n_address, out->local_host);
    snprintf(out->remote_port, sizeof out->remote_port, "%d", ports[0] << 8 | ports[1]);
    snprintf(out->local_port, sizeof out->local_port, "%d", ports[2] << 8 | ports[3]);
    out->is_told = true;
}

static long parse_v2(struct sprig_span bytes, struct proxy_header *out)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    if (bytes.len > 12 && p[12] != V2_LOCAL && p[12] != V2_PROXY)
        return PROXY_MALFORMED;
    if (bytes.len < V2_FIXED_BYTES)
        return 0;
    size_t n = (size_t)(p[14] << 8 | p[15]);
    bool is_tcp4 = p[12] == V2_PROXY && p[13] == V2_TCP4;
    bool is_tcp6 = p[12] == V2_PROXY && p[13] == V2_TCP6;
    if (n > PROXY_MAX_BYTES)
        return PROXY_TOO_LARGE;
    if ((is_tcp4 && n < 12) || (is_tcp6 && n < 36))
        return PROXY_MALFORMED;
    if (bytes.len < V2_FIXED_BYTES + n)
        return 0;
    if (is_tcp4)
        read_v2(p + V2_FIXED_BYTES, AF_INET, 4, out);
    else if (is_tcp6)
        read_v2(p + V2_FIXED_BYTES, AF_INET6, 16, out);
    return (long)(V2_FIXED_BYTES + n);
}

/* True if `bytes`, perhaps incomplete, match the beginning of `start`. */
static bool may_start(struct sprig_span bytes, struct sprig_span start)
{
    return memcmp(bytes.ptr, start.ptr, bytes.len < start.len ? bytes.len : start.len) == 0;
}

static long parse(struct sprig_span bytes, struct proxy_header *out)
{
    if (bytes.len == 0)
        return 0;
    if (may_start(bytes, SPAN_LIT("PROXY ")))
        return bytes.len < 6 ? 0 : parse_v1(bytes, out);
    if (may_start(bytes, v2_signature))
        return bytes.len < v2_signature.len ? 0 : parse_v2(bytes, out);
    return PROXY_NONE;
}

long proxy_header_parse(struct sprig_span bytes, struct proxy_header *out, const char **reason)
{
    memset(out, 0, sizeof *out);
    long rc = parse(bytes, out);
    *reason = rc >= 0                 ? NULL
              : rc == PROXY_NONE      ? "PROXY protocol: there is no PROXY header"
              : rc == PROXY_TOO_LARGE ? "PROXY protocol: the header has more than 4096 bytes"
                                      : "PROXY protocol: the header is malformed";
    return rc;
}

/* -------------------------------------------------------- header fields ---- */

/* The elements of all header lines with one name, as one list, last element first, because a proxy
 * appends to what it received. Empty elements do not count. */
enum { MAX_ELEMENTS = PROXY_MAX_HOPS };

struct elements {
    struct sprig_span at[MAX_ELEMENTS];
    uint32_t n;
};

static void elements_read(struct elements *e, const struct sprig_request *req,
                          struct sprig_span name)
{
    e->n = 0;
    for (uint32_t i = req->n_headers; i-- > 0;) {
        if (!span_ieq(req->headers[i].name, name))
            continue;
        struct sprig_span list = req->headers[i].value, element;
        while (e->n < MAX_ELEMENTS && element_last(&list, &element))
            if (element.len > 0)
                e->at[e->n++] = element;
    }
}

/* The element written by the proxy that is `hops` away, or the furthest if there are fewer; the
 * nearest if no proxy was passed. */
static struct sprig_span elements_pick(const struct elements *e, uint32_t hops)
{
    if (e->n == 0)
        return span_make(NULL, 0);
    uint32_t last = hops < e->n ? hops : e->n;
    return e->at[last > 0 ? last - 1 : 0];
}

/* Splits "1.2.3.4", "1.2.3.4:80", "::1", "[::1]" or "[::1]:80" into address and port. */
static bool split_node(struct sprig_span node, struct sprig_span *host, struct sprig_span *port)
{
    const char *colon = memrchr(node.ptr ? node.ptr : "", ':', node.len);
    *host = node;
    *port = span_make(NULL, 0);
    if (node.len > 1 && node.ptr[0] == '[') {
        const char *end = memchr(node.ptr, ']', node.len);
        if (end == NULL)
            return false;
        size_t n_rest = node.len - (size_t)(end + 1 - node.ptr);
        *host = span_make(node.ptr + 1, (size_t)(end - node.ptr) - 1);
        if (n_rest > 1 && end[1] == ':')
            *port = span_make(end + 2, n_rest - 1);
        else if (n_rest > 0)
            return false;
    } else if (colon != NULL && memchr(node.ptr, ':', node.len) == colon) {
        *host = span_make(node.ptr, (size_t)(colon - node.ptr));
        *port = span_make(colon + 1, node.len - host->len - 1);
    }
    if (port->ptr != NULL && !is_port(*port))
        *port = span_make(NULL, 0); /* RFC 7239 allows obfuscated ports */
    *host = cidr_unmapped(*host);
    return cidr_is_address(*host);
}

/* ----------------------------------------------------------------- RFC 7239 ---- */

/* One element of Forwarded; ptr NULL: not given. A quoted value still has its backslashes. */
struct forwarded_element {
    struct sprig_span node, proto, host;
};

/* Where to store a parameter's value; NULL: a parameter that is not used. */
static struct sprig_span *parameter(struct forwarded_element *f, struct sprig_span name)
{
    return span_ieq(name, SPAN_LIT("for"))     ? &f->node
           : span_ieq(name, SPAN_LIT("proto")) ? &f->proto
           : span_ieq(name, SPAN_LIT("host"))  ? &f->host
                                               : NULL;
}

/* Reads the value at *at, up to ';' or `end`. False: malformed. */
static bool read_parameter_value(const char **at, const char *end, struct sprig_span *value)
{
    const char *start = *at;
    if (start < end && *start == '"') {
        const char *behind = element_quoted_end(start, end);
        if (behind == NULL)
            return false;
        *value = span_make(start + 1, (size_t)(behind - start) - 2);
        *at = behind;
        return true;
    }
    while (*at < end && **at != ';' && **at != '"' && **at != '\\' && **at > ' ')
        ++*at;
    *value = span_make(start, (size_t)(*at - start));
    return value->len > 0;
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* Reads "name=value" at *at and the separator after it. False: malformed, or given twice. */
static bool read_pair(const char **at, const char *end, struct forwarded_element *f)
{
    const char *equals = memchr(*at, '=', (size_t)(end - *at));
    struct sprig_span value;
    if (equals == NULL)
        return false;
    struct sprig_span *to = parameter(f, span_make(*at, (size_t)(equals - *at)));
    *at = equals + 1;
    if (!read_parameter_value(at, end, &value) || (to != NULL && to->ptr != NULL))
        return false;
    if (to != NULL)
        *to = value;
    *at = skip_blanks(*at, end);
    return *at == end || **at == ';';
}

/* Reads "for=192.0.2.1;proto=https;host=\"a:8080\"". Nothing in a malformed element is trusted. */
static struct forwarded_element forwarded_read(struct sprig_span element)
{
    static const struct forwarded_element nothing;
    struct forwarded_element f = nothing;
    if (element.len == 0)
        return nothing;
    const char *at = element.ptr, *end = at + element.len;
    while (at < end) {
        at = skip_blanks(at, end);
        if (at < end && *at != ';' && !read_pair(&at, end, &f))
            return nothing;
        at += at < end; /* ';' */
    }
    return f;
}

/* ------------------------------------------------------------------ the client ---- */

/* Walks from the nearest hop on, as long as it is a trusted proxy. Returns how many elements were
 * used. */
static uint32_t find_client(const struct elements *e, const struct cidr_list *trusted,
                            bool is_rfc7239, struct sprig_forwarded *out)
{
    uint32_t hops = 0;
    while (hops < e->n) {
        struct sprig_span node = e->at[hops], host, port;
        char *room = out->room.nodes[hops % 2]; /* the other one may hold the previous hop */
        if (is_rfc7239)
            node = forwarded_read(node).node;
        if (is_rfc7239 && !element_unescape(&node, room, sizeof out->room.nodes[0]))
            break;
        if (!split_node(node, &host, &port))
            break;
        hops++;
        out->remote_host = host;
        out->remote_port = port.ptr != NULL ? port : span_make("", 0);
        if (trusted->hops != 0 ? hops == trusted->hops : !cidr_list_has(trusted, host))
            break;
    }
    return hops;
}

/* Also takes the WebSocket schemes, which a proxy may report for a handshake. */
static struct sprig_span read_scheme(struct sprig_span s)
{
    if (s.len && (span_ieq(s, SPAN_LIT("https")) || span_ieq(s, SPAN_LIT("wss"))))
        return SPAN_LIT("https");
    if (s.len && (span_ieq(s, SPAN_LIT("http")) || span_ieq(s, SPAN_LIT("ws"))))
        return SPAN_LIT("http");
    return span_make(NULL, 0);
}

/* The port in host[:port]; ptr NULL: there is none, not even a colon. */
static struct sprig_span port_of(struct sprig_span host)
{
    const char *colon = host.ptr != NULL ? memrchr(host.ptr, ':', host.len) : NULL;
    if (colon == NULL)
        return span_make(NULL, 0);
    struct sprig_span port = span_make(colon + 1, (size_t)(host.ptr + host.len - colon - 1));
    return memchr(port.ptr, ']', port.len) != NULL ? span_make(NULL, 0) : port;
}

/* Finds the port that the client used: from the host, or as reported, or the scheme's default. A
 * port other than the default belongs in the host, too, because URLs are made from it. */
static void complete_port(struct sprig_forwarded *out, struct sprig_span told)
{
    struct sprig_span own = port_of(out->host);
    bool is_https = out->scheme.ptr != NULL && out->scheme.len == 5;
    struct sprig_span usual = is_https ? SPAN_LIT("443") : SPAN_LIT("80");
    if (own.ptr != NULL && is_port(own)) {
        out->port = own;
    } else if (told.ptr != NULL && is_port(told)) {
        out->port = told;
        out->host_lacks_port = out->host.ptr != NULL && own.ptr == NULL && !span_eq(told, usual);
    } else if (out->scheme.ptr != NULL) {
        out->port = usual;
    }
}

static void take_host(struct sprig_forwarded *out, struct sprig_span host)
{
    if (host.ptr != NULL && target_is_authority(host))
        out->host = host;
}

/* A scheme quoted with backslashes; anything above eight bytes is no scheme. */
static struct sprig_span read_escaped_scheme(struct sprig_span s)
{
    char room[8];
    return element_unescape(&s, room, sizeof room) ? read_scheme(s) : span_make(NULL, 0);
}

static void read_rfc7239(const struct sprig_request *req, const struct cidr_list *trusted,
                         struct sprig_forwarded *out)
{
    struct elements e;
    elements_read(&e, req, SPAN_LIT("Forwarded"));
    uint32_t hops = find_client(&e, trusted, true, out);
    struct forwarded_element f = forwarded_read(elements_pick(&e, hops));
    out->scheme = read_escaped_scheme(f.proto);
    if (element_unescape(&f.host, out->room.host, sizeof out->room.host))
        take_host(out, f.host);
    complete_port(out, span_make(NULL, 0));
}

static void read_x_forwarded(const struct sprig_request *req, const struct cidr_list *trusted,
                             struct sprig_forwarded *out)
{
    struct elements e;
    elements_read(&e, req, SPAN_LIT("X-Forwarded-For"));
    uint32_t hops = find_client(&e, trusted, false, out);
    elements_read(&e, req, SPAN_LIT("X-Forwarded-Proto"));
    out->scheme = read_scheme(elements_pick(&e, hops));
    elements_read(&e, req, SPAN_LIT("X-Forwarded-Host"));
    take_host(out, elements_pick(&e, hops));
    elements_read(&e, req, SPAN_LIT("X-Forwarded-Port"));
    complete_port(out, elements_pick(&e, hops));
}

void proxy_forwarded(const struct sprig_request *req, const struct cidr_list *trusted,
                     enum sprig_proxy_headers which, struct sprig_span peer,
                     struct sprig_forwarded *out)
{
    memset(out, 0, offsetof(struct sprig_forwarded, room));
    if (!cidr_list_has(trusted, peer))
        return;
    if (which == SPRIG_PROXY_FORWARDED)
        read_rfc7239(req, trusted, out);
    else if (which == SPRIG_PROXY_X_FORWARDED)
        read_x_forwarded(req, trusted, out);
}

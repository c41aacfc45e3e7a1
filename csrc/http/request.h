/* request.h - the head of one request, as spans into the bytes that were received. */
#ifndef SPRIG_REQUEST_H
#define SPRIG_REQUEST_H

#include "base/span.h"
#include <stdint.h>

struct sprig_header {
    struct sprig_span name;  /* as sent: 1*tchar */
    struct sprig_span value; /* without leading and trailing OWS */
};

/* Filled by parser_head(). All spans, and `headers`, are borrowed from the receive buffer and the
 * parser's scratch array until the next read or parse, that is, until Perl is entered, unless
 * request_own() has copied them. */
struct sprig_request {
    struct sprig_span head;      /* the raw head: request line .. blank line, CRLF included */
    struct sprig_span method;    /* "GET" */
    struct sprig_span target;    /* the raw request-target, any form (RFC 9112 section 3.2) */
    struct sprig_span uri;       /* REQUEST_URI: path + '?' + query; "*" or host:port as sent */
    struct sprig_span path;      /* raw, not decoded; "/" for "*", CONNECT and an empty path */
    struct sprig_span query;     /* after the first '?', without it; empty if none */
    struct sprig_span authority; /* absolute-form: host[:port], overrides Host; else ptr NULL */
    struct sprig_header *headers;
    uint32_t n_headers;
    uint64_t content_length; /* 0 if none was sent */
    uint8_t version;         /* 10 and 11: HTTP/1.0 and 1.1; 20: HTTP/2 */
    bool has_content_length : 1;
    bool chunked : 1;         /* Transfer-Encoding: chunked */
    bool keep_alive : 1;      /* what the client asked for, version taken into account */
    bool expect_continue : 1; /* Expect: 100-continue on HTTP/1.1 */
    bool upgrade : 1;         /* Upgrade offered (Connection: upgrade), or CONNECT */
    bool is_head : 1;         /* HEAD: the response has no body */
    char *own;                /* owned: the copy made by request_own(), else NULL */
};

/* "HTTP/1.1": its name on the line and in SERVER_PROTOCOL. */
static inline struct sprig_span request_protocol(const struct sprig_request *req)
{
    return req->version == 11   ? SPAN_LIT("HTTP/1.1")
           : req->version == 10 ? SPAN_LIT("HTTP/1.0")
                                : SPAN_LIT("HTTP/2");
}

/* What trusted proxies say about the client; ptr is NULL if nothing is said. Spans may point into
 * `room`, so do not move the struct while they are in use. */
struct sprig_forwarded {
    struct sprig_span remote_host; /* numeric */
    struct sprig_span remote_port; /* empty if only the address is known */
    struct sprig_span scheme;      /* "http" or "https" */
    struct sprig_span host;        /* host[:port], as the client asked for it */
    struct sprig_span port;        /* that the client connected to */
    bool host_lacks_port;          /* ":" port belongs behind host, which names none */
    struct {
        char nodes[2][64], host[264];
    } room; /* for values that were quoted with backslashes in them */
};

/* Copies the head and the header array into one owned block and moves every span there, so that the
 * request outlives the receive buffer. Harmless if repeated. On SPRIG_E_NOMEM the request is
 * unchanged. */
int request_own(struct sprig_request *req);

/* Frees what request_own() allocated and empties the request. */
void request_clear(struct sprig_request *req);

/* The app has its env now: frees the copy and empties all spans. Flags, lengths and version stay.
 */
void request_forget(struct sprig_request *req);

/* The value of the first header with that name, ignoring case; ptr is NULL if there is none. */
struct sprig_span request_header(const struct sprig_request *req, struct sprig_span name);

/* Decodes %HH once into out (room for path.len bytes) and returns the decoded length. The parser
 * has checked that every '%' is followed by two hex digits. */
size_t request_decode_path(struct sprig_span path, char *out);

/* True if bytes that are not a complete or valid head begin like a HEAD request: its error response
 * has no body, either. */
bool request_begins_as_head(struct sprig_span bytes);

/* True if these bytes begin with the whole first line of a request of HTTP/1.1. */
bool request_begins_as_1_1(struct sprig_span bytes);

#endif

/* logformat.h - lines of an access log: formats like those of Apache and Plack, and the escaping of
 * what clients sent.
 *
 * A line is written in two steps, because the request is gone when the response is known: first
 * everything from the request, already escaped; at the end the line. Pure functions. */
#ifndef LOGFORMAT_H
#define LOGFORMAT_H

#include "base/span.h"
#include "http/request.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct log_item;

struct log_format {
    struct log_item *items; /* owned; what they name lies in `text` and `fixed`. JSON has none */
    size_t n_items;
    char *text;  /* owned: of the format, names ended by a NUL */
    char *fixed; /* owned: all fixed text, the newline included */
    size_t
        most_bytes;   /* of a line, without what comes from the request, the headers and the user */
    size_t n_before;  /* while reading: bytes of `fixed` that belong to the next item */
    bool is_coloured; /* for a terminal: %s, %{clock}x and %{took}x in colours */
    bool is_json;     /* each line is an object: values are quoted and escaped once more */
    bool has_host;    /* %h */
    bool has_server;  /* %v, %V, %p */
    bool has_time;    /* %T, %D or parts of them */
    bool has_tls;     /* %{tls_protocol}x, %{tls_cipher}x */
    bool has_user;    /* %u */
    bool has_out;     /* %{}o */
};

/* A growing buffer; all zero is empty. */
struct log_buffer {
    char *bytes; /* owned */
    size_t n, room;
    bool is_short; /* there was no memory: something is missing */
    bool is_json;  /* what is escaped becomes part of a string of JSON */
};

/* Makes room for n more bytes; NULL: out of memory. */
char *log_buffer_grow(struct log_buffer *b, size_t n);
static inline char *log_buffer_room(struct log_buffer *b, size_t n)
{
    return b->room - b->n >= n ? b->bytes + b->n : log_buffer_grow(b, n);
}

/* Reads "common", "combined", "short", "json" (an object with the field names of OpenTelemetry:
 * times in seconds, what is not known is left out), or directives:
 *   %%  %h  %l (-)  %u  %t  %r  %s  %b  %T  %D  %v  %V  %p  %P  %m  %U  %q  %H
 *   %{name}i of the request, %{name}o of the response, %{strftime}t; '<' and '>' are skipped
 *   %{queue}x, %{app}x, %{send}x: microseconds before the app was called, until its response began,
 *   and from there to the end; %{http_version}x, %{tls_protocol}x, %{tls_cipher}x, %{iso_time}x,
 *   %{raw}x, %{request_id}x, %{asked}x (method and target), %{clock}x (hours, minutes, seconds),
 *   %{took}x (all the time it took, with its unit), %{refused}x (why the server has answered by
 *   itself)
 * SPRIG_E_INVALID: *f is empty, `bad` (n bytes) gets the directive that is wrong. SPRIG_E_NOMEM. */
int log_format_read(struct log_format *f, const char *text, char *bad, size_t n);
void log_format_clear(struct log_format *f);

/* What is known when a request arrives. */
struct log_input {
    const struct sprig_request *request; /* NULL: the input is not a request, see `raw` */
    struct sprig_span raw;               /* the line that should have been a request line */
    struct sprig_span host;              /* %h */
    struct sprig_span server_name, server_port;
    struct sprig_span request_id;               /* empty: none */
    struct sprig_span tls_protocol, tls_cipher; /* "TLSv1.3"; empty: none */
};

/* Appends what comes from the request. */
void log_format_input(const struct log_format *f, const struct log_input *in, struct log_buffer *b);

/* Whether it is a name, such as "json", and not a format itself. */
bool log_format_is_name(const char *format);

/* Appends the values of %{}o. `length` is the body's, UINT64_MAX if unknown: it replaces a
 * Content-Length that the application left out. */
void log_format_headers(const struct log_format *f, const struct sprig_header *headers,
                        size_t n_headers, uint64_t length, struct log_buffer *b);

/* Appends bytes; those that are not printable ASCII, '"' and '\\' become \xHH, in JSON with the
 * backslash doubled. */
void log_format_escape(struct log_buffer *b, struct sprig_span bytes);

/* What is known at the end. */
struct log_output {
    const char *input;      /* of log_format_input */
    size_t input_bytes;     /* its length */
    const char *headers;    /* of log_format_headers, or NULL */
    size_t headers_bytes;   /* its length */
    struct sprig_span user; /* %u, escaped already */
    const char *refused;    /* static text; NULL: not refused */
    int status;             /* 0: there was no answer */
    uint64_t n_body;        /* bytes of the body */
    uint64_t duration_ns, queue_ns, app_ns, send_ns;
    uint64_t now_ns; /* CLOCK_MONOTONIC; 0: unknown. Within the same millisecond the time of day is
                      * not read again */
    pid_t pid;
};

/* Appends the line with its newline; nothing if out of memory. */
void log_format_line(const struct log_format *f, const struct log_output *out,
                     struct log_buffer *b);

#endif

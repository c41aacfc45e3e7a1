/* logformat_json.c - lines of JSON; see logformat_put.h. Fields have the names of OpenTelemetry's
 * semantic conventions, where there are some, and what is not known is left out.
 *
 * There are twenty of them in each line, so they are written one by one, without a list that says
 * which: keys whose length the compiler knows take a few instructions. */
#include "base/number.h"
#include "serve/logformat_put.h"

enum {
    MOST = 5,        /* bytes of a value that is escaped, for each one */
    FIELD_BYTES = 64 /* the longest key, quotes, digits: room that there is for every field */
};

#define KEY(name) SPAN_LIT(",\"" name "\":")

/* ---------------------------------------------------------- the request ---- */

struct json {
    struct log_buffer *b;
    char *at; /* in its room */
};

static bool json_grow(struct json *j, size_t n)
{
    struct log_buffer *b = j->b;
    size_t begin = b->n;
    b->n = (size_t)(j->at - b->bytes);
    char *at = log_buffer_grow(b, n);
    b->n = begin;
    if (at != NULL)
        j->at = at;
    return at != NULL;
}

/* Room for a field with a value of n bytes. Without memory it is left out, and the line as well
 * (log_buffer.is_short). */
static inline bool json_room(struct json *j, size_t n)
{
    size_t needed = MOST * n + FIELD_BYTES;
    return (size_t)(j->b->bytes + j->b->room - j->at) >= needed || json_grow(j, needed);
}

static char *put_string(char *at, struct sprig_span value)
{
    *at++ = '"';
    size_t n = put_plain(at, value);
    at += n;
    if (n < value.len)
        at = log_put_escaped(at, span_make(value.ptr + n, value.len - n), true);
    *at++ = '"';
    return at;
}

static inline void add_string(struct json *j, struct sprig_span key, struct sprig_span value)
{
    if (value.len > 0 && json_room(j, value.len))
        j->at = put_string(put(j->at, key), value);
}

/* Of ours: nothing in it is special. */
static inline void add_plain(struct json *j, struct sprig_span key, struct sprig_span value)
{
    if (!json_room(j, value.len))
        return;
    char *at = put(put(j->at, key), SPAN_LIT("\""));
    j->at = put(put(at, value), SPAN_LIT("\""));
}

static inline bool is_number(struct sprig_span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    return text.len > 0;
}

/* The path of a unix socket stands where a port would: who reads JSON expects a number there. */
static inline void add_port(struct json *j, struct sprig_span key, struct sprig_span port)
{
    if (is_number(port) && json_room(j, port.len))
        j->at = put(put(j->at, key), port);
}

/* Decoded into the end of the room: what is written stays behind what is read. */
static void add_path(struct json *j, struct sprig_span key, struct sprig_span path)
{
    if (path.len == 0 || !json_room(j, path.len))
        return;
    char *at = put(j->at, key), *decoded = at + 2 + (MOST - 1) * path.len;
    j->at = put_string(at, span_make(decoded, request_decode_path(path, decoded)));
}

/* All values of that name, as the application would get them. */
static void add_header(struct json *j, struct sprig_span key, const struct sprig_request *r,
                       struct sprig_span name)
{
    bool is_begun = false;
    for (uint32_t i = 0; i < r->n_headers; i++) {
        const struct sprig_header *h = &r->headers[i];
        if (!log_has_value(h, name) || !json_room(j, h->value.len))
            continue;
        char *at = is_begun ? put(j->at, SPAN_LIT(", ")) : put(put(j->at, key), SPAN_LIT("\""));
        is_begun = true;
        j->at = log_put_escaped(at, h->value, true);
    }
    if (is_begun)
        *j->at++ = '"';
}

static void add_asked(struct json *j, const struct sprig_request *r)
{
    add_string(j, KEY("http.request.method"), r->method);
    add_path(j, KEY("url.path"), r->path);
    add_string(j, KEY("url.query"), r->query);
}

static void add_protocol(struct json *j, const struct log_input *in)
{
    if (json_room(j, 0))
        j->at = put(j->at, SPAN_LIT(",\"network.protocol.name\":\"http\""));
    if (in->request != NULL)
        add_plain(j, KEY("network.protocol.version"), log_version(in->request));
    add_string(j, KEY("tls.protocol.version"), in->tls_protocol);
    add_string(j, KEY("tls.cipher"), in->tls_cipher);
    add_string(j, KEY("server.address"), log_asked_name(in));
    add_port(j, KEY("server.port"), in->server_port);
}

void log_json_input(const struct log_input *in, struct log_buffer *b)
{
    const struct sprig_request *r = in->request;
    struct json j = {b, log_buffer_room(b, FIELD_BYTES)};
    if (j.at == NULL)
        return;
    add_string(&j, KEY("client.address"), in->host);
    if (r != NULL)
        add_asked(&j, r);
    add_protocol(&j, in);
    if (r != NULL) {
        add_header(&j, KEY("user_agent.original"), r, SPAN_LIT("User-Agent"));
        add_header(&j, KEY("http.request.header.referer"), r, SPAN_LIT("Referer"));
    }
    add_string(&j, KEY("sprig.request_id"), in->request_id);
    if (r == NULL)
        add_string(&j, KEY("sprig.request.raw"), in->raw);
    b->n = (size_t)(j.at - b->bytes);
}

/* ------------------------------------------------------------------- the line ---- */

/* Of all but what the request and the user tell: fourteen fields at most. */
enum { LINE_BYTES = 14 * FIELD_BYTES + LOG_REASON_BYTES };

static char *put_user(char *at, struct sprig_span user)
{
    at = put(at, SPAN_LIT(",\"user.name\":\""));
    at = put(at, user);
    return put(at, SPAN_LIT("\""));
}

static char *put_refused(char *at, const char *reason)
{
    at = put(at, SPAN_LIT(",\"sprig.refused\":\""));
    at = log_put_reason(at, reason);
    return put(at, SPAN_LIT("\""));
}

/* "1.000250" of 1000250 microseconds. */
static char *put_seconds(char *at, uint64_t ns)
{
    uint64_t us = ns / 1000;
    if (us == 0)
        return put(at, SPAN_LIT("0.000000")); /* often */
    at = number_write(at, us / 1000000);
    uint32_t part = (uint32_t)(us % 1000000), first = part / 10000, rest = part % 10000;
    *at++ = '.';
    at = log_put_two(at, first);
    at = log_put_two(at, rest / 100);
    return log_put_two(at, rest % 100);
}

static char *put_times(char *at, const struct log_output *out)
{
    at = put_seconds(put(at, KEY("http.server.request.duration")), out->duration_ns);
    at = put_seconds(put(at, KEY("sprig.queue_time")), out->queue_ns);
    at = put_seconds(put(at, KEY("sprig.app_time")), out->app_ns);
    return put_seconds(put(at, KEY("sprig.send_time")), out->send_ns);
}

void log_json_line(const struct log_output *out, struct log_buffer *b)
{
    char *at = log_buffer_room(b, LINE_BYTES + out->input_bytes + out->user.len);
    if (at == NULL)
        return;
    at = log_put_iso_time(put(at, SPAN_LIT("{\"timestamp\":\"")));
    at = put(at, SPAN_LIT("\""));
    at = put(at, span_make(out->input, out->input_bytes));
    if (out->user.len > 0)
        at = put_user(at, out->user);
    if (out->status > 0)
        at = log_put_status(put(at, KEY("http.response.status_code")), out->status);
    at = number_write(put(at, KEY("http.response.body.size")), out->n_body);
    at = put_times(at, out);
    if (out->refused != NULL)
        at = put_refused(at, out->refused);
    at = log_put_pid(put(at, KEY("process.pid")), out->pid);
    b->n = (size_t)(put(at, SPAN_LIT("}\n")) - b->bytes);
}

/* logformat_json.c - JSON lines; see logformat_put.h. Fields have the names of OpenTelemetry's
 * semantic conventions if there are any, and unknown values are left out.
 *
 * A line has up to twenty fields, so they are written one by one and not from a list: keys whose
 * length the compiler knows take only a few instructions. */
#include "serve/logformat_put.h"

enum {
    MOST = 5,        /* bytes per byte of an escaped value */
    FIELD_BYTES = 64 /* the longest key, quotes, digits: room that every field has */
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

/* Makes room for fields whose values have n bytes. If out of memory, the fields are left out, and
 * so is the line (log_buffer.is_short). */
static inline bool json_room(struct json *j, size_t n, size_t n_fields)
{
    size_t needed = MOST * n + n_fields * FIELD_BYTES;
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

/* The room is there. */
static inline char *put_field(char *at, struct sprig_span key, struct sprig_span value)
{
    return value.len > 0 ? put_string(put(at, key), value) : at;
}

static inline void add_string(struct json *j, struct sprig_span key, struct sprig_span value)
{
    if (value.len > 0 && json_room(j, value.len, 1))
        j->at = put_string(put(j->at, key), value);
}

static inline bool is_number(struct sprig_span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    return text.len > 0;
}

/* A unix socket's path stands in place of a port, but readers of JSON expect a number there. */
static inline char *put_port(char *at, struct sprig_span port)
{
    return is_number(port) ? put(put(at, KEY("server.port")), port) : at;
}

/* Decoded into the end of its room, so that the output never overtakes the input. */
static inline char *put_path(char *at, struct sprig_span path)
{
    if (path.len == 0)
        return at;
    at = put(at, KEY("url.path"));
    if (memchr(path.ptr, '%', path.len) == NULL)
        return put_string(at, path);
    char *decoded = at + 2 + (MOST - 1) * path.len;
    return put_string(at, span_make(decoded, request_decode_path(path, decoded)));
}

/* All values of that name, as the application would see them. */
static void add_header(struct json *j, struct sprig_span key, const struct sprig_request *r,
                       struct sprig_span name)
{
    bool is_begun = false;
    for (uint32_t i = 0; i < r->n_headers; i++) {
        const struct sprig_header *h = &r->headers[i];
        if (!log_has_value(h, name) || !json_room(j, h->value.len, 1))
            continue;
        char *at = is_begun ? put(j->at, SPAN_LIT(", ")) : put(put(j->at, key), SPAN_LIT("\""));
        is_begun = true;
        j->at = log_put_escaped(at, h->value, true);
    }
    if (is_begun)
        *j->at++ = '"';
}

/* The headers that are logged, found in one pass. */
struct told {
    struct sprig_span host; /* the first one */
    bool has_agent, has_referer;
};

/* "Host" in upper or lower case. */
static inline bool is_host(struct sprig_span name)
{
    uint32_t word, host;
    if (name.len != sizeof word)
        return false;
    memcpy(&word, name.ptr, sizeof word);
    memcpy(&host, "host", sizeof host);
    return (word | (uint32_t)EVERY(0x20)) == host;
}

static void find_headers(const struct sprig_request *r, struct told *told)
{
    for (const struct sprig_header *h = r->headers, *end = h + r->n_headers; h < end; h++) {
        if (told->host.ptr == NULL && is_host(h->name))
            told->host = h->value;
        else if (h->name.len == 7)
            told->has_referer |= log_has_value(h, SPAN_LIT("Referer"));
        else if (h->name.len == 10)
            told->has_agent |= log_has_value(h, SPAN_LIT("User-Agent"));
    }
}

static void add_request(struct json *j, const struct log_input *in)
{
    const struct sprig_request *r = in->request;
    struct told told = {.host = r->authority};
    find_headers(r, &told);
    struct sprig_span name = log_name_asked(told.host, in);
    size_t n = in->host.len + r->method.len + r->path.len + r->query.len + name.len;
    if (!json_room(j, n + in->server_port.len, 7))
        return;
    char *at = put_field(j->at, KEY("client.address"), in->host);
    at = put_field(at, KEY("http.request.method"), r->method);
    at = put_path(at, r->path);
    at = put_field(at, KEY("url.query"), r->query);
    at = put(at, SPAN_LIT(",\"network.protocol.version\":\""));
    at = put(put(at, log_version(r)), SPAN_LIT("\""));
    at = put_field(at, KEY("server.address"), name);
    j->at = put_port(at, in->server_port);
    if (told.has_agent)
        add_header(j, KEY("user_agent.original"), r, SPAN_LIT("User-Agent"));
    if (told.has_referer)
        add_header(j, KEY("http.request.header.referer"), r, SPAN_LIT("Referer"));
}

/* Of bytes that are none. */
static void add_raw(struct json *j, const struct log_input *in)
{
    add_string(j, KEY("client.address"), in->host);
    add_string(j, KEY("server.address"), in->server_name);
    if (json_room(j, in->server_port.len, 1))
        j->at = put_port(j->at, in->server_port);
    add_string(j, KEY("sprig.request.raw"), in->raw);
}

void log_json_input(const struct log_input *in, struct log_buffer *b)
{
    struct json j = {b, log_buffer_room(b, FIELD_BYTES)};
    if (j.at == NULL)
        return;
    if (in->request != NULL)
        add_request(&j, in);
    else
        add_raw(&j, in);
    add_string(&j, KEY("tls.protocol.version"), in->tls_protocol);
    add_string(&j, KEY("tls.cipher"), in->tls_cipher);
    add_string(&j, KEY("sprig.request_id"), in->request_id);
    b->n = (size_t)(j.at - b->bytes);
}

/* ------------------------------------------------------------------- the line ---- */

/* For everything except what comes from the request and the user: at most fourteen fields. */
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

/* "1.000250" for 1000250 microseconds. Always with a point: a reader that guesses types from the
 * first line would otherwise take it for a whole number. */
static char *put_seconds(char *at, uint64_t ns)
{
    uint64_t us = ns / 1000;
    if (us == 0)
        return put(at, SPAN_LIT("0.0")); /* often */
    if (us < 1000000) {
        *at++ = '0';
    } else {
        at = number_write(at, us / 1000000);
        us %= 1000000;
    }
    uint32_t first = (uint32_t)us / 10000, rest = (uint32_t)us % 10000;
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
    at = log_put_iso_time(put(at, SPAN_LIT("{\"timestamp\":\"")), out->now_ns);
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

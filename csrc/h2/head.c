/* head.c - the head of a request: collected while it arrives, then turned into a struct
 * sprig_request. Checks what nghttp2 does not (RFC 9113 sections 8.2 and 8.3); see h2.h */
#include "h2/h2.h"

#include "http/fields.h"
#include "http/target.h"
#include <stdlib.h>

/* What a line of HTTP/1 has besides name and value. */
enum { LINE_BYTES = sizeof(": \r\n") - 1 };

/* ------------------------------------------------------------------- collecting ---- */

void h2_head_clear(struct h2_head *head)
{
    free(head->bytes);
    free(head->fields);
    *head = (struct h2_head){0};
}

/* Makes room for n more bytes and one more field. */
static bool head_grow(struct h2_head *head, size_t n)
{
    if (head->n_bytes + n > head->room_bytes) {
        size_t room = head->n_bytes + n + (head->room_bytes ? head->room_bytes : 512);
        char *bytes = realloc(head->bytes, room);
        if (bytes == NULL)
            return false;
        head->bytes = bytes;
        head->room_bytes = (uint32_t)room;
    }
    if (head->n_fields == head->room_fields) {
        uint32_t room = head->room_fields ? 2 * head->room_fields : 16;
        struct h2_field *fields = realloc(head->fields, room * sizeof *fields);
        if (fields == NULL)
            return false;
        head->fields = fields;
        head->room_fields = room;
    }
    return true;
}

static struct h2_field *pseudo_of(struct h2_head *head, struct sprig_span name)
{
    if (span_eq(name, SPAN_LIT(":method")))
        return &head->method;
    if (span_eq(name, SPAN_LIT(":path")))
        return &head->path;
    if (span_eq(name, SPAN_LIT(":authority")))
        return &head->authority;
    if (span_eq(name, SPAN_LIT(":scheme")))
        return &head->scheme;
    return &head->protocol; /* the only other one that nghttp2 accepts */
}

static struct h2_field head_put(struct h2_head *head, struct sprig_span name,
                                struct sprig_span value)
{
    struct h2_field field = {head->n_bytes, (uint32_t)name.len, (uint32_t)value.len};
    memcpy(head->bytes + head->n_bytes, name.ptr, name.len);
    if (value.len > 0)
        memcpy(head->bytes + head->n_bytes + name.len, value.ptr, value.len);
    head->n_bytes += field.n_name + field.n_value;
    return field;
}

/* Every field counts, including empty ones and crumbs of cookies. */
static bool is_too_much(struct h2_stream *s, bool is_pseudo, size_t n)
{
    const struct parser_limits *limits = &s->h2->conn->server->limits;
    struct h2_head *head = &s->head;
    head->n_counted += !is_pseudo;
    head->bytes_counted += is_pseudo ? 0 : n;
    if (is_pseudo && n > limits->max_request_line)
        h2_stream_refuse(s, 414, "max_request_line: the path is too long");
    else if (head->bytes_counted > limits->max_header_bytes)
        h2_stream_refuse(s, 431, "max_header_bytes: the headers are too large");
    else if (limits->max_headers != 0 && head->n_counted > limits->max_headers)
        h2_stream_refuse(s, 431, "max_headers: there are too many headers");
    return s->request == H2_REFUSED;
}

/* A refused head is read to its end, so that it can be answered, but not for ever. */
static bool goes_on(const struct h2_stream *s)
{
    enum { PATIENCE = 4, FEW_FIELDS = 1000 };
    const struct parser_limits *limits = &s->h2->conn->server->limits;
    uint64_t max_bytes = PATIENCE * (uint64_t)limits->max_header_bytes;
    uint64_t max_fields = PATIENCE * (uint64_t)limits->max_headers + FEW_FIELDS;
    return s->head.bytes_counted > max_bytes ||
           (limits->max_headers != 0 && s->head.n_counted > max_fields);
}

bool h2_head_add(struct h2_stream *s, struct sprig_span name, struct sprig_span value)
{
    struct h2_head *head = &s->head;
    bool is_pseudo = name.len > 0 && name.ptr[0] == ':';
    if (is_too_much(s, is_pseudo, name.len + value.len + LINE_BYTES))
        return !goes_on(s);
    if (!head_grow(head, name.len + value.len)) {
        h2_stream_refuse(s, 503, "there is no memory for the headers");
        return true;
    }
    struct h2_field field = head_put(head, name, value);
    if (is_pseudo)
        *pseudo_of(head, name) = field;
    else
        head->fields[head->n_fields++] = field;
    return true;
}

static bool keep_trailer(struct trailers *t, struct sprig_span name, struct sprig_span value)
{
    t->n_fields++;
    return trailers_add(t, name) && trailers_add(t, SPAN_LIT(": ")) && trailers_add(t, value) &&
           trailers_add(t, SPAN_LIT("\r\n"));
}

bool h2_head_add_trailer(struct h2_stream *s, struct sprig_span name, struct sprig_span value)
{
    if (is_too_much(s, false, name.len + value.len + LINE_BYTES))
        return !goes_on(s);
    if (s->ex != NULL && !s->is_tunnel && !keep_trailer(&s->ex->in->trailers, name, value))
        h2_stream_refuse(s, 503, "there is no memory for the trailers");
    return true;
}

/* ------------------------------------------------------------------- as a request ---- */

static struct sprig_span name_of(const struct h2_head *head, const struct h2_field *field)
{
    return span_make(head->bytes + field->at, field->n_name);
}

/* ptr NULL: the field is missing. */
static struct sprig_span value_of(const struct h2_head *head, const struct h2_field *field)
{
    if (field->n_name == 0)
        return span_make(NULL, 0);
    return span_make(head->bytes + field->at + field->n_name, field->n_value);
}

static bool is_cookie(const struct h2_head *head, const struct h2_field *field)
{
    return span_eq(name_of(head, field), SPAN_LIT("cookie"));
}

/* Builds the same request that request_own() would make from one of HTTP/1. */
struct builder {
    const struct h2_head *from;
    struct sprig_request *req;
    char *at;
};

static struct sprig_span put(struct builder *b, struct sprig_span bytes)
{
    char *start = b->at;
    if (bytes.len > 0)
        memcpy(start, bytes.ptr, bytes.len);
    b->at += bytes.len;
    return span_make(start, bytes.len);
}

/* RFC 8441: a CONNECT with a :protocol. Applications see a WebSocket opening over HTTP/1.1. */
static bool is_extended(const struct h2_head *head)
{
    return head->protocol.n_name != 0;
}

static const struct sprig_header opening[] = {
    {SPAN_LIT("connection"), SPAN_LIT("Upgrade")},
    {SPAN_LIT("upgrade"), SPAN_LIT("websocket")},
};
enum { N_OPENING = sizeof opening / sizeof *opening, OPENING_BYTES = 64 };

/* The request line for the access log. */
static void put_line(struct builder *b)
{
    struct sprig_request *req = b->req;
    struct sprig_span target = value_of(b->from, &b->from->path);
    struct sprig_span method = value_of(b->from, &b->from->method);
    if (target.ptr == NULL) /* CONNECT */
        target = value_of(b->from, &b->from->authority);
    req->head.ptr = b->at;
    req->method = put(b, is_extended(b->from) ? SPAN_LIT("GET") : method);
    put(b, SPAN_LIT(" "));
    req->target = put(b, target);
    put(b, SPAN_LIT(" HTTP/2\r\n"));
    req->head.len = (size_t)(b->at - req->head.ptr);
}

/* Joins all crumbs, RFC 9113 section 8.2.3. */
static struct sprig_span put_cookies(struct builder *b)
{
    const struct h2_head *head = b->from;
    char *start = b->at;
    for (uint32_t i = 0; i < head->n_fields; i++) {
        if (!is_cookie(head, &head->fields[i]))
            continue;
        if (b->at > start)
            put(b, SPAN_LIT("; "));
        put(b, value_of(head, &head->fields[i]));
    }
    return span_make(start, (size_t)(b->at - start));
}

static void put_fields(struct builder *b)
{
    const struct h2_head *head = b->from;
    struct sprig_request *req = b->req;
    bool has_cookies = false;
    for (uint32_t i = 0; i < head->n_fields; i++) {
        const struct h2_field *field = &head->fields[i];
        if (has_cookies && is_cookie(head, field))
            continue;
        struct sprig_header *h = &req->headers[req->n_headers++];
        h->name = put(b, name_of(head, field));
        has_cookies = has_cookies || is_cookie(head, field);
        h->value = is_cookie(head, field) ? put_cookies(b) : put(b, value_of(head, field));
    }
}

static void put_opening(struct builder *b)
{
    for (size_t i = 0; i < N_OPENING; i++) {
        struct sprig_header *h = &b->req->headers[b->req->n_headers++];
        h->name = put(b, opening[i].name);
        h->value = put(b, opening[i].value);
    }
}

static int build(const struct h2_head *head, struct sprig_request *req)
{
    size_t array = (head->n_fields + N_OPENING) * sizeof(struct sprig_header);
    size_t line = head->authority.n_value + sizeof("  HTTP/2\r\n");
    /* Each crumb may need two bytes more than it has without its name. */
    size_t n = array + line + head->n_bytes + OPENING_BYTES;
    char *own = malloc(n);
    if (own == NULL)
        return SPRIG_E_NOMEM;
    *req = (struct sprig_request){.own = own, .version = 20};
    req->headers = (struct sprig_header *)(void *)own;
    struct builder b = {head, req, own + array};
    put_line(&b);
    if (head->authority.n_name != 0 && head->path.n_name != 0)
        req->authority = put(&b, value_of(head, &head->authority));
    put_fields(&b);
    if (is_extended(head))
        put_opening(&b);
    return 0;
}

/* --------------------------------------------------------------------- judging ---- */

/* Returns NULL, or the reason for a 400. */
static const char *check_target(const struct h2_head *head, const struct sprig_request *req)
{
    struct sprig_span scheme = value_of(head, &head->scheme);
    bool is_connect = span_eq(req->method, SPAN_LIT("CONNECT"));
    if (!is_connect && !span_ieq(scheme, SPAN_LIT("http")) && !span_ieq(scheme, SPAN_LIT("https")))
        return "a scheme other than http and https";
    if (!is_connect &&
        (req->target.len == 0 || (*req->target.ptr != '/' && *req->target.ptr != '*')))
        return "a path that does not begin with a slash";
    return target_check(req->method, req->target);
}

/* RFC 9113 section 8.3.1: a request for two hosts could pass a check of one with the other. */
static const char *check_host(const struct sprig_request *req)
{
    struct sprig_span host = request_header(req, SPAN_LIT("host"));
    if (req->authority.ptr != NULL && !target_is_authority(req->authority))
        return "invalid :authority";
    if (req->authority.ptr == NULL && host.len == 0 && !span_eq(req->method, SPAN_LIT("CONNECT")))
        return "neither :authority nor Host";
    if (req->authority.ptr != NULL && host.ptr != NULL && !span_ieq(host, req->authority))
        return "a Host that differs from :authority";
    return NULL;
}

static const char *check_extended(const struct h2_head *head, const struct sprig_request *req,
                                  bool is_whole)
{
    if (!span_eq(value_of(head, &head->protocol), SPAN_LIT("websocket")))
        return "a :protocol other than websocket";
    if (is_whole || request_header(req, SPAN_LIT("content-length")).ptr != NULL)
        return "a WebSocket whose stream has an end or a length";
    return NULL;
}

/* Fills in what the fields imply. */
static bool judge(struct h2_stream *s, struct sprig_request *req, bool is_whole)
{
    struct parser_refusal why;
    const char *reason = check_target(&s->head, req);
    if (reason == NULL)
        reason = check_host(req);
    if (reason == NULL && is_extended(&s->head))
        reason = check_extended(&s->head, req, is_whole);
    if (reason == NULL && fields_check(req, &why) < 0) {
        h2_stream_refuse(s, why.status, why.reason);
        return false;
    }
    if (reason != NULL) {
        h2_stream_refuse(s, 400, reason);
        return false;
    }
    target_split(req);
    s->is_tunnel = is_extended(&s->head);
    /* the length is not known yet */
    req->chunked = !is_whole && !req->has_content_length && !s->is_tunnel;
    return true;
}

/* Prepares for the announced body. */
static void prepare_body(struct h2_stream *s)
{
    struct sprig_exchange *ex = s->ex;
    uint64_t max = s->h2->conn->server->config.max_body_bytes;
    if (s->is_tunnel) {
        s->request = H2_BODY;
        h2_stream_wake(s, H2_EV_REQUEST);
        return;
    }
    if (max != 0 && ex->in->request.content_length > max) {
        h2_stream_refuse(s, 413, "max_body_bytes: the announced body is too large");
        return;
    }
    s->request = H2_BODY;
    ex->body_started_ns = sprig_loop_now(s->h2->conn->server->loop);
    ex->streams = ex->body_open = exchange_must_stream(ex);
    h2_stream_wake(s, ex->streams ? H2_EV_REQUEST : H2_EV_INVITE);
    h2_stream_set_deadline(s);
}

void h2_head_finish(struct h2_stream *s, bool is_whole)
{
    struct sprig_exchange *ex = exchange_start(s->h2->conn, &s->out);
    if (ex == NULL || build(&s->head, &ex->in->request) != 0) {
        h2_stream_refuse(s, 503, "there is no memory for the request");
        if (ex != NULL)
            exchange_end(ex, SPRIG_END_GONE);
        return;
    }
    s->ex = ex;
    ex->stream = s;
    bool is_good = s->request != H2_REFUSED && judge(s, &ex->in->request, is_whole);
    ex->in->request.is_head = span_eq(ex->in->request.method, SPAN_LIT("HEAD"));
    h2_head_clear(&s->head);
    exchange_take_head(ex);
    const struct sprig_conn *c = s->h2->conn;
    uint32_t most = c->server->config.max_keepalive_requests;
    if (!c->server->config.keepalive || (most != 0 && c->n_requests >= most))
        s->h2->must_leave = true;
    response_init(&ex->response, &ex->in->request, true);
    ex->response.is_connect |= s->is_tunnel; /* a 200 would open it */
    if (is_good && !is_whole)
        prepare_body(s);
}

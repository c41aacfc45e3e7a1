/* response.c - response heads as HTTP/2 fields (RFC 9113 section 8.3.2); head_check.h says what
 * they may contain. */
#include "h2/h2.h"

#include "base/number.h"
#include "http/date.h"
#include "http/head_check.h"
#include <stdlib.h>

/* The fields besides the app's: :status, content-length, date, server, and two for event streams.
 */
enum { OWN_FIELDS = 6 };

/* Most heads fit in here. */
enum { FEW_FIELDS = 24, FEW_BYTES = 1024, NUMBER_BYTES = 20 };

/* A list of fields. Names are copied in lower case, values belong to the caller. */
struct fields {
    nghttp2_nv *nv;
    size_t n;
    char *names; /* room for the next name */
    nghttp2_nv few[FEW_FIELDS];
    char few_names[FEW_BYTES];
    char status[4], length[NUMBER_BYTES];
    void *own; /* owned: used if there are many */
};

static void add(struct fields *f, struct sprig_span name, struct sprig_span value)
{
    f->nv[f->n++] = (nghttp2_nv){(uint8_t *)name.ptr, (uint8_t *)value.ptr, name.len, value.len,
                                 NGHTTP2_NV_FLAG_NONE};
}

static void add_lower(struct fields *f, const struct sprig_header *h)
{
    char *name = f->names;
    for (size_t i = 0; i < h->name.len; i++) {
        char c = h->name.ptr[i];
        name[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    f->names += h->name.len;
    add(f, span_make(name, h->name.len), h->value);
}

static int fields_init(struct fields *f, const struct sprig_head *head)
{
    size_t n = head->n_headers + OWN_FIELDS, bytes = 0;
    for (size_t i = 0; i < head->n_headers; i++)
        bytes += head->headers[i].name.len;
    f->n = 0;
    f->nv = f->few;
    f->names = f->few_names;
    f->own = NULL;
    if (n > FEW_FIELDS || bytes > FEW_BYTES) {
        f->own = malloc(n * sizeof *f->nv + bytes);
        if (f->own == NULL)
            return SPRIG_E_NOMEM;
        f->nv = f->own;
        f->names = (char *)(f->nv + n);
    }
    uint64_t status = head->status == 101 ? 200 : (uint64_t)head->status;
    char *end = number_write(f->status, status);
    add(f, SPAN_LIT(":status"), span_make(f->status, (size_t)(end - f->status)));
    return 0;
}

/* Fields that announce a WebSocket in HTTP/1.1; in HTTP/2 the status 200 does that (RFC 8441
 * section 5). */
static bool is_of_upgrade(struct sprig_span name)
{
    return head_field_of(name) == FIELD_UPGRADE || span_ieq(name, SPAN_LIT("Sec-WebSocket-Accept"));
}

static int add_app_headers(struct fields *f, struct head_walk *walk)
{
    const struct sprig_header *h = NULL;
    int rc;
    while ((rc = head_next(walk, &h)) > 0)
        if (walk->status != 101 || !is_of_upgrade(h->name))
            add_lower(f, &(struct sprig_header){h->name, span_trim(h->value)});
    return rc != 0 ? rc : head_check_seen(walk);
}

static void add_own(struct fields *f, const struct response *r, const struct head_seen *seen,
                    uint64_t length, struct sprig_span server)
{
    if (head_has_length_line(r, seen, length)) {
        char *end = number_write(f->length, seen->has_length ? seen->length : length);
        add(f, SPAN_LIT("content-length"), span_make(f->length, (size_t)(end - f->length)));
    }
    if (seen->events && !seen->caching)
        add(f, SPAN_LIT("cache-control"), SPAN_LIT("no-cache"));
    if (seen->events && !seen->buffering)
        add(f, SPAN_LIT("x-accel-buffering"), SPAN_LIT("no"));
    if (!seen->date)
        add(f, SPAN_LIT("date"), span_make(date_now(), DATE_LEN));
    if (server.len > 0 && !seen->server)
        add(f, SPAN_LIT("server"), server);
}

static int submit_head(struct h2_stream *s, struct response *r, const struct sprig_head *head,
                       char *why, size_t n)
{
    struct fields f;
    struct sprig_span server = span_str(s->h2->conn->server->config.server_header);
    struct head_walk walk = head_walk_of(head, r->version, why, n);
    int rc = fields_init(&f, head);
    if (rc == 0)
        rc = add_app_headers(&f, &walk);
    if (rc == 0) {
        r->status = head->status;
        r->has_events = walk.seen.events;
        head_decide_framing(r, &walk.seen, head->length);
        add_own(&f, r, &walk.seen, head->length, server);
        bool has_body = r->framing != FRAMING_NONE || head->status == 101;
        if (h2_session_respond(s, f.nv, f.n, has_body) != 0)
            rc = SPRIG_E_NOMEM;
    }
    free(f.own);
    return rc;
}

int h2_response_head(struct sprig_exchange *ex, const struct sprig_head *head, char *why, size_t n)
{
    struct h2_stream *s = h2_stream_of(ex);
    struct response *r = &ex->response;
    if (r->head_out)
        return SPRIG_E_STATE;
    int rc = head_check_status(r, head->status, why, n);
    if (rc == 0)
        rc = submit_head(s, r, head, why, n);
    if (rc != 0)
        return rc;
    r->head_out = true;
    s->response = H2_SENDING;
    return 0;
}

int h2_response_interim(struct sprig_exchange *ex, const struct sprig_head *head, char *why,
                        size_t n)
{
    struct h2_stream *s = h2_stream_of(ex);
    struct fields f;
    if (ex->response.head_out)
        return SPRIG_E_STATE;
    if (head->status < 102 || head->status > 199)
        return head_refuse(why, n, "status %d is not an interim one, 102..199", head->status);
    struct head_walk walk = head_walk_of(head, ex->response.version, why, n);
    int rc = fields_init(&f, head);
    if (rc == 0)
        rc = add_app_headers(&f, &walk);
    if (rc == 0 && h2_session_inform(s, f.nv, f.n) != 0)
        rc = SPRIG_E_NOMEM;
    free(f.own);
    if (rc == 0)
        conn_flush_later(ex->conn);
    return rc;
}

/* Names and values are stored after the list itself. */
static nghttp2_nv *keep_trailers(const struct sprig_header *fields, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += fields[i].name.len + fields[i].value.len;
    nghttp2_nv *list = malloc(n * sizeof *list + bytes);
    if (list == NULL)
        return NULL;
    struct fields f = {.nv = list, .names = (char *)(list + n)};
    for (size_t i = 0; i < n; i++) {
        struct sprig_span value = span_trim(fields[i].value);
        add_lower(&f, &(struct sprig_header){fields[i].name, value});
        memcpy(f.names, value.ptr, value.len);
        list[i].value = (uint8_t *)f.names;
        f.names += value.len;
    }
    return list;
}

int h2_response_trailers(struct sprig_exchange *ex, const struct sprig_header *fields,
                         size_t n_fields, char *why, size_t n)
{
    struct h2_stream *s = h2_stream_of(ex);
    int rc = response_admit_trailers(&ex->response, fields, n_fields, why, n);
    if (rc != 0 || n_fields == 0)
        return rc < 0 ? rc : 0;
    s->trailers = keep_trailers(fields, n_fields);
    if (s->trailers == NULL)
        return SPRIG_E_NOMEM;
    s->n_trailers = n_fields;
    ex->response.has_trailers = true;
    return 0;
}

void h2_response_invite(struct h2_stream *s)
{
    struct fields f;
    struct sprig_exchange *ex = s->ex;
    const struct sprig_head head = {100, NULL, 0, 0};
    if (!ex->in->request.expect_continue || ex->response.head_out || ex->in->body.size > 0 ||
        s->n_in > 0)
        return;
    ex->in->request.expect_continue = false;
    fields_init(&f, &head);
    if (h2_session_inform(s, f.nv, f.n) != 0)
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
}

int h2_response_error(struct h2_stream *s, int status, bool is_head)
{
    char why[64];
    struct sprig_span text = span_str(status_reason(status));
    struct sprig_header headers[] = {
        {SPAN_LIT("Content-Type"), SPAN_LIT("text/plain")},
        {SPAN_LIT("Retry-After"), SPAN_LIT(ADMISSION_RETRY_AFTER)},
    };
    struct sprig_head head = {status, headers, status == 503 ? 2 : 1, text.len};
    struct response r;
    response_init(&r, NULL, false);
    r.version = 20;
    r.is_head = is_head;
    if (!is_head && outq_add(&s->out, text) != 0)
        return SPRIG_E_NOMEM;
    s->response = H2_ENDED;
    return submit_head(s, &r, &head, why, sizeof why);
}

/* response.c - writes response heads in HTTP/1; head_check.h says what they may contain. */
#include "http/response.h"
#include "base/number.h"
#include "http/date.h"
#include "http/elements.h"
#include "http/head_check.h"

/* Room in a head besides the app's headers and the Server line: status line, Date, Content-Length
 * or Transfer-Encoding, Connection, the event stream's lines, the empty line. */
enum { HEAD_FIXED_BYTES = 320 };

/* ------------------------------------------------------------- writing ---- */

static inline char *put(char *at, const char *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

#define PUT_LIT(at, s) put((at), "" s, sizeof(s) - 1)

static char *put_header(char *at, struct sprig_span name, struct sprig_span value)
{
    at = put(at, name.ptr, name.len);
    at = PUT_LIT(at, ": ");
    if (value.len)
        at = put(at, value.ptr, value.len);
    return PUT_LIT(at, "\r\n");
}

/* A reason phrase may be empty, but the space before it is required (RFC 9112 section 4). */
static char *put_status_line(char *at, uint8_t http_version, int status)
{
    char *version = at;
    if (status == 200) {
        at = PUT_LIT(at, "HTTP/1.1 200 OK\r\n");
    } else {
        const char *reason = status_reason(status);
        at = PUT_LIT(at, "HTTP/1.1 ");
        at = number_write(at, (uint64_t)status);
        *at++ = ' ';
        at = put(at, reason, strlen(reason));
        at = PUT_LIT(at, "\r\n");
    }
    version[7] = (char)('0' + http_version - 10);
    return at;
}

/* ---------------------------------------------------------- the app's head ---- */

/* A head on its way into the queue. */
struct head_writer {
    char *at;
    struct head_walk walk;
};

/* Checks and copies the app's headers. */
static int put_app_headers(struct head_writer *w)
{
    const struct sprig_header *h = NULL;
    int rc;
    while ((rc = head_next(&w->walk, &h)) > 0)
        w->at = put_header(w->at, h->name, h->value);
    return rc;
}

/* The most bytes that the head can need. */
static size_t head_bound(const struct sprig_head *head, struct sprig_span server)
{
    size_t n = HEAD_FIXED_BYTES + server.len;
    for (size_t i = 0; i < head->n_headers; i++)
        n += head->headers[i].name.len + head->headers[i].value.len + sizeof(": \r\n") - 1;
    return n;
}

/* --------------------------------------------------- framing and connection ---- */

static char *put_framing(char *at, const struct response *r, const struct head_seen *seen,
                         uint64_t length)
{
    if (head_has_length_line(r, seen, length)) {
        at = PUT_LIT(at, "Content-Length: ");
        at = number_write(at, seen->has_length ? seen->length : length);
        return PUT_LIT(at, "\r\n");
    }
    bool of_get = seen->chunked && r->is_head && !status_has_no_body(r->status);
    if (r->framing == FRAMING_CHUNKED || of_get)
        at = PUT_LIT(at, "Transfer-Encoding: chunked\r\n");
    return at;
}

/* Writes the app's own connection options, without those that are the server's business. No space
 * after the commas, so the result is never longer than what the app gave. */
static char *put_options(char *at, const struct sprig_head *head)
{
    for (size_t i = 0; i < head->n_headers; i++) {
        struct sprig_span list = head->headers[i].value, element;
        if (head_field_of(head->headers[i].name) != FIELD_CONNECTION)
            continue;
        while (element_first(&list, &element)) {
            if (head_option_of(element) != OPTION_OTHER)
                continue;
            at = put(at, element.ptr, element.len);
            *at++ = ',';
        }
    }
    return at;
}

/* Writes one Connection line or none. Persistence is the default in HTTP/1.1 only (RFC 9112 section
 * 9.3); a close is always announced. */
static char *put_connection(char *at, const struct response *r, const struct head_seen *seen,
                            const struct sprig_head *head)
{
    bool close = !r->keep_alive && !head_switches_or_tunnels(r);
    bool keep = r->keep_alive && r->version < 11;
    if (!close && !keep && !seen->upgrade && !seen->options)
        return at;
    at = PUT_LIT(at, "Connection: ");
    if (close)
        at = PUT_LIT(at, "close,");
    if (keep)
        at = PUT_LIT(at, "keep-alive,");
    if (seen->upgrade)
        at = PUT_LIT(at, "Upgrade,");
    if (seen->options)
        at = put_options(at, head);
    return PUT_LIT(at - 1, "\r\n"); /* overwrites the last comma */
}

static char *put_server_lines(char *at, const struct head_seen *seen, struct sprig_span server)
{
    if (!seen->date) {
        at = PUT_LIT(at, "Date: ");
        at = put(at, date_now(), DATE_LEN);
        at = PUT_LIT(at, "\r\n");
    }
    if (server.len && !seen->server)
        at = put_header(at, SPAN_LIT("Server"), server);
    return at;
}

/* Tells caches and buffering proxies not to hold events back from the client. */
static char *put_event_lines(char *at, const struct head_seen *seen)
{
    if (!seen->caching)
        at = PUT_LIT(at, "Cache-Control: no-cache\r\n");
    if (!seen->buffering)
        at = PUT_LIT(at, "X-Accel-Buffering: no\r\n");
    return at;
}

/* RFC 6455 section 4.2.2: tells a client with another version which one is supported. Adds nothing
 * if the app wants an upgrade to something else. */
static char *put_version_line(char *at, const struct sprig_head *head)
{
    for (size_t i = 0; i < head->n_headers; i++) {
        const struct sprig_header *h = &head->headers[i];
        bool is_other = head_field_of(h->name) == FIELD_UPGRADE &&
                        !span_ieq(span_trim(h->value), SPAN_LIT("websocket"));
        if (is_other || span_ieq(h->name, SPAN_LIT("Sec-WebSocket-Version")))
            return at;
    }
    return PUT_LIT(at, "Sec-WebSocket-Version: 13\r\n");
}

/* --------------------------------------------------------------- the head ---- */

void response_init(struct response *r, const struct sprig_request *req, bool may_keep_alive)
{
    *r = (struct response){.version = 11};
    if (!req)
        return;
    r->version = req->version;
    r->is_head = req->is_head;
    r->is_connect = span_eq(req->method, SPAN_LIT("CONNECT"));
    r->may_upgrade = req->upgrade && req->version >= 11;
    r->keep_alive = req->keep_alive && may_keep_alive;
}

/* Writes the whole head at w->at and fills in *r. */
static int put_head(struct head_writer *w, struct response *r, const struct sprig_head *head,
                    struct sprig_span server)
{
    w->at = put_status_line(w->at, r->version, head->status);
    int err = put_app_headers(w);
    if (err || (err = head_check_seen(&w->walk)))
        return err;
    r->status = head->status;
    r->has_events = w->walk.seen.events;
    head_decide_framing(r, &w->walk.seen, head->length);
    w->at = put_framing(w->at, r, &w->walk.seen, head->length);
    w->at = put_connection(w->at, r, &w->walk.seen, head);
    if (w->walk.seen.events)
        w->at = put_event_lines(w->at, &w->walk.seen);
    if (head->status == 426 && r->may_upgrade)
        w->at = put_version_line(w->at, head);
    w->at = put_server_lines(w->at, &w->walk.seen, server);
    w->at = PUT_LIT(w->at, "\r\n");
    return 0;
}

int response_head(struct response *r, struct outq *q, const struct sprig_head *head,
                  const char *server_header, char *why, size_t n)
{
    if (r->head_out)
        return SPRIG_E_STATE;
    int err = head_check_status(r, head->status, why, n);
    if (err)
        return err;
    struct sprig_span server = span_str(server_header);
    if (!head_is_value(server))
        return head_refuse_field(why, n, SPAN_LIT("Server"),
                                 "has a control character in its value");
    char *start = outq_reserve(q, head_bound(head, server));
    if (!start)
        return SPRIG_E_NOMEM;
    struct head_writer w = {.at = start, .walk = head_walk_of(head, r->version, why, n)};
    err = put_head(&w, r, head, server);
    outq_commit(q, err ? 0 : (size_t)(w.at - start));
    r->head_out = !err;
    return err;
}

int response_interim(struct response *r, struct outq *q, const struct sprig_head *head, char *why,
                     size_t n)
{
    if (r->head_out)
        return SPRIG_E_STATE;
    if (head->status < 102 || head->status > 199)
        return head_refuse(why, n, "status %d is not an interim one, 102..199", head->status);
    char *start = outq_reserve(q, head_bound(head, span_make(NULL, 0)));
    if (!start)
        return SPRIG_E_NOMEM;
    struct head_writer w = {.at = start, .walk = head_walk_of(head, r->version, why, n)};
    w.at = put_status_line(w.at, 11, head->status);
    int err = put_app_headers(&w);
    w.at = PUT_LIT(w.at, "\r\n");
    outq_commit(q, err || r->version < 11 ? 0 : (size_t)(w.at - start));
    return err;
}

/* admin_routes.c - what the admin listener answers, and to whom.
 *
 * Everybody who can connect may get /healthz and /readyz. Everything else needs the token, if there
 * is one: as "Authorization: Bearer TOKEN", or as the password in a browser's dialogue. Without a
 * token, a unix socket is protected by its mode, and a loopback address by the Host field, so that
 * a page cannot get in through its own name pointed at 127.0.0.1. Commands are POST requests with a
 * Sprig-Control field, which no page of another origin can send. */
#include "process/admin_internal.h"

#include "base/err.h"
#include "base/number.h"
#include "http/status.h"
#include "process/processes.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TOKEN_MIN_BYTES = 16,
    TOKEN_MAX_BYTES = 500,
    MAX_NUMBER = 99999 /* more than any worker number */
};

/* --------------------------------------------------------------------- answers ---- */

static void add_head(struct admin_conn *c, int status, const char *type, const char *headers)
{
    text_add(
        &c->out,
        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nConnection: close\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n%s",
        status, status_reason(status), type, headers);
}

static void finish(struct admin_conn *c)
{
    c->is_last = true;
    c->waits = WAITS_FOR_CLIENT;
    c->due_ms = clock_ms() + ADMIN_TIMEOUT_MS;
}

void admin_answer_status(struct admin_conn *c, int status, const char *headers, const char *text)
{
    add_head(c, status, "text/plain; charset=utf-8", headers);
    text_add(&c->out, "Content-Length: %zu\r\n\r\n", strlen(text) + 1);
    if (!c->is_head)
        text_add(&c->out, "%s\n", text);
    finish(c);
}

void admin_answer_body(struct admin_conn *c, const char *type, const struct text *body)
{
    if (body->has_failed) {
        admin_answer_status(c, 503, "", "out of memory");
        return;
    }
    add_head(c, 200, type, "");
    text_add(&c->out, "Content-Length: %zu\r\n\r\n", body->len);
    if (!c->is_head)
        text_add_bytes(&c->out, body->ptr != NULL ? body->ptr : "", body->len);
    finish(c);
}

/* ----------------------------------------------------------------- who may ask ---- */

/* What is wrong with a token; NULL: nothing. A token must fit in a header field. */
static const char *token_fault(const char *text, size_t n)
{
    if (n < TOKEN_MIN_BYTES || n > TOKEN_MAX_BYTES)
        return "must hold at least 16 characters, and 500 at most";
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return "must hold one word of printable ASCII characters";
    return NULL;
}

int admin_read_token(struct admin *a, char *why, size_t n)
{
    const char *path = a->host.config->admin_token_file;
    char text[TOKEN_MAX_BYTES + 12]; /* room for white space after it */
    if (path == NULL)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd != -1 ? read(fd, text, sizeof text - 1) : -1;
    int saved = errno;
    if (fd != -1)
        close(fd);
    if (len < 0) {
        snprintf(why, n, "cannot read admin_token_file %s: %s", path, strerror(saved));
        return SPRIG_E_SYS;
    }
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    text[len] = '\0';
    const char *fault = token_fault(text, (size_t)len);
    if (fault != NULL) {
        snprintf(why, n, "admin_token_file %s %s", path, fault);
        return SPRIG_E_INVALID;
    }
    a->token = strdup(text);
    return a->token != NULL ? 0 : SPRIG_E_NOMEM;
}

/* Takes the same time whatever is wrong. */
static bool is_token(const char *token, const char *given, size_t n)
{
    unsigned char difference = strlen(token) != n;
    for (size_t i = 0; i < n; i++)
        difference |= (unsigned char)(given[i] ^ token[i % strlen(token)]);
    return difference == 0;
}

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static size_t base64_decode(struct sprig_span in, char *out, size_t size)
{
    uint32_t bits = 0;
    size_t n = 0;
    int n_bits = 0;
    for (size_t i = 0; i < in.len && base64_value(in.ptr[i]) >= 0 && n < size; i++) {
        bits = bits << 6 | (uint32_t)base64_value(in.ptr[i]);
        n_bits += 6;
        if (n_bits >= 8)
            out[n++] = (char)(bits >> (n_bits -= 8));
    }
    return n;
}

static bool skip_word(struct sprig_span *s, const char *word)
{
    size_t n = strlen(word);
    if (s->len < n || strncasecmp(s->ptr, word, n) != 0)
        return false;
    *s = span_make(s->ptr + n, s->len - n);
    return true;
}

static bool has_token(const struct admin *a, const struct sprig_request *req)
{
    char plain[600];
    struct sprig_span given = request_header(req, SPAN_LIT("authorization"));
    if (given.ptr == NULL)
        return false;
    if (skip_word(&given, "Bearer "))
        return is_token(a->token, given.ptr, given.len);
    if (!skip_word(&given, "Basic "))
        return false;
    size_t n = base64_decode(given, plain, sizeof plain);
    char *colon = memchr(plain, ':', n);
    return colon != NULL && is_token(a->token, colon + 1, n - (size_t)(colon + 1 - plain));
}

static bool is_loopback_name(struct sprig_span host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct sprig_span rest = host;
        if (skip_word(&rest, names[i]) && (rest.len == 0 || *rest.ptr == ':'))
            return true;
    }
    return false;
}

/* Returns 0, or the status to refuse the client with. */
static int check_client(const struct admin *a, const struct sprig_request *req)
{
    if (a->token != NULL)
        return has_token(a, req) ? 0 : 401;
    if (a->is_local || is_loopback_name(request_header(req, SPAN_LIT("host"))))
        return 0;
    return 403;
}

/* ---------------------------------------------------------------------- health ---- */

static void answer_healthz(struct admin *a, struct admin_conn *c)
{
    (void)a;
    admin_answer_status(c, 200, "", "alive");
}

static void answer_readyz(struct admin *a, struct admin_conn *c)
{
    bool is_ready = a->host.is_ready(a->host.arg);
    admin_answer_status(c, is_ready ? 200 : 503, "", is_ready ? "ready" : "not ready");
}

/* ------------------------------------------------------------------- documents ---- */

#define JSON "application/json"
#define TEXT "text/plain; charset=utf-8"

static void answer_text(struct admin *a, struct admin_conn *c, const char *type,
                        void (*add)(struct text *out, const struct admin *a))
{
    struct text body = {.ptr = NULL};
    add(&body, a);
    admin_answer_body(c, type, &body);
    text_clear(&body);
}

static void answer_stats(struct admin *a, struct admin_conn *c)
{
    answer_text(a, c, JSON, admin_add_json);
}

static void answer_status(struct admin *a, struct admin_conn *c)
{
    answer_text(a, c, TEXT, admin_add_status_text);
}

static void answer_workers(struct admin *a, struct admin_conn *c)
{
    answer_text(a, c, TEXT, admin_add_workers_text);
}

static void answer_stuck(struct admin *a, struct admin_conn *c)
{
    answer_text(a, c, TEXT, admin_add_stuck_text);
}

static void answer_config(struct admin *a, struct admin_conn *c)
{
    answer_text(a, c, TEXT, admin_add_config_text);
}

/* Answers those who wait for the end of a reload. */
static void answer_reloaded(struct admin *a, struct admin_conn *c)
{
    struct text body = {.ptr = NULL};
    text_add(&body, "%s", a->host.get_note != NULL ? a->host.get_note(a->host.arg) : "");
    admin_answer_body(c, TEXT, &body);
    text_clear(&body);
}

/* The document loads nothing from elsewhere, and must not be framed. */
static void answer_page(struct admin *a, struct admin_conn *c)
{
    (void)a;
    size_t n = strlen(admin_page);
    add_head(c, 200, "text/html; charset=utf-8",
             "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src "
             "'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'\r\n");
    text_add(&c->out, "Content-Length: %zu\r\n\r\n", n);
    if (!c->is_head)
        text_add_bytes(&c->out, admin_page, n);
    finish(c);
}

/* ------------------------------------------------------------- connections, events ---- */

/* Each process describes its own connections; that needs its loop, which may be blocked. */
static void ask_for_conns(struct admin *a, struct admin_conn *c, bool is_json)
{
    c->is_json = is_json;
    c->waits = WAITS_FOR_CONNS;
    c->due_ms = clock_ms() + ADMIN_ASK_MS;
    admin_foreach(a, s) __atomic_fetch_add(&s->n_asked, 1, __ATOMIC_RELEASE);
    a->host.ask(a->host.arg);
}

static void answer_conns(struct admin *a, struct admin_conn *c)
{
    ask_for_conns(a, c, false);
}

static void answer_conns_json(struct admin *a, struct admin_conn *c)
{
    ask_for_conns(a, c, true);
}

bool admin_has_all_conns(const struct admin *a)
{
    admin_foreach(a, s) if (s->state != STATS_STARTING &&
                            __atomic_load_n(&s->n_answered, __ATOMIC_ACQUIRE) !=
                                __atomic_load_n(&s->n_asked, __ATOMIC_RELAXED)) return false;
    return true;
}

void admin_answer_conns(struct admin *a, struct admin_conn *c)
{
    answer_text(a, c, c->is_json ? JSON : TEXT,
                c->is_json ? admin_add_conns_json : admin_add_conns_text);
}

/* Server-sent events: stats.json for the page, once a second. */
static void answer_events(struct admin *a, struct admin_conn *c)
{
    add_head(c, 200, "text/event-stream", "");
    text_add(&c->out, "\r\nretry: 1000\n\n");
    c->waits = WAITS_FOR_EVENT;
    c->due_ms = clock_ms() + ADMIN_EVENT_MS;
    admin_add_event(a, c);
}

void admin_add_event(struct admin *a, struct admin_conn *c)
{
    text_add(&c->out, "data: ");
    admin_add_json(&c->out, a);
    text_add(&c->out, "\n\n");
    if (c->out.has_failed)
        c->is_last = true;
}

/* -------------------------------------------------------------------- commands ---- */

static void answer_verb(struct admin *a, struct admin_conn *c, enum admin_verb verb,
                        uint32_t number)
{
    char said[512] = "";
    int status = a->host.act(verb, number, said, sizeof said, a->host.arg);
    admin_answer_status(c, status == 0 ? 200 : status, "", said);
}

/* "/workers/3/kill" */
static bool is_kill(struct sprig_span path, uint32_t *number)
{
    static const char before[] = "/workers/";
    const size_t n = sizeof before - 1;
    uint64_t value;
    if (path.len <= n || memcmp(path.ptr, before, n) != 0)
        return false;
    path = span_make(path.ptr + n, path.len - n);
    if (!number_take(&path, MAX_NUMBER, &value) || !span_eq(path, SPAN_LIT("/kill")))
        return false;
    *number = (uint32_t)value;
    return true;
}

static const struct {
    const char *path;
    enum admin_verb verb;
} verbs[] = {
    {"/reload", ADMIN_RELOAD}, {"/upgrade", ADMIN_UPGRADE}, {"/reopen", ADMIN_REOPEN},
    {"/drain", ADMIN_DRAIN},   {"/undrain", ADMIN_UNDRAIN}, {"/stop", ADMIN_STOP},
    {"/quit", ADMIN_QUIT},     {"/workers/add", ADMIN_ADD}, {"/workers/remove", ADMIN_REMOVE},
};

static bool take_verb(struct sprig_span path, enum admin_verb *verb, uint32_t *number)
{
    *number = 0;
    *verb = ADMIN_KILL;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (span_eq(path, span_str(verbs[i].path))) {
            *verb = verbs[i].verb;
            return true;
        }
    return is_kill(path, number);
}

/* ---------------------------------------------------------------------- routes ---- */

static const struct {
    const char *path;
    void (*answer)(struct admin *a, struct admin_conn *c);
} documents[] = {
    {"/", answer_page},
    {"/stats.json", answer_stats},
    {"/connections.json", answer_conns_json},
    {"/events", answer_events},
    {"/status", answer_status},
    {"/workers", answer_workers},
    {"/connections", answer_conns},
    {"/stuck", answer_stuck},
    {"/config", answer_config},
    {"/reloaded", answer_reloaded},
};

static bool accepts(const struct sprig_request *req, const char *type)
{
    struct sprig_span s = request_header(req, SPAN_LIT("accept"));
    return s.ptr != NULL && memmem(s.ptr, s.len, type, strlen(type)) != NULL;
}

#define OPENMETRICS "application/openmetrics-text"

static void answer_metrics(struct admin *a, struct admin_conn *c, const struct sprig_request *req)
{
    struct text body = {.ptr = NULL};
    bool is_open = accepts(req, OPENMETRICS);
    admin_add_metrics(&body, a, is_open);
    admin_answer_body(c,
                      is_open ? OPENMETRICS "; version=1.0.0; charset=utf-8"
                              : "text/plain; version=0.0.4; charset=utf-8",
                      &body);
    text_clear(&body);
}

static void answer_get(struct admin *a, struct admin_conn *c, const struct sprig_request *req)
{
    enum admin_verb verb;
    uint32_t number;
    if (span_eq(req->path, SPAN_LIT("/metrics"))) {
        answer_metrics(a, c, req);
        return;
    }
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++)
        if (span_eq(req->path, span_str(documents[i].path))) {
            documents[i].answer(a, c);
            return;
        }
    if (take_verb(req->path, &verb, &number))
        admin_answer_status(c, 405, "Allow: POST\r\n", "this is a command: use POST");
    else
        admin_answer_status(c, 404, "", "there is no such document");
}

static void answer_post(struct admin *a, struct admin_conn *c, const struct sprig_request *req)
{
    enum admin_verb verb;
    uint32_t number;
    if (!take_verb(req->path, &verb, &number))
        admin_answer_status(c, 404, "", "there is no such command");
    else if (request_header(req, SPAN_LIT("sprig-control")).ptr == NULL)
        admin_answer_status(c, 403, "", "a command needs the header field Sprig-Control: 1");
    else
        answer_verb(a, c, verb, number);
}

void admin_answer(struct admin *a, struct admin_conn *c, const struct sprig_request *req)
{
    bool is_get = span_eq(req->method, SPAN_LIT("GET")) || req->is_head;
    a->host.stats->n_admin_requests++;
    c->is_head = req->is_head;
    if (is_get && span_eq(req->path, SPAN_LIT("/healthz"))) {
        answer_healthz(a, c);
        return;
    }
    if (is_get && span_eq(req->path, SPAN_LIT("/readyz"))) {
        answer_readyz(a, c);
        return;
    }
    int status = check_client(a, req);
    if (status == 401)
        admin_answer_status(c, 401, "WWW-Authenticate: Basic realm=\"sprig\"\r\n",
                            "the token of admin_token_file is needed");
    else if (status != 0)
        admin_answer_status(c, status, "", "only for names of this machine: localhost, 127.0.0.1");
    else if (is_get)
        answer_get(a, c, req);
    else if (span_eq(req->method, SPAN_LIT("POST")))
        answer_post(a, c, req);
    else
        admin_answer_status(c, 405, "Allow: GET, HEAD, POST\r\n", "use GET, or POST for commands");
}

/* request_id.c - takes a request's id from a trusted proxy, or makes one; see request_id.h */
#include "serve/request_id.h"

#include "base/clock.h"
#include "http/chars.h"
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* traceparent (W3C Trace Context): "00-", trace id, "-", span id, "-", flags. */
enum { TRACE_AT = 3, TRACE_DIGITS = 32, TRACEPARENT_BYTES = 55, MADE_BYTES = 32 };

/* ------------------------------------------------------------------ made here ---- */

/* splitmix64; a forked child starts with a seed of its own. */
static uint64_t random_word(void)
{
    static uint64_t state;
    static pid_t pid;
    if (pid != getpid()) {
        pid = getpid();
        if (getrandom(&state, sizeof state, GRND_NONBLOCK) != sizeof state)
            state = clock_real_ns() * 1000003 + (uint64_t)pid;
    }
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void make_id(struct sprig_exchange *ex)
{
    static const char hex[] = "0123456789abcdef";
    for (unsigned i = 0; i < MADE_BYTES;) {
        uint64_t word = random_word();
        for (unsigned k = 0; k < 16; k++, word >>= 4)
            ex->in->request_id[i++] = hex[word & 15];
    }
    ex->n_request_id = MADE_BYTES;
}

/* ---------------------------------------------------------------- from a proxy ---- */

static bool is_trusted(struct sprig_exchange *ex)
{
    const struct cidr_list *trusted = &ex->conn->server->trusted_proxies;
    struct sprig_span host, port;
    if (cidr_list_is_empty(trusted) || ex->conn->origin == ORIGIN_HIDDEN)
        return false;
    sprig_exchange_remote(ex, &host, &port);
    return trusted->hops > 0 || cidr_list_has(trusted, host);
}

/* Accepts only what can do no harm in a log, a header or a shell. */
static bool is_valid(struct sprig_span id)
{
    if (id.len == 0 || id.len > REQUEST_ID_BYTES)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (!(id.ptr[i] >= '0' && id.ptr[i] <= '9') && !(id.ptr[i] >= 'A' && id.ptr[i] <= 'Z') &&
            !(id.ptr[i] >= 'a' && id.ptr[i] <= 'z') && memchr("-_.:=+/@", id.ptr[i], 8) == NULL)
            return false;
    return true;
}

/* The trace id in a traceparent; ptr NULL: invalid, or all zeros. */
static struct sprig_span trace_of(struct sprig_span text)
{
    struct sprig_span none = {NULL, 0}, id = span_make(text.ptr + TRACE_AT, TRACE_DIGITS);
    bool is_zero = true;
    if (text.len < TRACEPARENT_BYTES || text.ptr[2] != '-' || text.ptr[35] != '-')
        return none;
    for (size_t i = 0; i < id.len; i++) {
        if (!char_is(id.ptr[i], CHAR_HEX))
            return none;
        is_zero = is_zero && id.ptr[i] == '0';
    }
    return is_zero ? none : id;
}

static bool take_id(struct sprig_exchange *ex)
{
    struct sprig_span id = request_header(&ex->in->request, SPAN_LIT("X-Request-Id"));
    if (!is_valid(id))
        id = trace_of(request_header(&ex->in->request, SPAN_LIT("traceparent")));
    if (id.ptr == NULL)
        return false;
    memcpy(ex->in->request_id, id.ptr, id.len);
    ex->n_request_id = (uint8_t)id.len;
    return true;
}

struct sprig_span exchange_request_id(struct sprig_exchange *ex)
{
    enum sprig_request_id how = ex->conn->server->config.request_id;
    if (ex->names != NULL)
        return span_make(ex->names + ex->n_label, ex->n_request_id);
    if (ex->n_request_id == 0 && how != SPRIG_REQUEST_ID_OFF)
        if (how == SPRIG_REQUEST_ID_MAKE || !is_trusted(ex) || !take_id(ex))
            make_id(ex);
    return span_make(ex->in->request_id, ex->n_request_id);
}

/* ---------------------------------------------------------------- the response ---- */

const struct sprig_head *request_id_add(struct sprig_exchange *ex, const struct sprig_head *head,
                                        struct sprig_head *room, struct sprig_header **fields)
{
    struct sprig_span name = span_str(ex->conn->server->config.request_id_header);
    struct sprig_span id = name.len > 0 ? exchange_request_id(ex) : name;
    *fields = NULL;
    if (id.len == 0)
        return head;
    for (size_t i = 0; i < head->n_headers; i++)
        if (span_ieq(head->headers[i].name, name))
            return head;
    struct sprig_header *all = calloc(head->n_headers + 1, sizeof *all);
    if (all == NULL)
        return head;
    if (head->n_headers > 0)
        memcpy(all, head->headers, head->n_headers * sizeof *all);
    all[head->n_headers].name = name;
    all[head->n_headers].value = id;
    *room = *head;
    room->headers = *fields = all;
    room->n_headers++;
    return room;
}

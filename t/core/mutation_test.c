/* mutation_test.c - damaged messages: however they are cut, the verdict is the same, and what was
 * accepted lies within the head. The damage is the same in every run. */
#include "corpus.h"
#include "guard.h"
#include "http/chunk.h"
#include "http/parser.h"
#include "tap.h"

#define N(array) (sizeof(array) / sizeof(array[0]))

enum { N_ROUNDS = 40000, MAX_BYTES = 4096 };

static struct parser_scratch scratch;

static uint32_t random_below(uint32_t n)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t)(x >> 32) % n;
}

struct message {
    char bytes[MAX_BYTES];
    size_t len;
};

static void start(struct message *m, const struct corpus_row *row)
{
    memcpy(m->bytes, row->bytes, row->len);
    m->len = row->len;
}

/* Goes on with the end of another row. */
static void cross(struct message *m, const struct corpus_row *row)
{
    size_t at = random_below((uint32_t)m->len + 1);
    size_t from = random_below((uint32_t)row->len + 1);
    memcpy(m->bytes + at, row->bytes + from, row->len - from);
    m->len = at + row->len - from;
}

static void damage(struct message *m)
{
    static const char special[] = " \t\r\n:;,%#?/\0\x7f\x80\x01"
                                  "09azAZ*@[].=\"";
    size_t at = random_below((uint32_t)m->len + 1);
    char c = special[random_below(sizeof special - 1)];
    switch (random_below(3)) {
    case 0:
        if (at < m->len)
            m->bytes[at] = c;
        return;
    case 1:
        memmove(m->bytes + at + 1, m->bytes + at, m->len - at);
        m->bytes[at] = c;
        m->len++;
        return;
    default:
        if (at == m->len)
            return;
        memmove(m->bytes + at, m->bytes + at + 1, m->len - at - 1);
        m->len--;
    }
}

/* ------------------------------------------------------------------ heads ---- */

/* Takes pieces of up to max_step bytes until there is a verdict; max_step 0: all at once. */
static long parse(const struct message *m, uint32_t max_step, const struct parser_limits *limits,
                  struct sprig_request *req, struct parser_refusal *why)
{
    struct parser p;
    size_t n = 0;
    long rc = 0;
    parser_init(&p);
    while (rc == 0 && (n < m->len || n == 0)) {
        n += max_step ? 1 + random_below(max_step) : m->len + 1;
        n = n < m->len ? n : m->len;
        rc = parser_head(&p, span_make(guard_copy(m->bytes, n), n), limits, &scratch, req, why);
        if (m->len == 0)
            break;
    }
    return rc;
}

static bool is_within(struct sprig_span s, struct sprig_span head)
{
    return s.ptr >= head.ptr && s.ptr + s.len <= head.ptr + head.len;
}

static bool is_sound(const struct sprig_request *req)
{
    bool sound = is_within(req->method, req->head) && is_within(req->target, req->head) &&
                 req->path.len > 0 && req->path.ptr[0] == '/' &&
                 !(req->chunked && req->content_length);
    for (uint32_t i = 0; i < req->n_headers; i++)
        sound = sound && is_within(req->headers[i].name, req->head) &&
                is_within(req->headers[i].value, req->head) && req->headers[i].name.len > 0;
    return sound;
}

/* Where the headers lie: one number for all of it. */
static uint64_t layout(const struct sprig_request *req)
{
    uint64_t n = req->n_headers;
    for (uint32_t i = 0; i < req->n_headers; i++) {
        const struct sprig_header *h = &req->headers[i];
        n = n * 31 + (uint64_t)(h->name.ptr - req->head.ptr);
        n = n * 31 + h->name.len;
        n = n * 31 + (h->value.len > 0 ? (uint64_t)(h->value.ptr - req->head.ptr) : 0);
        n = n * 31 + h->value.len;
    }
    return n;
}

struct verdict {
    long rc;
    uint64_t layout;
    const char *reason;
};

static struct verdict judge(const struct message *m, uint32_t max_step,
                            const struct parser_limits *limits)
{
    struct sprig_request req;
    struct parser_refusal why = {0, ""};
    struct verdict v = {.rc = parse(m, max_step, limits, &req, &why), .reason = why.reason};
    if (v.rc > 0)
        v.layout = is_sound(&req) ? layout(&req) : random_below(UINT32_MAX);
    return v;
}

static bool is_same(struct verdict a, struct verdict b)
{
    return a.rc == b.rc && a.layout == b.layout && strcmp(a.reason, b.reason) == 0;
}

static bool head_is_stable(const struct message *m, const struct parser_limits *limits)
{
    return is_same(judge(m, 1 + random_below(20), limits), judge(m, 0, limits));
}

/* Whether the library finds anything in the lines that it does not get to see. */
static bool head_needs_all(const struct message *m, const struct parser_limits *limits)
{
    struct verdict some = judge(m, 0, limits);
    parser_backend_reads_all = true;
    struct verdict all = judge(m, 0, limits);
    parser_backend_reads_all = false;
    return !is_same(some, all);
}

static void test_heads(void)
{
    static const struct parser_limits generous = {8192, 65536, 100}, tight = CORPUS_LIMITS;
    int n_unstable = 0, n_needed = 0, n_accepted = 0;
    for (int i = 0; i < N_ROUNDS; i++) {
        struct message m;
        struct sprig_request req;
        struct parser_refusal why;
        bool is_tight = i % 4 == 0;
        start(&m, is_tight ? &corpus_limits[random_below(N(corpus_limits))]
                           : &corpus_heads[random_below(N(corpus_heads))]);
        if (i % 3 == 0)
            cross(&m, &corpus_heads[random_below(N(corpus_heads))]);
        for (uint32_t n = random_below(4); n > 0; n--)
            damage(&m);
        n_unstable += !head_is_stable(&m, is_tight ? &tight : &generous);
        n_needed += head_needs_all(&m, is_tight ? &tight : &generous);
        n_accepted += parse(&m, 0, is_tight ? &tight : &generous, &req, &why) > 0;
    }
    is_int(n_unstable, 0, "%d damaged heads: the verdict does not depend on the cuts", N_ROUNDS);
    is_int(n_needed, 0, "nor on the lines that the library does not read");
    ok(n_accepted > N_ROUNDS / 20 && n_accepted < N_ROUNDS / 2, "%d were accepted", n_accepted);
}

/* ----------------------------------------------------------------- bodies ---- */

struct decoded {
    int result;
    size_t used;
    uint64_t total;
};

static struct decoded decode(const struct message *m, uint32_t max_step)
{
    struct chunk chunk;
    struct sprig_span data;
    struct decoded d = {0};
    chunk_init(&chunk, CORPUS_MAX_TRAILERS);
    do {
        size_t left = m->len - d.used;
        size_t n = max_step ? 1 + random_below(max_step) : left;
        n = n < left ? n : left;
        struct sprig_span in = span_make(guard_copy(m->bytes + d.used, n), n);
        while ((d.result = chunk_decode(&chunk, &in, &data)) == CHUNK_DATA)
            ;
        d.used += n - in.len;
    } while (d.result == CHUNK_MORE && d.used < m->len);
    d.total = chunk.total;
    return d;
}

static void test_bodies(void)
{
    int n_unstable = 0;
    for (int i = 0; i < N_ROUNDS; i++) {
        struct message m;
        start(&m, &corpus_chunks[random_below(N(corpus_chunks))]);
        for (uint32_t n = random_below(4); n > 0; n--)
            damage(&m);
        struct decoded whole = decode(&m, 0), cut = decode(&m, 1 + random_below(6));
        n_unstable +=
            whole.result != cut.result || whole.used != cut.used || whole.total != cut.total;
    }
    is_int(n_unstable, 0, "%d damaged bodies: the same", N_ROUNDS);
}

int main(void)
{
    test_heads();
    test_bodies();
    scratch_clear(&scratch);
    return done_testing();
}

/* response_body.c - a response's body: chunks, the announced length, the end. */
#include "base/err.h"
#include "http/head_check.h"
#include "http/response.h"
#include "http/trailers.h"
#include <unistd.h>

/* The longest chunk-size line: 16 hex digits and CRLF. */
enum { SIZE_LINE_BYTES = 18 };

/* Chunks up to this size are written together with their framing, as one piece. */
enum { SMALL_CHUNK_BYTES = 4096 };

/* How much of a file is looked at to see whether it consists of chunks. */
enum { FILE_LOOK_BYTES = 1024 };

/* The largest such file over HTTP/2. */
enum { FILE_READ_BYTES = 16 << 20 };

/* Writes the chunk-size line for n > 0; returns its length. */
static size_t put_size_line(char line[SIZE_LINE_BYTES], uint64_t n)
{
    char *end = line + SIZE_LINE_BYTES - 2, *at = end;
    for (; n; n >>= 4)
        *--at = "0123456789abcdef"[n & 15];
    size_t len = (size_t)(end - at);
    memmove(line, at, len);
    memcpy(line + len, "\r\n", 2);
    return len + 2;
}

/* Sets *n_allowed to how many of n body bytes to queue now. Returns 0 or SPRIG_E_STATE. */
static inline int admit(struct response *r, uint64_t n, uint64_t *n_allowed)
{
    *n_allowed = 0;
    if (!r->head_out || r->ended)
        return SPRIG_E_STATE;
    if (r->bodyless || r->is_dropped)
        return 0;
    if (r->framing == FRAMING_LENGTH && n > r->left) {
        n = r->left;
        r->cut = true;
    }
    if (r->framing == FRAMING_LENGTH)
        r->left -= n;
    *n_allowed = n;
    r->n_body += n;
    return 0;
}

/* Checks the chunks that the app makes: the client would take malformed ones, or bytes after the
 * last chunk, for the next response. Shortens *bytes to what may pass. */
static int admit_app_chunks(struct response *r, struct sprig_span *bytes)
{
    struct sprig_span in = *bytes, data;
    int got = CHUNK_DATA;
    while (!r->app_done && got == CHUNK_DATA)
        got = chunk_decode(&r->check, &in, &data);
    if (got < 0)
        return SPRIG_E_INVALID;
    if (got == CHUNK_END)
        r->app_done = true;
    if (in.len > 0) {
        r->cut = true;
        r->n_body -= in.len;
        bytes->len -= in.len;
    }
    return 0;
}

/* HTTP/2 has frames instead of chunks, so the app's chunk framing is removed. */
static bool takes_chunks_off(const struct response *r)
{
    return r->app_framed && r->framing == FRAMING_FRAMES;
}

static int add_without_chunks(struct response *r, struct outq *q, struct sprig_span in)
{
    struct sprig_span data;
    int got = CHUNK_MORE;
    r->n_body -= in.len;
    while (!r->app_done && (got = chunk_decode(&r->check, &in, &data)) == CHUNK_DATA) {
        r->n_body += data.len;
        if (outq_add(q, data) != 0)
            return SPRIG_E_NOMEM;
    }
    if (got < 0)
        return SPRIG_E_INVALID;
    r->app_done = r->app_done || got == CHUNK_END;
    r->cut = r->cut || in.len > 0;
    return 0;
}

static bool makes_chunks(const struct response *r)
{
    return r->framing == FRAMING_CHUNKED && !r->app_framed;
}

static int add_small_chunk(struct outq *q, struct sprig_span bytes)
{
    char *start = outq_reserve(q, SIZE_LINE_BYTES + bytes.len + 2), *at = start;
    if (!start)
        return SPRIG_E_NOMEM;
    int shift = (31 - __builtin_clz((unsigned)bytes.len)) & ~3; /* for the first digit */
    for (; shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[bytes.len >> shift & 15];
    memcpy(at, "\r\n", 2);
    memcpy(at + 2, bytes.ptr, bytes.len);
    at += 2 + bytes.len;
    memcpy(at, "\r\n", 2);
    outq_commit(q, (size_t)(at - start) + 2);
    return 0;
}

static int add_chunk_start(struct outq *q, uint64_t n)
{
    char line[SIZE_LINE_BYTES];
    return outq_add(q, span_make(line, put_size_line(line, n)));
}

static int add_chunk_end(struct outq *q)
{
    return outq_add(q, SPAN_LIT("\r\n"));
}

/* An app that says "chunked" either makes the chunks itself or expects the server to (as with other
 * servers): its first bytes show which. */
enum app_chunks { APP_CHUNKS_NO, APP_CHUNKS_PERHAPS, APP_CHUNKS_YES };

/* Looks at the kept bytes and these: are they chunks? */
static enum app_chunks look_for_chunks(const struct response *r, struct sprig_span bytes)
{
    struct chunk check;
    struct sprig_span unsure = span_make(r->unsure, r->n_unsure), data;
    int got = CHUNK_MORE;
    chunk_init(&check, UINT32_MAX);
    chunk_decode(&check, &unsure, &data);
    do
        got = chunk_decode(&check, &bytes, &data);
    while (got == CHUNK_DATA);
    if (got < 0)
        return APP_CHUNKS_NO;
    bool is_line = got == CHUNK_END || check.total > 0 || chunk_announced(&check) > 0;
    return is_line ? APP_CHUNKS_YES : APP_CHUNKS_PERHAPS;
}

/* Decides and releases what was kept; or keeps these bytes as well, and empties *bytes. */
static int decide_chunks(struct response *r, struct outq *q, struct sprig_span *bytes)
{
    enum app_chunks chunks = look_for_chunks(r, *bytes);
    struct sprig_span unsure = span_make(r->unsure, r->n_unsure), all = unsure;
    if (chunks == APP_CHUNKS_PERHAPS && r->n_unsure + bytes->len <= sizeof r->unsure) {
        memcpy(r->unsure + r->n_unsure, bytes->ptr, bytes->len);
        r->n_unsure = (uint8_t)(r->n_unsure + bytes->len);
        bytes->len = 0;
        return 0;
    }
    r->app_unsure = false;
    r->app_framed = chunks == APP_CHUNKS_YES;
    r->n_unsure = 0;
    if (unsure.len == 0)
        return 0;
    if (!r->app_framed)
        return makes_chunks(r) ? add_small_chunk(q, unsure) : outq_add(q, unsure);
    if (takes_chunks_off(r))
        return add_without_chunks(r, q, unsure);
    int err = admit_app_chunks(r, &all);
    return err ? err : outq_add(q, unsure);
}

/* Common start of response_body and _ref: the part that may pass, possibly empty. */
static inline int admit_span(struct response *r, struct outq *q, struct sprig_span *bytes)
{
    uint64_t n;
    int err = admit(r, bytes->len, &n);
    bytes->len = (size_t)n;
    if (!err && n && r->app_unsure)
        err = decide_chunks(r, q, bytes);
    bool passes = bytes->len && r->app_framed && !takes_chunks_off(r);
    return !err && passes ? admit_app_chunks(r, bytes) : err;
}

int response_body(struct response *r, struct outq *q, struct sprig_span bytes)
{
    int err = admit_span(r, q, &bytes);
    if (err || bytes.len == 0)
        return err;
    if (takes_chunks_off(r))
        return add_without_chunks(r, q, bytes);
    if (!makes_chunks(r))
        return outq_add(q, bytes);
    if (bytes.len <= SMALL_CHUNK_BYTES)
        return add_small_chunk(q, bytes);
    if ((err = add_chunk_start(q, bytes.len)) || (err = outq_add(q, bytes)))
        return err;
    return add_chunk_end(q);
}

/* Handles a body of known length, which is one run of bytes. Everything else goes the usual way. */
int response_body_pieces(struct response *r, struct outq *q, const struct sprig_span *pieces,
                         size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += pieces[i].len;
    bool is_run = r->head_out && !r->ended && r->framing == FRAMING_LENGTH && total <= r->left;
    if (is_run && total > 0) {
        r->left -= total;
        r->n_body += total;
        return outq_add_pieces(q, pieces, n, total);
    }
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++)
        err = response_body(r, q, pieces[i]);
    return err;
}

typedef int add_cb(struct outq *q, struct sprig_span bytes, outq_release_cb *release, void *arg);

/* Queues a reference of either kind, with its framing. */
static int body_by(add_cb *add, struct response *r, struct outq *q, struct sprig_span bytes,
                   outq_release_cb *release, void *arg)
{
    int err = admit_span(r, q, &bytes);
    if (!err && bytes.len && takes_chunks_off(r)) {
        err = add_without_chunks(r, q, bytes);
        bytes.len = 0; /* as below */
    }
    bool chunk = !err && bytes.len && makes_chunks(r);
    if (chunk)
        err = add_chunk_start(q, bytes.len);
    if (err)
        bytes.len = 0; /* add() then only gives the reference back */
    int added = add(q, bytes, release, arg);
    if (err || added)
        return err ? err : added;
    return chunk ? add_chunk_end(q) : 0;
}

int response_body_ref(struct response *r, struct outq *q, struct sprig_span bytes,
                      outq_release_cb *release, void *arg)
{
    return body_by(outq_add_ref, r, q, bytes, release, arg);
}

int response_body_shared(struct response *r, struct outq *q, struct sprig_span bytes,
                         outq_release_cb *release, void *arg)
{
    return body_by(outq_add_shared, r, q, bytes, release, arg);
}

size_t response_put_chunk_start(char *at, uint64_t n)
{
    char line[SIZE_LINE_BYTES];
    size_t len = put_size_line(line, n);
    memcpy(at, line, len);
    return len;
}

int response_body_chunk(struct response *r, struct outq *q, struct sprig_span chunk,
                        struct sprig_span bytes, outq_release_cb *release, void *arg)
{
    if (!response_makes_chunks(r))
        return response_body_shared(r, q, bytes, release, arg);
    r->n_body += bytes.len;
    return outq_add_shared(q, chunk, release, arg);
}

/* Looks whether a file begins with a chunk. If it is too short to tell, keeps it: *n is 0. */
static int decide_file_chunks(struct response *r, struct outq *q, int fd, uint64_t offset,
                              uint64_t *n)
{
    char start[FILE_LOOK_BYTES];
    size_t wanted = *n < sizeof start ? (size_t)*n : sizeof start;
    ssize_t got = pread(fd, start, wanted, (off_t)offset);
    struct sprig_span bytes = span_make(start, got > 0 ? (size_t)got : 0);
    if ((size_t)bytes.len < wanted)
        return SPRIG_E_INVALID; /* shorter than before, or not readable */
    int err = decide_chunks(r, q, &bytes);
    if (bytes.len == 0)
        *n = 0;
    return err;
}

/* Rare: a file that the app has chunked. It is read into memory here, so there is a limit. */
static int add_file_without_chunks(struct response *r, struct outq *q, int fd, uint64_t offset,
                                   uint64_t *n)
{
    char bytes[16384];
    int err = *n > FILE_READ_BYTES ? SPRIG_E_INVALID : 0;
    while (*n > 0 && err == 0) {
        size_t wanted = *n < sizeof bytes ? (size_t)*n : sizeof bytes;
        ssize_t got = pread(fd, bytes, wanted, (off_t)offset);
        if (got <= 0)
            return SPRIG_E_INVALID;
        err = add_without_chunks(r, q, span_make(bytes, (size_t)got));
        offset += (uint64_t)got;
        *n -= (uint64_t)got;
    }
    return err;
}

int response_body_file(struct response *r, struct outq *q, int fd, uint64_t offset, uint64_t length,
                       outq_release_cb *release, void *arg)
{
    uint64_t n;
    int err = admit(r, length, &n);
    if (!err && n && r->app_unsure)
        err = decide_file_chunks(r, q, fd, offset, &n);
    bool chunk = !err && n && makes_chunks(r);
    if (chunk)
        err = add_chunk_start(q, n);
    if (n && !err && takes_chunks_off(r))
        err = add_file_without_chunks(r, q, fd, offset, &n);
    if (n && !err && r->app_framed) {
        /* Chunks in a file are not checked, so nothing may follow them on this connection. */
        r->app_done = true;
        r->keep_alive = false;
    }
    int added = outq_add_file(q, fd, offset, err ? 0 : n, release, arg);
    if (err || added)
        return err ? err : added;
    return chunk ? add_chunk_end(q) : 0;
}

/* True if the client would wait for more than it will get. */
static bool is_short(const struct response *r)
{
    return r->framing == FRAMING_LENGTH ? r->left > 0
                                        : r->app_framed && !r->app_unsure && !r->app_done;
}

/* Bytes kept until the end are not a chunk. */
static int end_unsure(struct response *r, struct outq *q)
{
    struct sprig_span unsure = span_make(r->unsure, r->n_unsure);
    r->app_unsure = r->app_framed = false;
    if (unsure.len == 0)
        return 0;
    return makes_chunks(r) ? add_small_chunk(q, unsure) : outq_add(q, unsure);
}

int response_end(struct response *r, struct outq *q)
{
    if (!r->head_out || r->ended || is_short(r))
        return SPRIG_E_STATE;
    int err = r->app_unsure ? end_unsure(r, q) : 0;
    if (!err && makes_chunks(r) && !r->has_trailers)
        err = outq_add(q, SPAN_LIT("0\r\n\r\n"));
    r->ended = !err;
    return err;
}

/* ---------------------------------------------------------------- trailers ---- */

static int check_trailers(const struct sprig_header *fields, size_t n_fields, char *why, size_t n)
{
    for (size_t i = 0; i < n_fields; i++) {
        struct sprig_span name = fields[i].name;
        if (!head_is_name(name))
            return head_refuse_field(why, n, name, "has an invalid name");
        if (!head_is_value(fields[i].value))
            return head_refuse_field(why, n, name, "has a control character in its value");
        if (trailers_belongs_ahead(name))
            return head_refuse_field(why, n, name, "is not allowed as a trailer");
    }
    return 0;
}

static int add_field(struct outq *q, const struct sprig_header *h)
{
    int err = outq_add(q, h->name);
    if (!err)
        err = outq_add(q, SPAN_LIT(": "));
    if (!err && h->value.len > 0)
        err = outq_add(q, h->value);
    return err ? err : outq_add(q, SPAN_LIT("\r\n"));
}

int response_admit_trailers(const struct response *r, const struct sprig_header *fields,
                            size_t n_fields, char *why, size_t n)
{
    int err = check_trailers(fields, n_fields, why, n);
    if (err)
        return err;
    return !r->head_out || r->ended || r->has_trailers ? SPRIG_E_STATE : r->bodyless;
}

int response_trailers(struct response *r, struct outq *q, const struct sprig_header *fields,
                      size_t n_fields, char *why, size_t n)
{
    int err = response_admit_trailers(r, fields, n_fields, why, n);
    if (err)
        return err < 0 ? err : 0;
    if (!makes_chunks(r))
        return SPRIG_E_STATE;
    err = outq_add(q, SPAN_LIT("0\r\n"));
    for (size_t i = 0; i < n_fields && !err; i++)
        err = add_field(q, &fields[i]);
    if (!err)
        err = outq_add(q, SPAN_LIT("\r\n"));
    r->has_trailers = !err;
    return err;
}

/* frame.c - WebSocket frames: the messages and the verdict do not depend on the cuts. */
#include "ws/frame.h"
#include "fuzz.h"

struct outcome {
    int rc;
    uint64_t n_data, n_messages, hash;
};

static void add(struct outcome *out, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out->hash = out->hash * 33 + (unsigned char)bytes[i];
}

/* Where pieces of a message end is not a part of what it is. */
static void take(struct outcome *out, const struct ws_piece *p)
{
    uint16_t code;
    struct sprig_span reason;
    out->n_data += p->bytes.len;
    add(out, p->bytes.ptr, p->bytes.len);
    if (p->opcode == WS_CLOSE)
        ws_read_close(p->bytes, &code, &reason);
    if (p->opcode >= WS_CLOSE || p->is_last) {
        out->n_messages++;
        add(out, (const char *)&p->opcode, 1);
    }
    FUZZ_CHECK(p->opcode < WS_CLOSE || p->bytes.len <= WS_MAX_CONTROL);
}

static struct outcome read_all(const uint8_t *data, size_t n, const struct ws_limits *limits,
                               struct cuts *cuts)
{
    struct ws_reader reader;
    struct ws_piece piece;
    struct outcome out = {WS_READ_MORE, 0, 0, 5381};
    ws_reader_init(&reader);
    for (size_t at = 0, step; out.rc >= 0 && at < n; at += step) {
        step = cuts != NULL ? cuts_next(cuts) : n;
        step = step < n - at ? step : n - at;
        char *bytes = exact_copy(data + at, step);
        struct sprig_span in = span_make(bytes, step);
        while ((out.rc = ws_read(&reader, limits, &in, &piece)) > 0)
            take(&out, &piece);
        FUZZ_CHECK(out.rc < 0 || in.len == 0);
        FUZZ_CHECK(out.rc >= 0 || (reader.reason != NULL && ws_close_is_valid((uint32_t)-out.rc)));
        free(bytes);
    }
    ws_reader_clear(&reader);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3)
        return 0;
    struct ws_limits limits = {data[2] & 1 ? 300 : 0, data[2] & 2 ? 4 : 0, data[2] & 4};
    struct cuts cuts = cuts_make(data);
    struct outcome cut = read_all(data + 3, n - 3, &limits, &cuts);
    struct outcome whole = read_all(data + 3, n - 3, &limits, NULL);
    FUZZ_CHECK(cut.rc == whole.rc && cut.n_data == whole.n_data && cut.hash == whole.hash &&
               cut.n_messages == whole.n_messages);
    return 0;
}

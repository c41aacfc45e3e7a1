/* deflate.c - permessage-deflate: what a client compressed becomes the same message, and gets the
 * same verdict, however it was cut; and what is compressed here can be read. */
#include "ws/deflate.h"
#include "fuzz.h"
#include "ws/frame.h"

#ifdef SPRIG_HAS_ZLIB

static struct ws_zlib *zlib;

struct outcome {
    int rc;
    struct ws_buffer out; /* owned */
};

/* Two messages with the same bytes: the second may refer to the first where the window is kept. */
static struct outcome inflate_twice(const uint8_t *data, size_t n,
                                    const struct ws_deflate_terms *terms, uint64_t max,
                                    struct cuts *cuts)
{
    struct outcome result = {0, {NULL, 0, 0, 0}};
    struct ws_stream *own = NULL;
    for (int i = 0; i < 2 && result.rc == 0; i++) {
        struct ws_buffer message = {NULL, 0, 0, 0};
        for (size_t at = 0, step; result.rc == 0 && at <= n; at += step) {
            step = cuts != NULL ? cuts_next(cuts) : n;
            step = step < n - at ? step : n - at;
            char *bytes = exact_copy(data + at, step);
            bool is_last = at + step == n;
            result.rc =
                ws_inflate(zlib, &own, terms, span_make(bytes, step), is_last, max, &message);
            FUZZ_CHECK(result.rc != 0 || max == 0 || message.n <= max);
            free(bytes);
            if (is_last)
                break;
        }
        if (result.rc == 0)
            ws_buffer_add(&result.out, ws_buffer_span(&message));
        ws_buffer_clear(&message);
    }
    FUZZ_CHECK(result.rc <= 0 && (result.rc == 0 || ws_close_is_valid((uint32_t)-result.rc)));
    FUZZ_CHECK(result.rc != 0 || terms->client_takeover || own == NULL);
    ws_inflate_end(zlib, own);
    return result;
}

static bool is_same(const struct ws_buffer *a, const struct ws_buffer *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->bytes, b->bytes, a->n) == 0);
}

static void check_cuts(const uint8_t *data, size_t n, const struct ws_deflate_terms *terms,
                       uint64_t max, struct cuts *cuts)
{
    struct outcome cut = inflate_twice(data, n, terms, max, cuts);
    struct outcome whole = inflate_twice(data, n, terms, max, NULL);
    FUZZ_CHECK(cut.rc == whole.rc && (cut.rc != 0 || is_same(&cut.out, &whole.out)));
    ws_buffer_clear(&cut.out);
    ws_buffer_clear(&whole.out);
}

/* What the server sends under these terms, a client under the same terms reads. */
static void check_round(const uint8_t *data, size_t n, const struct ws_deflate_terms *terms)
{
    struct ws_stream *deflate = NULL, *inflate = NULL;
    struct ws_deflate_terms client = *terms;
    client.client_takeover = terms->server_takeover;
    client.client_bits = terms->server_bits;
    char *bytes = exact_copy(data, n);
    for (int i = 0; i < 2; i++) {
        struct ws_buffer packed = {NULL, 0, 0, 0}, message = {NULL, 0, 0, 0};
        FUZZ_CHECK(ws_deflate(zlib, &deflate, terms, 8, span_make(bytes, n), &packed) == 0);
        FUZZ_CHECK(
            ws_inflate(zlib, &inflate, &client, ws_buffer_span(&packed), true, 0, &message) == 0);
        FUZZ_CHECK(message.n == n && (n == 0 || memcmp(message.bytes, bytes, n) == 0));
        ws_buffer_clear(&packed);
        ws_buffer_clear(&message);
    }
    ws_deflate_end(deflate);
    ws_inflate_end(zlib, inflate);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 4)
        return 0;
    if (zlib == NULL)
        zlib = ws_zlib_new();
    struct cuts cuts = cuts_make(data);
    uint8_t bits = (uint8_t)(9 + data[3] % 7);
    struct ws_deflate_terms terms = {data[2] & 1, data[2] & 2, bits, bits};
    check_cuts(data + 4, n - 4, &terms, data[2] & 4 ? 1000 : 100000, &cuts);
    check_round(data + 4, n - 4, &terms);
    return 0;
}

#else

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    (void)data;
    (void)n;
    return 0;
}

#endif

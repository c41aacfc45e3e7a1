/* chunk.c - chunked bodies: the data and the end do not depend on the cuts. */
#include "http/chunk.h"
#include "fuzz.h"

struct outcome {
    int rc;
    size_t used;
    uint64_t n_data, hash;
};

static struct outcome decode(const uint8_t *data, size_t n, struct cuts *cuts)
{
    struct chunk chunk;
    struct outcome out = {CHUNK_MORE, 0, 0, 5381};
    chunk_init(&chunk, 200);
    while (out.rc == CHUNK_MORE && out.used < n) {
        size_t step = cuts != NULL ? cuts_next(cuts) : n;
        step = step < n - out.used ? step : n - out.used;
        char *bytes = exact_copy(data + out.used, step);
        struct sprig_span in = span_make(bytes, step), piece;
        while ((out.rc = chunk_decode(&chunk, &in, &piece)) == CHUNK_DATA) {
            FUZZ_CHECK(piece.len > 0 && piece.ptr >= bytes &&
                       piece.ptr + piece.len <= bytes + step);
            for (size_t i = 0; i < piece.len; i++)
                out.hash = out.hash * 33 + (unsigned char)piece.ptr[i];
            out.n_data += piece.len;
        }
        out.used += step - in.len;
        free(bytes);
    }
    FUZZ_CHECK(chunk.total == out.n_data);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    struct cuts cuts = cuts_make(data);
    struct outcome cut = decode(data + 2, n - 2, &cuts), whole = decode(data + 2, n - 2, NULL);
    FUZZ_CHECK(cut.rc == whole.rc && cut.n_data == whole.n_data && cut.hash == whole.hash);
    FUZZ_CHECK(whole.rc != CHUNK_END || cut.used == whole.used);
    return 0;
}

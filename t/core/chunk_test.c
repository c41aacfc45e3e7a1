/* chunk_test.c - every body of the corpus, whole and in pieces. */
#include "corpus.h"
#include "guard.h"
#include "http/chunk.h"
#include "tap.h"

#define N(array) (sizeof(array) / sizeof(array[0]))

enum { TEXT_BYTES = 1024 };

/* A decoder and what came out of it. */
struct decoding {
    struct chunk chunk;
    char text[TEXT_BYTES];
    size_t n_text;
    size_t used;
    int result;
};

static void start(struct decoding *d)
{
    *d = (struct decoding){.text = "'", .n_text = 1};
    chunk_init(&d->chunk, CORPUS_MAX_TRAILERS);
}

static void feed(struct decoding *d, const char *bytes, size_t n)
{
    struct sprig_span in = span_make(guard_copy(bytes, n), n), data;
    while ((d->result = chunk_decode(&d->chunk, &in, &data)) == CHUNK_DATA) {
        if (data.len == 0 || d->n_text + data.len + 64 > TEXT_BYTES)
            abort();
        memcpy(d->text + d->n_text, data.ptr, data.len);
        d->n_text += data.len;
    }
    d->used += n - in.len;
}

/* The verdict as the corpus writes it; the decoded bytes may hold anything but NUL. */
static const char *verdict(struct decoding *d, size_t total)
{
    char *at = d->text + d->n_text;
    size_t room = TEXT_BYTES - d->n_text;
    if (d->result < 0)
        snprintf(d->text, TEXT_BYTES, "%d %s", -d->result, d->chunk.reason);
    else if (d->result == CHUNK_MORE)
        return "incomplete";
    else if (d->used < total)
        snprintf(at, room, "' +%zu", total - d->used);
    else
        snprintf(at, room, "'");
    return d->text;
}

static const char *decode(struct decoding *d, const struct corpus_row *row, size_t first,
                          size_t step)
{
    size_t at = first < row->len ? first : row->len;
    start(d);
    feed(d, row->bytes, at);
    while (d->result == CHUNK_MORE && at < row->len) {
        size_t n = step < row->len - at ? step : row->len - at;
        feed(d, row->bytes + at, n);
        at += n;
    }
    return verdict(d, row->len);
}

static void check_row(const struct corpus_row *row)
{
    struct decoding d;
    is_str(decode(&d, row, row->len, 1), row->verdict, "%s", row->name);
    int n_different = 0;
    for (size_t first = 0; first <= row->len; first++)
        n_different += strcmp(decode(&d, row, first, row->len + 1), row->verdict) != 0;
    for (size_t step = 1; step < 5; step++)
        n_different += strcmp(decode(&d, row, 0, step), row->verdict) != 0;
    is_int(n_different, 0, "%s: the same for every cut", row->name);
}

static void test_end_and_error_stay(void)
{
    struct decoding d;
    start(&d);
    feed(&d, "1\r\na\r\n0\r\n\r\n", 11);
    is_int(d.result, CHUNK_END, "complete");
    is_int((long long)d.chunk.total, 1, "total counts the data");
    d.used = 0;
    feed(&d, "1\r\nb\r\n", 6);
    is_int(d.result, CHUNK_END, "stays complete");
    is_int((long long)d.used, 0, "and takes nothing of what follows");
    start(&d);
    feed(&d, "x", 1);
    is_int(d.result, -400, "refused");
    feed(&d, "1\r\nb\r\n0\r\n\r\n", 11);
    is_int(d.result, -400, "stays refused");
    is_int((long long)d.chunk.total, 0, "without data");
}

static void test_size_is_known_before_the_data(void)
{
    struct decoding d;
    start(&d);
    feed(&d, "ff\r\n", 4);
    is_int(d.result, CHUNK_MORE, "a size line only");
    is_int((long long)d.chunk.left, 255, "tells what is to come");
}

static void test_trailers_without_limit(void)
{
    struct decoding d;
    start(&d);
    chunk_init(&d.chunk, 0);
    feed(&d, "0\r\nA: 345678901234567890123456789\r\n\r\n", 37);
    is_int(d.result, CHUNK_END, "no limit on trailers");
}

/* Each byte in each place of a size line and of a trailer. */
static int n_accepted(const char *before, const char *after)
{
    int n = 0;
    for (int c = 0; c < 256; c++) {
        char bytes[64];
        size_t len = strlen(before);
        struct decoding d;
        memcpy(bytes, before, len);
        bytes[len++] = (char)c;
        memcpy(bytes + len, after, strlen(after));
        start(&d);
        feed(&d, bytes, len + strlen(after));
        n += d.result == CHUNK_END;
    }
    return n;
}

static void test_bytes(void)
{
    is_int(n_accepted("0;a", "b\r\n\r\n"), 224, "extensions: HTAB, SP, VCHAR, obs-text");
    is_int(n_accepted("0\r\nA", "B: c\r\n\r\n"), 77 + 1, "trailer names: tchar, or the colon");
    is_int(n_accepted("0\r\nA: b", "c\r\n\r\n"), 224, "trailer values: HTAB, SP, VCHAR, obs-text");
    is_int(n_accepted("00", "\r\n\r\n"), 2, "a last chunk is zeros, or an extension");
}

int main(void)
{
    for (size_t i = 0; i < N(corpus_chunks); i++)
        check_row(&corpus_chunks[i]);
    test_end_and_error_stay();
    test_size_is_known_before_the_data();
    test_trailers_without_limit();
    test_bytes();
    return done_testing();
}

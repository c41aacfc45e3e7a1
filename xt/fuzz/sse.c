/* sse.c - events: a client reads what was written, whatever is in the text. */
#include "http/sse.h"
#include "fuzz.h"

/* What a client has after reading, by the rules of the standard. */
struct client {
    char *data;
    size_t n_data;
    struct sprig_span name, id;
    unsigned n_dispatched;
    bool has_data;
};

static void take_field(struct client *c, struct sprig_span name, struct sprig_span value)
{
    if (span_eq(name, SPAN_LIT("data"))) {
        if (value.len > 0)
            memcpy(c->data + c->n_data, value.ptr, value.len);
        c->n_data += value.len;
        c->data[c->n_data++] = '\n';
        c->has_data = true;
    } else if (span_eq(name, SPAN_LIT("event"))) {
        c->name = value;
    } else if (span_eq(name, SPAN_LIT("id"))) {
        c->id = value;
    } else {
        FUZZ_CHECK(span_eq(name, SPAN_LIT("retry")) || name.len == 0);
    }
}

static void take_line(struct client *c, struct sprig_span line)
{
    const char *colon = line.len > 0 ? memchr(line.ptr, ':', line.len) : NULL;
    if (line.len == 0) {
        c->n_dispatched++;
        return;
    }
    FUZZ_CHECK(colon != NULL && c->n_dispatched == 0);
    size_t n = (size_t)(colon - line.ptr);
    struct sprig_span value = span_make(colon + 1, line.len - n - 1);
    if (value.len > 0 && *value.ptr == ' ')
        value = span_make(value.ptr + 1, value.len - 1);
    take_field(c, span_make(line.ptr, n), value);
}

static void read_all(struct client *c, const char *bytes, size_t n)
{
    size_t start = 0;
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(bytes[i] != '\r');
        if (bytes[i] != '\n')
            continue;
        take_line(c, span_make(bytes + start, i - start));
        start = i + 1;
    }
    FUZZ_CHECK(start == n);
}

/* The text with its line ends as they reach the client. */
static size_t normalise(const char *text, size_t n, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n' && i > 0 && text[i - 1] == '\r')
            continue;
        out[used++] = text[i] == '\r' ? '\n' : text[i];
    }
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    size_t n_name = data[0] % 16 < n - 2 ? data[0] % 16 : n - 2, n_text = n - 2 - n_name;
    char *bytes = exact_copy(data + 2, n - 2), *text = bytes + n_name;
    struct sse_event event = {.data = span_make(text, n_text), .retry_ms = SSE_NO_RETRY};
    if (sse_is_field(span_make(bytes, n_name)))
        event.name = event.id = span_make(bytes, n_name);
    if (data[1] & 1)
        event.retry_ms = data[1];
    size_t size = sse_write_event(&event, NULL);
    char *out = malloc(size), *expected = malloc(n_text + 1);
    struct client client = {.data = malloc(size)};
    FUZZ_CHECK(out != NULL && expected != NULL && client.data != NULL);
    FUZZ_CHECK(sse_write_event(&event, out) == size);
    read_all(&client, out, size);
    size_t n_expected = normalise(text, n_text, expected);
    FUZZ_CHECK(client.n_dispatched == 1 && client.has_data && client.n_data == n_expected + 1);
    FUZZ_CHECK(n_expected == 0 || memcmp(client.data, expected, n_expected) == 0);
    FUZZ_CHECK(span_eq(client.name, event.name) && span_eq(client.id, event.id));
    free(client.data);
    free(expected);
    free(out);
    free(bytes);
    return 0;
}

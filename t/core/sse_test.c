/* sse_test.c - events and comments as bytes. */
#include "http/sse.h"
#include "tap.h"
#include <stdlib.h>

static char text[256];

/* The event as it is written, into a buffer of just the size that was told. */
static const char *written(struct sse_event event)
{
    size_t n = sse_write_event(&event, NULL);
    char *at = malloc(n);
    if (at == NULL || n >= sizeof text || sse_write_event(&event, at) != n)
        abort();
    memcpy(text, at, n);
    text[n] = '\0';
    free(at);
    return text;
}

static const char *of_data(struct sprig_span data)
{
    return written((struct sse_event){.data = data, .retry_ms = SSE_NO_RETRY});
}

static const char *comment(struct sprig_span about)
{
    size_t n = sse_write_comment(about, NULL);
    char *at = malloc(n);
    if (at == NULL || n >= sizeof text || sse_write_comment(about, at) != n)
        abort();
    memcpy(text, at, n);
    text[n] = '\0';
    free(at);
    return text;
}

static void test_lines(void)
{
    static const struct {
        struct sprig_span data;
        const char *expected;
    } rows[] = {
        {SPAN_LIT("a"), "data: a\n\n"},
        {SPAN_LIT(""), "data: \n\n"},
        {SPAN_LIT("a\nb"), "data: a\ndata: b\n\n"},
        {SPAN_LIT("a\rb"), "data: a\ndata: b\n\n"},
        {SPAN_LIT("a\r\nb"), "data: a\ndata: b\n\n"},
        {SPAN_LIT("a\n\rb"), "data: a\ndata: \ndata: b\n\n"},
        {SPAN_LIT("a\n"), "data: a\ndata: \n\n"},
        {SPAN_LIT("\r\n"), "data: \ndata: \n\n"},
        {SPAN_LIT("\r"), "data: \ndata: \n\n"},
        {SPAN_LIT("a\r"), "data: a\ndata: \n\n"},
        {SPAN_LIT(" a: b"), "data:  a: b\n\n"},
        {SPAN_LIT("id: 7"), "data: id: 7\n\n"},
        {SPAN_LIT("caf\xc3\xa9"), "data: caf\xc3\xa9\n\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        is_str(of_data(rows[i].data), rows[i].expected, "row %zu", i);
}

static void test_fields(void)
{
    struct sse_event event = {.retry_ms = SSE_NO_RETRY};
    is_str(written(event), "\n", "nothing at all");
    event.id = SPAN_LIT("7");
    is_str(written(event), "id: 7\n\n", "an id alone");
    event.id = SPAN_LIT("");
    is_str(written(event), "id: \n\n", "an empty id");
    event = (struct sse_event){SPAN_LIT("x"), SPAN_LIT("tick"), SPAN_LIT("a b"), 1500};
    is_str(written(event), "id: a b\nevent: tick\nretry: 1500\ndata: x\n\n", "all of them");
    event.retry_ms = 0;
    is_str(written(event), "id: a b\nevent: tick\nretry: 0\ndata: x\n\n", "at once");
}

static void test_comments(void)
{
    is_str(comment(SPAN_LIT("")), ": \n\n", "an empty comment");
    is_str(comment(SPAN_LIT("a\r\nb")), ": a\n: b\n\n", "two lines");
    is_str(comment(SPAN_LIT("data: x")), ": data: x\n\n", "what looks like a field is none");
}

static void test_names(void)
{
    ok(sse_is_field(SPAN_LIT("")) && sse_is_field(SPAN_LIT("a b:c\t")), "lines");
    ok(!sse_is_field(SPAN_LIT("a\n")), "with LF it is none");
    ok(!sse_is_field(SPAN_LIT("\ra")), "with CR it is none");
    ok(!sse_is_field(SPAN_LIT("a\0b")), "with NUL it is none");
}

int main(void)
{
    test_lines();
    test_fields();
    test_comments();
    test_names();
    return done_testing();
}

/* sse.c - writing events line by line; see sse.h */
#include "http/sse.h"
#include "base/number.h"

/* Where the text goes; with NULL, only its length is counted. */
struct sse_writer {
    char *at;
    size_t n;
};

static void put(struct sse_writer *w, struct sprig_span bytes)
{
    if (w->at != NULL && bytes.len > 0)
        memcpy(w->at + w->n, bytes.ptr, bytes.len);
    w->n += bytes.len;
}

static void put_line(struct sse_writer *w, struct sprig_span start, struct sprig_span line)
{
    put(w, start);
    put(w, line);
    put(w, SPAN_LIT("\n"));
}

static size_t line_length(struct sprig_span text)
{
    size_t n = 0;
    while (n < text.len && text.ptr[n] != '\n' && text.ptr[n] != '\r')
        n++;
    return n;
}

/* Writes one field line for each line of text; the part after the last line break counts as a line
 * even if it is empty. */
static void put_lines(struct sse_writer *w, struct sprig_span start, struct sprig_span text)
{
    for (;;) {
        size_t n = line_length(text);
        put_line(w, start, span_make(text.ptr, n));
        if (n == text.len)
            return;
        bool is_pair = text.ptr[n] == '\r' && n + 1 < text.len && text.ptr[n + 1] == '\n';
        size_t used = n + (is_pair ? 2 : 1);
        text = span_make(text.ptr + used, text.len - used);
    }
}

bool sse_is_field(struct sprig_span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\n' || text.ptr[i] == '\r' || text.ptr[i] == '\0')
            return false;
    return true;
}

size_t sse_write_event(const struct sse_event *event, char *at)
{
    struct sse_writer w = {at, 0};
    char number[NUMBER_MAX_DIGITS];
    if (event->id.ptr != NULL)
        put_line(&w, SPAN_LIT("id: "), event->id);
    if (event->name.ptr != NULL)
        put_line(&w, SPAN_LIT("event: "), event->name);
    if (event->retry_ms != SSE_NO_RETRY) {
        size_t n = (size_t)(number_write(number, event->retry_ms) - number);
        put_line(&w, SPAN_LIT("retry: "), span_make(number, n));
    }
    if (event->data.ptr != NULL)
        put_lines(&w, SPAN_LIT("data: "), event->data);
    put(&w, SPAN_LIT("\n"));
    return w.n;
}

size_t sse_write_comment(struct sprig_span text, char *at)
{
    struct sse_writer w = {at, 0};
    put_lines(&w, SPAN_LIT(": "), text);
    put(&w, SPAN_LIT("\n"));
    return w.n;
}

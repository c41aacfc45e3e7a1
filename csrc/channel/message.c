/* message.c - see message.h */
#include "channel/message.h"

#include "base/hot.h"
#include "base/number.h"
#include "http/response.h"
#include "http/sse.h"
#include <stdlib.h>

static struct sprig_span copy(char **at, struct sprig_span part)
{
    if (part.ptr == NULL)
        return part;
    memcpy(*at, part.ptr, part.len);
    struct sprig_span own = span_make(*at, part.len);
    *at += part.len;
    return own;
}

struct message *message_new(const struct sprig_publication *p, bool has_id)
{
    char number[NUMBER_MAX_DIGITS];
    struct sprig_span id = p->id;
    if (id.ptr == NULL && has_id)
        id = span_make(number, (size_t)(number_write(number, p->number) - number));
    struct message *m = malloc(sizeof *m + p->text.len + p->event.len + id.len);
    if (m == NULL)
        return NULL;
    *m = (struct message){.refs = 1, .of = *p};
    list_init(&m->in_history);
    list_init(&m->in_told);
    char *at = m->bytes;
    m->of.text = copy(&at, p->text);
    m->of.event = copy(&at, p->event);
    m->of.id = copy(&at, id);
    return m;
}

HOT void message_release(void *message)
{
    struct message *m = message;
    if (--m->refs > 0)
        return;
    if (m->framed != NULL)
        sprig_ws_message_free(m->framed);
    free(m->chunk);
    free(m);
}

struct sprig_ws_message *message_framed(struct message *m)
{
    if (m->framed == NULL)
        m->framed = sprig_ws_message_new(m->of.text, m->of.is_binary);
    return m->framed;
}

bool message_make_event(struct message *m)
{
    struct sse_event event = {m->of.text, m->of.event, m->of.id, SSE_NO_RETRY};
    size_t n = sse_write_event(&event, NULL);
    m->chunk = malloc(n + RESPONSE_CHUNK_BYTES);
    if (m->chunk == NULL)
        return false;
    size_t n_start = response_put_chunk_start(m->chunk, n);
    m->event = span_make(m->chunk + n_start, n);
    sse_write_event(&event, m->chunk + n_start);
    memcpy(m->chunk + n_start + n, "\r\n", 2);
    m->n_chunk = n_start + n + 2;
    return true;
}

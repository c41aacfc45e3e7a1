/* logformat_escape.c - escapes clients' bytes for lines of the access log; see logformat_put.h */
#include "serve/logformat_put.h"
#include <stdlib.h>

enum { BUFFER_BYTES = 512 };

static char *escape_byte(char *at, char c, bool is_json)
{
    static const char hex[] = "0123456789ABCDEF";
    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
        *at++ = c;
        return at;
    }
    *at++ = '\\';
    if (is_json)
        *at++ = '\\';
    *at++ = 'x';
    *at++ = hex[(unsigned char)c >> 4];
    *at++ = hex[c & 15];
    return at;
}

char *log_buffer_grow(struct log_buffer *b, size_t n)
{
    size_t room = b->n + n < BUFFER_BYTES ? BUFFER_BYTES : b->n + n + b->n / 2;
    char *bytes = realloc(b->bytes, room);
    if (!bytes) {
        b->is_short = true;
        return NULL;
    }
    b->bytes = bytes;
    b->room = room;
    return bytes + b->n;
}

char *log_put_escaped(char *at, struct sprig_span bytes, bool is_json)
{
    size_t i = 0;
    while (i < bytes.len) {
        size_t n = put_plain(at, span_make(bytes.ptr + i, bytes.len - i));
        at += n;
        i += n;
        size_t end = bytes.len - i < sizeof(uint64_t) ? bytes.len : i + sizeof(uint64_t);
        for (; i < end; i++)
            at = escape_byte(at, bytes.ptr[i], is_json);
    }
    return at;
}

void log_format_escape(struct log_buffer *b, struct sprig_span bytes)
{
    char *at = log_buffer_room(b, (b->is_json ? 5 : 4) * bytes.len);
    if (at)
        b->n = (size_t)(log_put_escaped(at, bytes, b->is_json) - b->bytes);
}

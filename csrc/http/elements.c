/* elements.c - comma-separated lists with quoted strings; see elements.h */
#include "http/elements.h"

const char *element_quoted_end(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\' && at + 1 < end;
    return at < end ? at + 1 : NULL;
}

bool element_unescape(struct sprig_span *text, char *room, size_t n_room)
{
    size_t n = 0;
    if (text->len == 0 || memchr(text->ptr, '\\', text->len) == NULL)
        return true;
    for (size_t i = 0; i < text->len; i++) {
        i += text->ptr[i] == '\\' && i + 1 < text->len;
        if (n == n_room)
            return false;
        room[n++] = text->ptr[i];
    }
    *text = span_make(room, n);
    return true;
}

bool element_first(struct sprig_span *list, struct sprig_span *element)
{
    if (list->ptr == NULL)
        return false;
    const char *at = list->ptr, *end = at + list->len;
    while (at < end && *at != ',') {
        const char *behind = *at == '"' ? element_quoted_end(at, end) : at + 1;
        at = behind != NULL ? behind : end;
    }
    *element = span_trim(span_make(list->ptr, (size_t)(at - list->ptr)));
    *list = at < end ? span_make(at + 1, (size_t)(end - at - 1)) : span_make(NULL, 0);
    return true;
}

/* A quote after an odd number of backslashes is part of the string. */
static bool is_escaped(const char *start, const char *quote)
{
    const char *at = quote;
    while (at > start && at[-1] == '\\')
        at--;
    return (quote - at) % 2 == 1;
}

/* The opening quote of the string that closes at `at`; NULL: there is none. */
static const char *quoted_start(const char *start, const char *at)
{
    while (at-- > start)
        if (*at == '"' && !is_escaped(start, at))
            return at;
    return NULL;
}

bool element_last(struct sprig_span *list, struct sprig_span *element)
{
    if (list->ptr == NULL)
        return false;
    const char *start = list->ptr, *end = start + list->len, *at = end;
    while (at > start && at[-1] != ',') {
        at--;
        const char *opening = *at == '"' ? quoted_start(start, at) : at;
        at = opening != NULL ? opening : start;
    }
    *element = span_trim(span_make(at, (size_t)(end - at)));
    *list = at > start ? span_make(start, (size_t)(at - 1 - start)) : span_make(NULL, 0);
    return true;
}

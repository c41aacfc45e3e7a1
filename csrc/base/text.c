/* text.c - a growing text; see text.h */
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_clear(struct text *t)
{
    free(t->ptr);
    *t = (struct text){.ptr = NULL};
}

static bool text_reserve(struct text *t, size_t n)
{
    if (t->cap - t->len > n)
        return true;
    size_t cap = 2 * t->cap + n + 256;
    char *ptr = realloc(t->ptr, cap);
    if (ptr == NULL) {
        t->has_failed = true;
        return false;
    }
    t->ptr = ptr;
    t->cap = cap;
    return true;
}

void text_add_bytes(struct text *t, const char *bytes, size_t n)
{
    if (!text_reserve(t, n))
        return;
    memcpy(t->ptr + t->len, bytes, n);
    t->len += n;
    t->ptr[t->len] = '\0';
}

void text_add(struct text *t, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n >= 0 && text_reserve(t, (size_t)n)) {
        vsnprintf(t->ptr + t->len, (size_t)n + 1, fmt, again);
        t->len += (size_t)n;
    }
    va_end(again);
}

/* The length of the UTF-8 character at p, or 0. */
static int utf8_length(const unsigned char *p)
{
    int n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : (*p & 0xf0) == 0xe0 ? 3 : 4;
    if (*p >= 0x80 && (*p < 0xc2 || *p > 0xf4))
        return 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool is_bad = (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
                  (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f);
    return is_bad ? 0 : n;
}

void text_add_json(struct text *t, const char *string)
{
    text_add_bytes(t, "\"", 1);
    for (const unsigned char *p = (const unsigned char *)string; *p != '\0';) {
        int n = utf8_length(p);
        if (*p == '"' || *p == '\\')
            text_add(t, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f || n == 0)
            text_add(t, "\\u%04x", *p);
        else
            text_add_bytes(t, (const char *)p, (size_t)n);
        p += n > 0 ? n : 1;
    }
    text_add_bytes(t, "\"", 1);
}

void text_list_free(char **list)
{
    for (char **at = list; at != NULL && *at != NULL; at++)
        free(*at);
    free(list);
}

char **text_list_copy(char *const *list)
{
    size_t n = 0;
    while (list != NULL && list[n] != NULL)
        n++;
    char **copy = calloc(n + 1, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < n; i++)
        if ((copy[i] = strdup(list[i])) == NULL) {
            text_list_free(copy);
            return NULL;
        }
    return copy;
}

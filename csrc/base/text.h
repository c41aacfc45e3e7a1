/* text.h - a text that grows while it is put together. */
#ifndef SPRIG_TEXT_H
#define SPRIG_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* All zero is empty. */
struct text {
    char *ptr; /* owned; NUL-terminated unless NULL */
    size_t len, cap;
    bool has_failed; /* memory was short: something is missing */
};

void text_clear(struct text *t);
void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *t, const char *bytes, size_t n);

/* Quoted, as a string of JSON: valid whatever the bytes are; what is no UTF-8 becomes \u00XX. */
void text_add_json(struct text *t, const char *string);

/* A copy of strings that are ended by NULL, as argv and environ are, to be given to text_list_free
 * (which takes NULL as well). NULL: no memory. No list is an empty one. */
char **text_list_copy(char *const *list);
void text_list_free(char **list);

#endif

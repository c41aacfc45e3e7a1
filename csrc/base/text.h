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

/* Adds a quoted JSON string. It is valid whatever the bytes are: bytes that are not UTF-8 become
 * \u00XX. */
void text_add_json(struct text *t, const char *string);

/* Copies a NULL-terminated list of strings such as argv or environ. Free it with text_list_free,
 * which accepts NULL. Returns NULL if memory is short. No list counts as an empty one. */
char **text_list_copy(char *const *list);
void text_list_free(char **list);

#endif

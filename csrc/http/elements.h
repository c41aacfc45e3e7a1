/* elements.h - walks the elements of comma-separated field values (RFC 9110 section 5.6.1), from
 * either end. A comma in a quoted string (section 5.6.4) separates nothing, and after an unbalanced
 * quote no comma does. Both directions find the same elements in a well-formed list, and look at
 * each byte once.
 *
 * Trust decides which end to start from. Proxies append to what the client sent, and the client may
 * have left a quote open to swallow what follows. Only from the right can you find what a trusted
 * proxy wrote. */
#ifndef SPRIG_ELEMENTS_H
#define SPRIG_ELEMENTS_H

#include "base/span.h"

/* Takes the first element off *list, without blanks around it. Empty elements are returned as empty
 * spans. False when the list is used up; its ptr is then NULL. */
bool element_first(struct sprig_span *list, struct sprig_span *element);

/* The same with the last element. */
bool element_last(struct sprig_span *list, struct sprig_span *element);

/* The end of the quoted string that begins at `at`, after its closing quote; NULL if it does not
 * end before `end`. A backslash escapes the byte after it. */
const char *element_quoted_end(const char *at, const char *end);

/* Unescapes a quoted string, given without its quotes: each backslash goes, and the byte after it
 * stays (a quoted-pair, RFC 9110 section 5.6.4). Returns `text` itself if it has no backslash, else
 * a text in `room`. False if the room is too small. */
bool element_unescape(struct sprig_span *text, char *room, size_t n_room);

#endif

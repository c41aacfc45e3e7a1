/* elements.h - the elements of comma-separated field values (RFC 9110 section 5.6.1), one after the
 * other, from either end. A comma within a quoted string (section 5.6.4) separates nothing; behind
 * a quote that has no counterpart none does. Both directions find the same elements in a
 * well-formed list, and look at each byte once.
 *
 * Which end to begin with is a matter of trust. Proxies append to what a client sent, and the
 * client may have left a quote open to swallow what follows: what a trusted proxy wrote is found
 * from the right alone. */
#ifndef SPRIG_ELEMENTS_H
#define SPRIG_ELEMENTS_H

#include "base/span.h"

/* Takes the first element off *list, without blanks around it. Empty elements are returned as empty
 * spans. False when the list is used up: its ptr is NULL then. */
bool element_first(struct sprig_span *list, struct sprig_span *element);

/* The same with the last element. */
bool element_last(struct sprig_span *list, struct sprig_span *element);

/* Where the quoted string that begins at `at` ends: behind its closing quote. NULL: it does not end
 * before `end`. A backslash takes the meaning from the byte behind it. */
const char *element_quoted_end(const char *at, const char *end);

/* What a quoted string means, given without its quotes: each backslash goes, and the byte behind it
 * stays (a quoted-pair, RFC 9110 section 5.6.4). Without a backslash that is `text` itself, else a
 * text in `room`. False: there is not room for it. */
bool element_unescape(struct sprig_span *text, char *room, size_t n_room);

#endif

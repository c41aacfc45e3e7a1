/* number.h - decimal numbers in text, one way to read them and one to write them. Neither asks the
 * locale; no sign, no blank, no 0x. */
#ifndef SPRIG_NUMBER_H
#define SPRIG_NUMBER_H

#include "base/span.h"
#include <stdint.h>

enum { NUMBER_MAX_DIGITS = 20 }; /* of a uint64_t */

/* Takes the digits at the start of *text off it. False if there is none, or if they make more than
 * max; *text is where it was then. Leading zeros are taken. */
bool number_take(struct sprig_span *text, uint64_t max, uint64_t *out);

/* The same for a text that is nothing but the number. */
bool number_read(struct sprig_span text, uint64_t max, uint64_t *out);

/* "00", "01" ... "99". */
extern const char number_pairs[];

/* Writes n in decimal, without a NUL: at most NUMBER_MAX_DIGITS bytes. Returns where they end. */
char *number_write(char *at, uint64_t n);

#endif

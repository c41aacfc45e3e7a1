/* number.c - decimal numbers; see number.h */
#include "base/number.h"

bool number_take(struct sprig_span *text, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    size_t i = 0, n_safe = max == INT64_MAX || max == UINT64_MAX ? 18 : 0; /* this many digits
                                                                            * always fit */
    for (; i < text->len && i < n_safe && text->ptr[i] >= '0' && text->ptr[i] <= '9'; i++)
        n = n * 10 + (uint64_t)(text->ptr[i] - '0');
    for (; i < text->len && text->ptr[i] >= '0' && text->ptr[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(text->ptr[i] - '0');
        if (digit > max || n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (i == 0)
        return false;
    *text = span_make(text->ptr + i, text->len - i);
    *out = n;
    return true;
}

bool number_read(struct sprig_span text, uint64_t max, uint64_t *out)
{
    return number_take(&text, max, out) && text.len == 0;
}

const char number_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

/* Below a hundred, without a leading zero. */
static char *write_short(char *at, unsigned n)
{
    if (n > 9) {
        memcpy(at, number_pairs + 2 * n, 2);
        return at + 2;
    }
    *at = (char)('0' + n);
    return at + 1;
}

char *number_write(char *at, uint64_t n)
{
    if (n < 100)
        return write_short(at, (unsigned)n);
    char digits[NUMBER_MAX_DIGITS], *first = digits + sizeof digits;
    for (; n > 99; n /= 100)
        memcpy(first -= 2, number_pairs + 2 * (n % 100), 2);
    at = write_short(at, (unsigned)n);
    size_t rest = (size_t)(digits + sizeof digits - first);
    memcpy(at, first, rest);
    return at + rest;
}

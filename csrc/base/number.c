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

char *number_write(char *at, uint64_t n)
{
    if (n < 100) {
        if (n > 9)
            *at++ = (char)('0' + n / 10);
        *at++ = (char)('0' + n % 10);
        return at;
    }
    char digits[NUMBER_MAX_DIGITS], *first = digits + sizeof digits;
    for (; n > 9; n /= 10)
        *--first = (char)('0' + n % 10);
    *at++ = (char)('0' + n);
    while (first < digits + sizeof digits)
        *at++ = *first++;
    return at;
}

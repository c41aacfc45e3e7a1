/* queue_time.c - see queue_time.h */
#include "http/queue_time.h"

#include "base/clock.h"
#include <stdbool.h>

enum { MAX_QUEUE_SECONDS = 3600 };

/* Takes the digits; false: none, or too many. */
static bool take_digits(struct sprig_span *in, uint64_t *out, int *n_digits)
{
    *out = 0;
    *n_digits = 0;
    while (in->len > 0 && *in->ptr >= '0' && *in->ptr <= '9') {
        if (++*n_digits > 17)
            return false;
        *out = *out * 10 + (uint64_t)(*in->ptr - '0');
        *in = span_make(in->ptr + 1, in->len - 1);
    }
    return *n_digits > 0;
}

/* Takes the digits after the point, as ns. */
static bool take_fraction(struct sprig_span *in, uint64_t *ns)
{
    uint64_t unit = NS_PER_S / 10;
    *ns = 0;
    if (in->len == 0)
        return true;
    if (*in->ptr != '.')
        return false;
    for (size_t i = 1; i < in->len; i++, unit /= 10) {
        if (in->ptr[i] < '0' || in->ptr[i] > '9')
            return false;
        *ns += (uint64_t)(in->ptr[i] - '0') * unit;
    }
    return in->len > 1;
}

uint64_t queue_time_read(struct sprig_span value, uint64_t now_ns)
{
    struct sprig_span in = span_trim(value);
    uint64_t whole, fraction, then;
    int n;
    if (in.len > 2 && in.ptr[0] == 't' && in.ptr[1] == '=')
        in = span_make(in.ptr + 2, in.len - 2);
    if (!take_digits(&in, &whole, &n) || !take_fraction(&in, &fraction))
        return 0;
    if (n <= 11)
        then = whole * NS_PER_S + fraction;
    else if (n <= 14)
        then = whole * 1000000 + fraction / 1000;
    else
        then = whole * 1000 + fraction / 1000000;
    return then < now_ns && now_ns - then <= MAX_QUEUE_SECONDS * NS_PER_S ? now_ns - then : 0;
}

/* utf.c - UTF-8: the verdict does not depend on the cuts, and is that of a slow and simple judge.
 */
#include "base/utf8.h"
#include "fuzz.h"

/* The length of the character at `at`, by the table of RFC 3629 section 4; 0: there is none. */
static size_t character(const uint8_t *at, size_t n)
{
    static const struct {
        uint8_t first_low, first_high, low, high;
        size_t len;
    } rows[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (at[0] < rows[i].first_low || at[0] > rows[i].first_high || rows[i].len > n)
            continue;
        for (size_t k = 1; k < rows[i].len; k++)
            if (at[k] < (k == 1 ? rows[i].low : 0x80) || at[k] > (k == 1 ? rows[i].high : 0xbf))
                return 0;
        return rows[i].len;
    }
    return 0;
}

static bool slow_verdict(const uint8_t *data, size_t n)
{
    while (n > 0) {
        size_t len = character(data, n);
        if (len == 0)
            return false;
        data += len;
        n -= len;
    }
    return true;
}

static bool cut_verdict(const uint8_t *data, size_t n, struct cuts *cuts)
{
    struct utf8 u;
    bool possible = true;
    utf8_init(&u);
    for (size_t at = 0, step; possible && at < n; at += step) {
        step = cuts_next(cuts);
        step = step < n - at ? step : n - at;
        char *bytes = exact_copy(data + at, step);
        possible = utf8_take(&u, span_make(bytes, step));
        free(bytes);
    }
    return possible && utf8_is_whole(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    struct cuts cuts = cuts_make(data);
    char *bytes = exact_copy(data + 2, n - 2);
    bool is_valid = utf8_is_valid(span_make(bytes, n - 2));
    free(bytes);
    FUZZ_CHECK(is_valid == cut_verdict(data + 2, n - 2, &cuts));
    FUZZ_CHECK(is_valid == slow_verdict(data + 2, n - 2));
    return 0;
}

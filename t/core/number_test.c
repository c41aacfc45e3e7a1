/* number_test.c - decimal numbers in text. */
#include "base/number.h"
#include "tap.h"

static void test_read(void)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool ok;
        uint64_t n;
    } rows[] = {
        {"0", 9, true, 0},
        {"7", 7, true, 7},
        {"8", 7, false, 0},
        {"007", 7, true, 7},
        {"65535", 65535, true, 65535},
        {"65536", 65535, false, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999999", UINT64_MAX, false, 0},
        {"9223372036854775807", INT64_MAX, true, INT64_MAX},
        {"9223372036854775808", INT64_MAX, false, 0},
        {"0", 0, true, 0},
        {"1", 0, false, 0},
        {"", 9, false, 0},
        {" 1", 9, false, 0},
        {"1 ", 9, false, 0},
        {"+1", 9, false, 0},
        {"-1", 9, false, 0},
        {"0x1", 9, false, 0},
        {"1e1", 99, false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t n = 0;
        bool is_read = number_read(span_str(rows[i].text), rows[i].max, &n);
        ok(is_read == rows[i].ok && (!is_read || n == rows[i].n), "reads '%s'", rows[i].text);
    }
}

static void test_take(void)
{
    struct sprig_span text = SPAN_LIT("12K");
    uint64_t n = 0;
    ok(number_take(&text, 99, &n) && n == 12, "takes the digits");
    is_span(text, "K", "... and leaves the rest");
    ok(!number_take(&text, 99, &n), "there are none");
    is_span(text, "K", "... and nothing was taken");
}

static void test_write(void)
{
    static const uint64_t numbers[] = {0, 9, 10, 65535, UINT64_MAX};
    static const char *const texts[] = {"0", "9", "10", "65535", "18446744073709551615"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char text[NUMBER_MAX_DIGITS];
        char *end = number_write(text, numbers[i]);
        is_span(span_make(text, (size_t)(end - text)), texts[i], "writes %s", texts[i]);
    }
}

int main(void)
{
    test_read();
    test_take();
    test_write();
    return done_testing();
}

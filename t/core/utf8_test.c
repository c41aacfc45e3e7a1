/* utf8_test.c - what is UTF-8 and what is not, in one piece and in many; all characters there are.
 */
#include "base/utf8.h"
#include "guard.h"
#include "tap.h"

/* The number of bytes that were taken before the first impossible one; all: there is none. */
static size_t n_possible(const char *text, size_t n)
{
    struct utf8 u;
    utf8_init(&u);
    for (size_t i = 0; i < n; i++)
        if (!utf8_take(&u, span_make(guard_copy(text + i, 1), 1)))
            return i;
    return n;
}

static void test_texts(void)
{
    static const struct {
        const char *text;
        size_t n, possible;
        bool valid;
        const char *name;
    } rows[] = {
#define ROW(text, possible, valid, name) {text, sizeof(text) - 1, possible, valid, name}
        ROW("", 0, true, "nothing"),
        ROW("Hello", 5, true, "ASCII"),
        ROW("a\0b", 3, true, "NUL"),
        ROW("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", 11, true, "kosme"),
        ROW("\xc2\x80\xdf\xbf", 4, true, "the ends of two bytes"),
        ROW("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbd", 12, true, "of three"),
        ROW("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8, true, "of four"),
        ROW("\xef\xbf\xbe\xef\xbf\xbf\xf0\x9f\xbf\xbe\xef\xb7\x90", 13, true, "non-characters"),
        ROW("\x80", 0, false, "a continuation alone"),
        ROW("a\xbf", 1, false, "another one"),
        ROW("\xc0\x80", 0, false, "NUL in two bytes"),
        ROW("\xc1\xbf", 0, false, "DEL in two bytes"),
        ROW("\xe0\x9f\xbf", 1, false, "two bytes' worth in three"),
        ROW("\xf0\x8f\xbf\xbf", 1, false, "three bytes' worth in four"),
        ROW("\xed\xa0\x80", 1, false, "the first surrogate"),
        ROW("\xed\xbf\xbf", 1, false, "the last one"),
        ROW("\xf4\x90\x80\x80", 1, false, "above U+10FFFF"),
        ROW("\xf5\x80\x80\x80", 0, false, "F5"),
        ROW("\xf8\x88\x80\x80\x80", 0, false, "five bytes"),
        ROW("\xfe", 0, false, "FE"),
        ROW("\xff", 0, false, "FF"),
        ROW("abcdefghijklmnopqrstuvw\xe2\x82", 25, false, "the euro sign, cut"),
        ROW("abcdefghijklmnopqrstuvw\xe2\x82z", 25, false, "the euro sign, broken"),
        ROW("0123456789abcdef\xff"
            "0123456789abcdef",
            16, false, "behind sixteen bytes"),
        ROW("\xe2\x28\xa1", 1, false, "the second of three is none"),
        ROW("\xf0\x90\x28\xbc", 2, false, "the third of four is none"),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sprig_span text = span_make(guard_copy(rows[i].text, rows[i].n), rows[i].n);
        ok(utf8_is_valid(text) == rows[i].valid, "%s", rows[i].name);
        is_int((long long)n_possible(rows[i].text, rows[i].n), (long long)rows[i].possible,
               "%s: so many bytes are possible", rows[i].name);
    }
}

/* Cut in two anywhere is the same as whole. */
static void test_cuts(void)
{
    static const char text[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 0123456789abcdefgh\xc2\xa9";
    int n_wrong = 0;
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct utf8 u;
        utf8_init(&u);
        size_t rest = sizeof text - 1 - cut;
        n_wrong += cut > sizeof text - 1;
        n_wrong += !utf8_take(&u, span_make(guard_copy(text, cut), cut));
        n_wrong += !utf8_take(&u, span_make(guard_copy(text + cut, rest), rest));
        n_wrong += !utf8_is_whole(&u);
    }
    is_int(n_wrong, 0, "the same in two pieces, wherever it is cut");
}

static size_t encode(uint32_t c, char *out)
{
    if (c < 0x80)
        return out[0] = (char)c, 1;
    if (c < 0x800)
        return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return out[0] = (char)(0xe0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)),
               out[2] = (char)(0x80 | (c & 63)), 3;
    return out[0] = (char)(0xf0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63)),
           out[2] = (char)(0x80 | (c >> 6 & 63)), out[3] = (char)(0x80 | (c & 63)), 4;
}

static void test_all_characters(void)
{
    int n_wrong = 0;
    for (uint32_t c = 0; c < 0x120000; c++) {
        char bytes[4];
        size_t n = encode(c, bytes);
        bool is_surrogate = c >= 0xd800 && c <= 0xdfff;
        n_wrong += utf8_is_valid(span_make(bytes, n)) != (!is_surrogate && c <= 0x10ffff);
        n_wrong += n > 1 && utf8_is_valid(span_make(bytes, n - 1));
    }
    is_int(n_wrong, 0, "every character is valid, surrogates and what is above are not");
}

static void test_ascii(void)
{
    ok(utf8_is_ascii(SPAN_LIT("")) && utf8_is_ascii(SPAN_LIT("0123456789abcdefgh")), "ASCII");
    ok(!utf8_is_ascii(SPAN_LIT("0123456789abcdefg\x80")), "the last byte is none");
    ok(!utf8_is_ascii(SPAN_LIT("\xc3\xa4"
                               "0123456789abcdefg")),
       "the first is none");
}

int main(void)
{
    test_texts();
    test_cuts();
    test_all_characters();
    test_ascii();
    return done_testing();
}

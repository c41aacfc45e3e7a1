/* elements_test.c - lists, from the left and from the right. */
#include "http/elements.h"
#include "tap.h"

/* The elements in the order in which they are found, each in brackets. */
static const char *found(const char *text, bool (*take)(struct sprig_span *, struct sprig_span *))
{
    static char all[256];
    struct sprig_span list = span_str(text), element;
    size_t n = 0;
    all[0] = '\0';
    while (take(&list, &element))
        n += (size_t)snprintf(all + n, sizeof all - n, "[%.*s]", (int)element.len, element.ptr);
    return all;
}

static void test_elements(void)
{
    static const struct {
        const char *text, *first, *last;
    } rows[] = {
        {"a", "[a]", "[a]"},
        {"", "[]", "[]"},
        {"a, b ,\tc d", "[a][b][c d]", "[c d][b][a]"},
        {",a,,b,", "[][a][][b][]", "[][b][][a][]"},
        {"\"a, b\", c", "[\"a, b\"][c]", "[c][\"a, b\"]"},
        {"a=\"b,c\";d, e", "[a=\"b,c\";d][e]", "[e][a=\"b,c\";d]"},
        {"\"a\\\",b\", c", "[\"a\\\",b\"][c]", "[c][\"a\\\",b\"]"},
        {"\"a\\\\\", b", "[\"a\\\\\"][b]", "[b][\"a\\\\\"]"},
        {"\"\", \"\"", "[\"\"][\"\"]", "[\"\"][\"\"]"},
        {"\"\\\\\\\"\", b", "[\"\\\\\\\"\"][b]", "[b][\"\\\\\\\"\"]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        is_str(found(rows[i].text, element_first), rows[i].first, "from the left: %s",
               rows[i].text);
        is_str(found(rows[i].text, element_last), rows[i].last, "from the right: %s", rows[i].text);
    }
    struct sprig_span none = {NULL, 0}, element;
    ok(!element_first(&none, &element) && !element_last(&none, &element), "no list");
}

/* An open quote swallows what is behind it, seen from where it is found. */
static void test_open_quotes(void)
{
    is_str(found("a, \"b, c", element_first), "[a][\"b, c]", "from the left: to the end");
    is_str(found("a, \"b, c", element_last), "[c][a, \"b]", "from the right: to the start");
    is_str(found("a, \"b\\", element_first), "[a][\"b\\]", "a backslash is the last byte");
    is_str(found("x=\", y=\"z\"", element_last), "[y=\"z\"][x=\"]",
           "what stands to the right does not depend on it");
}

static void test_unescape(void)
{
    static const struct {
        const char *text, *means;
    } rows[] = {
        {"", ""},         {"a b", "a b"}, {"a\\\"b", "a\"b"},       {"\\\\", "\\"},
        {"\\a\\b", "ab"}, {"a\\", "a\\"}, {"\\1234567", "1234567"}, {"\\12345678", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sprig_span text = span_str(rows[i].text);
        char room[7];
        bool fits = element_unescape(&text, room, sizeof room);
        ok(rows[i].means == NULL ? !fits : fits && span_eq(text, span_str(rows[i].means)),
           "without backslashes: %s", rows[i].text);
    }
}

/* Elements made of these, quoted or not, are found in both directions alike. */
static void test_both_ways(void)
{
    static const char *const parts[] = {"",        "a",           "b=c",      "\"\"",
                                        "\"a,b\"", "x=\"\\\",\"", "\"\\\\\"", "d;e=\",\";f"};
    enum { N = sizeof parts / sizeof parts[0] };
    int n_wrong = 0;
    for (int i = 0; i < N * N * N; i++) {
        const char *p[] = {parts[i % N], parts[i / N % N], parts[i / N / N]};
        char list[64], forwards[128], backwards[128];
        snprintf(list, sizeof list, "%s,%s, %s", p[0], p[1], p[2]);
        snprintf(forwards, sizeof forwards, "[%s][%s][%s]", p[0], p[1], p[2]);
        snprintf(backwards, sizeof backwards, "[%s][%s][%s]", p[2], p[1], p[0]);
        n_wrong += strcmp(found(list, element_first), forwards) != 0;
        n_wrong += strcmp(found(list, element_last), backwards) != 0;
    }
    is_int(n_wrong, 0, "lists of three are read alike in both directions");
}

int main(void)
{
    test_elements();
    test_open_quotes();
    test_unescape();
    test_both_ways();
    return done_testing();
}

/* span_test.c - spans and intrusive lists. */
#include "base/list.h"
#include "base/span.h"
#include "tap.h"

static void test_equal(void)
{
    ok(span_eq(SPAN_LIT("abc"), span_str("abc")), "equal");
    ok(!span_eq(SPAN_LIT("abc"), SPAN_LIT("abd")), "another byte");
    ok(!span_eq(SPAN_LIT("abc"), SPAN_LIT("ab")), "another length");
    ok(span_eq(span_make(NULL, 0), SPAN_LIT("")), "nothing equals nothing");
    ok(!span_eq(SPAN_LIT("a"), SPAN_LIT("A")), "case counts");
    ok(span_ieq(SPAN_LIT("Host"), SPAN_LIT("hOST")), "case does not count");
    ok(!span_ieq(SPAN_LIT("Host"), SPAN_LIT("Hosts")), "length does");
    is_int((long long)SPAN_LIT("a\0b").len, 3, "literals may hold NUL");
    is_int((long long)span_str(NULL).len, 0, "no string");
}

static void test_trim(void)
{
    is_span(span_trim(SPAN_LIT(" \ta b\t ")), "a b", "blanks at both ends");
    is_span(span_trim(SPAN_LIT("a")), "a", "none");
    is_span(span_trim(SPAN_LIT(" \t ")), "", "blanks only");
    is_span(span_trim(SPAN_LIT("\r\na\v")), "\r\na\v", "other space is kept");
}

struct item {
    int n;
    struct list_link link;
};

/* The numbers in a list, as digits of one number. */
static int digits(struct list_link *head)
{
    int n = 0;
    list_foreach (it, head)
        n = n * 10 + list_entry(it, struct item, link)->n;
    return n;
}

static void test_lists(void)
{
    struct list_link a, b;
    struct item items[4];
    list_init(&a);
    list_init(&b);
    for (int i = 0; i < 4; i++) {
        items[i].n = i + 1;
        list_init(&items[i].link);
    }
    ok(list_empty(&a) && list_first(&a) == NULL, "empty");
    ok(!list_linked(&items[0].link), "not linked");
    list_remove(&items[0].link);
    for (int i = 0; i < 3; i++)
        list_append(&a, &items[i].link);
    is_int(digits(&a), 123, "appended in order");
    ok(list_linked(&items[0].link) && list_first(&a) == &items[0].link, "linked");
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    is_int(digits(&a), 13, "removed, once or twice");
    list_append(&b, &items[3].link);
    list_splice(&b, &a);
    is_int(digits(&b), 413, "spliced to the end");
    ok(list_empty(&a), "... leaving nothing");
    list_splice(&b, &a);
    is_int(digits(&b), 413, "splicing nothing");
    list_foreach_safe (it, next, &b)
        list_remove(it);
    ok(list_empty(&b), "removed while walking");
}

int main(void)
{
    test_equal();
    test_trim();
    test_lists();
    return done_testing();
}

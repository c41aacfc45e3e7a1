/* queue_time_test.c - X-Request-Start in the forms of nginx, Apache, Heroku and others. */
#include "http/queue_time.h"
#include "tap.h"

#define NOW UINT64_C(1700000010500000000)

static void is_ms(const char *text, long ms)
{
    is_int((long long)(queue_time_read(span_str(text), NOW) / 1000000), ms, "'%s' is %ld ms ago",
           text, ms);
}

int main(void)
{
    is_ms("t=1700000010.000", 500);
    is_ms("1700000010.25", 250);
    is_ms("t=1700000000", 10500);
    is_ms(" 1700000010400 ", 100);
    is_ms("t=1700000010400000", 100);
    is_ms("1700000010400.5", 99);
    is_ms("t=1700000011", 0);
    is_ms("t=1699990000", 0);
    is_ms("t=1699996411", 3599500);
    is_ms("t=1699996410", 0);
    is_ms("", 0);
    is_ms("t=", 0);
    is_ms("t=x", 0);
    is_ms("t=1700000010.", 0);
    is_ms("t=1700000010.1x", 0);
    is_ms("t=-5", 0);
    is_ms("t=999999999999999999999", 0);
    is_ms("1700000010,5", 0);
    return done_testing();
}

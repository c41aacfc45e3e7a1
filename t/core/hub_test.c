/* hub_test.c - one log for several processes: order, bounds, what is remembered, who dies. */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/hub.h"
#include "tap.h"
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SMALL = 64 << 10 };

static uint64_t say(struct hub *hub, const char *channel, const char *text)
{
    uint64_t number = 0;
    struct hub_message m = {.channel = span_str(channel), .text = span_str(text)};
    return hub_publish(hub, &m, &number) == 0 ? number : 0;
}

/* What the reader finds, as "channel:text channel:text". */
static const char *heard(struct hub_reader *r)
{
    static char all[1024];
    struct hub_message m;
    size_t n = 0;
    all[0] = '\0';
    while (hub_read(r, &m) && n < sizeof all - 64)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%.*s:%.*s", n ? " " : "",
                              (int)m.channel.len, m.channel.ptr, (int)m.text.len, m.text.ptr);
    return all;
}

static void heard_is(struct hub_reader *r, const char *expected, const char *what)
{
    const char *all = heard(r);
    is_str(all, expected, "%s", what);
}

static void note(const struct hub_message *m, void *arg)
{
    char *all = arg;
    size_t n = strlen(all);
    snprintf(all + n, 256 - n, "%s%.*s", n ? " " : "", (int)m->text.len, m->text.ptr);
}

static const char *history(struct hub *hub, const char *channel, uint32_t n)
{
    static char all[256];
    all[0] = '\0';
    hub_history(hub, span_str(channel), n, UINT64_MAX, note, all);
    return all;
}

static void test_order(void)
{
    struct hub *hub = hub_new(SMALL, 4);
    struct hub_reader early, late;
    hub_reader_init(&early, hub);
    uint64_t first = say(hub, "a", "1"), second = say(hub, "b", "2");
    hub_reader_init(&late, hub);
    say(hub, "a", "3");
    ok(first > 0 && second > first, "numbers grow");
    heard_is(&early, "a:1 b:2 a:3", "all in order");
    heard_is(&late, "a:3", "from where one begins");
    heard_is(&early, "", "once");
    struct hub_message got, m = {.channel = SPAN_LIT("c"),
                                 .text = SPAN_LIT("x\0y"),
                                 .event = SPAN_LIT("e"),
                                 .id = SPAN_LIT(""),
                                 .is_binary = true};
    uint64_t number;
    hub_publish(hub, &m, &number);
    ok(hub_read(&early, &got) && got.number == number && got.is_binary, "number and kind");
    ok(span_eq(got.text, m.text) && span_eq(got.event, m.event), "text and event");
    ok(got.id.ptr != NULL && got.id.len == 0, "an empty id is one");
    say(hub, "c", "");
    ok(hub_read(&early, &got) && got.id.ptr == NULL && got.event.ptr == NULL, "none is none");
    hub_reader_clear(&early);
    hub_reader_clear(&late);
    hub_free(hub);
}

static void test_bounds(void)
{
    struct hub *hub = hub_new(SMALL, 4);
    struct hub_reader r;
    uint64_t number;
    size_t max = hub_max_bytes(hub);
    char *text = calloc(1, max + 1), name[HUB_NAME_BYTES + 1];
    memset(name, 'n', sizeof name);
    hub_reader_init(&r, hub);
    struct hub_message m = {.channel = SPAN_LIT("c"), .text = span_make(text, max - 1)};
    is_int(hub_publish(hub, &m, &number), 0, "the longest message");
    m.text.len++;
    is_int(hub_publish(hub, &m, &number), SPRIG_E_LIMIT, "one byte more");
    m.text.len = 1;
    m.channel = span_make(name, HUB_NAME_BYTES);
    is_int(hub_publish(hub, &m, &number), 0, "the longest name");
    m.channel.len++;
    is_int(hub_publish(hub, &m, &number), SPRIG_E_LIMIT, "one byte more");
    for (int i = 0; i < 3000; i++)
        say(hub, "c", "0123456789012345678901234567890123456789");
    int n = 0;
    while (hub_read(&r, &m))
        n++;
    ok(n > 400 && n < 1000, "one that does not read loses what is oldest (%d are left)", n);
    ok(r.n_lost > 0, "and is told");
    say(hub, "c", "last");
    heard_is(&r, "c:last", "it goes on from there");
    hub_reader_clear(&r);
    hub_free(hub);
    free(text);
}

static void test_memory(void)
{
    struct hub *hub = hub_new(SMALL, 4);
    hub_remember(hub, SPAN_LIT("slow"), 3);
    hub_remember(hub, SPAN_LIT("slow"), 2);
    for (int i = 0; i < 5; i++)
        say(hub, "slow", (const char *[]){"a", "b", "c", "d", "e"}[i]);
    say(hub, "other", "x");
    is_str(history(hub, "slow", 3), "e d c", "the last ones");
    is_str(history(hub, "slow", 1), "e", "or fewer");
    is_str(history(hub, "none", 3), "", "of a channel that is not there none");
    for (int i = 0; i < 20000; i++)
        say(hub, "fast", "0123456789012345678901234567890123456789");
    char all[256] = "";
    hub_history(hub, SPAN_LIT("slow"), 3, UINT64_MAX, note, all);
    ok(strlen(all) == 5 && strchr(all, 'c') && strchr(all, 'd') && strchr(all, 'e'),
       "they stay while another channel fills the log many times: %s", all);
    say(hub, "slow", "f");
    strcpy(all, "");
    hub_history(hub, SPAN_LIT("slow"), 3, UINT64_MAX, note, all);
    ok(strlen(all) == 5 && strchr(all, 'd') && strchr(all, 'f'), "a new one takes the place: %s",
       all);
    is_str(history(hub, "other", 3), "", "what nobody remembers goes");
    hub_free(hub);
}

/* Remembered messages of all channels together get half of the log: there is always an end. */
static void test_too_much_memory(void)
{
    struct hub *hub = hub_new(SMALL, 4);
    char name[16];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "c%d", i);
        hub_remember(hub, span_str(name), 1000);
        for (int k = 0; k < 3; k++)
            say(hub, name, "0123456789012345678901234567890123456789");
    }
    ok(strlen(history(hub, "c4999", 3)) > 80, "the latest are there");
    is_str(history(hub, "c0", 3), "", "the oldest are not");
    hub_free(hub);
}

static bool is_woken(struct hub *hub)
{
    struct pollfd p = {.fd = hub_wake_fd(hub), .events = POLLIN};
    return p.fd == -1 || poll(&p, 1, 0) == 1;
}

static void test_processes(void)
{
    struct hub *hub = hub_new(1 << 20, 8);
    struct hub_reader r;
    struct hub_message m;
    hub_reader_init(&r, hub);
    ok(!hub_is_shared(hub), "alone");
    uint64_t last[4] = {0};
    int n = 0, n_bad = 0, n_alive = 4, status;
    for (int who = 0; who < 4; who++) {
        if (fork() != 0)
            continue;
        char text[32];
        for (int i = 1; i <= 1000; i++) {
            snprintf(text, sizeof text, "%d %d", who, i);
            if (say(hub, "c", text) == 0)
                _exit(1);
        }
        hub_wake(hub);
        _exit(0);
    }
    while (n_alive > 0) {
        if (waitpid(-1, &status, WNOHANG) > 0)
            n_alive--, n_bad += status != 0;
        while (hub_read(&r, &m)) {
            char *end, text[32] = "";
            memcpy(text, m.text.ptr, m.text.len);
            long who = strtol(text, &end, 10), i = strtol(end, NULL, 10);
            n_bad += (uint64_t)i != last[who] + 1;
            last[who] = (uint64_t)i;
            n++;
        }
    }
    ok(is_woken(hub), "they wake each other");
    ok(n + (int)(r.n_lost / 64) >= 4000 && n_bad == 0, "4000 of four, each in order: %d", n);
    hub_reader_clear(&r);
    hub_free(hub);
}

static void test_death(void)
{
    struct hub *hub = hub_new(SMALL, 2);
    struct hub_reader r;
    hub_reader_init(&r, hub);
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        hub_set_members(hub, SPAN_LIT("c"), 7);
        hub_seize(hub);
        _exit(0);
    }
    hub_set_members(hub, SPAN_LIT("c"), 2);
    waitpid(pid, &status, 0);
    ok(say(hub, "c", "x") > 0, "the lock of one that died is free");
    heard_is(&r, "c:x", "and the log whole");
    is_int(hub_members(hub, SPAN_LIT("c")), 2, "its members are gone");
    pid = fork();
    if (pid == 0) {
        hub_set_members(hub, SPAN_LIT("c"), 5);
        _exit(hub_members(hub, SPAN_LIT("c")) == 7 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    ok(status == 0, "the members of all count, and its place is free");
    hub_set_members(hub, SPAN_LIT("c"), 0);
    is_int(hub_members(hub, SPAN_LIT("c")), 0, "none is left");
    is_int(hub_members(hub, SPAN_LIT("d")), 0, "nor in a channel that is not there");
    hub_reader_clear(&r);
    hub_free(hub);
}

int main(void)
{
    test_order();
    test_bounds();
    test_memory();
    test_too_much_memory();
    test_processes();
    test_death();
    return done_testing();
}

/* peek_test.c - memory that is there, memory that is not, and both ways to read it. */
#include "base/peek.h"
#include "tap.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void test_way(bool (*way)(void *to, const void *from, size_t n), const char *name)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static char to[3 * 65536];
    memset(memory, 'x', 3 * page);
    munmap(memory + 2 * page, page);
    ok(way(to, memory, 2 * page) && to[0] == 'x' && to[2 * page - 1] == 'x', "%s", name);
    ok(!way(to, memory + page, 2 * page), "not where the end is gone");
    ok(!way(to, NULL, 8), "not from NULL");
    ok(!way(to, (const char *)16, 8), "nor from near it");
    munmap(memory, 2 * page);
    ok(!way(to, memory, 8), "not what was unmapped");
}

static void test_strings(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char to[16];
    munmap(memory + page, page);
    char *last = memory + page - 4;
    memcpy(last, "abc", 4);
    ok(peek_string(to, last, sizeof to) && strcmp(to, "abc") == 0, "a string up to its NUL");
    memcpy(last, "abcd", 4);
    ok(!peek_string(to, last, sizeof to) && strcmp(to, "abcd") == 0, "that runs into nothing: cut");
    ok(peek_string(to, "0123456789abcdefgh", sizeof to) && strcmp(to, "0123456789abcde") == 0,
       "cut where there is no room");
    ok(!peek_string(to, NULL, sizeof to) && *to == '\0', "NULL is empty");
    munmap(memory, page);
}

int main(void)
{
    test_way(peek, "what is there is copied");
    test_way(peek_by_pipe, "by a pipe as well");
    test_strings();
    return done_testing();
}

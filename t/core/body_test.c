/* body_test.c - bodies in memory and in files, and what is left when a write fails. */
#define _GNU_SOURCE /* mkdtemp, O_CLOEXEC flags */
#include "base/err.h"
#include "http/body.h"
#include "tap.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/sprig-body-XXXXXX";

static int append(struct body *b, const char *text, size_t limit)
{
    return body_append(b, span_str(text), limit, 0, dir);
}

static int n_names_in_dir(void)
{
    DIR *d = opendir(dir);
    int n = -2; /* . and .. */
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static void is_file(int fd, const char *expected, const char *name)
{
    char text[256];
    ssize_t n = pread(fd, text, sizeof text, 0);
    is_bytes(text, n < 0 ? 0 : (size_t)n, expected, "%s", name);
}

static void test_memory(void)
{
    struct body b;
    body_init(&b);
    is_int(b.fd, -1, "empty: no file");
    is_int(append(&b, "", 8), 0, "nothing");
    ok(b.mem == NULL, "... takes no memory");
    is_int(append(&b, "abcd", 8), 0, "four bytes");
    is_int(append(&b, "efgh", 8), 0, "up to the limit");
    is_bytes(b.mem, (size_t)b.size, "abcdefgh", "in memory");
    is_int(body_take_fd(&b), -1, "no file to take");
    body_clear(&b);
    ok(b.mem == NULL && b.size == 0 && b.fd == -1, "cleared");
}

static void test_growth(void)
{
    struct body b;
    body_init(&b);
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 1000; i++)
        body_append(&b, span_make(piece, sizeof piece), 1 << 20, 0, dir);
    is_int((long long)b.size, 1000000, "a thousand pieces");
    ok(b.mem && b.cap < 2100000, "grow by doubling");
    body_clear(&b);
    body_append(&b, span_make(piece, 10), 1 << 20, 5000, dir);
    is_int((long long)b.cap, 5000, "an expected size is allocated at once");
    body_append(&b, span_make(piece, sizeof piece), 1 << 20, 5000, dir);
    is_int((long long)b.size, 1010, "and filled");
    body_clear(&b);
}

static void test_file(void)
{
    struct body b;
    body_init(&b);
    append(&b, "abcd", 8);
    is_int(append(&b, "efghi", 8), 0, "one over the limit");
    ok(b.fd != -1 && b.mem == NULL, "moves everything to a file");
    is_int(append(&b, "jk", 8), 0, "more");
    is_int((long long)b.size, 11, "size");
    is_file(b.fd, "abcdefghijk", "content");
    is_int(n_names_in_dir(), 0, "the file has no name");
    ok(fcntl(b.fd, F_GETFD) & FD_CLOEXEC, "close-on-exec");
    struct stat st;
    fstat(b.fd, &st);
    is_int(st.st_mode & 0777, 0600, "mode");
    int fd = body_take_fd(&b);
    is_int(lseek(fd, 0, SEEK_CUR), 0, "taken at its start");
    is_int(b.fd, -1, "taken once");
    body_clear(&b);
    is_file(fd, "abcdefghijk", "outlives the body");
    close(fd);
}

static void test_announced_size(void)
{
    struct body b;
    body_init(&b);
    body_append(&b, SPAN_LIT("a"), 8, 9, dir);
    ok(b.fd != -1, "a body announced as too large starts in a file");
    int fd = b.fd;
    body_clear(&b);
    ok(fcntl(fd, F_GETFD) == -1 && errno == EBADF, "which clearing closes");
    body_append(&b, SPAN_LIT("a"), 0, 0, dir);
    ok(b.fd != -1, "a limit of 0: always in a file");
    body_clear(&b);
}

static void test_bad_folder(void)
{
    struct body b;
    body_init(&b);
    append(&b, "abc", 4);
    errno = 0;
    is_int(body_append(&b, SPAN_LIT("def"), 4, 0, "/nonexistent/folder"), SPRIG_E_SYS, "no folder");
    is_int(errno, ENOENT, "errno says so");
    is_bytes(b.mem, (size_t)b.size, "abc", "what was there is kept");
    is_int(append(&b, "def", 4), 0, "and can be added to");
    is_file(b.fd, "abcdef", "in a good folder");
    body_clear(&b);
}

static void test_tmpdir(void)
{
    struct body b;
    body_init(&b);
    setenv("TMPDIR", "/nonexistent/folder", 1);
    is_int(body_append(&b, SPAN_LIT("a"), 0, 0, NULL), SPRIG_E_SYS, "$TMPDIR is where files go");
    setenv("TMPDIR", "", 1);
    is_int(body_append(&b, SPAN_LIT("a"), 0, 0, NULL), 0, "an empty one does not count");
    body_clear(&b);
    unsetenv("TMPDIR");
    is_int(body_append(&b, SPAN_LIT("a"), 0, 0, NULL), 0, "/tmp without it");
    body_clear(&b);
}

static int lowest_free_fd(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

/* A file size limit stands for a full disk: the write that crosses it is cut short, the next fails.
 */
static void test_full_disk(void)
{
    struct rlimit old, small;
    struct body b;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 10;
    body_init(&b);
    append(&b, "abcdef", 4);
    /* stdout may be a file, so nothing is printed while the limit is on. */
    fflush(stdout);
    setrlimit(RLIMIT_FSIZE, &small);
    int rc = append(&b, "ghijklmn", 4);
    int e = errno;
    int again = append(&b, "ghij", 4);
    struct body fresh;
    body_init(&fresh);
    append(&fresh, "0123456789", 64);
    int move = append(&fresh, "ab", 11);
    struct body stuck;
    body_init(&stuck);
    append(&stuck, "0123456789abc", 64);
    int free_fd = lowest_free_fd();
    int moved = append(&stuck, "d", 13);
    int free_fd_then = lowest_free_fd();
    setrlimit(RLIMIT_FSIZE, &old);
    is_int(moved, SPRIG_E_SYS, "a file that cannot take what is in memory");
    is_bytes(stuck.mem, (size_t)stuck.size, "0123456789abc", "leaves it there");
    is_int(free_fd_then, free_fd, "and is closed");
    body_clear(&stuck);
    is_int(rc, SPRIG_E_SYS, "a write that fails half-way");
    is_int(e, EFBIG, "errno says why");
    is_int(again, 0, "a smaller one fits");
    is_file(b.fd, "abcdefghij", "nothing of the failed piece was kept");
    is_int(move, SPRIG_E_SYS, "a file that cannot take the piece");
    is_int((long long)fresh.size, 10, "has kept what was there before");
    is_file(fresh.fd, "0123456789", "in the file");
    body_clear(&b);
    body_clear(&fresh);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    test_memory();
    test_growth();
    test_file();
    test_announced_size();
    test_bad_folder();
    test_tmpdir();
    test_full_disk();
    is_int(rmdir(dir), 0, "nothing is left in the folder");
    return done_testing();
}

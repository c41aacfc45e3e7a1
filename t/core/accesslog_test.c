/* The access log: what it is written to, and what waits in memory for a reader. */
#include "base/log_target.h"
#include "base/path.h"
#include "scratch.h"
#include "serve/accesslog.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

enum { MOST_BYTES = 1024 * 1024 };

static struct sprig_loop *loop;
static char why[512];

static void test_numbers(void)
{
    static const struct {
        const char *path;
        int fd;
    } names[] = {{"-", 1},
                 {"/dev/stdout", 1},
                 {"/dev/stderr", 2},
                 {"/dev/fd/7", 7},
                 {"/proc/self/fd/12", 12},
                 {"/proc/self/fd/", -1},
                 {"/proc/self/fd/1x", -1},
                 {"/dev/fd/99999999999", -1},
                 {"/dev/stdout2", -1},
                 {"--", -1},
                 {"a", -1},
                 {"", -1}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        is_int(log_target_number(names[i].path), names[i].fd, "'%s'", names[i].path);
}

static void test_paths(void)
{
    static const char *const given[] = {"a", "../a", "/a", ""};
    static const char *const made[] = {"/tmp/a", "/tmp/../a", "/a", ""};
    char before[4096];
    if (getcwd(before, sizeof before) == NULL || chdir("/tmp") != 0)
        abort();
    for (size_t i = 0; i < 4; i++) {
        char *path = path_absolute(given[i]);
        is_str(path, made[i], "'%s' in /tmp", given[i]);
        free(path);
    }
    if (chdir("/") != 0)
        abort();
    char *path = path_absolute("a");
    is_str(path, "/a", "in the root");
    free(path);
    if (chdir(before) != 0)
        abort();
}

/* A FIFO that has room for nothing more, or a null pointer. */
static const char *full_fifo(int *reader)
{
    static char block[4096];
    const char *path = scratch_path("fifo");
    if (mkfifo(path, 0600) != 0)
        return NULL;
    *reader = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    while (write(*reader, block, sizeof block) > 0)
        ;
    return path;
}

static void add_line(struct access_log *log, size_t n)
{
    static char text[2048];
    memset(text, 'x', sizeof text);
    struct log_input in = {.raw = span_make(text, n - 1), .host = span_str("a")};
    struct access_record *record = access_record_new(log, &in);
    if (record == NULL)
        abort();
    access_log_add(record, 400, NULL, 0, &(struct log_times){0, 0, 0});
}

static void test_limit(void)
{
    int reader = -1;
    const char *path = full_fifo(&reader);
    struct access_log *log = access_log_open(loop, path, "%r", MOST_BYTES, why, sizeof why);
    if (!ok(log != NULL, "a FIFO that is full can be opened: %s", log ? "" : why))
        return;
    for (int i = 0; i < MOST_BYTES / 1024; i++)
        add_line(log, 1024);
    ok(log->lines.n == MOST_BYTES && log->n_lost == 0, "MOST_BYTES wait in memory");
    add_line(log, 1);
    ok(log->lines.n == MOST_BYTES && log->n_lost == 1, "one more byte is lost");
    char block[65536];
    while (read(reader, block, sizeof block) > 0)
        ;
    access_log_flush(log);
    ok(log->lines.n <= MOST_BYTES - 65536 || log->n_lost > 1,
       "what fits is written when somebody has read");
    close(reader);
    access_log_close(log);
    unlink(path);
}

static void test_pipe_pieces(void)
{
    int pair[2];
    char text[10000];
    struct log_target t;
    if (pipe(pair) != 0)
        abort();
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", pair[1]);
    is_int(log_target_open(&t, name), 0, "a pipe that is there");
    ok(t.is_inherited && t.is_pipe && !t.may_block, "is opened again");
    ok(!(fcntl(pair[1], F_GETFL) & O_NONBLOCK), "its own flags stay");
    memset(text, 'x', sizeof text);
    size_t total = 0, n;
    do
        total += n = log_target_write(&t, text, sizeof text);
    while (n == sizeof text);
    ok(errno == EAGAIN && total >= 4096, "it takes what fits, and then nothing");
    close(pair[0]);
    ok(log_target_write(&t, "a\n", 2) == 0 && errno == EPIPE, "without a reader there is an error");
    log_target_close(&t);
    close(pair[1]);
    fcntl(pair[1], F_GETFD);
    is_int(log_target_open(&t, name), -1, "a closed one");
    is_int(errno, EBADF, "is a bad descriptor");
}

static void test_poll(void)
{
    int pair[2];
    char text[4096];
    if (pipe(pair) != 0)
        abort();
    struct log_target t = {.fd = pair[1], .is_pipe = true, .may_block = true};
    memset(text, 'x', sizeof text);
    size_t total = 0, n;
    do
        total += n = log_target_write(&t, text, sizeof text);
    while (n == sizeof text);
    ok(errno == EAGAIN && total >= sizeof text, "a pipe that cannot be opened again is polled");
    close(pair[0]);
    close(pair[1]);
}

static void test_own_descriptors(void)
{
    char name[32];
    struct log_target t;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    ok(log_target_open(&t, name) == -1 && errno == EBADF, "a descriptor of our own is nobody's");
    close(fd);
}

int main(void)
{
    loop = sprig_loop_new();
    test_numbers();
    test_paths();
    test_limit();
    test_pipe_pieces();
    test_poll();
    test_own_descriptors();
    scratch_remove();
    return done_testing();
}

/* Leaving the terminal: what the waiting process tells its caller, and where the new one is. */
#include "process/daemon.h"
#include "scratch.h"
#include "tap.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

enum { WAIT_MS = 10000 };

/* What the new process tells the test, by a pipe that the caller does not wait for. */
struct report {
    pid_t pid, session;
    bool same_folder, output_stays, is_closed_on_exec, has_sockets;
};

struct setting {
    int to_test; /* the daemon's end */
    pid_t session;
    bool is_ready;
    char folder[600];
    struct stat output;
};

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The daemon itself. */
static void look_around(const struct setting *s, int status_fd)
{
    struct report r = {.pid = getpid(), .session = getsid(0)};
    char folder[600];
    struct stat st;
    r.same_folder = getcwd(folder, sizeof folder) != NULL && strcmp(folder, s->folder) == 0;
    r.output_stays = fstat(STDOUT_FILENO, &st) == 0 && is_same(&st, &s->output);
    const char *listen_pid = getenv("LISTEN_PID");
    r.has_sockets = listen_pid != NULL && atol(listen_pid) == (long)getpid();
    r.is_closed_on_exec = fcntl(status_fd, F_GETFD) & FD_CLOEXEC;
    if (write(s->to_test, &r, sizeof r) != sizeof r)
        _exit(1);
}

static int start_daemon(void *arg)
{
    const struct setting *s = arg;
    int status_fd;
    char pid[24];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("LISTEN_PID", pid, 1);
    if (sprig_daemonize(&status_fd, (char[200]){0}, 200) != 0)
        return 99;
    look_around(s, status_fd);
    if (s->is_ready)
        sprig_daemon_ready(status_fd);
    _exit(7);
}

static bool read_report(int fd, struct report *r)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, WAIT_MS) == 1 && read(fd, r, sizeof *r) == sizeof *r;
}

/* Starts a daemon that tells its caller that it is ready, or ends without. */
static void run_daemon(bool is_ready, int expected)
{
    struct setting s = {.session = getsid(0), .is_ready = is_ready};
    struct report r = {.pid = 0};
    int pair[2];
    if (pipe(pair) != 0 || getcwd(s.folder, sizeof s.folder) == NULL ||
        fstat(STDOUT_FILENO, &s.output) != 0)
        abort();
    s.to_test = pair[1];
    is_int(in_child(start_daemon, &s), expected, "the caller gets status %d %s", expected,
           is_ready ? "once the daemon is ready" : "if it ends before");
    close(pair[1]);
    ok(read_report(pair[0], &r), "the daemon was there");
    ok(r.session != 0 && r.session != s.session, "in a session of its own");
    ok(r.session != r.pid, "which it does not lead: no terminal can become its own");
    ok(r.same_folder, "in the same folder");
    ok(r.output_stays, "with the output of the caller");
    ok(r.has_sockets, "the sockets that systemd gave the caller are meant for it");
    ok(r.is_closed_on_exec, "its line to the caller is close-on-exec");
    close(pair[0]);
}

/* Becomes a daemon whose caller is killed before it is ready: nothing may happen to it. */
static int start_lonely_daemon(void *arg)
{
    int *ends = arg, status_fd;
    char byte;
    pid_t pid = fork();
    if (pid == 0) {
        if (sprig_daemonize(&status_fd, (char[200]){0}, 200) != 0)
            _exit(99);
        if (write(ends[3], "+", 1) != 1 || read(ends[0], &byte, 1) != 1)
            _exit(1);
        sprig_daemon_ready(status_fd);
        _exit(write(ends[3], "+", 1) == 1 ? 0 : 1);
    }
    if (read(ends[2], &byte, 1) != 1)
        return 1;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (write(ends[1], "+", 1) != 1)
        return 2;
    struct pollfd p = {.fd = ends[2], .events = POLLIN};
    return poll(&p, 1, WAIT_MS) == 1 && read(ends[2], &byte, 1) == 1 ? 0 : 3;
}

static void test_lonely(void)
{
    int ends[4]; /* to the daemon: 0, 1; from it: 2, 3 */
    if (pipe(ends) != 0 || pipe(ends + 2) != 0)
        abort();
    signal(SIGPIPE, SIG_DFL);
    is_int(in_child(start_lonely_daemon, ends), 0,
           "a daemon survives that nobody waits for it any more");
    for (int i = 0; i < 4; i++)
        close(ends[i]);
    sprig_daemon_ready(-1);
    ok(true, "without a waiting process there is nothing to do");
}

static bool is_null(int fd)
{
    struct stat st, null;
    return fstat(fd, &st) == 0 && stat("/dev/null", &null) == 0 && st.st_rdev == null.st_rdev &&
           S_ISCHR(st.st_mode);
}

/* Input from a file, output to a file, error to a pipe: the exit status says what was wrong. */
static int detach(void *path)
{
    int pair[2], file = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    if (file == -1 || pipe(pair) != 0 || dup2(file, 0) == -1 || dup2(file, 1) == -1 ||
        dup2(pair[1], 2) == -1)
        return 1;
    sprig_daemon_detach();
    if (!is_null(0))
        return 2;
    if (is_null(1) || write(1, "still here\n", 11) != 11)
        return 3;
    if (!is_null(2))
        return 4;
    return fcntl(0, F_GETFD) == 0 && fcntl(2, F_GETFD) == 0 ? 0 : 5;
}

static int detach_closed(void *arg)
{
    (void)arg;
    for (int fd = 0; fd <= 2; fd++)
        close(fd);
    sprig_daemon_detach();
    for (int fd = 0; fd <= 2; fd++)
        if (!is_null(fd) || fcntl(fd, F_GETFD) != 0)
            return 1 + fd;
    return 0;
}

static void test_detach(void)
{
    const char *path = scratch_path("output");
    is_int(in_child(detach, (void *)path), 0,
           "detached: input and a pipe are /dev/null, for programs of the app as well");
    is_str(scratch_read(path), "still here\n", "a regular file is kept");
    is_int(in_child(detach_closed, NULL), 0, "what was closed is /dev/null");
}

int main(void)
{
    run_daemon(true, 0);
    run_daemon(false, 1);
    test_lonely();
    test_detach();
    scratch_remove();
    return done_testing();
}

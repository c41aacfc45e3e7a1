/* log_target.c - opens logs and writes to them without blocking; see log_target.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memrchr */
#endif
#include "base/log_target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------- opening ---- */

int log_target_number(const char *path)
{
    static const struct {
        const char *prefix;
        int fd; /* -1: the number follows */
    } names[] = {{"-", 1},           {"/dev/stdin", 0},      {"/dev/stdout", 1},
                 {"/dev/stderr", 2}, {"/proc/self/fd/", -1}, {"/dev/fd/", -1}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = strlen(names[i].prefix);
        if (names[i].fd != -1 && strcmp(path, names[i].prefix) == 0)
            return names[i].fd;
        if (names[i].fd != -1 || strncmp(path, names[i].prefix, len) != 0)
            continue;
        const char *digits = path + len;
        size_t n = strspn(digits, "0123456789");
        return n > 0 && n < 10 && digits[n] == '\0' ? atoi(digits) : -1;
    }
    return -1;
}

bool log_target_is_path(const char *path)
{
    return log_target_number(path) == -1 && !log_syslog_is_meant(path);
}

/* What kind of file it is decides how to write to it. */
static int examine(struct log_target *t)
{
    struct stat st;
    if (fstat(t->fd, &st) == -1)
        return -1;
    t->is_socket = S_ISSOCK(st.st_mode);
    t->is_pipe = S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode);
    return 0;
}

/* Opens the same pipe or terminal again, with flags of its own; -1: the system does not allow it.
 */
static int open_again(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* The server's own descriptors are close-on-exec: nobody may log to them. */
static bool is_inherited(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    if (flags == -1)
        return false;
    errno = EBADF;
    return !(flags & FD_CLOEXEC);
}

static int open_inherited(struct log_target *t, int fd)
{
    t->is_inherited = true;
    if (!is_inherited(fd) || (t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) == -1)
        return -1;
    if (examine(t) == -1)
        return -1;
    int own = t->is_pipe ? open_again(fd) : -1;
    t->may_block = t->is_pipe && own == -1;
    if (own != -1) {
        close(t->fd);
        t->fd = own;
    }
    return 0;
}

/* Opens a FIFO for reading too, so that it always has a reader, at the start and later. */
static void keep_reader(struct log_target *t, const char *path, int flags)
{
    struct stat st;
    if (t->fd == -1 ? errno != ENXIO : fstat(t->fd, &st) == -1 || !S_ISFIFO(st.st_mode))
        return;
    int saved = errno, fd = open(path, (flags & ~(O_WRONLY | O_CREAT)) | O_RDWR);
    errno = saved;
    if (fd == -1)
        return;
    if (t->fd != -1)
        close(t->fd);
    t->fd = fd;
}

int log_target_open(struct log_target *t, const char *path)
{
    int number = log_target_number(path);
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    *t = (struct log_target){.fd = -1};
    int rc = 0;
    if (log_syslog_is_meant(path))
        rc = t->fd = log_syslog_open(&t->syslog, path);
    else if (number != -1)
        rc = open_inherited(t, number);
    else {
        t->fd = open(path, geteuid() == 0 ? flags | O_NOFOLLOW : flags, 0666);
        keep_reader(t, path, flags);
        rc = t->fd == -1 ? -1 : examine(t);
    }
    int saved = errno;
    if (rc == -1)
        log_target_close(t);
    errno = saved;
    return rc;
}

bool log_target_has_colours(const struct log_target *t)
{
    const char *no_color = getenv("NO_COLOR");
    return t->fd != -1 && isatty(t->fd) && (no_color == NULL || *no_color == '\0');
}

void log_target_close(struct log_target *t)
{
    if (t->fd != -1)
        close(t->fd);
    t->fd = -1;
}

/* ------------------------------------------------------------------- writing ---- */

void log_target_wait(const struct log_target *t, int timeout_ms)
{
    struct pollfd p = {.fd = t->fd, .events = POLLOUT};
    poll(&p, 1, timeout_ms);
}

static bool has_room(const struct log_target *t)
{
    struct pollfd p = {.fd = t->fd, .events = POLLOUT};
    if (poll(&p, 1, 0) == 1)
        return true;
    errno = EAGAIN;
    return false;
}

static ssize_t write_once(const struct log_target *t, const char *bytes, size_t n)
{
    ssize_t rc;
    do
        rc = t->is_socket                   ? send(t->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL)
             : t->may_block && !has_room(t) ? -1
                                            : write(t->fd, bytes, n);
    while (rc == -1 && errno == EINTR);
    return rc;
}

/* As many whole lines as a pipe takes in one piece, so that lines of other processes do not get
 * mixed in. */
static size_t piece_of(const struct log_target *t, const char *bytes, size_t n)
{
    if (!t->is_pipe || n <= PIPE_BUF)
        return n;
    const char *end = memrchr(bytes, '\n', PIPE_BUF);
    return end != NULL ? (size_t)(end - bytes) + 1 : PIPE_BUF;
}

static size_t write_all(const struct log_target *t, const char *bytes, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t rc = write_once(t, bytes + done, piece_of(t, bytes + done, n - done));
        if (rc <= 0)
            return done;
        done += (size_t)rc;
    }
    return done;
}

/* A broken pipe raises SIGPIPE, and its handler belongs to the application, so the signal is
 * blocked and removed. One that was pending before stays pending. */
static size_t write_pipe(const struct log_target *t, const char *bytes, size_t n)
{
    sigset_t pipe_only, before, pending;
    static const struct timespec now = {0, 0};
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    if (pthread_sigmask(SIG_BLOCK, &pipe_only, &before) != 0)
        return 0;
    size_t done = write_all(t, bytes, n);
    int saved = errno;
    if (done < n && errno == EPIPE && !was_pending)
        sigtimedwait(&pipe_only, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return done;
}

size_t log_target_write(const struct log_target *t, const char *bytes, size_t n)
{
    errno = 0;
    if (t->syslog.n_address > 0)
        return log_syslog_write(&t->syslog, t->fd, bytes, n);
    return t->is_pipe ? write_pipe(t, bytes, n) : write_all(t, bytes, n);
}

uint64_t log_target_lines(const char *bytes, size_t n)
{
    uint64_t lines = 0;
    for (const char *end = bytes + n; (bytes = memchr(bytes, '\n', (size_t)(end - bytes)));)
        lines++, bytes++;
    return lines;
}

size_t log_target_write_to(int fd, const char *bytes, size_t n)
{
    struct log_target t = {.fd = fd};
    if (examine(&t) == -1)
        return 0;
    int own = t.is_pipe ? open_again(fd) : -1;
    t.may_block = t.is_pipe && own == -1;
    if (own != -1)
        t.fd = own;
    size_t done = log_target_write(&t, bytes, n);
    int saved = errno;
    if (own != -1)
        close(own);
    errno = saved;
    return done;
}

/* daemon.c - leaving the terminal; see daemon.h */
#include "process/daemon.h"

#include "base/cloexec.h"
#include "base/err.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void sprig_open_standard(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_NOCTTY);
    while (fd >= STDIN_FILENO && fd < STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* The byte that the waiting process gets: this, or the errno of what failed. */
enum { READY = 0 };

/* Uses a socket: if nobody is waiting any more, a pipe would raise SIGPIPE. */
static void tell_waiting(int fd, int what)
{
    unsigned char byte = (unsigned char)what;
    ssize_t n;
    do
        n = send(fd, &byte, 1, MSG_NOSIGNAL);
    while (n == -1 && errno == EINTR);
}

/* Ends the calling process with the result of the new one. Returns only if there is no new one. */
static int wait_for_ready(pid_t pid, int fd)
{
    unsigned char byte;
    ssize_t n;
    do
        n = read(fd, &byte, 1);
    while (n == -1 && errno == EINTR);
    if (n == 1 && byte != READY) {
        waitpid(pid, NULL, 0);
        errno = byte;
        return SPRIG_E_SYS;
    }
    _exit(n == 1 ? 0 : 1);
}

/* A session leader acquires a terminal by opening one; its child does not. Returns only in that
 * child. */
static void enter_session(int fd)
{
    pid_t pid = setsid() == -1 ? -1 : fork();
    if (pid == 0)
        return;
    if (pid == -1)
        tell_waiting(fd, errno);
    _exit(pid == -1);
}

void daemon_keep_listen_pid(pid_t old)
{
    char text[24];
    const char *listen_pid = getenv("LISTEN_PID");
    snprintf(text, sizeof text, "%ld", (long)old);
    if (listen_pid == NULL || strcmp(listen_pid, text) != 0)
        return;
    snprintf(text, sizeof text, "%ld", (long)getpid());
    setenv("LISTEN_PID", text, 1);
}

int sprig_daemonize(int *status_fd, char *why, size_t n)
{
    int pair[2];
    pid_t pid = -1, old = getpid();
    bool has_pair = cloexec_pair(SOCK_STREAM, pair) == 0;
    if (has_pair)
        pid = fork();
    if (pid == 0) {
        close(pair[0]);
        enter_session(pair[1]);
        daemon_keep_listen_pid(old);
        *status_fd = pair[1];
        return 0;
    }
    int saved = errno;
    if (has_pair)
        close(pair[1]);
    errno = saved;
    if (pid != -1)
        wait_for_ready(pid, pair[0]);
    snprintf(why, n, "cannot become a daemon: %s", strerror(errno));
    if (has_pair)
        close(pair[0]);
    return SPRIG_E_SYS;
}

void sprig_daemon_ready(int status_fd)
{
    if (status_fd == -1)
        return;
    tell_waiting(status_fd, READY);
    close(status_fd);
}

static bool is_regular(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

void sprig_daemon_detach(void)
{
    int null = open("/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (null == -1)
        return;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fd == null)
            fcntl(fd, F_SETFD, 0); /* it was closed before, and already is what it should be */
        else if (fd == STDIN_FILENO || !is_regular(fd))
            dup2(null, fd);
    if (null > STDERR_FILENO)
        close(null);
}

void sprig_daemon_drop_input(void)
{
    int null = open("/dev/null", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (null > STDIN_FILENO) {
        dup2(null, STDIN_FILENO);
        close(null);
    } else if (null == STDIN_FILENO) {
        fcntl(null, F_SETFD, 0);
    }
}

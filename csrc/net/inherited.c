/* inherited.c - the variables of Server::Starter and systemd; see inherited.h */
#include "net/inherited.h"

#include "base/err.h"
#include "base/log.h"
#include "base/number.h"
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The first descriptor that systemd hands over (sd_listen_fds(3)). */
enum { LISTEN_FDS_START = 3 };

/* The sockets found so far. */
struct found {
    int *fds;
    size_t n, max;
    char *why;
    size_t why_size;
};

static bool read_number(const char *text, size_t len, int *out)
{
    uint64_t n;
    if (!number_read(span_make(text, len), INT_MAX, &n))
        return false;
    *out = (int)n;
    return true;
}

/* Uses different messages for a socket that does not listen and a descriptor that is not a socket.
 */
static int add_descriptor(struct found *f, int fd)
{
    int listens = 0;
    socklen_t len = sizeof listens;
    if (f->n == f->max)
        snprintf(f->why, f->why_size, "there are more than %zu inherited sockets", f->max);
    else if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == -1)
        snprintf(f->why, f->why_size, "the inherited descriptor %d is not a socket: %s", fd,
                 strerror(errno));
    else if (!listens)
        snprintf(f->why, f->why_size, "the inherited descriptor %d does not listen", fd);
    else {
        f->fds[f->n++] = fd;
        return 0;
    }
    return SPRIG_E_INVALID;
}

/* "127.0.0.1:80=5;/run/app.sock=6": the part after the last '=' counts. */
static int read_server_starter(struct found *f, const char *list)
{
    int rc = 0, fd;
    while (rc == 0 && *list != '\0') {
        size_t len = strcspn(list, ";"), digits = 0;
        while (digits < len && list[len - digits - 1] != '=')
            digits++;
        if (digits == len || !read_number(list + len - digits, digits, &fd)) {
            snprintf(f->why, f->why_size,
                     "SERVER_STARTER_PORT has a part without descriptor: '%.*s'", (int)len, list);
            return SPRIG_E_INVALID;
        }
        rc = add_descriptor(f, fd);
        list += len + (list[len] == ';');
    }
    return rc;
}

static bool is_own_pid(const char *text)
{
    int pid;
    return text != NULL && read_number(text, strlen(text), &pid) && pid == (int)getpid();
}

/* The name of the admin listener's socket. */
#define ADMIN_FDNAME "admin"

/* Each descriptor has its name at the same position in LISTEN_FDNAMES ("web:admin:web"). */
static bool has_name(const char *names, int index, const char *name)
{
    size_t len = strlen(name);
    for (; names != NULL && index > 0; index--) {
        names = strchr(names, ':');
        names = names != NULL ? names + 1 : NULL;
    }
    return names != NULL && strncmp(names, name, len) == 0 &&
           (names[len] == ':' || names[len] == '\0');
}

static int find_named(const char *name)
{
    const char *listen_fds = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
    int n;
    if (listen_fds == NULL || !is_own_pid(getenv("LISTEN_PID")) ||
        !read_number(listen_fds, strlen(listen_fds), &n))
        return -1;
    for (int i = 0; i < n; i++)
        if (has_name(names, i, name))
            return LISTEN_FDS_START + i;
    return -1;
}

/* The environment is read once; the first call may be to either public function. */
static struct {
    bool is_known;
    int fd;
} admin;

int sprig_inherited_admin(void)
{
    if (!admin.is_known)
        admin.fd = find_named(ADMIN_FDNAME);
    admin.is_known = true;
    return admin.fd;
}

static int read_systemd(struct found *f, const char *text)
{
    int rc = 0, n;
    if (!read_number(text, strlen(text), &n) || n > INT_MAX - LISTEN_FDS_START) {
        snprintf(f->why, f->why_size, "LISTEN_FDS must be a number, got '%s'", text);
        return SPRIG_E_INVALID;
    }
    for (int i = 0; rc == 0 && i < n; i++)
        if (!has_name(getenv("LISTEN_FDNAMES"), i, ADMIN_FDNAME))
            rc = add_descriptor(f, LISTEN_FDS_START + i);
    return rc;
}

/* The usual reason is a shell or wrapper without exec between systemd and this process. */
static void tell_foreign(const char *listen_fds, const char *listen_pid)
{
    char line[256];
    snprintf(
        line, sizeof line,
        "LISTEN_FDS=%.20s is not for this process (%ld): LISTEN_PID is %.20s; these sockets are "
        "not used",
        listen_fds, (long)getpid(), listen_pid != NULL ? listen_pid : "not set");
    log_clean(line);
    sprig_log_print(SPRIG_LOG_WARN, line);
}

int sprig_inherited_sockets(int *fds, size_t max, char *why, size_t n)
{
    struct found f = {.fds = fds, .max = max, .why = why, .why_size = n};
    const char *starter = getenv("SERVER_STARTER_PORT"), *listen_fds = getenv("LISTEN_FDS");
    const char *listen_pid = getenv("LISTEN_PID");
    int rc = 0;
    sprig_inherited_admin();
    if (starter != NULL && *starter != '\0')
        rc = read_server_starter(&f, starter);
    else if (listen_fds != NULL && *listen_fds != '\0' && is_own_pid(listen_pid))
        rc = read_systemd(&f, listen_fds);
    else if (listen_fds != NULL && *listen_fds != '\0')
        tell_foreign(listen_fds, listen_pid);
    unsetenv("LISTEN_FDS"); /* frees the text, so not earlier */
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
    return rc == 0 ? (int)f.n : rc;
}

/* pidfile.c - the pid file: creates, takes over and removes it without harm to anybody else's file;
 * see pidfile.h */
#include "process/pidfile.h"

#include "base/err.h"
#include "base/number.h"
#include "base/path.h"
#include "process/origin.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often to open the file again if its owner removed it at that very moment. */
enum { MAX_TRIES = 20 };

/* Where a function reports what went wrong. */
struct complaint {
    const char *path;
    char *why;
    size_t n;
};

static int complain(const struct complaint *c, int err, const char *reason)
{
    snprintf(c->why, c->n, "pid file %s: %s", c->path, reason);
    return err;
}

static int complain_errno(const struct complaint *c)
{
    int saved = errno;
    complain(c, SPRIG_E_SYS, strerror(saved));
    errno = saved;
    return SPRIG_E_SYS;
}

/* ------------------------------------------------------------------- the file ---- */

/* Opens without following a link, and without blocking on a pipe. */
static int open_unfollowed(const struct complaint *c, int *fd)
{
    *fd = open(c->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
    if (*fd != -1)
        return 0;
    if (errno == ELOOP || errno == EMLINK)
        return complain(c, SPRIG_E_INVALID, "is a symbolic link, which is not followed");
    return complain_errno(c);
}

/* Whether the file may be written to at all: if it has another name or another owner, somebody else
 * uses it. */
static int check_file(const struct complaint *c, int fd)
{
    struct stat st;
    if (fstat(fd, &st) == -1)
        return complain_errno(c);
    if (!S_ISREG(st.st_mode))
        return complain(c, SPRIG_E_INVALID, "is not a regular file");
    if (st.st_nlink > 1)
        return complain(c, SPRIG_E_INVALID, "has another name (a hard link)");
    if (st.st_uid != geteuid())
        return complain(c, SPRIG_E_INVALID, "belongs to another user");
    return 0;
}

static int complain_locked(const struct complaint *c, int fd)
{
    char text[24], reason[64] = "in use by a running process";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    size_t len = strspn(text, "0123456789");
    if (len > 0)
        snprintf(reason, sizeof reason, "in use by the running process %.*s", (int)len, text);
    return complain(c, SPRIG_E_STATE, reason);
}

static int lock_file(const struct complaint *c, int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? complain_locked(c, fd) : complain_errno(c);
}

/* Whether the path still leads to the open file. */
static bool is_same_file(const char *path, int fd)
{
    struct stat open_st, path_st;
    return fstat(fd, &open_st) == 0 && lstat(path, &path_st) == 0 &&
           open_st.st_dev == path_st.st_dev && open_st.st_ino == path_st.st_ino;
}

/* Not truncated before: what cannot be written keeps what it says. */
static int write_number(const struct complaint *c, int fd)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    ssize_t n = pwrite(fd, text, (size_t)len, 0);
    if (n != -1 && n != len)
        errno = ENOSPC;
    return n == len && ftruncate(fd, len) == 0 ? 0 : complain_errno(c);
}

/* Opens and locks the file; makes sure that the path leads to it after it is locked. */
static int claim_file(const struct complaint *c, int *out)
{
    for (int i = 0; i < MAX_TRIES; i++) {
        int fd = -1;
        int rc = open_unfollowed(c, &fd);
        if (rc == 0)
            rc = check_file(c, fd);
        if (rc == 0)
            rc = lock_file(c, fd);
        if (rc == 0 && is_same_file(c->path, fd)) {
            *out = fd;
            return 0;
        }
        if (fd != -1)
            close(fd);
        if (rc != 0)
            return rc;
    }
    return complain(c, SPRIG_E_STATE, "other processes keep removing it");
}

/* ----------------------------------------------------------------- opening it ---- */

static int open_and_write(const struct complaint *c, int *out)
{
    int fd;
    int rc = claim_file(c, &fd);
    if (rc != 0)
        return rc;
    rc = write_number(c, fd);
    if (rc != 0) {
        unlink(c->path);
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

/* Replaces a file that is in use with a new one, locked and complete. */
static int replace_file(const struct complaint *c, int *out)
{
    char temporary[PATH_MAX];
    int len = snprintf(temporary, sizeof temporary, "%s.%ld", c->path, (long)getpid());
    if (len < 0 || (size_t)len >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return complain_errno(c);
    }
    unlink(temporary); /* left behind by an earlier process with our number */
    int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd == -1)
        return complain_errno(c);
    int rc = lock_file(c, fd);
    if (rc == 0)
        rc = write_number(c, fd);
    if (rc == 0 && rename(temporary, c->path) == -1)
        rc = complain_errno(c);
    if (rc != 0) {
        unlink(temporary);
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

/* Writes to the file of the process before through its own descriptor, which shares the lock: for a
 * user who may write neither to root's file nor to the folder. */
static int write_in_place(const struct complaint *c, int given_fd, int *out)
{
    int rc = lock_file(c, given_fd);
    if (rc == 0)
        rc = write_number(c, given_fd);
    if (rc == 0)
        *out = given_fd;
    return rc;
}

static int take_over(const struct complaint *c, int given_fd, int *out)
{
    int rc = replace_file(c, out);
    if (rc == 0 || given_fd == -1)
        return rc;
    int saved = errno;
    if (is_same_file(c->path, given_fd))
        return write_in_place(c, given_fd, out);
    errno = saved;
    return rc;
}

/* Says what the permissions mean: the file names a process that is about to end. */
static int advise(const struct complaint *c, int rc)
{
    char reason[200];
    if (rc == SPRIG_E_SYS && (errno == EACCES || errno == EPERM)) {
        snprintf(reason, sizeof reason,
                 "%s; it does not name process %ld, because user %ld may not write to its folder",
                 strerror(errno), (long)getpid(), (long)geteuid());
        complain(c, rc, reason);
    }
    return rc;
}

static int pidfile_open(struct sprig_pidfile *p, const char *path, bool may_replace, int given_fd,
                        char *why, size_t n)
{
    struct complaint c = {path, why, n};
    *p = (struct sprig_pidfile){.fd = -1};
    char *absolute = path_absolute(path); /* the process may change its folder before it ends */
    if (absolute == NULL && errno == ENOMEM)
        return complain(&c, SPRIG_E_NOMEM, "out of memory");
    if (absolute == NULL)
        return complain_errno(&c);
    c.path = absolute;
    int rc = open_and_write(&c, &p->fd);
    /* No access means that the previous process made the file as root and then became another user.
     */
    if (may_replace && (rc == SPRIG_E_STATE || (rc == SPRIG_E_SYS && errno == EACCES)))
        rc = advise(&c, take_over(&c, given_fd, &p->fd));
    if (rc != 0) {
        free(absolute);
        return rc;
    }
    p->path = absolute;
    p->owner = getpid();
    return 0;
}

int sprig_pidfile_open(struct sprig_pidfile *p, const char *path, char *why, size_t n)
{
    return pidfile_open(p, path, false, -1, why, n);
}

int sprig_pidfile_take_over(struct sprig_pidfile *p, const char *path, int given_fd, char *why,
                            size_t n)
{
    return pidfile_open(p, path, true, given_fd, why, n);
}

bool sprig_pidfile_may_replace(void)
{
    const char *generation = getenv("SERVER_STARTER_GENERATION");
    uint64_t n;
    return generation != NULL && number_read(span_str(generation), UINT64_MAX, &n) && n >= 2;
}

/* -------------------------------------------------------------------- passing it ---- */

#define PIDFILE_VARIABLE "SPRIG_UPGRADE_PID"

void sprig_pidfile_pass(const struct sprig_pidfile *p)
{
    char text[16];
    int fd = p->path != NULL ? p->fd : -1;
    if (fd != -1)
        fcntl(fd, F_SETFD, fcntl(fd, F_GETFD) & ~FD_CLOEXEC);
    snprintf(text, sizeof text, "%d", fd);
    origin_pass(PIDFILE_VARIABLE, text);
}

int sprig_pidfile_inherit(void)
{
    const char *text = getenv(PIDFILE_VARIABLE);
    int fd = text != NULL ? atoi(text) : -1;
    unsetenv(PIDFILE_VARIABLE);
    return fd > STDERR_FILENO && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

/* -------------------------------------------------------------------- the end ---- */

/* Our successor has written to it through the descriptor that it has from us. */
static bool names_another(const struct sprig_pidfile *p)
{
    char text[24];
    long number = 0;
    ssize_t n = pread(p->fd, text, sizeof text, 0);
    for (ssize_t i = 0; i < n && i < 18 && text[i] >= '0' && text[i] <= '9'; i++)
        number = 10 * number + (text[i] - '0');
    return number != 0 && number != (long)p->owner;
}

void sprig_pidfile_remove(const struct sprig_pidfile *p)
{
    bool is_ours = p->path != NULL && p->owner == getpid() && is_same_file(p->path, p->fd) &&
                   !names_another(p);
    if (is_ours && unlink(p->path) == -1 && ftruncate(p->fd, 0) == -1)
        errno = 0; /* the file stays; without a lock it counts as stale */
}

void sprig_pidfile_close(struct sprig_pidfile *p)
{
    if (p->path == NULL)
        return;
    sprig_pidfile_remove(p);
    close(p->fd);
    free(p->path);
    *p = (struct sprig_pidfile){.fd = -1};
}

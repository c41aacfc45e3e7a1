/* tempfile.c - temporary files without a name; see tempfile.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_TMPFILE, mkostemp */
#endif
#include "base/tempfile.h"
#include "base/err.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *tempfile_dir(const char *dir)
{
    if (!dir || !*dir)
        dir = getenv("TMPDIR");
    return dir && *dir ? dir : "/tmp";
}

int tempfile_open(const char *dir)
{
    dir = tempfile_dir(dir);
#ifdef O_TMPFILE
    int anonymous = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (anonymous != -1)
        return anonymous;
#endif
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/sprig-XXXXXX", dir) >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd != -1)
        unlink(path);
    return fd;
}

int tempfile_write(int fd, struct sprig_span bytes)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return SPRIG_E_SYS;
        bytes.ptr += n;
        bytes.len -= (size_t)n;
    }
    return SPRIG_OK;
}

void tempfile_close(int fd)
{
    int e = errno;
    close(fd);
    errno = e;
}

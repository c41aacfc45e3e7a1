/* body.c - collects a request's body: in memory first, above a limit in an unlinked file. */
#include "http/body.h"
#include "base/err.h"
#include "base/stats.h"
#include "base/tempfile.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_ALLOCATION = 1024 };

void body_init(struct body *b)
{
    *b = (struct body){.fd = -1};
}

static int move_to_file(struct body *b, const char *dir)
{
    int fd = tempfile_open(dir);
    if (fd == -1)
        return SPRIG_E_SYS;
    if (tempfile_write(fd, span_make(b->mem, (size_t)b->size)) < 0) {
        tempfile_close(fd);
        return SPRIG_E_SYS;
    }
    free(b->mem);
    b->mem = NULL;
    b->cap = 0;
    b->fd = fd;
    stats_add(STAT_BODY_FILES, 1);
    return SPRIG_OK;
}

static int append_to_file(struct body *b, struct sprig_span bytes)
{
    if (tempfile_write(b->fd, bytes) == SPRIG_OK) {
        b->size += bytes.len;
        return SPRIG_OK;
    }
    int e = errno; /* take back the part that was already written */
    if (ftruncate(b->fd, (off_t)b->size) == 0)
        lseek(b->fd, (off_t)b->size, SEEK_SET);
    errno = e;
    return SPRIG_E_SYS;
}

/* Makes room for `need` bytes in all; `expected` is trusted up to the memory limit. */
static int reserve(struct body *b, size_t need, uint64_t expected, size_t buffer_bytes)
{
    if (need <= b->cap)
        return SPRIG_OK;
    size_t cap = b->cap ? b->cap : FIRST_ALLOCATION;
    if (!b->cap && expected && expected <= buffer_bytes)
        cap = (size_t)expected;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *mem = realloc(b->mem, cap);
    if (!mem)
        return SPRIG_E_NOMEM;
    b->mem = mem;
    b->cap = cap;
    return SPRIG_OK;
}

int body_append(struct body *b, struct sprig_span bytes, size_t buffer_bytes, uint64_t expected,
                const char *dir)
{
    if (bytes.len == 0)
        return SPRIG_OK;
    /* A body whose announced length is too large for memory goes to its file from the first byte.
     */
    bool fits = expected <= buffer_bytes && b->size <= buffer_bytes &&
                bytes.len <= buffer_bytes - (size_t)b->size;
    if (b->fd == -1 && !fits && move_to_file(b, dir) < 0)
        return SPRIG_E_SYS;
    if (b->fd != -1)
        return append_to_file(b, bytes);
    int rc = reserve(b, (size_t)b->size + bytes.len, expected, buffer_bytes);
    if (rc < 0)
        return rc;
    memcpy(b->mem + b->size, bytes.ptr, bytes.len);
    b->size += bytes.len;
    return SPRIG_OK;
}

int body_take_fd(struct body *b)
{
    int fd = b->fd;
    if (fd != -1)
        lseek(fd, 0, SEEK_SET);
    b->fd = -1;
    return fd;
}

void body_clear(struct body *b)
{
    free(b->mem);
    if (b->fd != -1)
        tempfile_close(b->fd);
    body_init(b);
}

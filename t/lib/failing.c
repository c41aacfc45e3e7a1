/* failing.c - preloaded into a server: memory and epoll fail where a test says so.
 *
 * SPRIG_TEST_FAILING names a file of six 64-bit numbers that the test and the server share: how
 * many allocations of Sprig itself there were, and which of them fail (the first, and how many from
 * there on), then the same for descriptors that are given to epoll. Perl's and libevent's own
 * memory never fails: perl ends the process then. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct kind {
    int64_t n, first, count;
};

struct shared {
    struct kind memory, epoll;
};

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t n);

static struct shared *shared;
static uintptr_t start, end; /* of the code of Sprig.so */

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SPRIG_TEST_FAILING");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd == -1)
        return;
    void *at = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    shared = at != MAP_FAILED ? at : NULL;
    close(fd);
}

static int find(struct dl_phdr_info *info, size_t size, void *arg)
{
    size_t n = strlen(info->dlpi_name);
    (void)size, (void)arg;
    if (n < 9 || strcmp(info->dlpi_name + n - 9, "/Sprig.so") != 0)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
            continue;
        start = info->dlpi_addr + p->p_vaddr;
        end = start + p->p_memsz;
    }
    return 1;
}

static int is_due(struct kind *kind)
{
    int64_t n = ++kind->n;
    return n >= kind->first && n < kind->first + kind->count;
}

/* Nothing is counted until the test asks for a failure: the server has to start. */
static int memory_fails(void *caller)
{
    if (shared == NULL || shared->memory.count == 0)
        return 0;
    if (start == 0)
        dl_iterate_phdr(find, NULL);
    return (uintptr_t)caller >= start && (uintptr_t)caller < end && is_due(&shared->memory);
}

#define OR_FAIL(call)                                                                              \
    (memory_fails(__builtin_return_address(0)) ? (errno = ENOMEM, (void *)NULL) : (call))

void *malloc(size_t n)
{
    return OR_FAIL(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return OR_FAIL(__libc_calloc(n, size));
}

void *realloc(void *old, size_t n)
{
    return OR_FAIL(__libc_realloc(old, n));
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    if (op != EPOLL_CTL_DEL && shared != NULL && shared->epoll.count != 0 &&
        is_due(&shared->epoll)) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

/* hub_memory.c - a hub's memory: creating it, inheriting it from another program, passing it on. */
#include "base/clock.h"
#include "base/hub_internal.h"
#include "base/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif
#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

enum {
    MIN_BYTES = 64 << 10,
    DEFAULT_BYTES = 16 << 20,
    MIN_PROCESSES = 64 /* a few more workers keep the same layout */
};

/* ------------------------------------------------------------------ memory ---- */

static void print_layout(char *text, size_t n)
{
    snprintf(text, n, "sprig channels 1: %zu %zu", sizeof(struct shared), sizeof(struct entry));
}

static bool shared_init(struct shared *s, uint64_t size, uint32_t n_seats)
{
    pthread_mutexattr_t attr;
    print_layout(s->shape.layout, sizeof s->shape.layout);
    s->shape.size = size;
    s->shape.n_seats = n_seats;
    s->number = clock_real_ns() / 1000;
    s->head = s->tail = 8; /* 0 means "no entry" */
    pthread_mutexattr_init(&attr);
    bool ok = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0 &&
              pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0 &&
              pthread_mutex_init(&s->lock, &attr) == 0;
    pthread_mutexattr_destroy(&attr);
    return ok;
}

static int open_wake_fd(void)
{
#ifdef __linux__
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
#else
    return -1;
#endif
}

/* Where the parts of the memory begin, and its total length. */
struct layout {
    uint64_t seats, members, log, end;
};

static struct layout lay_out(uint64_t size, uint32_t n_seats)
{
    struct layout at;
    at.seats = round_up(sizeof(struct shared), 64);
    at.members = at.seats + round_up(n_seats * sizeof(pid_t), 64);
    at.log = at.members + round_up((uint64_t)(HUB_ROWS + 1) * n_seats * sizeof(uint32_t), 64);
    at.end = at.log + size;
    return at;
}

/* Maps a hub, which then owns the descriptors. NULL: they still belong to the caller. */
static struct hub *hub_map(uint64_t size, uint32_t n_seats, int memory_fd, int wake_fd)
{
    struct layout layout = lay_out(size, n_seats);
    int flags = MAP_SHARED | MAP_NORESERVE | (memory_fd == -1 ? MAP_ANONYMOUS : 0);
    struct hub *hub = calloc(1, sizeof *hub);
    char *scratch = malloc(size / HUB_PARTS_OF_LOG);
    char *at = mmap(NULL, layout.end, PROT_READ | PROT_WRITE, flags, memory_fd, 0);
    if (hub == NULL || scratch == NULL || at == MAP_FAILED) {
        if (at != MAP_FAILED)
            munmap(at, layout.end);
        free(scratch);
        free(hub);
        return NULL;
    }
    *hub = (struct hub){.size = size, .n_seats = n_seats, .n_mapped = layout.end};
    hub->shared = (struct shared *)at;
    hub->seats = (pid_t *)(at + layout.seats);
    hub->members = (uint32_t *)(at + layout.members);
    hub->log = at + layout.log;
    hub->scratch = scratch;
    hub->memory_fd = memory_fd;
    hub->wake_fd = wake_fd;
    return hub;
}

static uint64_t log_size(uint64_t bytes)
{
    return round_up(bytes < MIN_BYTES ? MIN_BYTES : bytes, 64);
}

static void close_fd(int fd)
{
    if (fd != -1)
        close(fd);
}

static struct hub *hub_make(uint64_t size, uint32_t n_seats, int memory_fd)
{
    struct hub *hub = hub_map(size, n_seats, memory_fd, -1);
    if (hub == NULL) {
        close_fd(memory_fd);
        return NULL;
    }
    hub->wake_fd = open_wake_fd();
    if (shared_init(hub->shared, size, n_seats))
        return hub;
    hub_free(hub);
    return NULL;
}

struct hub *hub_new(uint64_t bytes, uint32_t n_processes)
{
    return hub_make(log_size(bytes), n_processes, -1);
}

void hub_free(struct hub *hub)
{
    if (hub == NULL)
        return;
    munmap(hub->shared, hub->n_mapped);
    close_fd(hub->memory_fd);
    close_fd(hub->wake_fd);
    free(hub->scratch);
    free(hub);
}

/* These belong to the process and are inherited by its children. */
static uint64_t planned_bytes = DEFAULT_BYTES;
static uint32_t planned_processes = MIN_PROCESSES;
static struct hub *hub_of_process;

void hub_plan(uint64_t bytes, uint32_t n_processes)
{
    planned_bytes = bytes;
    planned_processes = n_processes > MIN_PROCESSES ? n_processes : MIN_PROCESSES;
}

/* --------------------------------------------------------------- inherited ---- */

/* Adopts another program's hub if it has the shape that this process would give it. */
static struct hub *hub_adopt(int memory_fd, int wake_fd)
{
    struct hub_shape shape;
    struct stat st;
    char layout[sizeof shape.layout] = "";
    print_layout(layout, sizeof layout);
    bool is_ours = pread(memory_fd, &shape, sizeof shape, 0) == (ssize_t)sizeof shape &&
                   strncmp(shape.layout, layout, sizeof layout) == 0;
    if (!is_ours || shape.size != log_size(planned_bytes) || shape.n_seats < planned_processes)
        return NULL;
    if (fstat(memory_fd, &st) == -1 ||
        (uint64_t)st.st_size != lay_out(shape.size, shape.n_seats).end)
        return NULL;
    return hub_map(shape.size, shape.n_seats, memory_fd, wake_fd);
}

static struct hub *hub_inherit(void)
{
    const char *text = getenv(HUB_VARIABLE);
    char *rest = NULL;
    int memory_fd = text != NULL ? (int)strtol(text, &rest, 10) : -1;
    int wake_fd = rest != NULL ? (int)strtol(rest, NULL, 10) : -1;
    unsetenv(HUB_VARIABLE);
    if (memory_fd <= STDERR_FILENO || wake_fd <= STDERR_FILENO)
        return NULL;
    fcntl(memory_fd, F_SETFD, FD_CLOEXEC);
    fcntl(wake_fd, F_SETFD, FD_CLOEXEC);
    struct hub *hub = hub_adopt(memory_fd, wake_fd);
    if (hub == NULL) {
        close(memory_fd);
        close(wake_fd);
    }
    return hub;
}

struct hub *hub_get(void)
{
    if (hub_of_process == NULL)
        hub_of_process = hub_inherit();
    if (hub_of_process == NULL)
        hub_of_process = hub_new(planned_bytes, planned_processes);
    return hub_of_process;
}

struct hub *hub_get_to_pass(void)
{
    uint64_t size = log_size(planned_bytes);
    uint32_t n = planned_processes;
    if (hub_of_process == NULL)
        hub_of_process = hub_inherit();
    if (hub_of_process == NULL)
        hub_of_process = hub_make(size, n, memory_open("sprig-channels", lay_out(size, n).end));
    return hub_of_process;
}

void hub_pass(char text[HUB_TEXT_BYTES])
{
    const struct hub *hub = hub_of_process;
    *text = '\0';
    if (hub == NULL || hub->memory_fd == -1 || hub->wake_fd == -1)
        return;
    fcntl(hub->memory_fd, F_SETFD, 0);
    fcntl(hub->wake_fd, F_SETFD, 0);
    snprintf(text, HUB_TEXT_BYTES, "%d %d", hub->memory_fd, hub->wake_fd);
}

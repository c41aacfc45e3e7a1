/* memory.c - a session's memory, and how it rests; see memory.h */
#include "h2/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Only pages of this size are given back: madvise refuses others. */
enum { PAGE_BYTES = 4096 };

/* A block with more data is left as it is. */
enum { MOST_KEPT_BYTES = 1024 };

/* ------------------------------------------------------------------- allocating ---- */

/* The block at this address; for NULL, a free one. */
static struct h2_large *large_at(struct h2_memory *m, const void *bytes)
{
    for (size_t i = 0; i < H2_LARGE_BLOCKS; i++)
        if (m->large[i].bytes == bytes)
            return &m->large[i];
    return NULL;
}

/* Allocates zero pages, which take memory only when used. NULL: not a large block, or no room for
 * another one. Not from malloc: among the memory that TLS handshakes leave behind, pages given back
 * would be taken for something else. */
static void *allocate_pages(struct h2_memory *m, size_t n)
{
    struct h2_large *large = n >= PAGE_BYTES ? large_at(m, NULL) : NULL;
    if (large == NULL || n > SIZE_MAX - PAGE_BYTES)
        return NULL;
    n = (n + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
    void *bytes = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return NULL;
    *large = (struct h2_large){.bytes = bytes, .n = n};
    return bytes;
}

static void *allocate(size_t n, void *user)
{
    void *bytes = allocate_pages(user, n);
    return bytes != NULL ? bytes : malloc(n);
}

static void *allocate_zeroed(size_t n_items, size_t size, void *user)
{
    bool is_too_much = n_items > UINT16_MAX || size > UINT16_MAX;
    void *bytes = is_too_much ? NULL : allocate_pages(user, n_items * size);
    return bytes != NULL ? bytes : calloc(n_items, size);
}

static void release(void *bytes, void *user)
{
    struct h2_large *large = bytes != NULL ? large_at(user, bytes) : NULL;
    if (large == NULL) {
        free(bytes);
        return;
    }
    munmap(large->bytes, large->n);
    free(large->kept);
    *large = (struct h2_large){0};
}

static void *reallocate(void *bytes, size_t n, void *user)
{
    struct h2_large *large = bytes != NULL ? large_at(user, bytes) : NULL;
    if (bytes == NULL)
        return allocate(n, user);
    if (large == NULL)
        return realloc(bytes, n);
    size_t n_before = large->n;
    void *grown = allocate(n, user);
    if (grown == NULL)
        return NULL;
    memcpy(grown, bytes, n < n_before ? n : n_before);
    release(bytes, user);
    return grown;
}

nghttp2_mem h2_memory_functions(struct h2_memory *m)
{
    return (nghttp2_mem){m, allocate, release, allocate_zeroed, reallocate};
}

/* ---------------------------------------------------------------------- resting ---- */

/* The number of bytes up to the last one that is not zero. */
static size_t used_bytes(const char *bytes, size_t n)
{
    uint64_t word = 0;
    while (n > 0 && word == 0) {
        n -= sizeof word;
        memcpy(&word, bytes + n, sizeof word);
    }
    return word != 0 ? n + sizeof word : 0;
}

/* Pages that are given back read as zeros. If the system does not take them, nothing has changed.
 */
static void rest(struct h2_large *large)
{
    size_t n = used_bytes(large->bytes, large->n);
    if (n > MOST_KEPT_BYTES || (large->kept = malloc(n + 1)) == NULL)
        return;
    memcpy(large->kept, large->bytes, n);
    large->n_kept = n;
    (void)!madvise(large->bytes, large->n, MADV_DONTNEED);
}

void h2_memory_rest(struct h2_memory *m)
{
    if (m->is_resting)
        return;
    m->is_resting = true;
    for (size_t i = 0; i < H2_LARGE_BLOCKS; i++)
        if (m->large[i].bytes != NULL)
            rest(&m->large[i]);
}

void h2_memory_wake_up(struct h2_memory *m)
{
    m->is_resting = false;
    for (size_t i = 0; i < H2_LARGE_BLOCKS; i++) {
        struct h2_large *large = &m->large[i];
        if (large->kept == NULL)
            continue;
        memcpy(large->bytes, large->kept, large->n_kept);
        free(large->kept);
        large->kept = NULL;
    }
}

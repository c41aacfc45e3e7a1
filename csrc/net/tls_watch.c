/* tls_watch.c - whether the certificate and key files have changed since they were read; see
 * tls_internal.h */
#include "net/tls_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct watched {
    char *path; /* owned */
    struct timespec changed_at;
    off_t size;
    ino_t inode;
    bool is_known; /* stat has worked */
};

struct tls_watch {
    size_t n;
    struct watched *items; /* owned */
};

/* The file's current state. If it cannot be looked at, because root was given up, it counts as
 * unchanged. */
static struct watched look(struct watched w)
{
    struct stat st;
    if (stat(w.path, &st) == -1)
        return w;
    w.changed_at = st.st_mtim;
    w.size = st.st_size;
    w.inode = st.st_ino;
    w.is_known = true;
    return w;
}

static bool is_same(const struct watched *a, const struct watched *b)
{
    return a->is_known == b->is_known && a->size == b->size && a->inode == b->inode &&
           a->changed_at.tv_sec == b->changed_at.tv_sec &&
           a->changed_at.tv_nsec == b->changed_at.tv_nsec;
}

bool tls_watch_add(struct tls_context *ctx, const char *path, size_t len)
{
    struct tls_watch *watch = ctx->watch;
    if (watch == NULL)
        watch = ctx->watch = calloc(1, sizeof *watch);
    struct watched *items =
        watch != NULL ? realloc(watch->items, (watch->n + 1) * sizeof *items) : NULL;
    if (items == NULL)
        return false;
    watch->items = items;
    struct watched w = {.path = strndup(path, len)};
    if (w.path == NULL)
        return false;
    items[watch->n++] = look(w);
    return true;
}

bool tls_watch_add_list(struct tls_context *ctx, const char *list)
{
    bool ok = true;
    while (ok && list != NULL && *list != '\0') {
        size_t len = strcspn(list, ",");
        ok = len == 0 || tls_watch_add(ctx, list, len);
        list += len + (list[len] == ',');
    }
    return ok;
}

void tls_watch_free(struct tls_watch *watch)
{
    for (size_t i = 0; watch != NULL && i < watch->n; i++)
        free(watch->items[i].path);
    if (watch != NULL)
        free(watch->items);
    free(watch);
}

bool tls_context_has_changed(struct tls_context *ctx)
{
    bool changed = false;
    for (size_t i = 0; ctx->watch != NULL && i < ctx->watch->n; i++) {
        struct watched now = look(ctx->watch->items[i]);
        changed |= !is_same(&now, &ctx->watch->items[i]);
        ctx->watch->items[i] = now;
    }
    return changed;
}

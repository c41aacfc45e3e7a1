/* watch_files.c - see watch_files.h */
#include "process/watch_files.h"

#include "base/err.h"
#include "process/watch_pattern.h"
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/inotify.h>
#endif

/* What is compared to find a change. */
struct look {
    bool is_there;
    dev_t device;
    ino_t inode;
    off_t size;
    int64_t seconds;
    long nanoseconds;
};

struct file {
    char *path;         /* owned */
    const char *name;   /* its name in `folder` in the kernel's events: a part of the path */
    int folder;         /* the kernel's number; -1: none */
    uint32_t list;      /* the last list that had it; 0: found by a pattern */
    uint32_t round;     /* the last walk that found it */
    unsigned n_loading; /* how many times in a row it has changed while loading */
    struct look look;
    bool has_changed;
};

struct folder {
    char *path; /* owned */
    int number;
};

struct watch_files {
    struct file *files; /* owned, sorted by path */
    size_t n_files, room;
    struct folder *folders; /* owned */
    size_t n_folders, folders_room;
    char **patterns; /* owned */
    size_t n_patterns;
    int fd; /* owned; -1: no inotify */
    uint32_t list, round;
    char *gone, *self; /* owned: the last results of watch_files_look */
};

/* ----------------------------------------------------------------- folders ---- */

#ifdef __linux__

enum {
    MASK = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
           IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
};

static int open_events(void)
{
    return inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

static int watch_path(int fd, const char *path)
{
    return inotify_add_watch(fd, path, MASK);
}

static void unwatch(int fd, int number)
{
    inotify_rm_watch(fd, number);
}

#else

static int open_events(void)
{
    return -1;
}

static int watch_path(int fd, const char *path)
{
    (void)fd, (void)path;
    return -1;
}

static void unwatch(int fd, int number)
{
    (void)fd, (void)number;
}

#endif

/* The kernel's number for the folder, or -1. */
static int folder_watch(struct watch_files *w, const char *path)
{
    for (size_t i = 0; i < w->n_folders; i++)
        if (strcmp(w->folders[i].path, path) == 0)
            return w->folders[i].number;
    if (w->fd == -1 || w->n_folders >= WATCH_MAX_FOLDERS)
        return -1;
    if (w->n_folders == w->folders_room) {
        size_t room = 2 * w->folders_room + 16;
        struct folder *folders = realloc(w->folders, room * sizeof *folders);
        if (folders == NULL)
            return -1;
        w->folders = folders;
        w->folders_room = room;
    }
    int number = watch_path(w->fd, path);
    char *copy = number != -1 ? strdup(path) : NULL;
    if (copy == NULL)
        return -1;
    w->folders[w->n_folders++] = (struct folder){copy, number};
    return number;
}

/* The folder is gone, or has been replaced. */
static void folder_forget(struct watch_files *w, int number)
{
    for (size_t i = w->n_folders; i-- > 0;)
        if (w->folders[i].number == number) {
            unwatch(w->fd, number);
            free(w->folders[i].path);
            w->folders[i] = w->folders[--w->n_folders];
        }
    for (size_t i = 0; i < w->n_files; i++)
        if (w->files[i].folder == number)
            w->files[i].folder = -1;
}

/* Watches the file's folder, or the nearest existing one above it; f->name then leads from there to
 * the file. */
static void file_watch(struct watch_files *w, struct file *f)
{
    char *slash = f->path + strlen(f->path);
    f->folder = -1;
    while (f->folder == -1 && slash > f->path) {
        do
            slash--;
        while (*slash != '/');
        *slash = '\0';
        f->folder = folder_watch(w, slash == f->path ? "/" : f->path);
        *slash = '/';
    }
    f->name = slash + 1;
}

/* Whether the name has several parts, because the file's folder did not exist. */
static bool file_is_far(const struct file *f)
{
    return f->folder == -1 || strchr(f->name, '/') != NULL;
}

/* ------------------------------------------------------------------- files ---- */

static struct look look_at(const char *path)
{
    struct stat s;
    if (stat(path, &s) == -1)
        return (struct look){.is_there = false};
    return (struct look){true, s.st_dev, s.st_ino, s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec};
}

static bool is_same(const struct look *a, const struct look *b)
{
    return a->is_there == b->is_there && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

/* The index of the file, or where it would belong. */
static size_t find(const struct watch_files *w, const char *path, size_t n, bool *is_there)
{
    size_t from = 0, to = w->n_files;
    *is_there = false;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = strncmp(w->files[middle].path, path, n);
        if (order == 0)
            order = w->files[middle].path[n] != '\0';
        if (order == 0) {
            *is_there = true;
            return middle;
        }
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static int insert(struct watch_files *w, size_t at, const char *path, size_t n)
{
    if (w->n_files >= WATCH_MAX_FILES)
        return SPRIG_E_INVALID;
    if (w->n_files == w->room) {
        size_t room = 2 * w->room + 64;
        struct file *files = realloc(w->files, room * sizeof *files);
        if (files == NULL)
            return SPRIG_E_NOMEM;
        w->files = files;
        w->room = room;
    }
    struct file f = {.path = strndup(path, n)};
    if (f.path == NULL)
        return SPRIG_E_NOMEM;
    file_watch(w, &f);
    f.look = look_at(f.path);
    memmove(w->files + at + 1, w->files + at, (w->n_files++ - at) * sizeof f);
    w->files[at] = f;
    return 0;
}

/* Finds or adds the file; NULL: `*rc` says why not. */
static struct file *file_get(struct watch_files *w, const char *path, size_t n, bool *is_new,
                             int *rc)
{
    bool is_there;
    size_t at = find(w, path, n, &is_there);
    *is_new = !is_there;
    *rc = is_there ? 0 : insert(w, at, path, n);
    return *rc == 0 ? &w->files[at] : NULL;
}

static void drop(struct watch_files *w, size_t at)
{
    free(w->files[at].path);
    memmove(w->files + at, w->files + at + 1, (--w->n_files - at) * sizeof *w->files);
}

int watch_files_add(struct watch_files *w, const char *path, size_t n)
{
    bool is_new;
    int rc = SPRIG_E_INVALID;
    struct file *f = n > 0 && path[0] == '/' ? file_get(w, path, n, &is_new, &rc) : NULL;
    if (f != NULL && (is_new || f->list != 0))
        f->list = w->list;
    return rc;
}

void watch_files_begin(struct watch_files *w)
{
    w->list++;
}

void watch_files_end(struct watch_files *w)
{
    for (size_t i = w->n_files; i-- > 0;)
        if (w->files[i].list != 0 && w->files[i].list != w->list)
            drop(w, i);
}

size_t watch_files_changes(const struct watch_files *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_files; i++)
        n += w->files[i].has_changed;
    return n;
}

void watch_files_count_anew(struct watch_files *w)
{
    for (size_t i = 0; i < w->n_files; i++)
        w->files[i].has_changed = false;
}

size_t watch_files_count(const struct watch_files *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_files; i++)
        n += w->files[i].look.is_there;
    return n;
}

/* ---------------------------------------------------------------- patterns ---- */

static void see_file(const char *path, void *arg)
{
    struct watch_files *w = arg;
    bool is_new;
    int rc;
    struct file *f = file_get(w, path, strlen(path), &is_new, &rc);
    if (f == NULL)
        return;
    f->round = w->round;
    if (is_new)
        f->look.is_there = false; /* so that it counts as changed */
}

static void see_folder(const char *path, void *arg)
{
    folder_watch(arg, path);
}

static void walk(struct watch_files *w)
{
    w->round++;
    for (size_t i = 0; i < w->n_patterns; i++)
        watch_pattern_walk(w->patterns[i], WATCH_MAX_FILES, see_file, see_folder, w);
}

/* NULL: out of memory. */
static char *whole_pattern(const char *pattern)
{
    struct stat s;
    bool is_folder = stat(pattern, &s) == 0 && S_ISDIR(s.st_mode);
    size_t n = strlen(pattern);
    char *whole = malloc(n + sizeof "/**");
    if (whole != NULL)
        snprintf(whole, n + sizeof "/**", "%s%s", pattern,
                 !is_folder              ? ""
                 : pattern[n - 1] == '/' ? "**"
                                         : "/**");
    return whole;
}

int watch_files_add_pattern(struct watch_files *w, const char *pattern)
{
    char **patterns = realloc(w->patterns, (w->n_patterns + 1) * sizeof *patterns);
    if (patterns == NULL)
        return SPRIG_E_NOMEM;
    w->patterns = patterns;
    if (*pattern != '/')
        return SPRIG_E_INVALID;
    if ((patterns[w->n_patterns] = whole_pattern(pattern)) == NULL)
        return SPRIG_E_NOMEM;
    w->n_patterns++;
    walk(w);
    for (size_t i = 0; i < w->n_files; i++)
        w->files[i].look = look_at(w->files[i].path);
    return 0;
}

/* --------------------------------------------------------------- the life ---- */

struct watch_files *watch_files_new(bool uses_events)
{
    struct watch_files *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->fd = uses_events ? open_events() : -1;
    w->list = 1;
    return w;
}

void watch_files_free(struct watch_files *w)
{
    if (w == NULL)
        return;
    while (w->n_files > 0)
        drop(w, w->n_files - 1);
    for (size_t i = 0; i < w->n_folders; i++)
        free(w->folders[i].path);
    for (size_t i = 0; i < w->n_patterns; i++)
        free(w->patterns[i]);
    if (w->fd != -1)
        close(w->fd);
    free(w->files);
    free(w->folders);
    free(w->patterns);
    free(w->gone);
    free(w->self);
    free(w);
}

int watch_files_fd(const struct watch_files *w)
{
    return w->fd;
}

/* --------------------------------------------------------------- the looks ---- */

#ifdef __linux__

static const char *folder_path(const struct watch_files *w, int number)
{
    for (size_t i = 0; i < w->n_folders; i++)
        if (w->folders[i].number == number)
            return w->folders[i].path;
    return "";
}

/* Whether it is a new file, or a folder that may contain some. */
static bool concerns_pattern(const struct watch_files *w, const struct inotify_event *e)
{
    char path[PATH_MAX];
    if (w->n_patterns > 0 && (e->mask & IN_ISDIR) != 0)
        return true;
    snprintf(path, sizeof path, "%s/%s", folder_path(w, e->wd), e->name);
    for (size_t i = 0; i < w->n_patterns; i++)
        if (watch_pattern_matches(w->patterns[i], path))
            return true;
    return false;
}

/* A name in a folder belongs to a file, or to a folder on the way to one. */
static bool concerns(const struct watch_files *w, const struct inotify_event *e)
{
    size_t n = e->len > 0 ? strlen(e->name) : 0;
    for (size_t i = 0; i < w->n_files; i++) {
        const struct file *f = &w->files[i];
        if (f->folder == e->wd && strncmp(f->name, e->name, n) == 0 &&
            (n == 0 || f->name[n] == '\0' || f->name[n] == '/'))
            return true;
    }
    return n == 0 || concerns_pattern(w, e);
}

bool watch_files_hear(struct watch_files *w)
{
    _Alignas(struct inotify_event) char buf[8192];
    bool may_differ = false;
    ssize_t n;
    while (w->fd != -1 && (n = read(w->fd, buf, sizeof buf)) > 0) {
        for (const char *at = buf; at < buf + n;) {
            const struct inotify_event *e = (const void *)at;
            may_differ = may_differ || concerns(w, e);
            if ((e->mask & (IN_IGNORED | IN_MOVE_SELF | IN_DELETE_SELF)) != 0)
                folder_forget(w, e->wd);
            at += sizeof *e + e->len;
        }
    }
    return may_differ;
}

#else

bool watch_files_hear(struct watch_files *w)
{
    (void)w;
    return false;
}

#endif

static void keep(char **to, const char *path)
{
    free(*to);
    *to = strdup(path);
}

/* Whether the file should still be watched. */
static bool file_note(struct file *f, bool is_loading, bool *is_self)
{
    f->n_loading = is_loading ? f->n_loading + 1 : 0;
    *is_self = f->n_loading == WATCH_MAX_SELF;
    return f->n_loading < WATCH_MAX_SELF;
}

const char *watch_files_look(struct watch_files *w, bool is_loading, const char **gives_up)
{
    const char *changed = NULL;
    *gives_up = NULL;
    walk(w);
    for (size_t i = w->n_files; i-- > 0;) {
        struct file *f = &w->files[i];
        bool is_self, is_lost = f->list == 0 && f->round != w->round;
        if (file_is_far(f))
            file_watch(w, f);
        struct look now = look_at(f->path);
        if (is_same(&now, &f->look) && !is_lost)
            continue;
        f->look = now;
        f->has_changed = true;
        if (file_note(f, is_loading, &is_self)) {
            keep(&w->gone, f->path);
            changed = w->gone;
        } else if (is_self) {
            keep(&w->self, f->path);
            *gives_up = w->self;
        }
        if (is_lost)
            drop(w, i);
    }
    return changed;
}

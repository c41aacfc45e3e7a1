/* watch_pattern.c - see watch_pattern.h */
#include "process/watch_pattern.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 30 };

/* ---------------------------------------------------------------- matching ---- */

/* "[a-z]" at *at: whether c is in the set. Moves *at past it. */
static bool match_set(const char **at, char c)
{
    const char *p = *at + 1;
    bool is_not = *p == '!' || *p == '^', found = false;
    p += is_not;
    for (bool is_first = true; *p != '\0' && (*p != ']' || is_first); is_first = false) {
        char from = *p++, to = from;
        if (p[0] == '-' && p[1] != ']' && p[1] != '\0') {
            to = p[1];
            p += 2;
        }
        found |= c >= from && c <= to;
    }
    *at = *p == ']' ? p + 1 : p;
    return found != is_not;
}

static bool begins_name(const char *path, const char *at)
{
    return at == path || at[-1] == '/';
}

/* What is being matched. */
struct subject {
    const char *path;
    bool is_folder; /* not the whole path: could something below it match? */
};

static bool match(const struct subject *s, const char *pattern, const char *at);

/* Matches what follows one or two stars. */
static bool match_stars(const struct subject *s, const char *pattern, const char *at, bool is_deep)
{
    if (is_deep && *pattern == '/' && begins_name(s->path, at) && match(s, pattern + 1, at))
        return true; /* also matches nothing between two slashes */
    for (;; at++) {
        if (match(s, pattern, at))
            return true;
        bool is_hidden = *at == '.' && begins_name(s->path, at);
        if (*at == '\0' || is_hidden || (*at == '/' && !is_deep))
            return false;
    }
}

static bool match(const struct subject *s, const char *pattern, const char *at)
{
    for (;; at++) {
        bool is_hidden = *at == '.' && begins_name(s->path, at);
        if (*at == '\0' && s->is_folder)
            return true;
        if (*pattern == '*') {
            bool is_deep = pattern[1] == '*';
            return match_stars(s, pattern + 1 + is_deep, at, is_deep);
        }
        if (*at == '\0' || *pattern == '\0')
            return *at == *pattern;
        if (*pattern == '?' || *pattern == '[') {
            if (*at == '/' || is_hidden)
                return false;
            if (*pattern == '?')
                pattern++;
            else if (!match_set(&pattern, *at))
                return false;
        } else if (*pattern++ != *at) {
            return false;
        }
    }
}

bool watch_pattern_matches(const char *pattern, const char *path)
{
    struct subject s = {path, false};
    return match(&s, pattern, path);
}

/* Whether something below the folder could match; its path ends with a slash. */
static bool may_hold(const char *pattern, const char *folder)
{
    struct subject s = {folder, true};
    return match(&s, pattern, folder);
}

/* ----------------------------------------------------------------- walking ---- */

struct walk {
    const char *pattern;
    unsigned left;
    void (*on_file)(const char *, void *), (*on_folder)(const char *, void *);
    void *arg;
};

static void walk_folder(struct walk *w, const char *folder, int depth);

/* `path` has room for a slash after its n bytes. */
static void walk_entry(struct walk *w, char *path, size_t n, const struct dirent *entry, int depth)
{
    struct stat s;
    bool is_known = entry->d_type != DT_UNKNOWN;
    if (!is_known && lstat(path, &s) == -1)
        return;
    if (!(is_known ? entry->d_type == DT_DIR : S_ISDIR(s.st_mode))) {
        if (watch_pattern_matches(w->pattern, path))
            w->on_file(path, w->arg);
        return;
    }
    memcpy(path + n, "/", 2);
    bool may = may_hold(w->pattern, path);
    path[n] = '\0';
    if (may)
        walk_folder(w, path, depth + 1);
}

static void walk_folder(struct walk *w, const char *folder, int depth)
{
    char path[PATH_MAX];
    DIR *dir = depth < MAX_DEPTH ? opendir(folder) : NULL;
    if (dir == NULL)
        return;
    w->on_folder(folder, w->arg);
    for (struct dirent *entry; w->left > 0 && (entry = readdir(dir)) != NULL; w->left--) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        const char *slash = strcmp(folder, "/") == 0 ? "" : "/";
        int n = snprintf(path, sizeof path - 1, "%s%s%s", folder, slash, entry->d_name);
        if (n > 0 && (size_t)n < sizeof path - 1)
            walk_entry(w, path, (size_t)n, entry, depth);
    }
    closedir(dir);
}

/* The folder before the first part with a wildcard. */
static void fixed_part(const char *pattern, char *buf, size_t n)
{
    snprintf(buf, n, "%s", pattern);
    buf[strcspn(buf, "*?[")] = '\0';
    char *slash = strrchr(buf, '/');
    if (slash != NULL)
        slash[slash == buf] = '\0';
}

bool watch_pattern_walk(const char *pattern, unsigned most, void (*on_file)(const char *, void *),
                        void (*on_folder)(const char *, void *), void *arg)
{
    char root[PATH_MAX];
    struct walk w = {pattern, most, on_file, on_folder, arg};
    fixed_part(pattern, root, sizeof root);
    walk_folder(&w, root, 0);
    return w.left > 0;
}

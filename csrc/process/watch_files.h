/* watch_files.h - files of which somebody wants to know that they have changed: named ones, whether
 * they are there or not, and those that match a pattern.
 *
 * What counts is what stat(2) tells of a file, compared with the last look. The kernel (inotify)
 * only says when to look: folders are watched, so that files that are renamed into place, removed
 * or made later are noticed. Where there is no inotify, or a file system that does not feed it,
 * whoever looks now and then sees the same, a little later. */
#ifndef WATCH_FILES_H
#define WATCH_FILES_H

#include <stdbool.h>
#include <stddef.h>

struct watch_files;

enum {
    WATCH_MAX_FILES = 10000,
    WATCH_MAX_FOLDERS = 2000,
    /* A file that changes so often in turn while it is being loaded is made by what loads it. */
    WATCH_MAX_SELF = 5,
};

/* `uses_events` false: no inotify. NULL: no memory. */
struct watch_files *watch_files_new(bool uses_events);
void watch_files_free(struct watch_files *w);

/* A list begins: the named files that are not added again until watch_files_end are dropped then.
 * Those that are added again keep what was known of them. */
void watch_files_begin(struct watch_files *w);
void watch_files_end(struct watch_files *w);

/* Adds a file (n bytes, an absolute path). It counts as it is now. 0, SPRIG_E_NOMEM, or
 * SPRIG_E_INVALID: the path is relative, or there are too many. */
int watch_files_add(struct watch_files *w, const char *path, size_t n);

/* Adds a pattern (see watch_pattern.h), or a folder with all that is below it, for as long as this
 * lives. As above. */
int watch_files_add_pattern(struct watch_files *w, const char *pattern);

/* To be polled for reading; -1: there is none. */
int watch_files_fd(const struct watch_files *w);

/* Takes what the kernel has to say; true: something may have changed. Never waits. */
bool watch_files_hear(struct watch_files *w);

/* Looks at all files. The path of one that is not what it was at the last look, or NULL; borrowed
 * until the next call. `is_loading`: it may be the one who reads the files that has changed them;
 * *gives_up is set to a path (borrowed) that is not watched any more for that reason, else NULL. */
const char *watch_files_look(struct watch_files *w, bool is_loading, const char **gives_up);

/* How many files have changed since the last watch_files_count_anew. */
size_t watch_files_changes(const struct watch_files *w);
void watch_files_count_anew(struct watch_files *w);

/* How many files are there to be watched. */
size_t watch_files_count(const struct watch_files *w);

#endif

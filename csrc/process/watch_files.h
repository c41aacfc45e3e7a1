/* watch_files.h - notices when files change: named files, whether they exist or not, and files that
 * match a pattern.
 *
 * A file has changed if stat(2) says something else than at the last look. The kernel (inotify)
 * only says when to look. Folders are watched, so that files renamed into place, removed or created
 * later are noticed. Without inotify, or on a file system that does not feed it, looking now and
 * then shows the same, a little later. */
#ifndef WATCH_FILES_H
#define WATCH_FILES_H

#include <stdbool.h>
#include <stddef.h>

struct watch_files;

enum {
    WATCH_MAX_FILES = 10000,
    WATCH_MAX_FOLDERS = 2000,
    /* A file that changes so often in succession while the app loads is written by the app itself.
     */
    WATCH_MAX_SELF = 5,
};

/* `uses_events` false: no inotify. NULL: no memory. */
struct watch_files *watch_files_new(bool uses_events);
void watch_files_free(struct watch_files *w);

/* Begins a list: named files that are not added again before watch_files_end are dropped. Those
 * added again keep what was known of them. */
void watch_files_begin(struct watch_files *w);
void watch_files_end(struct watch_files *w);

/* Adds a file (n bytes, an absolute path) in its present state. Returns 0, SPRIG_E_NOMEM, or
 * SPRIG_E_INVALID if the path is relative or there are too many. */
int watch_files_add(struct watch_files *w, const char *path, size_t n);

/* Adds a pattern (see watch_pattern.h), or a folder with everything below it, for the lifetime of
 * this object. Returns as above. */
int watch_files_add_pattern(struct watch_files *w, const char *pattern);

/* To be polled for reading; -1: there is none. */
int watch_files_fd(const struct watch_files *w);

/* Reads the kernel's events; true if something may have changed. Never waits. */
bool watch_files_hear(struct watch_files *w);

/* Looks at all files. Returns the path of one that has changed since the last look, or NULL;
 * borrowed until the next call. `is_loading`: the process that reads the files may have changed
 * them itself; *gives_up is then set to a path (borrowed) that is no longer watched for that
 * reason, else to NULL. */
const char *watch_files_look(struct watch_files *w, bool is_loading, const char **gives_up);

/* The number of files that have changed since the last watch_files_count_anew. */
size_t watch_files_changes(const struct watch_files *w);
void watch_files_count_anew(struct watch_files *w);

/* How many files are there to be watched. */
size_t watch_files_count(const struct watch_files *w);

#endif

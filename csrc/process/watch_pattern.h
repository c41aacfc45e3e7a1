/* watch_pattern.h - which files a pattern means. Pure functions, but for the walk.
 *
 *   *    any characters but '/'         ?              one character but '/'
 *   **   any, '/' included              [a-z], [!a-z]  one of these, none of these
 * A file whose name begins with a dot, or one in such a folder, is meant only where the pattern
 * says the dot. */
#ifndef WATCH_PATTERN_H
#define WATCH_PATTERN_H

#include <stdbool.h>

bool watch_pattern_matches(const char *pattern, const char *path);

/* Calls `on_file` for each file that matches the absolute pattern, and `on_folder` for each folder
 * it looks into, in any order. Below the fixed part, links to folders are not followed. Looks at
 * `most` entries at most; false if there were more. */
bool watch_pattern_walk(const char *pattern, unsigned most, void (*on_file)(const char *, void *),
                        void (*on_folder)(const char *, void *), void *arg);

#endif

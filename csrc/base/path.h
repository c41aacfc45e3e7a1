/* path.h - paths that stay right when somebody changes the working folder. */
#ifndef SPRIG_PATH_H
#define SPRIG_PATH_H

/* The path as seen from the root: a relative one is put behind the working folder, without a
 * leading "./" and otherwise as it stands (no link is followed, ".." stays). "" stays "". Owned by
 * the caller. NULL + errno. */
char *path_absolute(const char *path);

/* The same of each path in a list with commas in between. */
char *path_list_absolute(const char *list);

#endif

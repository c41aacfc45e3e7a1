/* path.c - absolute paths; see path.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "base/path.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *path_absolute(const char *path)
{
    char folder[PATH_MAX], *absolute;
    if (*path == '/' || *path == '\0')
        return strdup(path);
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    if (getcwd(folder, sizeof folder) == NULL)
        return NULL;
    const char *slash = strcmp(folder, "/") == 0 ? "" : "/";
    return asprintf(&absolute, "%s%s%s", folder, slash, path) == -1 ? NULL : absolute;
}

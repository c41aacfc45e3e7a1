/* path.c - absolute paths; see path.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "base/path.h"

#include <limits.h>
#include <stdbool.h>
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

/* Appends a path to the list; takes the list. */
static char *list_append_path(char *list, const char *path, size_t len)
{
    char *one = strndup(path, len), *absolute = one != NULL ? path_absolute(one) : NULL, *longer;
    bool is_first = *list == '\0';
    if (absolute == NULL || asprintf(&longer, "%s%s%s", list, is_first ? "" : ",", absolute) == -1)
        longer = NULL;
    free(one);
    free(absolute);
    free(list);
    return longer;
}

char *path_list_absolute(const char *list)
{
    char *out = strdup("");
    while (out != NULL && *list != '\0') {
        size_t len = strcspn(list, ",");
        if (len > 0)
            out = list_append_path(out, list, len);
        list += len + (list[len] == ',');
    }
    return out;
}

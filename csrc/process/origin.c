/* origin.c - see origin.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* environ, execvpe */
#endif
#include "process/origin.h"

#include "base/log.h"
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    bool is_kept;
    char **environ; /* owned, ends with NULL; NULL: no memory */
    char folder[PATH_MAX];
    struct {
        const char *name;
        char value[2048];
    } passed[5]; /* other variables to pass on */
} origin;

/* --------------------------------------------------------------------- keeping ---- */

static bool is_current_folder(const char *path)
{
    struct stat named, current;
    return path != NULL && *path == '/' && stat(path, &named) == 0 && stat(".", &current) == 0 &&
           named.st_dev == current.st_dev && named.st_ino == current.st_ino;
}

static void find_folder(void)
{
    const char *pwd = getenv("PWD");
    if (is_current_folder(pwd) && strlen(pwd) < sizeof origin.folder)
        strcpy(origin.folder, pwd);
    else if (getcwd(origin.folder, sizeof origin.folder) == NULL)
        origin.folder[0] = '\0';
}

void sprig_origin_keep(void)
{
    if (origin.is_kept)
        return;
    origin.is_kept = true;
    origin.environ = text_list_copy(environ);
    find_folder();
}

const char *sprig_origin_folder(void)
{
    sprig_origin_keep();
    return origin.folder;
}

/* ------------------------------------------------------------------- executing ---- */

static bool has_name(const char *word, const char *name)
{
    size_t len = strlen(name);
    return strncmp(word, name, len) == 0 && word[len] == '=';
}

/* Runs in the process that is about to become another program, so nothing has to be freed. */
static bool restore_environ(const char *name)
{
    static const char *const left_out[] = {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};
    size_t n = 0;
    if (origin.environ == NULL)
        return false;
    for (char **word = origin.environ; *word != NULL; word++) {
        bool stays = !has_name(*word, name);
        for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
            stays = stays && !has_name(*word, left_out[i]);
        if (stays)
            origin.environ[n++] = *word;
    }
    origin.environ[n] = NULL;
    environ = origin.environ;
    return true;
}

void origin_pass(const char *name, const char *value)
{
    size_t i = 0;
    while (origin.passed[i].name != NULL)
        i++;
    origin.passed[i].name = name;
    snprintf(origin.passed[i].value, sizeof origin.passed[i].value, "%s", value);
}

static bool set_passed(void)
{
    for (size_t i = 0; i < sizeof origin.passed / sizeof origin.passed[0]; i++)
        if (origin.passed[i].name != NULL &&
            setenv(origin.passed[i].name, origin.passed[i].value, 1) != 0)
            return false;
    return true;
}

void origin_execute(char *const *argv, const char *name, const char *value)
{
    sprig_origin_keep();
    if (origin.folder[0] != '\0' && chdir(origin.folder) == -1)
        sprig_log(SPRIG_LOG_WARN, "cannot enter %s: %s", origin.folder, strerror(errno));
    errno = ENOMEM;
    if (restore_environ(name) && setenv(name, value, 1) == 0 && set_passed())
        execvp(argv[0], argv);
}

/* scratch.h - a folder for the files of one test, and children that report by their exit status. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char scratch_dir[200];

/* The folder is made at the first call and removed by scratch_remove. Valid for seven calls more.
 */
static inline const char *scratch_path(const char *name)
{
    static char paths[8][300];
    static unsigned next;
    if (scratch_dir[0] == '\0') {
        const char *tmp = getenv("TMPDIR");
        snprintf(scratch_dir, sizeof scratch_dir, "%s/sprig-core-XXXXXX", tmp ? tmp : "/tmp");
        if (mkdtemp(scratch_dir) == NULL)
            abort();
    }
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_dir, name);
    return path;
}

static inline void scratch_remove(void)
{
    char path[600];
    DIR *dir = scratch_dir[0] ? opendir(scratch_dir) : NULL;
    if (dir == NULL)
        return;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", scratch_dir, e->d_name);
        unlink(path);
    }
    closedir(dir);
    rmdir(scratch_dir);
}

static inline void scratch_write(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    if (out == NULL || fputs(text, out) == EOF || fclose(out) == EOF)
        abort();
}

/* The text of a file of at most 255 bytes; "(none)" if there is none. Valid until the next call. */
static inline const char *scratch_read(const char *path)
{
    static char text[256];
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return strcpy(text, "(none)");
    text[fread(text, 1, sizeof text - 1, in)] = '\0';
    fclose(in);
    return text;
}

static inline bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* Runs the function in a child without anything of the parent's being flushed twice. Returns its
 * exit status; -1 if it did not exit. */
static inline int in_child(int (*run)(void *arg), void *arg)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(run(arg));
    while (waitpid(pid, &status, 0) == -1)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif

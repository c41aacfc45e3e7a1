/* title.c - see title.h */
#include "process/title.h"

#include "base/text.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

extern char **environ;

static struct {
    char *at; /* borrowed: the process's arguments; NULL: there is no room */
    size_t n;
    bool is_own;        /* taken by sprig_title_open */
    char **argv, **env; /* owned copies of the original words, kept until the process ends */
    char name[256];
} title;

/* ---------------------------------------------------------------------- the place ---- */

/* The end of the words that are adjacent in memory, starting at `end`. */
static char *end_of(char **words, char *end)
{
    for (size_t i = 0; words[i] != NULL && words[i] == end; i++)
        end += strlen(end) + 1;
    return end;
}

char **sprig_title_open(int argc, char **argv)
{
    if (argc < 1 || environ == NULL)
        return argv;
    char *end = end_of(environ, end_of(argv, argv[0]));
    char **words = text_list_copy(argv), **env = text_list_copy(environ);
    if (words == NULL || env == NULL) {
        text_list_free(words);
        text_list_free(env);
        return argv;
    }
    title.argv = words;
    title.env = environ = env;
    title.is_own = true;
    sprig_title_use(argv[0], (size_t)(end - argv[0]));
    return words;
}

void sprig_title_use(char *at, size_t n)
{
    title.at = at;
    title.n = n;
}

/* --------------------------------------------------------------------- the titles ---- */

void sprig_title_name(const char *name)
{
    snprintf(title.name, sizeof title.name, "%s", name);
}

void sprig_title_set(const char *fmt, ...)
{
    char what[128];
    va_list args;
    if (title.at == NULL || title.n < 2)
        return;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    memset(title.at, 0, title.n);
    snprintf(title.at, title.n, "sprig: %s%s%s%s", what, *title.name != '\0' ? " (" : "",
             title.name, *title.name != '\0' ? ")" : "");
}

void sprig_title_keep_name(void)
{
#ifdef PR_SET_NAME
    if (title.is_own)
        prctl(PR_SET_NAME, "sprig", 0, 0, 0);
#endif
}

/* log_start.c - what the terminal shows while the server starts; see log_start.h */
#include "base/log_start.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int kept = -1;

void log_start_keep(void)
{
    if (kept == -1)
        kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

bool log_start_is_kept(void)
{
    return kept != -1;
}

static bool is_same_file(int a, int b)
{
    struct stat of_a, of_b;
    return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

void log_start_print(const char *message)
{
    size_t n = strlen(message);
    bool has_end = n > 0 && message[n - 1] == '\n';
    if (kept != -1 && !is_same_file(kept, STDERR_FILENO))
        dprintf(kept, "sprig: %s%s", message, has_end ? "" : "\n");
}

void log_start_over(void)
{
    if (kept != -1)
        close(kept);
    kept = -1;
}

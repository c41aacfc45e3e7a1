/* orphans.c - see orphans.h */
#include "process/orphans.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_OWN = 4096, MAX_SEEN = 256 };

/* The children that process 1 has forked itself; each child enters itself. 0 is a free place. */
struct own {
    _Atomic pid_t pids[MAX_OWN];
    atomic_bool is_full; /* from then on any process may be one of them */
};

static struct own *own;      /* shared with the children and theirs */
static pid_t seen[MAX_SEEN]; /* the zombies of the last look */
static size_t n_seen;

/* ------------------------------------------------------- whose a process is ---- */

static bool is_own(pid_t pid)
{
    for (int i = 0; i < MAX_OWN; i++)
        if (atomic_load(&own->pids[i]) == pid)
            return true;
    return atomic_load(&own->is_full);
}

/* Async-signal-safe, as required after a fork. */
static void own_add(pid_t pid)
{
    for (int i = 0; i < MAX_OWN; i++) {
        pid_t nobody = 0;
        if (atomic_compare_exchange_strong(&own->pids[(i + pid) % MAX_OWN], &nobody, pid))
            return;
    }
    atomic_store(&own->is_full, true);
}

/* Runs in each child of this process and in theirs. A process whose parent has just gone may be
 * entered, too, and then stays. */
static void in_child(void)
{
    if (own != NULL && getppid() == 1)
        own_add(getpid());
}

/* Forgets processes that somebody has waited for: their numbers will be reused. */
static void own_forget_gone(void)
{
    for (int i = 0; i < MAX_OWN; i++) {
        pid_t pid = atomic_load(&own->pids[i]);
        if (pid != 0 && kill(pid, 0) == -1 && errno == ESRCH)
            atomic_store(&own->pids[i], 0);
    }
}

/* ------------------------------------------------------------------ looking ---- */

/* The state of a child of process 1 ('Z': a zombie); 0 if it is not one. */
static char child_state(pid_t pid)
{
    char path[40], text[512], state = 0;
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *in = fopen(path, "re");
    if (in == NULL)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, in);
    fclose(in);
    text[n] = '\0';
    char *end = strrchr(text, ')'); /* after the name, which may contain anything */
    bool is_read = end != NULL && sscanf(end + 1, " %c %d", &state, &parent) == 2;
    return is_read && parent == 1 ? state : 0;
}

/* Calls `see` for each child. False: there is no /proc. */
static bool each_child(void (*see)(pid_t pid, char state))
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    if (proc == NULL)
        return false;
    while ((entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        char state = pid > 1 ? child_state(pid) : 0;
        if (state != 0)
            see(pid, state);
    }
    closedir(proc);
    return true;
}

static void see_own(pid_t pid, char state)
{
    (void)state;
    own_add(pid);
}

bool sprig_orphans_begin(void)
{
    if (getpid() != 1)
        return false;
    if (own != NULL)
        return true;
    void *at = mmap(NULL, sizeof *own, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return false;
    own = at;
    if (pthread_atfork(NULL, NULL, in_child) == 0 && each_child(see_own))
        return true;
    munmap(at, sizeof *own);
    own = NULL;
    return false;
}

/* -------------------------------------------------------------- taking away ---- */

static pid_t now[MAX_SEEN];
static size_t n_now;

static void see_zombie(pid_t pid, char state)
{
    if (state == 'Z' && n_now < MAX_SEEN && !is_own(pid))
        now[n_now++] = pid;
}

static bool was_seen(pid_t pid)
{
    for (size_t i = 0; i < n_seen; i++)
        if (seen[i] == pid)
            return true;
    return false;
}

void sprig_orphans_collect(void)
{
    size_t n = 0;
    if (own == NULL || getpid() != 1)
        return;
    own_forget_gone();
    n_now = 0;
    each_child(see_zombie);
    for (size_t i = 0; i < n_now; i++)
        if (!was_seen(now[i]) || waitpid(now[i], NULL, WNOHANG) != now[i])
            now[n++] = now[i];
    for (n_seen = 0; n_seen < n; n_seen++)
        seen[n_seen] = now[n_seen];
}

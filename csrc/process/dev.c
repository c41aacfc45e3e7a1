/* dev.c - see dev.h */
#include "process/dev.h"

#include "process/master_internal.h"
#include "process/watch_files.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SETTLE_MS = 50,      /* after the last of several changes */
    SETTLE_MAX_MS = 500, /* after the first one */
    LOOK_MS = 10,        /* between two looks */
    SWEEP_MS = 1000,     /* unprompted looks */
    EXPLAIN_MS = 1000,   /* before the next try of a worker that should only explain */
    KEY_LINE_BYTES = 256
};

struct dev {
    struct watch_files *files; /* owned */
    uint64_t look_ms;          /* when the next look is due */
    uint64_t looked_ms;
    uint64_t hold_ms;     /* since when no worker serves; 0: one does */
    char *why;            /* owned: the file that changed first, or NULL */
    char *failure;        /* owned: why the last worker could not start */
    uint32_t failed;      /* that worker's generation */
    pid_t lister;         /* the worker whose files are being listed, or 0 */
    bool are_keys_closed; /* no more keys will come */
};

struct dev *dev_new(const struct sprig_config *config)
{
    struct dev *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->files = watch_files_new(true);
    if (d->files == NULL) {
        free(d);
        return NULL;
    }
    const char *at = config->watch != NULL ? config->watch : "";
    while (*at != '\0') {
        size_t n = strcspn(at, ",");
        char *pattern = strndup(at, n);
        if (pattern != NULL && n > 0)
            watch_files_add_pattern(d->files, pattern);
        free(pattern);
        at += n + (at[n] == ',');
    }
    d->look_ms = clock_ms() + SWEEP_MS;
    return d;
}

void dev_free(struct dev *d)
{
    if (d == NULL)
        return;
    watch_files_free(d->files);
    free(d->why);
    free(d->failure);
    free(d);
}

size_t dev_count(const struct dev *d)
{
    return watch_files_count(d->files);
}

/* -------------------------------------------------------------------- keys ---- */

/* Reading the terminal in the background would stop the process. */
bool dev_has_keys(void)
{
    return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* Takes a line that the user typed; the terminal delivers it whole. */
static void take_key(struct sprig_master *m)
{
    char line[KEY_LINE_BYTES];
    ssize_t n = dev_has_keys() ? read(STDIN_FILENO, line, sizeof line) : -1;
    if (n == 0)
        m->dev->are_keys_closed = true;
    if (n <= 0)
        return;
    switch (line[0]) {
    case 'r':
    case 'R':
        master_reload(m);
        return;
    case 'q':
    case 'Q':
        raise(SIGTERM); /* delivered in the next wait */
        return;
    case '\n':
        return;
    }
    sprig_log(SPRIG_LOG_INFO, "r and Enter reload, q and Enter end");
}

/* ----------------------------------------------------------------- waiting ---- */

size_t dev_poll(const struct dev *d, struct pollfd *fds)
{
    size_t n = 0;
    int fd = watch_files_fd(d->files);
    if (fd != -1)
        fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
    if (!d->are_keys_closed && dev_has_keys())
        fds[n++] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    return n;
}

uint64_t dev_next(const struct dev *d)
{
    return d->look_ms;
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* ------------------------------------------------------------------- files ---- */

void dev_watch(struct dev *d, const struct process *p, const char *path)
{
    if (p->state == PROCESS_LEAVING)
        return;
    if (d->lister != p->pid && p->state == PROCESS_STARTING) {
        d->lister = p->pid;
        watch_files_begin(d->files);
    }
    watch_files_add(d->files, path, strlen(path));
    sprig_log(SPRIG_LOG_DEBUG, "watching %s", path);
}

static void forget(char **text)
{
    free(*text);
    *text = NULL;
}

void dev_hold(struct sprig_master *m)
{
    struct dev *d = m->dev;
    struct slot *s = &m->slots[0];
    if (d->hold_ms == 0)
        d->hold_ms = clock_ms();
    forget(&d->failure);
    if (s->starting != NULL)
        master_dismiss(m, s->starting);
    if (s->serving != NULL) {
        m->stats->n_restarts[RESTART_RELOAD]++;
        master_dismiss(m, s->serving);
        policy_slot_is_empty(m, 1);
    }
    s->starting = s->serving = NULL;
    s->crash_delay_ms = 0;
}

/* Waits again if something is still changing. */
static void settle(struct sprig_master *m, uint64_t now)
{
    uint64_t latest = m->dev->hold_ms + SETTLE_MAX_MS, start = now + SETTLE_MS;
    m->slots[0].start_at_ms = start < latest ? start : latest;
}

static void on_change(struct sprig_master *m, const char *path, uint64_t now)
{
    struct dev *d = m->dev;
    if (d->why == NULL || m->slots[0].starting != NULL) {
        forget(&d->why);
        d->why = strdup(path);
        d->hold_ms = now;
    }
    m->generation = ++m->last_generation;
    m->is_failing = false;
    m->last_error[0] = '\0';
    master_show_title(m);
    dev_hold(m);
    settle(m, now);
}

static void look(struct sprig_master *m, uint64_t now)
{
    struct dev *d = m->dev;
    const char *gives_up;
    const char *path = watch_files_look(d->files, m->slots[0].starting != NULL, &gives_up);
    d->looked_ms = now;
    d->look_ms = now + SWEEP_MS;
    if (gives_up != NULL)
        sprig_log(SPRIG_LOG_WARN,
                  "%s changes whenever the application is loaded, so it is no longer watched",
                  gives_up);
    if (path != NULL)
        on_change(m, path, now);
}

void dev_run(struct sprig_master *m)
{
    struct dev *d = m->dev;
    if (m->ending != ENDING_NOT)
        return;
    uint64_t now = clock_ms();
    if (watch_files_hear(d->files)) {
        uint64_t soon = d->looked_ms + LOOK_MS;
        d->look_ms = soon > now ? soon : now;
        if (d->hold_ms != 0 && m->slots[0].starting == NULL)
            settle(m, now);
    }
    if (now >= d->look_ms)
        look(m, now);
    if (!d->are_keys_closed && dev_has_keys() && is_readable(STDIN_FILENO))
        take_key(m);
}

/* ------------------------------------------------------------- the workers ---- */

/* Leaves out the folder in which the server was started. */
static const char *short_path(const struct sprig_master *m, const char *path)
{
    const char *folder = sprig_master_folder(m);
    size_t n = folder != NULL ? strlen(folder) : 0;
    bool is_below = n > 0 && strncmp(path, folder, n) == 0 && path[n] == '/';
    return is_below ? path + n + 1 : path;
}

void dev_ready(struct sprig_master *m, const struct process *p)
{
    struct dev *d = m->dev;
    char more[32] = "";
    if (d->lister == p->pid)
        watch_files_end(d->files);
    if (d->hold_ms != 0 && d->why != NULL) {
        size_t n = watch_files_changes(d->files);
        if (n > 1)
            snprintf(more, sizeof more, " and %zu more", n - 1);
        sprig_log(SPRIG_LOG_INFO, "%s in %.2f s: %s%s%s", p->is_excuse ? "not loaded" : "reloaded",
                  (double)(clock_ms() - d->hold_ms) / 1000, short_path(m, d->why), more,
                  p->is_excuse ? "; pages show why until a file changes" : "");
    }
    d->hold_ms = 0;
    forget(&d->why);
    watch_files_count_anew(d->files);
}

bool dev_failed(struct sprig_master *m, const struct process *p, const char *text)
{
    struct dev *d = m->dev;
    if (d->failed == p->generation) {
        m->slots[0].start_at_ms = clock_ms() + EXPLAIN_MS;
        return m->has_served;
    }
    forget(&d->failure);
    d->failure = strdup(text);
    d->failed = p->generation;
    m->slots[0].start_at_ms = 0;
    sprig_log(SPRIG_LOG_ERROR, "the application cannot be loaded: %s", text);
    return true;
}

char *dev_take_failure(struct dev *d)
{
    char *failure = d->failure;
    d->failure = NULL;
    return failure;
}

/* ctl_reload.c - see ctl_reload.h */
#include "ctl_reload.h"

#include "ctl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOK_MS = 50 };

/* What the metrics say about reloads. */
struct look {
    double n_reloads, n_failed;
    double generation;
    bool is_settled; /* all workers that there should be are there, and of that generation */
};

static bool are_all_new(const char *metrics, double generation)
{
    static const char name[] = "\nsprig_worker_generation{";
    unsigned n = 0;
    for (const char *at = strstr(metrics, name); at != NULL; at = strstr(at + 1, name)) {
        const char *value = strstr(at, "} ");
        if (value == NULL || strtod(value + 2, NULL) < generation)
            return false;
        n++;
    }
    return n >= ctl_metric(metrics, "sprig_workers_wanted") &&
           ctl_metric(metrics, "sprig_workers{state=\"starting\"}") == 0;
}

/* Returns 0, or the exit status after a message. */
static int take_look(const struct ctl_server *server, struct look *look)
{
    struct ctl_answer answer;
    int status = ctl_ask_or_say(server, "GET", "/metrics", &answer);
    if (status != 0)
        return status;
    look->n_reloads = ctl_metric(answer.body, "sprig_reloads_total");
    look->n_failed = ctl_metric(answer.body, "sprig_reloads_failed_total");
    look->generation = ctl_metric(answer.body, "sprig_generation");
    look->is_settled = are_all_new(answer.body, look->generation);
    ctl_answer_clear(&answer);
    return 0;
}

/* `is_alone`: a single process, which has no generations to wait for. */
static int ask_to_reload(const struct ctl_server *server, bool *is_alone)
{
    struct ctl_answer answer;
    int status = ctl_ask_or_say(server, "POST", "/reload", &answer);
    if (status != 0)
        return status;
    *is_alone = strncmp(answer.body, "reloading", 9) != 0;
    ctl_answer_clear(&answer);
    return status;
}

/* Prints what the reload has not done. False: it has done everything. */
static bool print_note(const struct ctl_server *server)
{
    struct ctl_answer answer;
    if (ctl_ask(server, "GET", "/reloaded", &answer) != 0)
        return false;
    bool has_lines = answer.status == 200 && answer.body[0] != '\0';
    char *rest = answer.body, *line;
    while (has_lines && (line = strsep(&rest, "\n")) != NULL)
        if (*line != '\0')
            fprintf(stderr, "sprig ctl: %s\n", line);
    ctl_answer_clear(&answer);
    return has_lines;
}

static int tell_end(const struct ctl_server *server, const struct look *now, bool is_alone)
{
    if (is_alone)
        puts("reloaded: the options were read again; new code needs a master (--master or "
             "--workers)");
    else
        printf("reloaded: all workers are of generation %.0f\n", now->generation);
    if (fflush(stdout) != 0)
        return EXIT_FAILURE;
    return print_note(server) ? CTL_PARTLY : EXIT_SUCCESS;
}

int ctl_reload_wait(const struct ctl_server *server)
{
    static const struct timespec pause = {0, LOOK_MS * 1000000L};
    struct look before, now;
    bool is_alone = false;
    int status = take_look(server, &before);
    if (status == 0)
        status = ask_to_reload(server, &is_alone);
    while (status == 0) {
        status = take_look(server, &now);
        if (status != 0 || now.n_failed > before.n_failed)
            break;
        if (now.n_reloads > before.n_reloads && (is_alone || now.is_settled))
            return tell_end(server, &now, is_alone);
        nanosleep(&pause, NULL);
    }
    if (status != 0)
        return status;
    if (!print_note(server))
        fputs("sprig ctl: the reload failed and the old workers keep serving; the error log says "
              "why\n",
              stderr);
    return EXIT_FAILURE;
}

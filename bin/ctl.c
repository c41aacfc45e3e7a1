/* ctl.c - "sprig ctl": its command line, and the request that each verb makes to the admin
 * listener. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "ctl.h"

#include "base/number.h"
#include "ctl_http.h"
#include "ctl_reload.h"
#include "ctl_top.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Higher than any worker's number. */
enum { MAX_NUMBER = 99999 };

/* ---------------------------------------------------------------------- the verbs ---- */

static const struct verb {
    const char *name, *argument; /* argument NULL: takes none */
    const char *method, *path;   /* NULL: see `run` */
    const char *help;
    int (*run)(const struct ctl_server *server, int argc, char **argv);
    const char *warning; /* this text in the answer means CTL_WARNING */
} verbs[];

/* Prints the server's answer. */
static int print_answer(const struct ctl_server *server, const char *method, const char *path,
                        const char *warning)
{
    struct ctl_answer answer;
    int status = ctl_ask_or_say(server, method, path, &answer);
    if (status != 0)
        return status;
    size_t n = strlen(answer.body);
    fputs(answer.body, stdout);
    if (n > 0 && answer.body[n - 1] != '\n')
        putchar('\n');
    if (warning != NULL && strstr(answer.body, warning) != NULL)
        status = CTL_WARNING;
    ctl_answer_clear(&answer);
    return fflush(stdout) == 0 ? status : EXIT_FAILURE;
}

static int usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int usage(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("sprig ctl: ", stderr);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputs("; see sprig ctl help\n", stderr);
    return CTL_USAGE;
}

static int run_status(const struct ctl_server *server, int argc, char **argv)
{
    if (argc == 0)
        return print_answer(server, "GET", "/status", ", not ready,");
    if (argc == 1 && strcmp(argv[0], "--json") == 0)
        return print_answer(server, "GET", "/stats.json", "\"ready\":false");
    return usage("status takes --json or nothing");
}

static int run_top(const struct ctl_server *server, int argc, char **argv)
{
    uint64_t n = 0;
    if (argc > 1 || (argc == 1 && (!number_read(span_str(argv[0]), UINT32_MAX, &n) || n == 0)))
        return usage("top takes a number of pictures or nothing");
    return ctl_top(server, (unsigned)n);
}

static int run_worker(const struct ctl_server *server, int argc, char **argv)
{
    char path[64];
    uint64_t n = 0;
    if (argc == 1 && strcmp(argv[0], "add") == 0)
        return print_answer(server, "POST", "/workers/add", NULL);
    if (argc == 1 && strcmp(argv[0], "remove") == 0)
        return print_answer(server, "POST", "/workers/remove", NULL);
    if (argc != 2 || strcmp(argv[0], "kill") != 0 ||
        !number_read(span_str(argv[1]), MAX_NUMBER, &n) || n == 0)
        return usage("worker takes add, remove or kill N");
    snprintf(path, sizeof path, "/workers/%u/kill", (unsigned)n);
    return print_answer(server, "POST", path, NULL);
}

static int run_reload(const struct ctl_server *server, int argc, char **argv)
{
    if (argc == 0)
        return print_answer(server, "POST", "/reload", NULL);
    if (argc == 1 && strcmp(argv[0], "--wait") == 0)
        return ctl_reload_wait(server);
    return usage("reload takes --wait or nothing");
}

static const struct verb verbs[] = {
    {"status", "[--json]", NULL, NULL, "show the state of the server", run_status, NULL},
    {"top", "[N]", NULL, NULL, "show rates each second, N times or until Ctrl-C", run_top, NULL},
    {"workers", NULL, "GET", "/workers", "list the worker processes", NULL, NULL},
    {"worker", "add|remove|kill N", NULL, NULL, "add or remove a worker, or kill number N",
     run_worker, NULL},
    {"connections", NULL, "GET", "/connections", "list open connections and their requests", NULL,
     NULL},
    {"stuck", NULL, "GET", "/stuck", "show which Perl line blocks which worker", NULL, ": blocked"},
    {"config", NULL, "GET", "/config", "show the options in use", NULL, NULL},
    {"reload", "[--wait]", NULL, NULL, "load new code and options (HUP)", run_reload, NULL},
    {"upgrade", NULL, "POST", "/upgrade", "start the program anew, without a break (USR2)", NULL,
     NULL},
    {"reopen", NULL, "POST", "/reopen", "reopen the log files (USR1)", NULL, NULL},
    {"drain", NULL, "POST", "/drain", "let /readyz answer 503; keep serving", NULL, NULL},
    {"undrain", NULL, "POST", "/undrain", "let /readyz answer 200 again", NULL, NULL},
    {"stop", NULL, "POST", "/stop", "finish current requests, then end (TERM)", NULL, NULL},
    {"quit", NULL, "POST", "/quit", "end at once (INT)", NULL, NULL},
};

enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

const char *ctl_verb(size_t i)
{
    return i < N_VERBS ? verbs[i].name : NULL;
}

/* ----------------------------------------------------------------- the command line ---- */

static int print_help(void)
{
    puts("Usage: sprig ctl [--admin ADDRESS | --config FILE | --pid FILE] VERB\n"
         "Inspect or control a running server that was started with --admin.\n\n"
         "Which server (default: $SPRIG_ADMIN):\n"
         "  --admin ADDRESS      the address of its admin listener: unix:PATH or HOST:PORT\n"
         "  --config FILE        its configuration file, which has that address\n"
         "  --pid FILE           its pid file\n"
         "  --token-file FILE    its --admin-token-file\n\n"
         "Verbs:");
    for (int i = 0; i < N_VERBS; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", verbs[i].name,
                 verbs[i].argument != NULL ? verbs[i].argument : "");
        printf("  %-24s %s\n", left, verbs[i].help);
    }
    puts("\nExit status: 0 success, 1 the server refused or failed, 2 wrong usage, 3 no answer,\n"
         "4 not ready (status) or a worker is blocked (stuck), 5 reloaded, but not all options or\n"
         "certificates are in use (reload --wait).");
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_verb(const struct ctl_server *server, int argc, char **argv)
{
    for (int i = 0; i < N_VERBS; i++) {
        const struct verb *v = &verbs[i];
        if (strcmp(v->name, argv[0]) != 0)
            continue;
        if (v->run != NULL)
            return v->run(server, argc - 1, argv + 1);
        if (argc > 1)
            return usage("%s takes no argument", v->name);
        return print_answer(server, v->method, v->path, v->warning);
    }
    return usage("unknown verb '%s'", argv[0]);
}

/* Takes "--admin X" or "--admin=X". Returns the value or NULL; sets *used to the number of words.
 */
static const char *take_flag(int argc, char **argv, const char *flag, int *used)
{
    size_t n = strlen(flag);
    if (strncmp(argv[0], flag, n) != 0)
        return NULL;
    *used = argv[0][n] == '=' ? 1 : 2;
    return argv[0][n] == '=' ? argv[0] + n + 1 : argv[0][n] == '\0' && argc > 1 ? argv[1] : NULL;
}

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool is_verb(const char *word)
{
    for (int i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i].name, word) == 0)
            return true;
    return false;
}

int ctl_main(int argc, char **argv)
{
    static const char *const flags[] = {"--admin", "--config", "--pid", "--token-file"};
    const char *values[4] = {NULL};
    struct ctl_server server;
    char why[512];
    int i = 1;
    while (i < argc && argv[i][0] == '-' && !is_help(argv[i])) {
        int used = 0;
        for (int k = 0; k < 4 && used == 0; k++) {
            const char *value = take_flag(argc - i, argv + i, flags[k], &used);
            if (used > 0 && value == NULL)
                return usage("%s needs a value", flags[k]);
            if (used > 0)
                values[k] = value;
        }
        if (used == 0)
            return usage("unknown option %s", argv[i]);
        i += used;
    }
    if (i < argc && is_help(argv[i]))
        return print_help();
    if (i == argc)
        return usage("a verb is missing");
    if (!is_verb(argv[i]))
        return usage("unknown verb '%s'", argv[i]);
    if ((values[0] != NULL) + (values[1] != NULL) + (values[2] != NULL) > 1)
        return usage("give only one of --admin, --config and --pid");
    if (ctl_find(&server, values[0], values[1], values[2], values[3], why, sizeof why) != 0) {
        fprintf(stderr, "sprig ctl: %s\n", why);
        return CTL_USAGE;
    }
    return run_verb(&server, argc - i, argv + i);
}

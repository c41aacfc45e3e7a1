/* sprig.c - the program: by itself in one process, or as the master of several. */
#include "command.h"
#include "ctl.h"
#include "dev.h"

#include "base/log_start.h"
#include "base/privileges.h"
#include "embed.h"
#include "master.h"
#include "net/inherited.h"
#include "net/sockets.h"
#include "process/admin_config.h"
#include "process/daemon.h"
#include "process/init.h"
#include "process/origin.h"
#include "process/pidfile.h"
#include "process/quit.h"
#include "process/title.h"
#include "serve/banner.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the interpreter runs; the rest is lib/Sprig/Program.pm. */
static const char bootstrap[] =
    "eval { require Sprig::Program; 1 }"
    " or do { Sprig::_report($@) or print STDERR \"sprig: $@\"; exit 1 };"
    "exit Sprig::Program->main";

/* A single process writes its pid file and goes to the background here. Perl is not told to, unless
 * the file has to wait until the process serves. */
static bool is_done(const struct command *cmd, const char *setting)
{
    static const char *const where[] = {"host=", "port=", "socket="};
    for (size_t i = 0; i < sizeof where / sizeof where[0]; i++)
        if (strncmp(setting, where[i], strlen(where[i])) == 0)
            return true; /* it is one of the addresses */
    return !sprig_config_has_master(&cmd->config) &&
           ((strncmp(setting, "pid=", 4) == 0 && !sprig_pidfile_may_replace()) ||
            strncmp(setting, "daemonize=", 10) == 0);
}

/* The application's file, or NULL. */
static const char *app_file(const struct command *cmd, char **rest)
{
    const char *file = command_setting(cmd, "app");
    if (file == NULL && *rest != NULL)
        file = *rest;
    if (file == NULL && command_setting(cmd, "eval") == NULL)
        file = command_setting(cmd, "pagi") != NULL ? "app.pagi" : "app.psgi";
    return file;
}

/* Makes `caller`, and everything built on it, see the application's file as the outermost code. */
static void add_bootstrap(struct words *out, const char *file)
{
    words_add(out, "-e");
    if (file != NULL && strpbrk(file, "\"\r\n") == NULL)
        words_add(out, "#line 1 \"%s\"\n%s", file, bootstrap);
    else
        words_add(out, "%s", bootstrap);
}

/* A worker gets its settings from the master. In other cases Perl reads the file itself, so that it
 * can read it again. */
static void add_settings(const struct command *cmd, bool is_worker, struct words *out)
{
    for (size_t i = 0; i < cmd->settings.n; i++)
        if (!is_done(cmd, cmd->settings.items[i]) &&
            (is_worker || !command_is_of_file(cmd, cmd->settings.items[i])))
            words_add(out, "%s", cmd->settings.items[i]);
    words_add(out, "config=%s", is_worker || !cmd->config.config ? "" : cmd->config.config);
}

/* sprig <perl's switches> -e <bootstrap> -- <settings> -- <arguments that are not options> */
static void build_perl_argv(struct command *cmd, bool is_worker, char **rest, struct words *out)
{
    words_add(out, "sprig");
    words_add_all(out, cmd->switches.items);
    add_bootstrap(out, app_file(cmd, rest));
    words_add(out, "--");
    add_settings(cmd, is_worker, out);
    if (!sprig_config_has_master(&cmd->config) && cmd->config.pid && !sprig_pidfile_may_replace())
        words_add(out, "pid="); /* also overrides the environment */
    if (!sprig_config_has_master(&cmd->config) && cmd->config.daemonize)
        words_add(out, "daemonize=0");
    words_add(out, "--");
    words_add_all(out, rest);
}

/* Runs Sprig::Program in an interpreter. */
static int run_perl(struct command *cmd, bool is_worker, char **rest)
{
    struct words perl_argv = {NULL, 0};
    build_perl_argv(cmd, is_worker, rest, &perl_argv);
    int status = psgi_embed_run((int)perl_argv.n, perl_argv.items);
    words_clear(&perl_argv);
    command_clear(cmd);
    return status;
}

/* A successor is already in the background. */
static int become_daemon(const struct command *cmd)
{
    char why[512];
    int status_fd = -1;
    if (cmd->config.daemonize && !sprig_master_is_successor() &&
        sprig_daemonize(&status_fd, why, sizeof why) != 0)
        start_error("%s", why);
    sprig_quit_open();
    return status_fd;
}

/* --------------------------------------------------------------------- the logs ---- */

/* Tries what a worker does after it has become the user: a missing file must be created in its
 * folder. Returns 0 or an errno. */
static int try_to_write(const char *path)
{
    struct stat st;
    char folder[PATH_MAX];
    if (stat(path, &st) == 0)
        return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 ? 0 : errno;
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash > path ? (int)(slash - path) : 1, path);
    return faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

/* Tries in a child process, which becomes the user for good. */
static int try_as_user(const struct sprig_config *config, const char *path)
{
    char why[512];
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(privileges_drop(config, why, sizeof why) == 0 ? try_to_write(path) : EPERM);
    if (pid == -1 || waitpid(pid, &status, 0) == -1 || !WIFEXITED(status))
        return 0;
    return WEXITSTATUS(status);
}

/* True unless it is a descriptor of this process, or syslog. */
static bool is_file(const char *log)
{
    return log != NULL && *log == '/' && strncmp(log, "/dev/", 5) != 0 &&
           strncmp(log, "/proc/", 6) != 0;
}

/* A single process opens its log before it becomes the user, workers after it. */
static void check_access_log(const struct sprig_config *c)
{
    int error = 0;
    bool is_user = c->user != NULL && sprig_config_has_master(c);
    if (is_file(c->access_log))
        error = is_user ? try_as_user(c, c->access_log) : try_to_write(c->access_log);
    if (error != 0)
        start_error("access_log: cannot write to %s%s%s: %s", c->access_log,
                    is_user ? " as user " : "", is_user ? c->user : "", strerror(error));
}

/* ----------------------------------------------------------------- one process ---- */

static struct sprig_pidfile pidfile = {.fd = -1};

static void remove_pidfile(void)
{
    sprig_pidfile_remove(&pidfile);
}

/* What "sprig ctl config" prints. */
static void show_config(const struct command *cmd)
{
    char *text = NULL;
    size_t n;
    FILE *out = cmd->config.admin != NULL ? open_memstream(&text, &n) : NULL;
    if (out == NULL)
        return;
    command_print(cmd, out);
    fclose(out);
    sprig_admin_show_config(text);
}

/* Called after Perl has handled HUP: shows what it has read, and from where. */
static void show_again(void *arg)
{
    struct command *cmd = arg;
    char kept[1024], why[1024];
    if (command_reload(cmd, kept, why, sizeof why) == 0)
        show_config(cmd);
}

static int run_alone(struct command *cmd, char **rest)
{
    char why[512];
    if (!cmd->config.daemonize)
        sprig_init_begin();
    psgi_daemon_set(become_daemon(cmd));
    sprig_quit_clean(remove_pidfile);
    sprig_alone_open();
    sprig_admin_on_reload(show_again, cmd);
    if (cmd->config.pid != NULL && !sprig_pidfile_may_replace() &&
        sprig_pidfile_open(&pidfile, cmd->config.pid, why, sizeof why) != 0)
        start_error("%s", why);
    int status = run_perl(cmd, false, rest);
    sprig_pidfile_close(&pidfile);
    return status;
}

/* Names the application in the titles that ps shows. */
static void name_processes(const struct command *cmd, char **rest)
{
    const char *file = app_file(cmd, rest);
    sprig_title_name(file != NULL ? file : "-e");
}

/* The interpreter starts first and calls the master. Once that is the user, it may not be able to
 * remove the pid file again: what can be known before is checked before. */
static int run_preloaded(struct command *cmd, char **rest)
{
    if (cmd->config.user != NULL && geteuid() == 0)
        check_access_log(&cmd->config);
    psgi_daemon_set(become_daemon(cmd));
    name_processes(cmd, rest);
    return run_perl(cmd, false, rest);
}

/* ------------------------------------------------------------------ the master ---- */

static void print_message(enum sprig_log_level level, const char *message, void *arg)
{
    (void)arg;
    sprig_log_print(level, message);
}

struct banner {
    const struct command *cmd;
    const struct sprig_master *master;
};

static void print_banner(void *arg)
{
    const struct banner *b = arg;
    const char *env = command_setting(b->cmd, "env");
    const struct sprig_address *a;
    if (env == NULL)
        env = getenv("PLACK_ENV");
    if (env == NULL || *env == '\0')
        env = "deployment";
    for (size_t i = 0; (a = sprig_master_address(b->master, i)) != NULL; i++)
        sprig_banner_print(a, b->cmd->config.workers, env);
    if (b->cmd->config.dev)
        dev_print_help(b->cmd, b->master);
}

/* The master has a pid file to remove, and perhaps socket paths. */
__attribute__((noreturn)) static void give_up(struct sprig_master *master, const char *why)
{
    sprig_master_free(master);
    start_error("%s", why);
}

enum { MAX_INHERITED = 1000 };

static void open_sockets(struct sprig_master *master, const struct command *cmd)
{
    char why[512];
    int fds[MAX_INHERITED];
    int n = sprig_inherited_sockets(fds, MAX_INHERITED, why, sizeof why);
    if (n < 0)
        give_up(master, why);
    for (int i = 0; i < n; i++)
        if (sprig_master_adopt(master, fds[i], cmd->config.tls_cert != NULL, why, sizeof why) != 0)
            give_up(master, why);
    if (cmd->config.dev && dev_check_sockets(master, why, sizeof why) != 0)
        give_up(master, why);
    for (size_t i = 0; n == 0 && i < cmd->n_addresses; i++)
        if (sprig_master_listen(master, &cmd->addresses[i], why, sizeof why) != 0)
            give_up(master, why);
    sprig_master_settle(master);
}

/* Enters the folder by name: if that is a link to a release, a reload finds the new release. */
static void enter_folder(const struct sprig_master *master)
{
    const char *folder = sprig_master_folder(master);
    if (folder != NULL && chdir(folder) == -1)
        sprig_log(SPRIG_LOG_WARN, "cannot enter %s: %s", folder, strerror(errno));
}

/* Used for the workers that start from now on. */
static const struct sprig_config *reload_config(void *arg, char *kept, char *why, size_t n)
{
    struct command *cmd = arg;
    if (command_reload(cmd, kept, why, n) != 0)
        return NULL;
    show_config(cmd);
    return &cmd->config;
}

/* The master has no interpreter: each worker makes its own and compiles the application anew. */
static int run_workers(struct command *cmd, char **argv, char **rest)
{
    char why[1024];
    struct sprig_worker worker;
    int status_fd = become_daemon(cmd);
    if (command_setting(cmd, "env") != NULL)
        setenv("PLACK_ENV", command_setting(cmd, "env"), 1);
    name_processes(cmd, rest);
    sprig_log_set_sink(print_message, sprig_log_level(), NULL);
    sprig_quit_hold(); /* until the master is ready for signals */
    struct sprig_master *master = sprig_master_new(&cmd->config, argv, status_fd, why, sizeof why);
    if (master == NULL)
        start_error("%s", why);
    struct banner banner = {cmd, master};
    sprig_master_on_ready(master, print_banner, &banner);
    sprig_master_on_reload(master, reload_config, cmd);
    open_sockets(master, cmd);
    int rc = sprig_master_run(master, &worker, why, sizeof why);
    if (rc > 0) {
        sprig_daemon_drop_input();
        enter_folder(master);
        psgi_worker_set(&worker);
        sprig_log_set_sink(NULL, SPRIG_LOG_ERROR, NULL);
    }
    sprig_master_free(master);
    if (rc > 0)
        return run_perl(cmd, true, rest);
    if (rc < 0)
        start_error("%s", why);
    command_clear(cmd);
    return EXIT_SUCCESS;
}

/* ----------------------------------------------------------------------- --check ---- */

static void check_logs(const struct sprig_config *c)
{
    int error = 0;
    if (is_file(c->error_log) && (error = try_to_write(c->error_log)) != 0)
        start_error("error_log: cannot write to %s: %s", c->error_log, strerror(error));
    check_access_log(c);
}

/* Checks what a start would find before it loads the application. */
static void check_command(const struct command *cmd)
{
    sprig_log_set_sink(print_message, SPRIG_LOG_WARN, NULL);
    sockets_warn_of_trust(&cmd->config);
    check_logs(&cmd->config);
    sprig_log_set_sink(NULL, SPRIG_LOG_ERROR, NULL);
}

/* ------------------------------------------------------------------------ main ---- */

/* getopt_long reorders argv; the successor of an upgrade gets the original order. */
static char **copy_vector(int argc, char **argv)
{
    char **copy = need(calloc((size_t)argc + 1, sizeof *copy));
    memcpy(copy, argv, (size_t)argc * sizeof *copy);
    return copy;
}

int main(int argc, char **argv, char **env)
{
    struct command cmd = {.switches = {NULL, 0}};
    char why[512];
    int status;
    sprig_open_standard();
    argv = sprig_title_open(argc, argv);
    env = environ;
    if (argc > 1 && strcmp(argv[1], "ctl") == 0)
        return ctl_main(argc - 1, argv + 1);
    sprig_origin_keep();
    psgi_embed_begin(&argc, &argv, &env);
    char **original = copy_vector(argc, argv);
    command_read(&cmd, argc, argv);
    bool is_check = command_setting(&cmd, "check") != NULL;
    if (!is_check && cmd.config.error_log != NULL)
        log_start_keep();
    if (!is_check && sprig_log_configure(&cmd.config, why, sizeof why) != 0)
        start_error("%s", why);
    show_config(&cmd);
    if (is_check)
        check_command(&cmd);
    if (is_check)
        status = run_perl(&cmd, true, argv + optind);
    else if (!sprig_config_has_master(&cmd.config))
        status = run_alone(&cmd, argv + optind);
    else if (cmd.config.preload_app)
        status = run_preloaded(&cmd, argv + optind);
    else
        status = run_workers(&cmd, original, argv + optind);
    free(original);
    psgi_embed_end();
    return status;
}

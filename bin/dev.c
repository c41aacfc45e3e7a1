/* dev.c - see dev.h */
#include "dev.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---------------------------------------------------------------- options ---- */

/* Sets an option that nobody has set. */
static void set_default(struct command *cmd, const char *name, const char *value)
{
    char why[256];
    if (command_origin(cmd, name) != NULL)
        return;
    if (sprig_config_set(&cmd->config, name, value, why, sizeof why) == 0)
        words_add(&cmd->settings, "%s=%s", name, value);
}

/* A number of workers from the platform or a file is meant for deployment, so only the command
 * line's is refused. */
static int choose_worker(struct command *cmd, char *why, size_t n)
{
    const char *origin = command_origin(cmd, "workers");
    if (cmd->config.workers > 1 && origin != NULL && strcmp(origin, "command line") == 0)
        return command_cannot(
            why, n,
            "option --dev cannot be used with --workers %u: it has one worker, which "
            "it replaces when files change",
            cmd->config.workers);
    cmd->config.workers = 1;
    cmd->config.workers_is_auto = false;
    cmd->config.master = true;
    words_add(&cmd->settings, "workers=1");
    return 0;
}

static int check_company(const struct command *cmd, char *why, size_t n)
{
    const char *flag = command_renewing_flag(cmd);
    if (flag != NULL)
        return command_cannot(why, n, "option --dev cannot be used with %s: it reloads by itself",
                              flag);
    if (cmd->config.preload_app)
        return command_cannot(
            why, n,
            "option --dev cannot be used with --preload-app: each change needs an "
            "interpreter of its own");
    if (cmd->config.daemonize)
        return command_cannot(why, n,
                              "option --dev cannot be used with --daemonize: it is for a terminal");
    return 0;
}

/* Shows a line for each request, unless the access log is set otherwise. */
static void show_requests(struct command *cmd)
{
    if (command_origin(cmd, "access_log") != NULL)
        return;
    set_default(cmd, "access_log", "-");
    set_default(cmd, "access_log_format", "short");
}

int dev_compose(struct command *cmd, char *why, size_t n)
{
    const char *env = getenv("PLACK_ENV");
    if (!cmd->config.dev && isatty(STDOUT_FILENO) && !cmd->config.daemonize)
        show_requests(cmd);
    if (!cmd->config.dev)
        return 0;
    if (choose_worker(cmd, why, n) != 0 || check_company(cmd, why, n) != 0)
        return -1;
    if (command_setting(cmd, "env") == NULL && (env == NULL || *env == '\0'))
        words_add(&cmd->settings, "env=development");
    set_default(cmd, "graceful_timeout", "5");
    show_requests(cmd);
    return 0;
}

/* -------------------------------------------------------------- addresses ---- */

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "localhost") == 0;
}

static int refuse_address(const char *address, char *why, size_t n)
{
    return command_cannot(why, n,
                          "option --dev serves this machine only, for it shows source code: listen "
                          "on 127.0.0.1, [::1], localhost or a unix socket, not on %s",
                          address);
}

int dev_check(struct command *cmd, char *why, size_t n)
{
    char text[SPRIG_LISTEN_TEXT_BYTES];
    for (size_t i = 0; cmd->config.dev && i < cmd->n_addresses; i++) {
        struct sprig_listen_spec *spec = &cmd->addresses[i];
        if (spec->kind != SPRIG_LISTEN_TCP)
            continue;
        if (*spec->host == '\0' || strcmp(spec->host, "*") == 0)
            snprintf(spec->host, sizeof spec->host, "127.0.0.1");
        if (!is_loopback(spec->host))
            return refuse_address(sprig_listen_spec_print(spec, text, sizeof text), why, n);
    }
    return 0;
}

int dev_check_sockets(const struct sprig_master *master, char *why, size_t n)
{
    const struct sprig_address *a;
    for (size_t i = 0; (a = sprig_master_address(master, i)) != NULL; i++)
        if (!a->is_unix && !is_loopback(a->host))
            return refuse_address(a->host, why, n);
    return 0;
}

/* ----------------------------------------------------------------- banner ---- */

/* "libevent (epoll)" */
static void name_loop(char *buf, size_t n)
{
    struct event_base *base = event_base_new();
    snprintf(buf, n, "libevent (%s)", base != NULL ? event_base_get_method(base) : "?");
    if (base != NULL)
        event_base_free(base);
}

void dev_print_help(const struct command *cmd, const struct sprig_master *master)
{
    char loop[64], text[1024];
    size_t n_files = sprig_master_watched(master);
    name_loop(loop, sizeof loop);
    int len = snprintf(text, sizeof text, "  watching %zu file%s%s%.400s; loop: %s\n  %s\n",
                       n_files, n_files == 1 ? "" : "s", cmd->config.watch != NULL ? " and " : "",
                       cmd->config.watch != NULL ? cmd->config.watch : "", loop,
                       isatty(STDIN_FILENO) ? "r and Enter reload; q and Enter, or Ctrl-C, end"
                                            : "HUP reloads, TERM ends");
    if (len > 0)
        sprig_log_print_output(SPRIG_LOG_INFO, text, (size_t)len);
}

/* compose.c - the program's settings: defaults, the environment, a file and the command line, from
 * weakest to strongest; see command.h */
#include "command.h"
#include "dev.h"

#include "base/number.h"
#include "process/admin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* One level of options while it is read. */
struct level {
    struct command *cmd;
    const char *origin; /* of the current option */
    bool is_file;
    char *why;
    size_t why_size;
    bool has_listen, has_place; /* seen on this level: listen; host, port or socket */
};

const char *setting_value(const char *word, const char *name)
{
    size_t len = strlen(name);
    return strncmp(word, name, len) == 0 && word[len] == '=' ? word + len + 1 : NULL;
}

const char *command_setting(const struct command *cmd, const char *name)
{
    const char *last = NULL, *value;
    for (size_t i = 0; i < cmd->settings.n; i++)
        if ((value = setting_value(cmd->settings.items[i], name)))
            last = value;
    return last;
}

static void drop_setting(struct command *cmd, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < cmd->settings.n; i++)
        if (setting_value(cmd->settings.items[i], name))
            free(cmd->settings.items[i]);
        else
            cmd->settings.items[n++] = cmd->settings.items[i];
    cmd->settings.n = n;
    if (cmd->settings.items)
        cmd->settings.items[n] = NULL;
}

static struct origin *origin_of(const struct command *cmd, const struct sprig_option *o)
{
    size_t n;
    return &cmd->origins[o - sprig_options(&n)];
}

static void set_origin(const struct level *l, const struct sprig_option *o)
{
    struct origin *origin = origin_of(l->cmd, o);
    free(origin->text);
    *origin = (struct origin){need(strdup(l->origin)), l->is_file};
}

/* If the number is that of the processors, says so, since nobody has written it. */
static void mark_auto(const struct command *cmd)
{
    struct origin *origin = origin_of(cmd, sprig_option_find("workers"));
    char *text = origin->text;
    if (!cmd->config.workers_is_auto || text == NULL)
        return;
    struct words marked = {NULL, 0};
    words_add(&marked, "%s: auto", text);
    free(text);
    origin->text = marked.items[0];
    free(marked.items);
}

/* `setting` is "name=value". */
bool command_is_of_file(const struct command *cmd, const char *setting)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(setting, "="), setting);
    const struct sprig_option *o = sprig_option_find(name);
    return o && o->type != SPRIG_OPTION_PLACK && origin_of(cmd, o)->is_file;
}

/* --------------------------------------------------------------- one option ---- */

static int check_port(struct level *l, const char *value)
{
    uint64_t port;
    if (number_read(span_str(value), 65535, &port))
        return 0;
    snprintf(l->why, l->why_size, "port must be a whole number from 0 to 65535, got '%s'", value);
    return -1;
}

static int add_address(struct level *l, const char *text)
{
    struct command *cmd = l->cmd;
    char plain[SPRIG_LISTEN_TEXT_BYTES];
    struct sprig_listen_spec spec;
    if (sprig_listen_spec_read(&spec, text, l->why, l->why_size) != 0)
        return -1;
    cmd->addresses = need(realloc(cmd->addresses, (cmd->n_addresses + 1) * sizeof spec));
    cmd->addresses[cmd->n_addresses++] = spec;
    words_add(&cmd->settings, "listen=%s", sprig_listen_spec_print(&spec, plain, sizeof plain));
    return 0;
}

/* An address on a stronger level replaces those of weaker levels; host and port replace each other.
 */
static void replace_addresses(struct level *l, const struct sprig_option *o)
{
    bool is_listen = o->letter == 'l', is_place = strchr("opS", o->letter) && o->letter;
    if ((is_listen || is_place) && !l->has_listen && !l->has_place) {
        l->cmd->n_addresses = 0;
        drop_setting(l->cmd, "listen");
        drop_setting(l->cmd, "socket");
    }
    l->has_listen |= is_listen;
    l->has_place |= is_place;
}

/* Takes an option that is not a field of the configuration. */
static int take_plack_option(struct level *l, const struct sprig_option *o, const char *value)
{
    if (o->letter == 'p' && check_port(l, value) != 0)
        return -1;
    replace_addresses(l, o);
    set_origin(l, o);
    if (o->letter == 'l')
        return add_address(l, value);
    if (o->letter == 'I')
        words_add(&l->cmd->switches, "-I%s", value);
    else
        words_add(&l->cmd->settings, "%s=%s", o->name, value);
    return 0;
}

/* Whether the option was already set on this level. */
static bool is_repeated(const struct level *l, const struct sprig_option *o)
{
    const struct origin *before = origin_of(l->cmd, o);
    return before->text && before->is_file == l->is_file &&
           (l->is_file || strcmp(before->text, l->origin) == 0);
}

/* Adds a path if the option takes several. */
static int set_option(struct level *l, const struct sprig_option *o, const char *value)
{
    struct words list = {NULL, 0};
    char buf[64];
    struct sprig_config *config = &l->cmd->config;
    if (o->type != SPRIG_OPTION_PATHS || !is_repeated(l, o))
        return sprig_config_set(config, o->name, value, l->why, l->why_size);
    words_add(&list, "%s,%s", sprig_config_get(config, o->name, buf, sizeof buf), value);
    int err = sprig_config_set(config, o->name, list.items[0], l->why, l->why_size);
    words_clear(&list);
    return err;
}

static void learn_format(const struct sprig_option *o, const char *value)
{
    if (strcmp(o->name, "error_log_format") == 0)
        sprig_log_be_json(strcasecmp(value, "json") == 0);
}

void command_learn_format(char **argv)
{
    static const char flag[] = "--error-log-format";
    char variable[64];
    const struct sprig_option *o = sprig_option_find("error_log_format");
    const char *value = sprig_option_environ(o, variable, sizeof variable);
    if (value != NULL)
        learn_format(o, value);
    for (; *argv != NULL && strcmp(*argv, "--") != 0; argv++) {
        if (strncmp(*argv, flag, sizeof flag - 1) != 0)
            continue;
        const char *rest = *argv + sizeof flag - 1;
        if (*rest == '=')
            learn_format(o, rest + 1);
        else if (*rest == '\0' && argv[1] != NULL)
            learn_format(o, argv[1]);
    }
}

static int take_option(struct level *l, const struct sprig_option *o, const char *value)
{
    char buf[128];
    struct command *cmd = l->cmd;
    if (o->type == SPRIG_OPTION_PLACK)
        return take_plack_option(l, o, value);
    int err = set_option(l, o, value);
    if (err && err != SPRIG_E_INVALID)
        snprintf(l->why, l->why_size, "%s", sprig_err_text(err));
    if (err)
        return -1;
    set_origin(l, o);
    if (l->is_file && !sprig_log_is_json())
        learn_format(o, value);
    if (o->type == SPRIG_OPTION_PATH || o->type == SPRIG_OPTION_PATHS)
        value = sprig_config_get(&cmd->config, o->name, buf, sizeof buf); /* absolute */
    if (strcmp(o->name, "config") != 0)
        words_add(&cmd->settings, "%s=%s", o->name, value);
    return 0;
}

/* --------------------------------------------------------------- the levels ---- */

static int take_platform(struct level *l)
{
    const char *port = getenv("PORT"), *workers = getenv("WEB_CONCURRENCY");
    char why[256];
    int rc = 0;
    struct level own = *l;
    own.why = why;
    own.why_size = sizeof why;
    own.origin = "PORT";
    if (port && *port)
        rc = take_option(&own, sprig_option_find("port"), port);
    if (rc == 0 && workers && *workers) {
        own.origin = "WEB_CONCURRENCY";
        rc = take_option(&own, sprig_option_find("workers"), workers);
    }
    if (rc != 0)
        snprintf(l->why, l->why_size, "%s: %s", own.origin, why);
    return rc;
}

static int take_file(struct level *l)
{
    struct command *cmd = l->cmd;
    char origin[4200], *why = l->why;
    l->is_file = true;
    size_t n = l->why_size;
    for (size_t i = 0; i < cmd->file.n; i++) {
        const struct sprig_setting *s = &cmd->file.settings[i];
        int len = snprintf(origin, sizeof origin, "%s line %u", s->file, s->line);
        size_t n_place = (size_t)len + 2 < n ? (size_t)snprintf(why, n, "%s: ", origin) : 0;
        l->origin = origin;
        l->why = why + n_place;
        l->why_size = n - n_place;
        if (take_option(l, s->option, s->value) != 0)
            return -1;
    }
    return 0;
}

static int take_environ(struct level *l)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    char variable[64], why[256];
    struct level own = *l;
    own.why = why;
    own.why_size = sizeof why;
    for (size_t i = 0; i < n; i++) {
        const char *value = sprig_option_environ(&options[i], variable, sizeof variable);
        own.origin = variable;
        if (value && take_option(&own, &options[i], value) != 0) {
            snprintf(l->why, l->why_size, "%s: %s", variable, why);
            return -1;
        }
    }
    return 0;
}

static int take_given(struct level *l)
{
    l->origin = "command line";
    for (size_t i = 0; i < l->cmd->n_given; i++)
        if (take_option(l, l->cmd->given[i].option, l->cmd->given[i].value) != 0)
            return -1;
    return 0;
}

/* Reads the file named on the command line, or else in the environment. */
static int read_file(struct command *cmd, char *why, size_t n)
{
    char variable[64];
    const struct sprig_option *o = sprig_option_find("config");
    const char *path = sprig_option_environ(o, variable, sizeof variable);
    struct level l = {
        .cmd = cmd, .origin = path ? variable : "command line", .why = why, .why_size = n};
    for (size_t i = 0; i < cmd->n_given; i++)
        if (cmd->given[i].option == o) {
            path = cmd->given[i].value;
            l.origin = "command line";
        }
    if (!path || !*path)
        return 0;
    int rc = take_option(&l, o, path);
    if (rc == 0)
        rc = sprig_config_file_read(&cmd->file, cmd->config.config, why, n);
    return rc == 0 ? 0 : -1;
}

static int take_all(struct command *cmd, char *why, size_t n)
{
    static int (*const levels[])(struct level *) = {take_platform, take_file, take_environ,
                                                    take_given};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        struct level l = {.cmd = cmd, .why = why, .why_size = n};
        if (levels[i](&l) != 0)
            return -1;
    }
    return 0;
}

/* Uses -l, or else -S, or else -o and -p. */
static int choose_addresses(struct command *cmd, char *why, size_t n)
{
    char text[SPRIG_LISTEN_TEXT_BYTES];
    struct level l = {.cmd = cmd, .why = why, .why_size = n};
    const char *path = command_setting(cmd, "socket"), *host = command_setting(cmd, "host"),
               *port = command_setting(cmd, "port");
    if (cmd->n_addresses > 0)
        return 0;
    if (path != NULL)
        snprintf(text, sizeof(text), "unix:%s", path);
    else
        sprig_listen_join(host ? host : "", port ? port : "5000", text, sizeof(text));
    return add_address(&l, text);
}

/* If there is a certificate but no address asks for TLS, all addresses get it. */
static void choose_tls(struct command *cmd)
{
    for (size_t i = 0; i < cmd->n_addresses; i++)
        if (cmd->addresses[i].options.tls)
            return;
    for (size_t i = 0; i < cmd->n_addresses; i++)
        cmd->addresses[i].options.tls =
            cmd->config.tls_cert != NULL && !cmd->addresses[i].options.redirect;
}

/* A redirect leads to the port of the first TLS address. */
static int check_redirect(const struct command *cmd, char *why, size_t n)
{
    const struct sprig_listen_spec *redirect = NULL;
    char text[SPRIG_LISTEN_TEXT_BYTES];
    for (size_t i = 0; i < cmd->n_addresses; i++) {
        if (cmd->addresses[i].options.tls)
            return 0;
        if (cmd->addresses[i].options.redirect)
            redirect = &cmd->addresses[i];
    }
    if (redirect == NULL)
        return 0;
    return command_cannot(why, n,
                          "option --listen: %s redirects to an address with TLS, and there is "
                          "none: give another --listen with ,tls",
                          sprig_listen_spec_print(redirect, text, sizeof text));
}

/* ----------------------------------------------------------------- loaders ---- */

/* The last loader counts, as in plackup. */
const char *command_renewing_flag(const struct command *cmd)
{
    const char *flag = NULL, *value;
    for (size_t i = 0; i < cmd->settings.n; i++) {
        const char *word = cmd->settings.items[i];
        if ((value = setting_value(word, "reload")))
            flag = *value == '1' ? "--reload" : NULL;
        else if (setting_value(word, "Reload"))
            flag = "--Reload";
        else if ((value = setting_value(word, "loader")))
            flag = strcmp(value, "Restarter") == 0 ? "--loader=Restarter"
                   : strcmp(value, "Shotgun") == 0 ? "--loader=Shotgun"
                                                   : NULL;
    }
    return flag;
}

const char *command_origin(const struct command *cmd, const char *name)
{
    return origin_of(cmd, sprig_option_find(name))->text;
}

static bool is_from(const struct command *cmd, const char *name, const char *origin)
{
    const char *own = command_origin(cmd, name);
    return own != NULL && strcmp(own, origin) == 0;
}

int command_cannot(char *why, size_t n, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, n, fmt, args);
    va_end(args);
    return -1;
}

/* Such a process must not go to the background, nor be mistaken for the one to stop. */
static int check_loader(struct command *cmd, char *why, size_t n)
{
    const char *flag = command_renewing_flag(cmd);
    if (flag && sprig_config_has_master(&cmd->config) &&
        is_from(cmd, "workers", "WEB_CONCURRENCY")) {
        cmd->config.workers = 1; /* the platform's number is not meant for development */
        cmd->config.master = false;
        words_add(&cmd->settings, "workers=1");
    }
    if (flag && cmd->config.workers > 1)
        return command_cannot(
            why, n, "option %s cannot be used with --workers %u: there HUP brings new code", flag,
            cmd->config.workers);
    if (flag && cmd->config.master)
        return command_cannot(why, n,
                              "option %s cannot be used with --%s: there HUP brings new code", flag,
                              cmd->config.workers_is_auto ? "workers auto" : "master");
    if (!flag || strcmp(flag, "--loader=Shotgun") == 0)
        return 0;
    if (cmd->config.daemonize)
        return command_cannot(
            why, n, "option %s cannot be used with --daemonize: it restarts in the foreground",
            flag);
    if (cmd->config.pid)
        return command_cannot(
            why, n, "option %s cannot be used with --pid: each restart is another process", flag);
    return 0;
}

/* ------------------------------------------------------------- all together ---- */

static void settle(struct command *cmd)
{
    struct level l = {.cmd = cmd, .origin = "workers = auto"};
    if (cmd->config.workers_is_auto && !cmd->config.master)
        set_origin(&l, sprig_option_find("master"));
    mark_auto(cmd);
    sprig_config_settle(&cmd->config);
}

static int read_all(struct command *cmd, char *why, size_t n)
{
    if (read_file(cmd, why, n) != 0 || take_all(cmd, why, n) != 0 ||
        dev_compose(cmd, why, n) != 0 || choose_addresses(cmd, why, n) != 0 ||
        dev_check(cmd, why, n) != 0)
        return -1;
    settle(cmd);
    if (sprig_config_check(&cmd->config, why, n) != 0 || admin_check(&cmd->config, why, n) != 0)
        return -1;
    return check_loader(cmd, why, n);
}

/* Clears everything except what was given. */
static void clear_composed(struct command *cmd)
{
    size_t n;
    sprig_options(&n);
    sprig_config_clear(&cmd->config);
    sprig_config_file_clear(&cmd->file);
    for (size_t i = 0; cmd->origins && i < n; i++)
        free(cmd->origins[i].text);
    free(cmd->origins);
    words_clear(&cmd->switches);
    words_clear(&cmd->settings);
    free(cmd->addresses);
    struct command empty = {.given = cmd->given, .n_given = cmd->n_given};
    *cmd = empty;
}

int command_compose(struct command *cmd, char *why, size_t n)
{
    size_t n_options;
    sprig_options(&n_options);
    cmd->origins = need(calloc(n_options, sizeof *cmd->origins));
    sprig_config_init(&cmd->config);
    bool is_read = read_all(cmd, why, n) == 0;
    if (is_read)
        choose_tls(cmd);
    if (is_read && check_redirect(cmd, why, n) == 0)
        return 0;
    clear_composed(cmd);
    return -1;
}

/* A reload does not open other addresses. */
static bool has_same_addresses(const struct command *a, const struct command *b)
{
    char one[SPRIG_LISTEN_TEXT_BYTES], other[SPRIG_LISTEN_TEXT_BYTES];
    if (a->n_addresses != b->n_addresses)
        return false;
    for (size_t i = 0; i < a->n_addresses; i++)
        if (strcmp(sprig_listen_spec_print(&a->addresses[i], one, sizeof one),
                   sprig_listen_spec_print(&b->addresses[i], other, sizeof other)) != 0)
            return false;
    return true;
}

/* Passes the values that stay to Sprig::Program as well: the last word counts. */
static void keep_settings(struct command *fresh)
{
    size_t n;
    char buf[128];
    const struct sprig_option *options = sprig_options(&n);
    for (size_t i = 0; i < n; i++)
        if (sprig_option_is_fixed(&options[i]))
            words_add(&fresh->settings, "%s=%s", options[i].name,
                      sprig_config_get(&fresh->config, options[i].name, buf, sizeof buf));
}

int command_reload(struct command *cmd, char *kept, char *why, size_t n)
{
    struct command fresh = {.given = cmd->given, .n_given = cmd->n_given};
    *kept = '\0';
    if (command_compose(&fresh, why, n) != 0)
        return -1;
    if (sprig_config_keep_fixed(&fresh.config, &cmd->config, kept, n) != 0) {
        snprintf(why, n, "out of memory");
        clear_composed(&fresh);
        return -1;
    }
    if (!has_same_addresses(&fresh, cmd))
        snprintf(kept + strlen(kept), n - strlen(kept), "%slisten", *kept ? ", " : "");
    keep_settings(&fresh);
    clear_composed(cmd);
    *cmd = fresh;
    return 0;
}

void command_clear(struct command *cmd)
{
    clear_composed(cmd);
    for (size_t i = 0; i < cmd->n_given; i++)
        free(cmd->given[i].value);
    free(cmd->given);
    memset(cmd, 0, sizeof *cmd);
}

/* ----------------------------------------------------------------- printing ---- */

static void print_line(FILE *out, const char *prefix, const char *name, const char *value,
                       const char *origin)
{
    char *quoted = need(malloc(SPRIG_CONFIG_QUOTED_BYTES(strlen(value)))), shown[4200];
    int n = fprintf(out, "%s%s = %s", prefix, name, sprig_config_quote(value, quoted));
    fprintf(out, "%*s # %s\n", n < 44 ? 44 - n : 0, "",
            log_escape(shown, sizeof shown, span_str(origin)));
    free(quoted);
}

/* The printed file does not name itself. */
static void print_plack_option(FILE *out, const struct command *cmd, const struct sprig_option *o,
                               const char *origin)
{
    const char *prefix = sprig_option_fits_file(o) ? "" : "# ", *value;
    const struct words *words = o->letter == 'I' ? &cmd->switches : &cmd->settings;
    if (strcmp(o->name, "print_config") == 0 || strcmp(o->name, "check") == 0)
        return;
    bool is_one = o->letter != 'I' && o->letter != 'l' && o->letter != 'M' && o->letter != 'R';
    for (size_t i = 0; i < words->n; i++) {
        value = o->letter == 'I' ? words->items[i] + 2 : setting_value(words->items[i], o->name);
        if (value && (!is_one || value == command_setting(cmd, o->name)))
            print_line(out, prefix, o->name, value, origin);
    }
}

void command_print(const struct command *cmd, FILE *out)
{
    size_t n;
    char buf[128];
    const struct sprig_option *options = sprig_options(&n);
    const char *group = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct sprig_option *o = &options[i];
        const char *origin = cmd->origins[i].text ? cmd->origins[i].text : "default";
        if (o->group && o->group != group)
            fprintf(out, "%s# %s\n", group ? "\n" : "", o->group);
        group = o->group;
        if (o->type == SPRIG_OPTION_PLACK)
            print_plack_option(out, cmd, o, origin);
        else
            print_line(out, sprig_option_fits_file(o) ? "" : "# ", o->name,
                       sprig_config_get(&cmd->config, o->name, buf, sizeof buf), origin);
    }
}

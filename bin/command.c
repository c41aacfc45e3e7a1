/* command.c - the command line, read by the table of options; see command.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* vasprintf */
#endif
#include "command.h"

#include "base/number.h"
#include "embed.h"
#include "http/parser.h"

#include <event2/event.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((format(printf, 1, 0))) static void complain(const char *fmt, va_list args)
{
    fputs("sprig: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

void refuse(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(fmt, args);
    va_end(args);
    exit(STATUS_USAGE);
}

void fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(fmt, args);
    va_end(args);
    exit(EXIT_FAILURE);
}

void *need(void *memory)
{
    if (!memory)
        refuse("out of memory");
    return memory;
}

/* ------------------------------------------------------------ lists of words ---- */

void words_add(struct words *w, const char *fmt, ...)
{
    va_list args;
    char *word = NULL;
    va_start(args, fmt);
    if (vasprintf(&word, fmt, args) == -1)
        word = NULL;
    va_end(args);
    w->items = need(realloc(w->items, (w->n + 2) * sizeof(char *)));
    w->items[w->n++] = need(word);
    w->items[w->n] = NULL;
}

void words_add_all(struct words *w, char **words)
{
    for (; words && *words; words++)
        words_add(w, "%s", *words);
}

void words_clear(struct words *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->items[i]);
    free(w->items);
}

/* ------------------------------------------------------------------- --help ---- */

static bool is_switch(const struct sprig_option *o)
{
    return !o->argument && o->initial;
}

/* The long flag: `prefix` and the name with dashes. Returns buf. */
static char *flag_name(const struct sprig_option *o, const char *prefix, char *buf, size_t n)
{
    snprintf(buf, n, "%s%s", prefix, o->name);
    for (char *p = buf; *p; p++)
        if (*p == '_')
            *p = '-';
    return buf;
}

enum { HELP_COLUMN = 36, HELP_WIDTH = 96 };

static void print_flags(const struct sprig_option *o)
{
    char flag[64], left[96], letter[8] = "    ";
    flag_name(o, is_switch(o) ? "--[no-]" : "--", flag, sizeof(flag));
    if (o->letter)
        snprintf(letter, sizeof(letter), "-%c, ", o->letter);
    snprintf(left, sizeof(left), "  %s%s %s", letter, flag, o->argument ? o->argument : "");
    printf("%-*s", HELP_COLUMN, left);
}

/* Prints text from column HELP_COLUMN on, broken between words. */
static void print_wrapped(const char *text)
{
    int column = HELP_COLUMN;
    while (*text) {
        int len = (int)strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + len > HELP_WIDTH)
            column = HELP_COLUMN, printf("\n%*s", HELP_COLUMN, "");
        else if (column > HELP_COLUMN)
            column++, putchar(' ');
        printf("%.*s", len, text);
        column += len;
        text += len + (text[len] == ' ');
    }
    putchar('\n');
}

static void print_option(const struct sprig_option *o)
{
    char text[256];
    const char *initial = o->initial ? o->initial : "";
    if (is_switch(o))
        initial = *initial == '0' ? "off" : "on";
    snprintf(text, sizeof(text), *initial ? "%s [%s]" : "%s", o->help, initial);
    print_flags(o);
    print_wrapped(text);
}

static void print_help(void)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    puts("Usage: sprig [options] [app.psgi [arguments of the application]]\n"
         "Serves a PSGI application over HTTP/1.1. Defaults stand in [ ].");
    for (size_t i = 0; i < n; i++) {
        if (!options[i].group)
            continue;
        if (i == 0 || strcmp(options[i].group, options[i - 1].group) != 0)
            printf("\n%s:\n", options[i].group);
        print_option(&options[i]);
    }
    puts("\nSignals: TERM and QUIT end the server when the requests in work are answered, INT at "
         "once.\n"
         "To the master of several workers: HUP reloads, USR2 upgrades, TTIN and TTOU add and "
         "remove one.\n"
         "Most options have a variable of the environment, too: --max-headers is "
         "SPRIG_MAX_HEADERS.\n"
         "Manual: man sprig");
}

static void print_version(void)
{
    const char *libevent = event_get_version(); /* "2.1.12-stable" */
    printf("sprig %.3f (libevent %.*s, %s, perl %s)\n", strtod(SPRIG_VERSION, NULL),
           (int)strcspn(libevent, "-"), libevent, parser_backend_name(), psgi_embed_version());
}

/* -------------------------------------------------------- the command line ---- */

/* The forms of a flag for getopt_long; its value is FIRST_LONG + 2 * row + is_off. */
enum { FIRST_LONG = 256 };

struct flags {
    struct option *longs; /* ends with a row of zeros */
    size_t n_longs;
    struct words names; /* of longs; owns the strings */
    char letters[128];
};

static void flags_add_long(struct flags *f, const char *prefix, const struct sprig_option *o,
                           int has_arg, int val)
{
    char flag[64];
    words_add(&f->names, "%s", flag_name(o, prefix, flag, sizeof(flag)));
    const char *name = f->names.items[f->names.n - 1];
    f->longs = need(realloc(f->longs, (f->n_longs + 2) * sizeof(*f->longs)));
    f->longs[f->n_longs++] = (struct option){name, has_arg, NULL, val};
    f->longs[f->n_longs] = (struct option){NULL, 0, NULL, 0};
}

static void flags_add(struct flags *f, const struct sprig_option *o, size_t row)
{
    int on = FIRST_LONG + 2 * (int)row, off = on + 1;
    int has_arg = o->argument ? required_argument : is_switch(o) ? optional_argument : no_argument;
    flags_add_long(f, "", o, has_arg, on);
    if (is_switch(o)) {
        flags_add_long(f, "enable-", o, no_argument, on);
        flags_add_long(f, "no-", o, no_argument, off);
        flags_add_long(f, "disable-", o, no_argument, off);
    }
    if (o->letter) {
        size_t len = strlen(f->letters);
        snprintf(f->letters + len, sizeof(f->letters) - len, "%c%s", o->letter,
                 o->argument ? ":" : "");
    }
}

static void flags_init(struct flags *f)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    memset(f, 0, sizeof(*f));
    strcpy(f->letters, ":"); /* a missing value is told apart from an unknown flag */
    for (size_t i = 0; i < n; i++)
        flags_add(f, &options[i], i);
}

static void flags_clear(struct flags *f)
{
    words_clear(&f->names);
    free(f->longs);
}

/* The row of a value that getopt_long returned or left in optopt. */
static const struct sprig_option *option_of(int val)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    if (val >= FIRST_LONG)
        return &options[(val - FIRST_LONG) / 2];
    for (size_t i = 0; i < n; i++)
        if (options[i].letter == val)
            return &options[i];
    return NULL;
}

static void check_port(const char *value)
{
    uint64_t port;
    if (!number_read(span_str(value), 65535, &port))
        refuse("port must be a whole number from 0 to 65535, got '%s'", value);
}

static void add_address(struct command *cmd, const char *text)
{
    char why[512], plain[SPRIG_LISTEN_TEXT_BYTES];
    struct sprig_listen_spec spec;
    if (sprig_listen_spec_read(&spec, text, why, sizeof why) != 0)
        refuse("%s", why);
    cmd->addresses = need(realloc(cmd->addresses, (cmd->n_addresses + 1) * sizeof spec));
    cmd->addresses[cmd->n_addresses++] = spec;
    words_add(&cmd->settings, "listen=%s", sprig_listen_spec_print(&spec, plain, sizeof plain));
}

/* Takes an option that is no field of the configuration. `value` is NULL for switches. */
static void take_plack_option(struct command *cmd, const struct sprig_option *o, const char *value)
{
    char flag[64];
    flag_name(o, "--", flag, sizeof(flag));
    if (o->letter == 's' && strcmp(value, "Sprig") == 0)
        return;
    if (!o->group)
        refuse("option %s: %s", flag, o->help);
    if (value && *value == '\0')
        refuse("option %s needs a value", flag);
    if (o->letter == 'h' || o->letter == 'v') {
        o->letter == 'h' ? print_help() : print_version();
        exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    if (is_switch(o) && strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        refuse("%s must be 0 or 1, got '%s'", o->name, value);
    if (o->letter == 'p')
        check_port(value);
    if (o->letter == 'l')
        add_address(cmd, value);
    else if (o->letter == 'I')
        words_add(&cmd->switches, "-I%s", value);
    else
        words_add(&cmd->settings, "%s=%s", o->name, value);
}

static void take_option(struct command *cmd, int val, const char *value)
{
    const struct sprig_option *o = option_of(val);
    bool is_off = val >= FIRST_LONG && (val - FIRST_LONG) % 2;
    if (is_switch(o) && !value)
        value = is_off ? "0" : "1";
    if (o->type == SPRIG_OPTION_PLACK) {
        take_plack_option(cmd, o, value);
        return;
    }
    char why[256];
    int err = sprig_config_set(&cmd->config, o->name, value, why, sizeof(why));
    if (err)
        refuse("%s", err == SPRIG_E_INVALID ? why : sprig_err_text(err));
    if (o->type == SPRIG_OPTION_PATH)
        value = sprig_config_get(&cmd->config, o->name, why, sizeof(why)); /* absolute */
    words_add(&cmd->settings, "%s=%s", o->name, value);
}

/* The word that getopt_long has just read: the one with the flag. */
static const char *current_word(char **argv)
{
    bool has_value_apart = optarg && optarg == argv[optind - 1];
    return argv[optind - (has_value_apart ? 2 : 1)];
}

/* getopt_long takes abbreviations; they would change their meaning with every new option. */
static void refuse_abbreviation(const struct flags *f, const char *word)
{
    if (strncmp(word, "--", 2) != 0)
        return;
    size_t len = strcspn(word + 2, "=");
    for (size_t i = 0; i < f->n_longs; i++)
        if (strlen(f->longs[i].name) == len && strncmp(f->longs[i].name, word + 2, len) == 0)
            return;
    refuse("unknown option %.*s, see sprig --help", (int)len + 2, word);
}

/* Explains what getopt_long returned ':' or '?' for. */
static void refuse_flag(int val, const char *word)
{
    int flag_len = (int)strcspn(word, "=");
    if (val == ':' && optopt < FIRST_LONG)
        refuse("option -%c needs a value", optopt);
    if (val == ':')
        refuse("option %s needs a value", word);
    if (optopt >= FIRST_LONG)
        refuse("option %.*s takes no value", flag_len, word);
    if (optopt)
        refuse("unknown option -%c, see sprig --help", optopt);
    refuse("unknown option %.*s, see sprig --help", flag_len, word);
}

/* -------------------------------------------------------------- loaders ---- */

/* The value of a word "name=value", or NULL if it is another setting. */
static const char *value_of(const char *word, const char *name)
{
    size_t len = strlen(name);
    return strncmp(word, name, len) == 0 && word[len] == '=' ? word + len + 1 : NULL;
}

/* The flag that asks for a process of the loader's own, in which the application is compiled anew.
 * The last one counts, as it does in plackup. NULL: there is none, or only another loader. */
static const char *renewing_flag(const struct command *cmd)
{
    const char *flag = NULL, *value;
    for (size_t i = 0; i < cmd->settings.n; i++) {
        const char *word = cmd->settings.items[i];
        if ((value = value_of(word, "reload")))
            flag = *value == '1' ? "--reload" : NULL;
        else if (value_of(word, "Reload"))
            flag = "--Reload";
        else if ((value = value_of(word, "loader")))
            flag = strcmp(value, "Restarter") == 0 ? "--loader=Restarter"
                   : strcmp(value, "Shotgun") == 0 ? "--loader=Shotgun"
                                                   : NULL;
    }
    return flag;
}

/* Such a process must not leave for the background, nor be taken for the one to be told to end. */
static void check_loader(const struct command *cmd)
{
    const char *flag = renewing_flag(cmd);
    if (flag && cmd->config.workers > 1)
        refuse("option %s does not go with --workers %u: there HUP brings new code", flag,
               cmd->config.workers);
    if (!flag || strcmp(flag, "--loader=Shotgun") == 0)
        return;
    if (cmd->config.daemonize)
        refuse("option %s does not go with --daemonize: it restarts in the foreground", flag);
    if (cmd->config.pid)
        refuse("option %s does not go with --pid: each restart is another process", flag);
}

/* As flags in front of all others, so that those win. */
static void take_environ(struct command *cmd)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    char variable[64], why[512] = "out of memory";
    if (sprig_config_read_environ(&cmd->config, why, sizeof why))
        refuse("%s", why);
    for (size_t i = 0; i < n; i++) {
        const char *value = sprig_option_environ(&options[i], variable, sizeof variable);
        if (value && options[i].type == SPRIG_OPTION_PATH)
            value = sprig_config_get(&cmd->config, options[i].name, why, sizeof why); /* absolute */
        if (value)
            words_add(&cmd->settings, "%s=%s", options[i].name, value);
    }
}

/* -l, else -S, else -o and -p. */
static void choose_addresses(struct command *cmd)
{
    char text[SPRIG_LISTEN_TEXT_BYTES];
    const char *path = command_setting(cmd, "socket"), *host = command_setting(cmd, "host"),
               *port = command_setting(cmd, "port");
    if (cmd->n_addresses > 0)
        return;
    if (path != NULL)
        snprintf(text, sizeof(text), "unix:%s", path);
    else
        sprig_listen_join(host ? host : "", port ? port : "5000", text, sizeof(text));
    add_address(cmd, text);
}

void command_read(struct command *cmd, int argc, char **argv)
{
    struct flags flags;
    int val;
    take_environ(cmd);
    flags_init(&flags);
    opterr = 0;
    while ((val = getopt_long(argc, argv, flags.letters, flags.longs, NULL)) != -1) {
        if (val == ':' || val == '?')
            refuse_flag(val, argv[optind - 1]);
        if (val >= FIRST_LONG)
            refuse_abbreviation(&flags, current_word(argv));
        take_option(cmd, val, optarg);
    }
    flags_clear(&flags);
    choose_addresses(cmd);
    char why[1200];
    if (sprig_config_check(&cmd->config, why, sizeof(why)))
        refuse("%s", why);
    check_loader(cmd);
}

void command_clear(struct command *cmd)
{
    sprig_config_clear(&cmd->config);
    words_clear(&cmd->switches);
    words_clear(&cmd->settings);
    free(cmd->addresses);
    memset(cmd, 0, sizeof *cmd);
}

const char *command_setting(const struct command *cmd, const char *name)
{
    const char *last = NULL, *value;
    for (size_t i = 0; i < cmd->settings.n; i++)
        if ((value = value_of(cmd->settings.items[i], name)))
            last = value;
    return last;
}

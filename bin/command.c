/* command.c - the command line, read by the table of options; see command.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* vasprintf */
#endif
#include "command.h"

#include "base/log_start.h"
#include "embed.h"
#include "http/parser.h"

#include <event2/event.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((format(printf, 1, 0))) static void complain(const char *fmt, va_list args)
{
    char text[SPRIG_PRINT_BYTES];
    vsnprintf(text, sizeof text, fmt, args);
    if (sprig_log_is_json() || log_start_is_kept())
        sprig_log_print(SPRIG_LOG_ERROR, text);
    else
        fprintf(stderr, "sprig: %s\n", text);
}

void usage_error(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(fmt, args);
    va_end(args);
    exit(STATUS_USAGE);
}

void start_error(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(fmt, args);
    va_end(args);
    exit(EXIT_FAILURE);
}

__attribute__((format(printf, 1, 2))) static void warning(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(fmt, args);
    va_end(args);
}

void *need(void *memory)
{
    if (!memory)
        usage_error("out of memory");
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

/* ------------------------------------------------------------- flags, --version ---- */

bool option_is_switch(const struct sprig_option *o)
{
    return !o->argument && o->initial;
}

char *option_flag(const struct sprig_option *o, const char *prefix, char *buf, size_t n)
{
    snprintf(buf, n, "%s%s", prefix, o->name);
    for (char *p = buf; *p; p++)
        if (*p == '_')
            *p = '-';
    return buf;
}

static void print_version(void)
{
    const char *libevent = event_get_version(); /* "2.1.12-stable" */
    printf("sprig %s (libevent %.*s, %s, perl %s)\n", SPRIG_VERSION, (int)strcspn(libevent, "-"),
           libevent, parser_backend_name(), psgi_embed_version());
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
    words_add(&f->names, "%s", option_flag(o, prefix, flag, sizeof(flag)));
    const char *name = f->names.items[f->names.n - 1];
    f->longs = need(realloc(f->longs, (f->n_longs + 2) * sizeof(*f->longs)));
    f->longs[f->n_longs++] = (struct option){name, has_arg, NULL, val};
    f->longs[f->n_longs] = (struct option){NULL, 0, NULL, 0};
}

static void flags_add(struct flags *f, const struct sprig_option *o, size_t row)
{
    int on = FIRST_LONG + 2 * (int)row, off = on + 1;
    int has_arg = o->argument           ? required_argument
                  : option_is_switch(o) ? optional_argument
                                        : no_argument;
    flags_add_long(f, "", o, has_arg, on);
    if (option_is_switch(o)) {
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
    strcpy(f->letters, ":"); /* distinguishes a missing value from an unknown flag */
    for (size_t i = 0; i < n; i++)
        flags_add(f, &options[i], i);
}

static void flags_clear(struct flags *f)
{
    words_clear(&f->names);
    free(f->longs);
}

/* The row for a value that getopt_long returned or left in optopt. */
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

static void give(struct command *cmd, const struct sprig_option *o, const char *value)
{
    cmd->given = need(realloc(cmd->given, (cmd->n_given + 1) * sizeof *cmd->given));
    cmd->given[cmd->n_given++] = (struct given){o, need(strdup(value))};
}

static bool is_completion(const struct sprig_option *o)
{
    return strcmp(o->name, "completion") == 0;
}

static bool is_help_all(const struct sprig_option *o)
{
    return strcmp(o->name, "help_all") == 0;
}

/* Handles flags that only ask for something, and ends the program. The word after --help may be the
 * name of an option. */
static void print_and_end(const struct sprig_option *o, const char *value, const char *next)
{
    if (is_completion(o) && !completion_print(value))
        usage_error("completion must be one of bash|zsh|fish, got '%s'", value);
    if (o->letter == 'h')
        help_print(next != NULL && strpbrk(next, "./") == NULL ? next : NULL);
    else if (o->letter == 'v')
        print_version();
    else if (!is_completion(o))
        help_print_all();
    exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Refuses a flag that is wrong whatever the other options are. */
static void check_flag(const struct sprig_option *o, const char *value)
{
    char flag[64];
    option_flag(o, "--", flag, sizeof(flag));
    if (!o->group)
        usage_error("option %s: %s", flag, o->help);
    if (o->type == SPRIG_OPTION_PLACK && value && *value == '\0')
        usage_error("option %s needs a value", flag);
    if (o->type == SPRIG_OPTION_PLACK && option_is_switch(o) && strcmp(value, "0") != 0 &&
        strcmp(value, "1") != 0)
        usage_error("%s must be 0 or 1, got '%s'", o->name, value);
}

static void take_option(struct command *cmd, int val, const char *value, const char *next)
{
    const struct sprig_option *o = option_of(val);
    bool is_off = val >= FIRST_LONG && (val - FIRST_LONG) % 2;
    if (o->letter == 's' && strcmp(value, "Sprig") == 0)
        return;
    if (option_is_switch(o) && !value)
        value = is_off ? "0" : "1";
    check_flag(o, value);
    if (o->letter == 'h' || o->letter == 'v' || is_completion(o) || is_help_all(o))
        print_and_end(o, value, next);
    give(cmd, o, value ? value : "1");
}

/* The word with the flag that getopt_long has just read. */
static const char *current_word(char **argv)
{
    bool has_value_apart = optarg && optarg == argv[optind - 1];
    return argv[optind - (has_value_apart ? 2 : 1)];
}

__attribute__((noreturn)) static void refuse_unknown(const char *word, int len)
{
    char name[80];
    snprintf(name, sizeof name, "%.*s", len - 2, word + 2);
    const char *nearest = len > 2 ? sprig_option_nearest(name) : NULL;
    if (nearest == NULL)
        usage_error("unknown option %.*s, see sprig --help-all", len, word);
    const struct sprig_option *o = sprig_option_find(nearest);
    usage_error("unknown option %.*s; did you mean %s? See sprig --help-all", len, word,
                option_flag(o, "--", name, sizeof name));
}

/* getopt_long accepts abbreviations, but their meaning would change with every new option. */
static void refuse_abbreviation(const struct flags *f, const char *word)
{
    if (strncmp(word, "--", 2) != 0)
        return;
    size_t len = strcspn(word + 2, "=");
    for (size_t i = 0; i < f->n_longs; i++)
        if (strlen(f->longs[i].name) == len && strncmp(f->longs[i].name, word + 2, len) == 0)
            return;
    refuse_unknown(word, (int)len + 2);
}

/* Explains why getopt_long returned ':' or '?'. */
static void refuse_flag(int val, const char *word)
{
    int flag_len = (int)strcspn(word, "=");
    if (val == ':' && optopt < FIRST_LONG)
        usage_error("option -%c needs a value", optopt);
    if (val == ':')
        usage_error("option %s needs a value", word);
    if (optopt >= FIRST_LONG)
        usage_error("option %.*s takes no value", flag_len, word);
    if (optopt)
        usage_error("unknown option -%c, see sprig --help-all", optopt);
    refuse_unknown(word, flag_len);
}

static void warn_of_environ(void)
{
    char name[256], shown[300];
    size_t i = 0;
    while (sprig_environ_unknown(&i, name, sizeof name) != NULL)
        warning("%s in the environment is not an option of sprig: see sprig --help-all",
                log_escape(shown, sizeof shown, span_str(name)));
}

void command_read(struct command *cmd, int argc, char **argv)
{
    struct flags flags;
    char why[1400];
    int val;
    flags_init(&flags);
    command_learn_format(argv);
    opterr = 0;
    while ((val = getopt_long(argc, argv, flags.letters, flags.longs, NULL)) != -1) {
        if (val == ':' || val == '?')
            refuse_flag(val, argv[optind - 1]);
        if (val >= FIRST_LONG)
            refuse_abbreviation(&flags, current_word(argv));
        take_option(cmd, val, optarg, argv[optind]);
    }
    flags_clear(&flags);
    warn_of_environ();
    if (command_compose(cmd, why, sizeof why) != 0)
        usage_error("%s", why);
    if (command_setting(cmd, "print_config") == NULL)
        return;
    command_print(cmd, stdout);
    exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

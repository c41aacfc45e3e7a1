/* help.c - what the program says about its options: the most important ones, all of them, or the
 * manual's text on one. */
#include "command.h"
#include "embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { COLUMN = 34, WIDTH = 80 };

/* Headings are bold on a terminal, unless the user wants no colours (no-color.org). */
static bool is_colourful(void)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return (no == NULL || *no == '\0') && isatty(STDOUT_FILENO) &&
           (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

static void print_heading(const char *text)
{
    printf(is_colourful() ? "\n\033[1m%s\033[0m\n" : "\n%s\n", text);
}

/* ----------------------------------------------------------------- one option ---- */

static void print_flags(const struct sprig_option *o)
{
    char flag[64], left[96], letter[8] = "    ";
    option_flag(o, option_is_switch(o) ? "--[no-]" : "--", flag, sizeof flag);
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "  %s%s%s%s", letter, flag, o->argument ? " " : "",
             o->argument ? o->argument : "");
    if (strlen(left) < COLUMN - 1)
        printf("%-*s", COLUMN, left);
    else
        printf("%s\n%*s", left, COLUMN, "");
}

/* Prints text from COLUMN on, broken between words. */
static void print_wrapped(const char *text)
{
    int column = COLUMN;
    while (*text) {
        int len = (int)strcspn(text, " ");
        if (column > COLUMN && column + 1 + len > WIDTH)
            column = COLUMN, printf("\n%*s", COLUMN, "");
        else if (column > COLUMN)
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
    if (option_is_switch(o))
        initial = *initial == '0' ? "off" : "on";
    snprintf(text, sizeof text, *initial ? "%s [%s]" : "%s", o->help, initial);
    print_flags(o);
    print_wrapped(text);
}

/* ------------------------------------------------------------------- the lists ---- */

/* The texts fit beside the flags. */
static const struct {
    const char *name, *help; /* without a name: a heading */
} common[] = {
    {NULL, "Run an application"},
    {"listen", "HOST:PORT, PORT, unix:PATH; repeatable [5000]"},
    {"env", "development shows errors [deployment]"},
    {"dev", "development: reloads code when you save it"},
    {"include", "look for modules in this folder; repeatable"},
    {"eval", "Perl code instead of, or around, a file"},
    {NULL, "Run it in production"},
    {"workers", "worker processes; auto: one per CPU [1]"},
    {"config", "read options from this file"},
    {"tls_cert", "serve HTTPS and HTTP/2 with this certificate"},
    {"trusted_proxies", "trust these proxies to name the client"},
    {"user", "drop root once all addresses are bound"},
    {NULL, "Monitor it"},
    {"access_log", "log each request; - is standard output"},
    {"admin", "serve metrics, health checks and sprig ctl"},
    {"check", "check options and application, then end"},
};

static void print_common(void)
{
    printf("Usage: sprig [options] [app.psgi [arguments]]     serve a PSGI application\n"
           "       sprig ctl VERB                             control a running server\n");
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++) {
        if (common[i].name == NULL) {
            print_heading(common[i].help);
            continue;
        }
        print_flags(sprig_option_find(common[i].name));
        print_wrapped(common[i].help);
    }
    print_heading("More help");
    puts("  --help OPTION                   the manual's entry: sprig --help workers\n"
         "  --help-all                      all options        man sprig   the manual");
}

void help_print_all(void)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    puts("Usage: sprig [options] [app.psgi [arguments of the application]]\n"
         "Serves a PSGI application over HTTP/1.1 and HTTP/2. Defaults are in [ ].");
    for (size_t i = 0; i < n; i++) {
        if (!options[i].group)
            continue;
        if (i == 0 || strcmp(options[i].group, options[i - 1].group) != 0)
            print_heading(options[i].group);
        print_option(&options[i]);
    }
    print_heading("Signals");
    puts("TERM and QUIT finish current requests and end the server; INT ends it at once.\n"
         "A master also reloads (HUP), upgrades (USR2), and adds (TTIN) or removes (TTOU)\n"
         "a worker.\n"
         "\n"
         "Most options can also be set in the environment: --max-headers is\n"
         "SPRIG_MAX_HEADERS. Manual: man sprig");
}

/* ------------------------------------------------------------------ the manual ---- */

/* Accepts "workers", "--workers", "-l", "max-headers". */
static const struct sprig_option *find_topic(const char *word)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    if (word[0] == '-' && word[1] != '-' && word[1] != '\0' && word[2] == '\0') {
        for (size_t i = 0; i < n; i++)
            if (options[i].letter == word[1])
                return &options[i];
        return NULL;
    }
    while (*word == '-')
        word++;
    if (strncmp(word, "no-", 3) == 0 && sprig_option_find(word) == NULL)
        word += 3;
    const struct sprig_option *o = sprig_option_find(word);
    return o != NULL && o->group != NULL ? o : NULL;
}

/* Perl knows where sprig.pod is installed, and how to print it. */
static int print_paragraph(const struct sprig_option *o)
{
    struct words argv = {NULL, 0};
    char flag[64];
    option_flag(o, "--", flag, sizeof flag);
    words_add(&argv, "sprig");
    words_add(&argv, "-e");
    words_add(&argv, "exit !eval { require Sprig::Help; Sprig::Help->show(@ARGV) }");
    words_add(&argv, "--");
    words_add(&argv, "%s", flag);
    words_add(&argv, "%d", is_colourful());
    int status = psgi_embed_run((int)argv.n, argv.items);
    words_clear(&argv);
    return status;
}

/* Prints the options of a group, or those with this word in their names. False: there are none. */
static bool print_related(const char *word)
{
    char flag[64];
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    bool is_any = false;
    for (size_t i = 0; i < n; i++) {
        const struct sprig_option *o = &options[i];
        if (o->group == NULL || (strcasecmp(o->group, word) != 0 &&
                                 strstr(option_flag(o, "", flag, sizeof flag), word) == NULL))
            continue;
        print_option(o);
        is_any = true;
    }
    if (is_any)
        puts("\nMore about one of them: sprig --help OPTION. The whole manual: man sprig");
    return is_any;
}

void help_print(const char *topic)
{
    if (topic == NULL) {
        print_common();
        return;
    }
    const struct sprig_option *o = find_topic(topic);
    if (o == NULL) {
        const char *nearest = sprig_option_nearest(topic + strspn(topic, "-"));
        char flag[64];
        if (nearest == NULL && print_related(topic + strspn(topic, "-")))
            return;
        if (nearest == NULL)
            usage_error("there is no option %s; see sprig --help-all", topic);
        usage_error("there is no option %s; did you mean %s? Try sprig --help-all", topic,
                    option_flag(sprig_option_find(nearest), "--", flag, sizeof flag));
    }
    fflush(stdout);
    if (print_paragraph(o) != 0)
        print_option(o);
}

/* command.h - the command line of the program. */
#ifndef SPRIG_COMMAND_H
#define SPRIG_COMMAND_H

#include "base/config_file.h"
#include "sprig.h"
#include <stdio.h>

/* A growing, NULL-terminated argument vector; owns its words. */
struct words {
    char **items;
    size_t n;
};

void words_add(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void words_add_all(struct words *w, char **words);
void words_clear(struct words *w);

/* An option of the command line. */
struct given {
    const struct sprig_option *option;
    char *value; /* owned; "0" or "1" for a switch */
};

/* Where a value comes from. */
struct origin {
    char *text; /* owned: "/etc/sprig.conf line 3", "SPRIG_WORKERS"; NULL: the default */
    bool is_file;
};

/* The settings of the program, as Sprig::Program and perl expect them. */
struct command {
    struct given *given; /* owned: the command line, in order */
    size_t n_given;
    /* everything together: defaults, PORT and WEB_CONCURRENCY, file, environment, command line */
    struct sprig_config config;
    struct sprig_config_file file;
    struct origin *origins;              /* owned: for the value of each row of the table */
    struct words switches;               /* for perl: -Idir */
    struct words settings;               /* for Sprig::Program: name=value, all of them */
    struct sprig_listen_spec *addresses; /* owned; where to listen; also in settings */
    size_t n_addresses;
};

/* Reads all options; the other words start at argv[optind]. Ends the process after --help,
 * --version and --print-config, and with STATUS_USAGE and a message if something is wrong. */
void command_read(struct command *cmd, int argc, char **argv);

/* Combines the options in cmd->given with those of the file, read anew, and of the environment.
 * Returns 0, or -1 and `why` (n bytes); then *cmd has only what it was given. */
int command_compose(struct command *cmd, char *why, size_t n);

/* From here on errors look as the environment and the command line ask (error_log_format), even if
 * other options there are wrong; the file's value takes effect once the file has been read. */
void command_learn_format(char **argv);

/* Reads the file again. Options that can change do so for everything that begins from now on;
 * `kept` (n bytes) gets the names of the changed options that cannot, separated by ", ". Returns -1
 * and `why` on failure; *cmd is then unchanged. */
int command_reload(struct command *cmd, char *kept, char *why, size_t n);

/* Prints all options as a file that --config reads. */
void command_print(const struct command *cmd, FILE *out);

/* Prints the script with which a shell (bash, zsh or fish) completes the words after "sprig".
 * False: there is none for this shell. */
bool completion_print(const char *shell);

/* help.c: prints the most important options or, for a topic (the name of an option), what the
 * manual says about it; ends the program if there is no such option. */
void help_print(const char *topic);
void help_print_all(void);

/* A switch: --x and --no-x. */
bool option_is_switch(const struct sprig_option *o);

/* Writes the long flag: `prefix` and the name with dashes. Returns buf. */
char *option_flag(const struct sprig_option *o, const char *prefix, char *buf, size_t n);

void command_clear(struct command *cmd);

/* The last value of an option that is not a field of the configuration, or NULL. */
const char *command_setting(const struct command *cmd, const char *name);

enum { STATUS_USAGE = 2 };

/* Where the option's value comes from; NULL: it is the default. Borrowed. */
const char *command_origin(const struct command *cmd, const char *name);

/* The flag that asks for a loader with a process of its own, which compiles the application anew.
 * NULL: there is none, or only another loader. */
const char *command_renewing_flag(const struct command *cmd);

/* Writes the message to `why`. Returns -1. */
int command_cannot(char *why, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Whether the word "name=value" is a configuration field whose value comes from the file. */
bool command_is_of_file(const struct command *cmd, const char *setting);

/* The value in a word "name=value"; NULL: it is another setting. */
const char *setting_value(const char *word, const char *name);

/* Ends the process with STATUS_USAGE and this message. */
void usage_error(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Ends the process with EXIT_FAILURE and this message. */
void start_error(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Returns what malloc has returned; ends the process if that is NULL. */
void *need(void *memory);

#endif

/* command.h - the command line of the program. */
#ifndef SPRIG_COMMAND_H
#define SPRIG_COMMAND_H

#include "sprig.h"

/* A growing, NULL-terminated argument vector; owns its words. */
struct words {
    char **items;
    size_t n;
};

void words_add(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void words_add_all(struct words *w, char **words);
void words_clear(struct words *w);

/* What the command line says, in the words of Sprig::Program and of perl. */
struct command {
    struct sprig_config config;
    struct words switches;               /* for perl: -Idir */
    struct words settings;               /* for Sprig::Program: name=value */
    struct sprig_listen_spec *addresses; /* owned; where to listen: settings has them, too */
    size_t n_addresses;
};

/* Reads all options; the words that are none follow from argv[optind] on. Ends the process after
 * --help and --version, and with STATUS_USAGE and a message if something is wrong. */
void command_read(struct command *cmd, int argc, char **argv);

void command_clear(struct command *cmd);

/* The last value that was given for an option that is no field of the configuration, or NULL. */
const char *command_setting(const struct command *cmd, const char *name);

enum { STATUS_USAGE = 2 };

/* Ends the process with STATUS_USAGE and this message. */
void refuse(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Ends the process with EXIT_FAILURE and this message. */
void fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* What malloc has returned; ends the process where that is NULL. */
void *need(void *memory);

#endif

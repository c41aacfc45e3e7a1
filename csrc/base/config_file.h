/* config_file.h - options in a file, and values as such a file spells them.
 *
 *   # a comment
 *   workers     = 4
 *   max-headers = 50                    # dashes and underscores are the same
 *   access_log  = "/var/log/my app.log" # quotes keep blanks and #; \" \\ \$ \n \t \xHH inside
 *   temp_dir    = ${HOME}/tmp
 *   listen      = 127.0.0.1:8080        # options that may be repeated take several lines
 *   listen      = unix:/run/app.sock
 *   @include local.conf                 # seen from the folder of this file
 *
 * Names are the long names of the table of options. Those that mean nothing in a file (eval, help,
 * config and the like) are refused. */
#ifndef SPRIG_CONFIG_FILE_H
#define SPRIG_CONFIG_FILE_H

#include "base/config.h"

/* One line. All pointers except that of the option belong to the file. */
struct sprig_setting {
    const struct sprig_option *option;
    char *value;      /* of a switch: "0" or "1" */
    const char *file; /* as it was named */
    unsigned line;    /* from 1 on */
};

/* All settings of a file and the files it includes, in order. All zero is empty. */
struct sprig_config_file {
    struct sprig_setting *settings; /* owned */
    size_t n;
    char **files; /* owned: the names */
    size_t n_files;
};

enum { CONFIG_INCLUDE_DEPTH = 10, CONFIG_LINE_BYTES = 64 * 1024 };

/* Reads the file and checks each value by itself. Returns 0; on failure < 0, *f is empty, and `why`
 * (n bytes) has the reason: "sprig.conf line 3: max_headers must be a whole number from 0 to
 * 100000, got 'many'". */
int sprig_config_file_read(struct sprig_config_file *f, const char *path, char *why, size_t n);
void sprig_config_file_clear(struct sprig_config_file *f);

/* Sets those that are fields of *c. The values have been checked, so it returns 0 or SPRIG_E_NOMEM.
 */
int sprig_config_file_apply(const struct sprig_config_file *f, struct sprig_config *c);

/* The value as a file would spell it, in quotes if it needs them. Returns buf, which must have room
 * for SPRIG_CONFIG_QUOTED_BYTES(strlen(value)). */
#define SPRIG_CONFIG_QUOTED_BYTES(len) (4 * (len) + 3)
char *sprig_config_quote(const char *value, char *buf);

/* Whether the option can stand in a file. */
bool sprig_option_fits_file(const struct sprig_option *o);

#endif

/* config_file.c - reads options from a file, line by line; see config_file.h */
#include "base/config_file.h"

#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is being read. */
struct reader {
    struct sprig_config_file *to;
    struct sprig_config *scratch; /* values are tried out on it */
    const char *file;             /* with the current line; owned by `to` */
    unsigned line;
    unsigned depth;
    char *why;
    size_t why_size;
};

static int read_file(struct reader *r, const char *path);

/* "FILE line N: ..." */
__attribute__((format(printf, 2, 3))) static int wrong(struct reader *r, const char *fmt, ...)
{
    va_list args;
    int len = snprintf(r->why, r->why_size, "%s line %u: ", r->file, r->line);
    if (len < 0 || (size_t)len >= r->why_size)
        return SPRIG_E_INVALID;
    va_start(args, fmt);
    vsnprintf(r->why + len, r->why_size - (size_t)len, fmt, args);
    va_end(args);
    return SPRIG_E_INVALID;
}

static int no_memory(struct reader *r)
{
    snprintf(r->why, r->why_size, "%s", sprig_err_text(SPRIG_E_NOMEM));
    return SPRIG_E_NOMEM;
}

/* ---------------------------------------------------------------- one value ---- */

/* Text that grows. */
struct text {
    char *bytes; /* owned; ends with a NUL */
    size_t n;
    size_t room; /* includes the NUL */
};

static int text_add(struct text *t, const char *bytes, size_t n)
{
    if (t->room <= t->n + n) {
        size_t room = 2 * (t->n + n) + 32; /* values arrive one character at a time */
        char *grown = realloc(t->bytes, room);
        if (grown == NULL)
            return SPRIG_E_NOMEM;
        t->bytes = grown;
        t->room = room;
    }
    memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
    t->bytes[t->n] = '\0';
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* `at` is just after a backslash. Returns where the escape ends, or NULL if it is none. */
static const char *read_escape(const char *at, char *out)
{
    static const char letters[] = "\\\"$#nrt", meant[] = "\\\"$#\n\r\t";
    const char *known = *at != '\0' ? strchr(letters, *at) : NULL;
    if (known != NULL) {
        *out = meant[known - letters];
        return at + 1;
    }
    int high = *at == 'x' ? hex_digit(at[1]) : -1;
    int low = high != -1 ? hex_digit(at[2]) : -1;
    if (low == -1 || high + low == 0)
        return NULL;
    *out = (char)(16 * high + low);
    return at + 3;
}

/* At "${NAME}". */
static int add_variable(struct reader *r, const char **at, struct text *to)
{
    char name[256];
    const char *start = *at + 2, *end = strchr(start, '}');
    if (end == NULL || end == start || (size_t)(end - start) >= sizeof name)
        return wrong(r, "${ needs the name of a variable and a }");
    memcpy(name, start, (size_t)(end - start));
    name[end - start] = '\0';
    const char *value = getenv(name);
    if (value == NULL)
        return wrong(r, "the environment has no variable %s", name);
    *at = end + 1;
    return text_add(to, value, strlen(value)) != 0 ? no_memory(r) : 0;
}

/* One character or variable of a value. */
static int add_piece(struct reader *r, const char **at, bool is_quoted, struct text *to)
{
    char c = **at;
    if (c == '$' && (*at)[1] == '{')
        return add_variable(r, at, to);
    (*at)++;
    if (is_quoted && c == '\\' && (*at = read_escape(*at, &c)) == NULL)
        return wrong(r, "a backslash must be followed by \\ \" $ # n r t or xHH");
    return text_add(to, &c, 1) != 0 ? no_memory(r) : 0;
}

static bool ends_value(const char *at)
{
    while (is_blank(*at))
        at++;
    return *at == '\0' || (*at == '#' && is_blank(at[-1]));
}

static int read_quoted(struct reader *r, const char *at, struct text *to)
{
    int rc = 0;
    while (rc == 0 && *at != '"') {
        if (*at == '\0')
            return wrong(r, "a quote is missing at the end of the value");
        rc = add_piece(r, &at, true, to);
    }
    if (rc != 0)
        return rc;
    for (at++; is_blank(*at); at++)
        continue;
    return *at == '\0' || *at == '#' ? 0 : wrong(r, "nothing may follow the quoted value");
}

/* `at` is after the = and blanks. The caller frees the value. */
static int read_value(struct reader *r, const char *at, struct text *to)
{
    int rc = text_add(to, "", 0);
    if (rc != 0)
        return no_memory(r);
    if (*at == '"')
        return read_quoted(r, at + 1, to);
    if (*at == '#')
        return 0;
    while (rc == 0 && !ends_value(at)) {
        if (*at == '"')
            return wrong(r, "a quote inside a value: put all of it in quotes, and \\ before this");
        rc = add_piece(r, &at, false, to);
    }
    return rc;
}

/* A leading blank or # would be lost, and a quote would start a quoted value. */
static bool needs_quotes(const char *value)
{
    size_t len = strlen(value);
    if (len == 0 || is_blank(value[0]) || is_blank(value[len - 1]))
        return true;
    for (const char *p = value; *p != '\0'; p++)
        if (*p == '"' || *p == '$' || *p == '#' || *p == '\\' || (unsigned char)*p < 0x20 ||
            *p == 0x7f)
            return true;
    return false;
}

char *sprig_config_quote(const char *value, char *buf)
{
    static const char hex[] = "0123456789ABCDEF";
    char *at = buf;
    if (!needs_quotes(value))
        return strcpy(buf, value);
    *at++ = '"';
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        if (c < 0x20 || c == 0x7f) {
            *at++ = '\\';
            *at++ = 'x';
            *at++ = hex[c >> 4];
            *at++ = hex[c & 15];
            continue;
        }
        if (c == '"' || c == '$' || c == '\\')
            *at++ = '\\';
        *at++ = (char)c;
    }
    *at++ = '"';
    *at = '\0';
    return buf;
}

/* ----------------------------------------------------------------- one line ---- */

bool sprig_option_fits_file(const struct sprig_option *o)
{
    static const char *const never[] = {"config", "check",    "print_config", "eval",
                                        "help",   "help_all", "version",      "completion"};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (strcmp(o->name, never[i]) == 0)
            return false;
    return o->group != NULL;
}

/* An option without a field has its value checked only if it is a switch. */
static int check_value(struct reader *r, const struct sprig_option *o, struct text *value)
{
    char why[512];
    bool flag;
    int rc;
    if (o->type == SPRIG_OPTION_PLACK && (o->argument != NULL || o->initial == NULL))
        return 0;
    if (o->type == SPRIG_OPTION_PLACK) {
        if (!sprig_option_read_switch(value->bytes, &flag))
            return wrong(r, "%s must be 0 or 1, got '%s'", o->name, value->bytes);
        value->n = 0;
        return text_add(value, flag ? "1" : "0", 1) != 0 ? no_memory(r) : 0;
    }
    rc = sprig_config_set(r->scratch, o->name, value->bytes, why, sizeof why);
    return rc == SPRIG_E_INVALID ? wrong(r, "%s", why) : rc != 0 ? no_memory(r) : 0;
}

/* Takes the value. */
static int keep_setting(struct reader *r, const struct sprig_option *o, char *value)
{
    struct sprig_config_file *f = r->to;
    struct sprig_setting *grown = realloc(f->settings, (f->n + 1) * sizeof *grown);
    if (grown == NULL) {
        free(value);
        return no_memory(r);
    }
    f->settings = grown;
    grown[f->n++] = (struct sprig_setting){o, value, r->file, r->line};
    return 0;
}

static int unknown_option(struct reader *r, const char *name)
{
    const char *nearest = sprig_option_nearest(name);
    char shown[80];
    log_escape(shown, sizeof shown, span_str(name));
    return nearest != NULL ? wrong(r, "unknown option %s; did you mean %s?", shown, nearest)
                           : wrong(r, "unknown option %s", shown);
}

/* A relative name starts from the folder of the file that contains the line. */
static int include(struct reader *r, const char *name)
{
    const char *slash = strrchr(r->file, '/'), *file = r->file;
    size_t n_folder = *name != '/' && slash != NULL ? (size_t)(slash - file) + 1 : 0;
    char path[4096];
    if (*name == '\0')
        return wrong(r, "@include needs the name of a file");
    if (r->depth >= CONFIG_INCLUDE_DEPTH)
        return wrong(r, "files include each other more than %d deep", CONFIG_INCLUDE_DEPTH);
    if (n_folder + strlen(name) >= sizeof path)
        return wrong(r, "the name of the file is too long");
    memcpy(path, file, n_folder);
    strcpy(path + n_folder, name);
    unsigned line = r->line;
    int rc = read_file(r, path);
    r->file = file;
    r->line = line;
    return rc;
}

static int read_include(struct reader *r, const char *at)
{
    static const char word[] = "@include";
    struct text name = {NULL, 0, 0};
    size_t n = sizeof word - 1;
    if (strncmp(at, word, n) != 0 || (at[n] != '\0' && !is_blank(at[n])))
        return wrong(r, "the only directive is @include FILE");
    for (at += n; is_blank(*at); at++)
        continue;
    int rc = read_value(r, at, &name);
    if (rc == 0)
        rc = include(r, name.bytes);
    free(name.bytes);
    return rc;
}

/* "name = value" */
static int read_setting(struct reader *r, char *at)
{
    size_t n = strcspn(at, " \t=");
    char *equals = at + n + strspn(at + n, " \t");
    if (*equals != '=' || n == 0)
        return wrong(r, "a line must be \"option = value\", \"@include FILE\" or a comment");
    char *start = equals + 1 + strspn(equals + 1, " \t");
    at[n] = '\0';
    const struct sprig_option *o = sprig_option_find(at);
    if (o == NULL)
        return unknown_option(r, at);
    if (!sprig_option_fits_file(o))
        return wrong(r, "%s can only be given on the command line", o->name);
    struct text value = {NULL, 0, 0};
    int rc = read_value(r, start, &value);
    if (rc == 0)
        rc = check_value(r, o, &value);
    if (rc == 0)
        return keep_setting(r, o, value.bytes);
    free(value.bytes);
    return rc;
}

static int read_line(struct reader *r, char *line)
{
    size_t n = strlen(line);
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
        line[--n] = '\0';
    if (r->line == 1 && strncmp(line, "\xEF\xBB\xBF", 3) == 0)
        line += 3;
    while (is_blank(*line))
        line++;
    if (*line == '\0' || *line == '#')
        return 0;
    return *line == '@' ? read_include(r, line) : read_setting(r, line);
}

/* ---------------------------------------------------------------- whole files ---- */

static int keep_name(struct reader *r, const char *path)
{
    struct sprig_config_file *f = r->to;
    char **files = realloc(f->files, (f->n_files + 1) * sizeof *files);
    if (files == NULL)
        return no_memory(r);
    f->files = files;
    if ((files[f->n_files] = strdup(path)) == NULL)
        return no_memory(r);
    r->file = files[f->n_files++];
    r->line = 0;
    return 0;
}

static int cannot_read(struct reader *r, const char *path)
{
    const char *problem = strerror(errno);
    if (r->depth > 1) /* report the line of the @include */
        return wrong(r, "cannot read %s: %s", path, problem);
    snprintf(r->why, r->why_size, "cannot read %s: %s", path, problem);
    return SPRIG_E_SYS;
}

static int read_lines(struct reader *r, FILE *in)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    int rc = 0;
    while (rc == 0 && (n = getline(&line, &room, in)) != -1) {
        r->line++;
        if (n > CONFIG_LINE_BYTES)
            rc = wrong(r, "the line is longer than %d bytes", CONFIG_LINE_BYTES);
        else if (strlen(line) != (size_t)n)
            rc = wrong(r, "the line has a NUL byte");
        else
            rc = read_line(r, line);
    }
    if (rc == 0 && ferror(in)) {
        snprintf(r->why, r->why_size, "cannot read %s: %s", r->file, strerror(errno));
        rc = SPRIG_E_SYS;
    }
    free(line);
    return rc;
}

static int read_file(struct reader *r, const char *path)
{
    r->depth++;
    FILE *in = fopen(path, "re");
    int rc = in == NULL ? cannot_read(r, path) : keep_name(r, path);
    if (rc == 0)
        rc = read_lines(r, in);
    if (in != NULL)
        fclose(in);
    r->depth--;
    return rc;
}

int sprig_config_file_read(struct sprig_config_file *f, const char *path, char *why, size_t n)
{
    struct sprig_config scratch;
    struct reader r = {.to = f, .scratch = &scratch, .why = why, .why_size = n};
    memset(f, 0, sizeof *f);
    sprig_config_init(&scratch);
    int rc = read_file(&r, path);
    sprig_config_clear(&scratch);
    if (rc != 0)
        sprig_config_file_clear(f);
    return rc;
}

void sprig_config_file_clear(struct sprig_config_file *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->settings[i].value);
    for (size_t i = 0; i < f->n_files; i++)
        free(f->files[i]);
    free(f->settings);
    free(f->files);
    memset(f, 0, sizeof *f);
}

int sprig_config_file_apply(const struct sprig_config_file *f, struct sprig_config *c)
{
    char why[512];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < f->n; i++) {
        const struct sprig_setting *s = &f->settings[i];
        if (s->option->type != SPRIG_OPTION_PLACK)
            rc = sprig_config_set(c, s->option->name, s->value, why, sizeof why);
    }
    return rc;
}

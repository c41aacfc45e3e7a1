/* config_value.c - options: reads, stores and prints their values, by the table in config.c. */
#include "base/config.h"

#include "base/err.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/log_target.h"
#include "base/number.h"
#include "base/path.h"
#include "base/processors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------- reading values ---- */

/* A value of any type, before it is stored. */
union value {
    bool flag;
    uint64_t number;
    double seconds;
    const char *text; /* borrowed */
};

/* Takes the digits off the start of *at; returns what number_take returns. */
static bool take_number(const char **at, uint64_t *out)
{
    struct sprig_span text = span_str(*at);
    bool is_number = number_take(&text, UINT64_MAX, out);
    *at = text.ptr;
    return is_number;
}

static bool is_auto(const struct sprig_option *o, const char *text)
{
    return o->type == SPRIG_OPTION_COUNT && o->choices != NULL && strcasecmp(text, "auto") == 0;
}

static bool read_count(const struct sprig_option *o, const char *text, uint64_t *out)
{
    if (is_auto(o, text)) {
        uint32_t n = processors_available();
        *out = n < o->max ? n : (uint64_t)o->max;
        return true;
    }
    return take_number(&text, out) && *text == '\0';
}

static bool read_bytes(const char *text, uint64_t *out)
{
    if (!take_number(&text, out))
        return false;
    static const char suffixes[] = "KkMmGg";
    const char *suffix = *text ? strchr(suffixes, *text) : NULL;
    if (suffix) {
        int shift = 10 * (1 + (int)(suffix - suffixes) / 2);
        if (*out > UINT64_MAX >> shift)
            return false;
        *out <<= shift;
        text++;
    }
    return *text == '\0';
}

/* "15", "0.25", ".5". Written by hand, because strtod follows the locale and accepts "inf", "0x1"
 * and " 1". */
static bool read_seconds(const char *text, double *out)
{
    uint64_t whole = 0;
    if (*text != '.' && !take_number(&text, &whole))
        return false;
    *out = (double)whole;
    if (*text == '.') {
        const char *p = ++text;
        for (double digit = 0.1; *p >= '0' && *p <= '9'; p++, digit /= 10)
            *out += (*p - '0') * digit;
        if (p == text)
            return false;
        text = p;
    }
    return *text == '\0';
}

bool sprig_option_read_switch(const char *text, bool *out)
{
    static const char *const words[][2] = {
        {"0", "1"}, {"no", "yes"}, {"false", "true"}, {"off", "on"}, {"", "1"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        for (int v = 0; v < 2; v++)
            if (strcasecmp(text, words[i][v]) == 0)
                return *out = v, true;
    return false;
}

static bool read_choice(const char *choices, const char *text, uint64_t *out)
{
    size_t len = strlen(text);
    for (uint64_t i = 0; len > 0; i++) {
        size_t n = strcspn(choices, "|");
        if (n == len && strncasecmp(choices, text, n) == 0)
            return *out = i, true;
        if (choices[n] == '\0')
            break;
        choices += n + 1;
    }
    return false;
}

/* Strings end up in paths and response heads, so control characters are refused. */
static bool read_text(const char *text, double max)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return (double)len <= max;
}

static bool in_range(const struct sprig_option *o, double v)
{
    return v >= o->min && v <= o->max;
}

static bool read_value(const struct sprig_option *o, const char *text, union value *v)
{
    switch (o->type) {
    case SPRIG_OPTION_BOOL:
        return sprig_option_read_switch(text, &v->flag);
    case SPRIG_OPTION_COUNT:
        return read_count(o, text, &v->number) && in_range(o, (double)v->number);
    case SPRIG_OPTION_BYTES:
    case SPRIG_OPTION_BYTES32:
        return read_bytes(text, &v->number) && in_range(o, (double)v->number);
    case SPRIG_OPTION_SECONDS:
        return read_seconds(text, &v->seconds) && in_range(o, v->seconds);
    case SPRIG_OPTION_STRING:
    case SPRIG_OPTION_PATH:
    case SPRIG_OPTION_PATHS:
        v->text = text;
        return read_text(text, o->max);
    case SPRIG_OPTION_CHOICE:
        return read_choice(o->choices, text, &v->number);
    case SPRIG_OPTION_PLACK:
        break;
    }
    return false;
}

/* ------------------------------------------------------- storing values ---- */

static void *field(const struct sprig_config *c, const struct sprig_option *o)
{
    return (char *)c + o->offset;
}

static int store_text(char **to, const char *text)
{
    char *copy = *text ? strdup(text) : NULL;
    if (*text && !copy)
        return SPRIG_E_NOMEM;
    free(*to);
    *to = copy;
    return 0;
}

/* Stores an absolute path, so that a chdir in the application changes nothing. */
static int store_path(char **to, const char *path)
{
    char *absolute = log_target_is_path(path) ? path_absolute(path) : NULL;
    int rc = store_text(to, absolute != NULL ? absolute : path);
    free(absolute);
    return rc;
}

static int store_paths(char **to, const char *paths)
{
    char *absolute = path_list_absolute(paths);
    int rc = store_text(to, absolute != NULL ? absolute : paths);
    free(absolute);
    return rc;
}

static bool is_text(const struct sprig_option *o)
{
    return o->type == SPRIG_OPTION_STRING || o->type == SPRIG_OPTION_PATH ||
           o->type == SPRIG_OPTION_PATHS;
}

static int store_value(struct sprig_config *c, const struct sprig_option *o, const union value *v)
{
    void *to = field(c, o);
    switch (o->type) {
    case SPRIG_OPTION_BOOL:
        *(bool *)to = v->flag;
        break;
    case SPRIG_OPTION_COUNT:
    case SPRIG_OPTION_BYTES32:
        *(uint32_t *)to = (uint32_t)v->number;
        break;
    case SPRIG_OPTION_BYTES:
        *(uint64_t *)to = v->number;
        break;
    case SPRIG_OPTION_SECONDS:
        *(double *)to = v->seconds;
        break;
    case SPRIG_OPTION_STRING:
        return store_text(to, v->text);
    case SPRIG_OPTION_PATH:
        return store_path(to, v->text);
    case SPRIG_OPTION_PATHS:
        return store_paths(to, v->text);
    case SPRIG_OPTION_CHOICE:
        *(unsigned *)to = (unsigned)v->number; /* every enum of ours is an unsigned int */
        break;
    case SPRIG_OPTION_PLACK:
        break;
    }
    return 0;
}

void sprig_config_init(struct sprig_config *c)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    memset(c, 0, sizeof(*c));
    for (size_t i = 0; i < n; i++) {
        union value v;
        if (options[i].type == SPRIG_OPTION_PLACK)
            continue;
        bool is_in_range = read_value(&options[i], options[i].initial, &v);
        if (INVARIANT(is_in_range))
            store_value(c, &options[i], &v);
    }
}

void sprig_config_clear(struct sprig_config *c)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    for (size_t i = 0; i < n; i++) {
        if (!is_text(&options[i]))
            continue;
        char **text = field(c, &options[i]);
        free(*text);
        *text = NULL;
    }
}

int sprig_config_copy(struct sprig_config *to, const struct sprig_config *from)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    int err = 0;
    *to = *from;
    for (size_t i = 0; i < n; i++) {
        if (!is_text(&options[i]))
            continue;
        char **text = field(to, &options[i]);
        const char *shared = *text;
        *text = NULL;
        if (shared && err == 0)
            err = store_text(text, shared);
    }
    if (err)
        sprig_config_clear(to);
    return err;
}

/* ------------------------------------------------ what was wrong with it ---- */

static void describe_range(const struct sprig_option *o, char *out, size_t n)
{
    switch (o->type) {
    case SPRIG_OPTION_BOOL:
        snprintf(out, n, "0 or 1");
        return;
    case SPRIG_OPTION_COUNT:
        snprintf(out, n, "%s%sa whole number from %.0f to %.0f", o->choices ? o->choices : "",
                 o->choices ? " or " : "", o->min, o->max);
        return;
    case SPRIG_OPTION_BYTES:
    case SPRIG_OPTION_BYTES32:
        snprintf(out, n, "a number of bytes from %.0f to %.0f (K, M or G may follow)", o->min,
                 o->max);
        return;
    case SPRIG_OPTION_SECONDS:
        snprintf(out, n, "a number of seconds from %.0f to %.0f", o->min, o->max);
        return;
    case SPRIG_OPTION_STRING:
    case SPRIG_OPTION_PATH:
    case SPRIG_OPTION_PATHS:
        snprintf(out, n, "at most %.0f bytes without control characters", o->max);
        return;
    case SPRIG_OPTION_CHOICE:
        snprintf(out, n, "one of %s", o->choices);
        return;
    case SPRIG_OPTION_PLACK:
        break;
    }
    snprintf(out, n, "something else");
}

static void explain(const struct sprig_option *o, const char *value, char *why, size_t n)
{
    char range[128], got[96];
    describe_range(o, range, sizeof(range));
    log_escape(got, sizeof(got), span_str(value));
    snprintf(why, n, "%s must be %s, got '%s'", o->name, range, got);
}

int sprig_config_set(struct sprig_config *c, const char *name, const char *value, char *why,
                     size_t n)
{
    const struct sprig_option *o = sprig_option_find(name);
    union value v;
    if (!o || o->type == SPRIG_OPTION_PLACK)
        return SPRIG_E_NOTFOUND;
    if (!read_value(o, value, &v)) {
        explain(o, value, why, n);
        return SPRIG_E_INVALID;
    }
    if (o->offset == offsetof(struct sprig_config, workers))
        c->workers_is_auto = is_auto(o, value);
    return store_value(c, o, &v);
}

void sprig_config_settle(struct sprig_config *c)
{
    c->master = c->master || c->workers_is_auto;
}

bool sprig_config_has_master(const struct sprig_config *c)
{
    return c->workers > 1 || c->master;
}

/* Prints thousandths, which is enough, and no decimal point of the locale. */
static void print_seconds(double seconds, char *buf, size_t n)
{
    uint64_t ms = (uint64_t)(seconds * 1000 + 0.5);
    if (ms % 1000)
        snprintf(buf, n, "%llu.%03u", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
    else
        snprintf(buf, n, "%llu", (unsigned long long)(ms / 1000));
}

static void print_choice(const char *choices, unsigned i, char *buf, size_t n)
{
    while (i-- > 0)
        choices += strcspn(choices, "|") + 1;
    snprintf(buf, n, "%.*s", (int)strcspn(choices, "|"), choices);
}

const char *sprig_config_get(const struct sprig_config *c, const char *name, char *buf, size_t n)
{
    const struct sprig_option *o = sprig_option_find(name);
    if (!o)
        return NULL;
    const void *from = field(c, o);
    switch (o->type) {
    case SPRIG_OPTION_BOOL:
        snprintf(buf, n, "%d", *(const bool *)from);
        return buf;
    case SPRIG_OPTION_COUNT:
    case SPRIG_OPTION_BYTES32:
        snprintf(buf, n, "%u", *(const uint32_t *)from);
        return buf;
    case SPRIG_OPTION_BYTES:
        snprintf(buf, n, "%llu", (unsigned long long)*(const uint64_t *)from);
        return buf;
    case SPRIG_OPTION_SECONDS:
        print_seconds(*(const double *)from, buf, n);
        return buf;
    case SPRIG_OPTION_STRING:
    case SPRIG_OPTION_PATH:
    case SPRIG_OPTION_PATHS:
        return *(char *const *)from ? *(char *const *)from : "";
    case SPRIG_OPTION_CHOICE:
        print_choice(o->choices, *(const unsigned *)from, buf, n);
        return buf;
    case SPRIG_OPTION_PLACK:
        break;
    }
    return NULL;
}

/* --------------------------------------------------------------- a reload ---- */

bool sprig_option_is_fixed(const struct sprig_option *o)
{
    static const char *const names[] = {
        "config",      "preload_app",      "pid",  "daemonize", "backlog", "socket_mode",
        "socket_user", "socket_group",     "user", "group",     "umask",   "reuseport",
        "admin",       "admin_token_file", "dev",  "watch"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(o->name, names[i]) == 0)
            return true;
    return false;
}

int sprig_config_keep_fixed(struct sprig_config *fresh, const struct sprig_config *before,
                            char *kept, size_t n)
{
    char buf[64], why[256];
    size_t len = 0, n_options;
    int rc = 0;
    const struct sprig_option *options = sprig_options(&n_options);
    *kept = '\0';
    for (size_t i = 0; rc == 0 && i < n_options; i++) {
        const char *name = options[i].name;
        if (!sprig_option_is_fixed(&options[i]))
            continue;
        char *now = strdup(sprig_config_get(fresh, name, buf, sizeof buf));
        const char *was = sprig_config_get(before, name, buf, sizeof buf);
        if (now != NULL && strcmp(now, was) != 0) {
            if (len < n)
                len += (size_t)snprintf(kept + len, n - len, "%s%s", len > 0 ? ", " : "", name);
            rc = sprig_config_set(fresh, name, was, why, sizeof why);
        }
        rc = now == NULL ? SPRIG_E_NOMEM : rc;
        free(now);
    }
    return rc;
}

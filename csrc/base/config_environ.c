/* config_environ.c - options from the environment, and names that are nearly right. */
#include "base/config.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* ------------------------------------------------------------ the environment ---- */

const char *sprig_option_environ(const struct sprig_option *o, char *variable, size_t n)
{
    if (o->type == SPRIG_OPTION_PLACK || strcmp(o->name, "dev") == 0)
        return NULL; /* SPRIG_DEV belongs to the build; nobody gets development mode by accident */
    snprintf(variable, n, "SPRIG_%s", o->name);
    for (char *p = variable; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

int sprig_config_read_environ(struct sprig_config *c, char *why, size_t n)
{
    size_t n_options;
    const struct sprig_option *options = sprig_options(&n_options);
    char variable[64], text[256] = "";
    for (size_t i = 0; i < n_options; i++) {
        const char *value = sprig_option_environ(&options[i], variable, sizeof variable);
        int err = value ? sprig_config_set(c, options[i].name, value, text, sizeof text) : 0;
        if (err == SPRIG_E_INVALID)
            snprintf(why, n, "%s: %s", variable, text);
        if (err)
            return err;
    }
    return 0;
}

int sprig_config_read_platform(struct sprig_config *c, char *why, size_t n)
{
    const char *workers = getenv("WEB_CONCURRENCY");
    char text[256] = "";
    if (workers == NULL || *workers == '\0')
        return 0;
    int err = sprig_config_set(c, "workers", workers, text, sizeof text);
    if (err == SPRIG_E_INVALID)
        snprintf(why, n, "WEB_CONCURRENCY: %s", text);
    return err;
}

/* Names that mean something else after SPRIG_: "DEBUG", "SERVICE_HOST" ... */
static bool is_reserved(const char *name)
{
    static const char *const names[] = {"ADMIN",         "CHANNELS",    "DEBUG",   "DEV",
                                        "EDITOR",        "SANITIZE",    "TICKETS", "UPGRADE",
                                        "UPGRADE_ADMIN", "UPGRADE_PID", "PORT"};
    static const char *const prefixes[] = {"PORT_", "SERVICE_", "TEST_"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static bool is_option(const char *name)
{
    char lower[64];
    if (strlen(name) >= sizeof lower)
        return false;
    size_t n = 0;
    for (; name[n] != '\0'; n++)
        lower[n] = (char)(name[n] >= 'A' && name[n] <= 'Z' ? name[n] - 'A' + 'a' : name[n]);
    lower[n] = '\0';
    const struct sprig_option *o = sprig_option_find(lower);
    return o != NULL && o->type != SPRIG_OPTION_PLACK;
}

const char *sprig_environ_unknown(size_t *i, char *buf, size_t n)
{
    static const char prefix[] = "SPRIG_";
    const size_t len = sizeof prefix - 1;
    for (; environ != NULL && environ[*i] != NULL; (*i)++) {
        const char *entry = environ[*i];
        size_t n_name = strcspn(entry, "=");
        if (n_name >= n || n_name <= len || strncmp(entry, prefix, len) != 0)
            continue;
        memcpy(buf, entry, n_name);
        buf[n_name] = '\0';
        if (is_reserved(buf + len) || is_option(buf + len))
            continue;
        (*i)++;
        return buf;
    }
    return NULL;
}

/* -------------------------------------------------------------- nearly right ---- */

enum { NAME_BYTES = 64 };

static char folded(char c)
{
    return (char)(c == '-' ? '_' : c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned min = a < b ? a : b;
    return min < c ? min : c;
}

/* How many characters must be changed, inserted or deleted. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NAME_BYTES + 1];
    size_t n = strlen(b);
    for (size_t k = 0; k <= n; k++)
        row[k] = (unsigned)k;
    for (size_t i = 0; a[i] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t k = 0; k < n; k++) {
            unsigned change = diagonal + (folded(a[i]) != folded(b[k]));
            diagonal = row[k + 1];
            row[k + 1] = least(change, diagonal + 1, row[k] + 1);
        }
    }
    return row[n];
}

const char *sprig_option_nearest(const char *name)
{
    size_t n, len = strlen(name);
    const struct sprig_option *options = sprig_options(&n);
    const char *best = NULL;
    unsigned best_distance = len < 4 ? 2 : len < 12 ? 3 : 4; /* must be less than this */
    if (len > NAME_BYTES)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        unsigned d = options[i].group != NULL ? distance(name, options[i].name) : best_distance;
        if (d < best_distance) {
            best = options[i].name;
            best_distance = d;
        }
    }
    return best;
}

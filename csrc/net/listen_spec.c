/* listen_spec.c - reading and writing addresses; see listen_spec.h */
#include "net/listen_spec.h"

#include "base/log.h"
#include "base/path.h"
#include "sprig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char forms[] =
    "an address is PORT, *:PORT, HOST:PORT, [IPV6]:PORT, unix:PATH, a path with a "
    "slash or @NAME, and \",tls\", \",redirect\", \",h2c\" or \",proxy_protocol\" may follow";

/* What is being read, and where to report what is wrong with it. */
struct reading {
    struct sprig_listen_spec *out;
    const char *text; /* all of it */
    char *why;
    size_t n;
};

static int complain(const struct reading *r, const char *reason, const char *hint)
{
    char shown[160];
    log_escape(shown, sizeof shown, span_str(r->text));
    snprintf(r->why, r->n, "cannot listen on %s: %s%s%s", shown, reason, hint ? "; " : "",
             hint ? hint : "");
    return SPRIG_E_INVALID;
}

/* --------------------------------------------------------------------- options ---- */

static bool is_word(const char *text)
{
    return *text >= 'a' && *text <= 'z' &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

const struct sprig_listen_flag *sprig_listen_flags(size_t *n)
{
    static const struct sprig_listen_flag flags[] = {
        {"tls", offsetof(struct sprig_listen_options, tls), 2},
        {"redirect", offsetof(struct sprig_listen_options, redirect), 4},
        {"h2c", offsetof(struct sprig_listen_options, h2c), 8},
        {"proxy_protocol", offsetof(struct sprig_listen_options, proxy_protocol), 1},
    };
    *n = sizeof flags / sizeof *flags;
    return flags;
}

/* False: there is no option of that name. */
static bool set_flag(struct sprig_listen_options *options, const char *name)
{
    size_t n;
    const struct sprig_listen_flag *flags = sprig_listen_flags(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(flags[i].name, name) == 0)
            return *sprig_listen_flag(options, &flags[i]) = true;
    return false;
}

/* Cuts ",word" off the end as long as there is one; anything else after a comma belongs to a path.
 */
static int cut_options(const struct reading *r, char *address)
{
    char *comma, reason[64];
    while ((comma = strrchr(address, ',')) != NULL && is_word(comma + 1)) {
        if (!set_flag(&r->out->options, comma + 1)) {
            snprintf(reason, sizeof reason, "'%.30s' is not an option of an address", comma + 1);
            return complain(r, reason, forms);
        }
        *comma = '\0';
    }
    if (r->out->options.tls && r->out->options.redirect)
        return complain(r, "tls and redirect exclude each other", NULL);
    return 0;
}

/* ----------------------------------------------------------------------- forms ---- */

static int read_path(const struct reading *r, const char *path)
{
    char *absolute = path_absolute(path);
    if (absolute == NULL)
        return complain(r, strerror(errno), NULL);
    size_t len = strlen(absolute);
    r->out->kind = SPRIG_LISTEN_UNIX;
    if (len < sizeof r->out->path)
        memcpy(r->out->path, absolute, len + 1);
    free(absolute);
    if (len == 0)
        return complain(r, "there is no path", forms);
    return len < sizeof r->out->path ? 0
                                     : complain(r, "the path is too long for a unix socket", NULL);
}

static int read_name(const struct reading *r, const char *name)
{
    size_t len = strlen(name);
    r->out->kind = SPRIG_LISTEN_ABSTRACT;
    if (len == 0)
        return complain(r, "there is no name", forms);
    if (len > sizeof r->out->path - 2) /* an abstract name starts with a NUL */
        return complain(r, "the name is too long for a unix socket", NULL);
    memcpy(r->out->path, name, len + 1);
    return 0;
}

static int read_port(const struct reading *r, const char *digits)
{
    if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0')
        return complain(r, "there is no port", forms);
    if (strlen(digits) > 5 || atoi(digits) > 65535)
        return complain(r, "the port must be 0..65535", NULL);
    strcpy(r->out->port, digits);
    return 0;
}

/* Without brackets a colon could belong to an IPv6 address. */
static int read_host(const struct reading *r, const char *host, size_t len)
{
    bool is_bracketed = len > 2 && host[0] == '[' && host[len - 1] == ']';
    if (is_bracketed) {
        host++;
        len -= 2;
    }
    if ((!is_bracketed && memchr(host, ':', len) != NULL) || memchr(host, '[', len) != NULL ||
        len >= sizeof r->out->host)
        return complain(r, "that is not a host and a port", forms);
    memcpy(r->out->host, host, len);
    r->out->host[len] = '\0';
    return 0;
}

static int read_tcp(const struct reading *r, const char *address)
{
    const char *colon = strrchr(address, ':');
    r->out->kind = SPRIG_LISTEN_TCP;
    if (colon == NULL && address[strspn(address, "0123456789")] != '\0')
        return complain(r, "that is not a port, and a path needs a slash", forms);
    if (colon == NULL)
        return read_port(r, address);
    int rc = read_host(r, address, (size_t)(colon - address));
    return rc == 0 ? read_port(r, colon + 1) : rc;
}

static int read_address(const struct reading *r, const char *address)
{
    if (*address == '\0')
        return complain(r, "the address is empty", NULL);
    if (strncmp(address, "unix:", 5) == 0)
        return address[5] == '@' ? read_name(r, address + 6) : read_path(r, address + 5);
    if (*address == '@')
        return read_name(r, address + 1);
    if (strstr(address, "://") != NULL)
        return complain(r, "that is a URL", forms);
    return strchr(address, '/') != NULL ? read_path(r, address) : read_tcp(r, address);
}

int sprig_listen_spec_read(struct sprig_listen_spec *out, const char *text, char *why, size_t n)
{
    struct reading r = {out, text, why, n};
    char address[1024];
    memset(out, 0, sizeof *out);
    if (strlen(text) >= sizeof address)
        return complain(&r, "it is too long", NULL);
    strcpy(address, text);
    int rc = cut_options(&r, address);
    return rc == 0 ? read_address(&r, address) : rc;
}

/* --------------------------------------------------------------------- as text ---- */

char *sprig_listen_join(const char *host, const char *port, char *buf, size_t n)
{
    bool is_v6 = strchr(host, ':') != NULL && *host != '[';
    snprintf(buf, n, "%s%s%s:%s", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
    return buf;
}

char *sprig_listen_spec_print(const struct sprig_listen_spec *spec, char *buf, size_t n)
{
    if (spec->kind == SPRIG_LISTEN_TCP)
        sprig_listen_join(spec->host, spec->port, buf, n);
    else
        snprintf(buf, n, "unix:%s%s", spec->kind == SPRIG_LISTEN_ABSTRACT ? "@" : "", spec->path);
    struct sprig_listen_options options = spec->options;
    size_t n_flags, len = strlen(buf);
    const struct sprig_listen_flag *flags = sprig_listen_flags(&n_flags);
    for (size_t i = 0; i < n_flags; i++, len += strlen(buf + len))
        if (*sprig_listen_flag(&options, &flags[i]))
            snprintf(buf + len, n - len, ",%s", flags[i].name);
    return buf;
}

void listen_spec_of_address(struct sprig_listen_spec *out, const struct sprig_address *address,
                            const struct sprig_listen_options *options)
{
    memset(out, 0, sizeof *out);
    out->kind = SPRIG_LISTEN_TCP;
    snprintf(out->host, sizeof out->host, "%s", address->host);
    snprintf(out->port, sizeof out->port, "%.5s", address->port);
    out->options = *options;
}

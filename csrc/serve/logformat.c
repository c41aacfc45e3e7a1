/* logformat.c - reads access log formats; see logformat.h */
#include "serve/logformat.h"
#include "base/err.h"
#include "serve/logformat_items.h"
#include <stdio.h>
#include <stdlib.h>

static const struct {
    char letter;
    enum log_kind kind;
} directives[] = {
    {'h', LOG_HOST},   {'u', LOG_USER},       {'t', LOG_TIME},    {'r', LOG_LINE},
    {'s', LOG_STATUS}, {'b', LOG_BYTES},      {'T', LOG_SECONDS}, {'D', LOG_MICROSECONDS},
    {'v', LOG_NAME},   {'V', LOG_ASKED_NAME}, {'p', LOG_PORT},    {'P', LOG_PID},
    {'m', LOG_METHOD}, {'U', LOG_PATH},       {'q', LOG_QUERY},   {'H', LOG_PROTOCOL},
};

/* The formats that have these names in Apache. */
static const char *text_of(const char *format)
{
    if (strcmp(format, "common") == 0)
        return "%h %l %u %t \"%r\" %>s %b";
    if (strcmp(format, "combined") == 0)
        return "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"";
    if (strcmp(format, "short") == 0)
        return "%{clock}x %{asked}x %s %{took}x %b";
    return format;
}

bool log_format_is_name(const char *format)
{
    return strcmp(format, "json") == 0 || text_of(format) != format;
}

static const struct {
    const char *name;
    enum log_kind kind;
} extras[] = {
    {"queue", LOG_QUEUE_TIME},  {"app", LOG_APP_TIME},
    {"send", LOG_SEND_TIME},    {"http_version", LOG_VERSION},
    {"tls_protocol", LOG_TLS},  {"raw", LOG_RAW},
    {"iso_time", LOG_ISO_TIME}, {"request_id", LOG_REQUEST_ID},
    {"asked", LOG_ASKED},       {"clock", LOG_CLOCK},
    {"took", LOG_TOOK},         {"tls_cipher", LOG_TLS_CIPHER},
    {"refused", LOG_REFUSED},
};

/* False: unknown name. */
static bool find_extra(const char *name, enum log_kind *kind)
{
    for (size_t i = 0; i < sizeof extras / sizeof extras[0]; i++)
        if (strcmp(extras[i].name, name) == 0) {
            *kind = extras[i].kind;
            return true;
        }
    return false;
}

static void add_item(struct log_format *f, enum log_kind kind, const char *text, size_t n)
{
    struct sprig_span before = span_make(f->fixed + strlen(f->fixed) - f->n_before, f->n_before);
    f->n_before = 0;
    f->items[f->n_items++] = (struct log_item){kind, 0, 0, before, span_make(text, n)};
    f->has_host |= kind == LOG_HOST;
    f->has_server |= kind == LOG_NAME || kind == LOG_ASKED_NAME || kind == LOG_PORT;
    f->has_time |= kind == LOG_SECONDS || kind == LOG_MICROSECONDS ||
                   (kind >= LOG_QUEUE_TIME && kind < LOG_END);
    f->has_tls |= kind == LOG_TLS || kind == LOG_TLS_CIPHER;
    f->has_user |= kind == LOG_USER;
    f->has_out |= kind == LOG_OUT_HEADER;
    if (kind >= LOG_LATE)
        f->most_bytes += kind == LOG_STRFTIME  ? 4 * LOG_STRFTIME_BYTES + 2
                         : kind == LOG_REFUSED ? LOG_REASON_BYTES + 2
                                               : LOG_TIME_BYTES;
}

static void add_text(struct log_format *f, const char *text, size_t n)
{
    memcpy(f->fixed + strlen(f->fixed), text, n);
    f->n_before += n;
    f->most_bytes += n;
}

/* Reads %{name}x from the brace on. Returns the end of the directive, or NULL. */
static char *read_block(struct log_format *f, char *at)
{
    char *name = at + 1, *end = strchr(name, '}');
    if (!end || end == name)
        return NULL;
    *end = '\0';
    size_t n = (size_t)(end - name);
    enum log_kind kind;
    switch (end[1]) {
    case 'x':
        if (find_extra(name, &kind)) {
            add_item(f, kind, "", 0);
            break;
        }
        *end = '}';
        return NULL;
    case 'i':
    case 'o':
        for (char *p = name; p < end; p++)
            if (*p == '_')
                *p = '-';
        add_item(f, end[1] == 'i' ? LOG_HEADER : LOG_OUT_HEADER, name, n);
        break;
    case 't':
        add_item(f, LOG_STRFTIME, name, n);
        break;
    default:
        *end = '}';
        return NULL;
    }
    return end + 2;
}

/* Reads what follows a percent sign. Returns the end of the directive, or NULL. */
static char *read_directive(struct log_format *f, char *at)
{
    if (*at == '{')
        return read_block(f, at);
    if (*at == '<' || *at == '>')
        at++;
    if (*at == '%' || *at == 'l') {
        add_text(f, *at == '%' ? "%" : "-", 1);
        return at + 1;
    }
    for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++)
        if (directives[i].letter == *at && *at) {
            add_item(f, directives[i].kind, "", 0);
            return at + 1;
        }
    return NULL;
}

/* False: *bad is the invalid directive. */
static bool read_items(struct log_format *f, char **bad)
{
    char *at = f->text;
    while (*at) {
        size_t n = strcspn(at, "%");
        if (n > 0) {
            add_text(f, at, n);
            at += n;
            continue;
        }
        *bad = at;
        at = read_directive(f, at + 1);
        if (!at)
            return false;
    }
    add_text(f, "\n", 1);
    add_item(f, LOG_END, "", 0);
    return true;
}

/* Joins adjacent items that are known when the request arrives. */
static void join_early(struct log_format *f)
{
    uint32_t n;
    for (size_t i = 0; i < f->n_items; i += n + 1) {
        struct log_item *first = &f->items[i];
        first->n_fixed = LOG_BLOCK_BYTES;
        for (n = 0; first[n].kind < LOG_LATE; n++) /* the last item is a late one */
            first->n_fixed += first[n].before.len + LOG_VALUE_BYTES;
        first->n_early = n;
    }
}

int log_format_read(struct log_format *f, const char *text, char *bad, size_t n)
{
    char *wrong;
    *f = (struct log_format){.is_json = strcmp(text, "json") == 0};
    if (f->is_json) {
        f->has_host = f->has_server = f->has_time = f->has_tls = f->has_user = true;
        return 0;
    }
    size_t most = strlen(text_of(text)) + 1; /* of items: one a byte, and the newline */
    f->text = strdup(text_of(text));
    f->items = calloc(most, sizeof(*f->items));
    f->fixed = calloc(most + 1 + LOG_BLOCK_BYTES, 1);
    if (!f->text || !f->items || !f->fixed) {
        log_format_clear(f);
        return SPRIG_E_NOMEM;
    }
    f->most_bytes = LOG_BLOCK_BYTES;
    if (read_items(f, &wrong)) {
        join_early(f);
        return 0;
    }
    char *brace = wrong[1] == '{' ? strchr(wrong, '}') : NULL;
    snprintf(bad, n, "%.*s", brace ? (int)(brace + 2 - wrong) : 2, wrong);
    log_format_clear(f);
    return SPRIG_E_INVALID;
}

void log_format_clear(struct log_format *f)
{
    free(f->items);
    free(f->text);
    free(f->fixed);
    *f = (struct log_format){0};
}

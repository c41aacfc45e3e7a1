/* admin_config.c - see admin_config.h */
#include "process/admin_config.h"

#include "base/config_file.h"
#include "process/admin_internal.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *shown; /* owned; NULL: not set yet */
static void (*on_reload)(void *arg);
static void *on_reload_arg;

void sprig_admin_show_config(char *text)
{
    if (text == NULL)
        return;
    pthread_mutex_lock(&lock);
    free(shown);
    shown = text;
    pthread_mutex_unlock(&lock);
}

static void add_option(struct text *out, const char *name, const char *value)
{
    char *quoted = malloc(SPRIG_CONFIG_QUOTED_BYTES(strlen(value)));
    if (quoted != NULL)
        text_add(out, "%s = %s\n", name, sprig_config_quote(value, quoted));
    free(quoted);
}

static void add_options(struct text *out, const struct sprig_config *config)
{
    size_t n;
    char buf[128];
    const struct sprig_option *options = sprig_options(&n);
    for (size_t i = 0; i < n; i++)
        if (options[i].type != SPRIG_OPTION_PLACK && sprig_option_fits_file(&options[i]))
            add_option(out, options[i].name,
                       sprig_config_get(config, options[i].name, buf, sizeof buf));
}

void sprig_admin_on_reload(void (*show)(void *arg), void *arg)
{
    on_reload = show;
    on_reload_arg = arg;
}

void sprig_admin_show_options(const struct sprig_config *config)
{
    if (on_reload != NULL) {
        on_reload(on_reload_arg);
        return;
    }
    struct text text = {.ptr = NULL};
    add_options(&text, config);
    sprig_admin_show_config(text.ptr);
}

void admin_add_config_text(struct text *out, const struct admin *a)
{
    pthread_mutex_lock(&lock);
    if (shown != NULL)
        text_add(out, "%s", shown);
    pthread_mutex_unlock(&lock);
    if (out->len == 0)
        add_options(out, a->host.config);
}

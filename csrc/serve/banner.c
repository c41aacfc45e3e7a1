/* banner.c - see banner.h */
#include "serve/banner.h"

#include "base/log_start.h"
#include <stdio.h>
#include <stdlib.h>

static char *print_url(const struct sprig_address *a, char *buf, size_t n)
{
    bool is_v6 = strchr(a->host, ':') != NULL;
    if (a->is_unix)
        snprintf(buf, n, "unix:%s", a->port);
    else
        snprintf(buf, n, "%s://%s%s%s:%s/", a->is_tls ? "https" : "http", is_v6 ? "[" : "", a->host,
                 is_v6 ? "]" : "", a->port);
    return buf;
}

void sprig_banner_print(const struct sprig_address *address, uint32_t n_workers, const char *env)
{
    char url[sizeof *address + 16], line[sizeof url + 200];
    int len =
        snprintf(line, sizeof line, "sprig %s: %s (%u worker%s, %.100s)\n", SPRIG_VERSION,
                 print_url(address, url, sizeof url), n_workers, n_workers == 1 ? "" : "s", env);
    log_start_over();
    if (len > 0)
        sprig_log_print_output(SPRIG_LOG_INFO, line, (size_t)len);
}

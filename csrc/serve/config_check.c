/* config_check.c - checks whether all options fit together, which the value of a single one cannot
 * show. */
#include "base/cidr.h"
#include "base/privileges.h"
#include "http/proxy.h"
#include "serve/logformat.h"
#include "sprig.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Every perl takes more than this. */
enum { RSS_LEAST = 4 * 1024 * 1024 };

/* Refuses options that have a process replaced if nobody would start the next one. */
static int check_retire(const struct sprig_config *c, char *why, size_t n)
{
    const char *name = c->max_requests != 0  ? "max_requests"
                       : c->max_rss != 0     ? "max_rss"
                       : c->max_lifetime > 0 ? "max_lifetime"
                                             : NULL;
    if (name == NULL)
        return 0;
    snprintf(why, n, "%s needs master, or workers of 2 or more: only a master replaces processes",
             name);
    return SPRIG_E_INVALID;
}

static int check_mode(const char *name, const char *value, char *why, size_t n)
{
    unsigned mode;
    if (value == NULL || privileges_read_mode(value, &mode))
        return 0;
    snprintf(why, n, "%s must be an octal number from 0 to 777, got '%.200s'", name, value);
    return SPRIG_E_INVALID;
}

int sprig_config_check(const struct sprig_config *c, char *why, size_t n)
{
    if (c->workers_limit != 0 && c->workers_limit < c->workers) {
        snprintf(why, n, "workers_limit must be 0, or not less than workers (%u), got '%u'",
                 c->workers, c->workers_limit);
        return SPRIG_E_INVALID;
    }
    if (c->low_water_bytes > c->high_water_bytes) {
        snprintf(why, n, "low_water_bytes must not exceed high_water_bytes (%llu), got '%llu'",
                 (unsigned long long)c->high_water_bytes, (unsigned long long)c->low_water_bytes);
        return SPRIG_E_INVALID;
    }
    if (c->max_rss != 0 && c->max_rss < RSS_LEAST) {
        snprintf(why, n, "max_rss must be 0 or at least 4M, as in 800M; got '%llu' bytes",
                 (unsigned long long)c->max_rss);
        return SPRIG_E_INVALID;
    }
    if (check_mode("umask", c->umask, why, n) != 0 ||
        check_mode("socket_mode", c->socket_mode, why, n) != 0)
        return SPRIG_E_INVALID;
    if (!sprig_config_has_master(c) && check_retire(c, why, n) != 0)
        return SPRIG_E_INVALID;
    if (c->probe && (*c->probe != '/' || c->probe[strcspn(c->probe, " \t\r\n#")] != '\0')) {
        snprintf(why, n, "probe must be a path as in a request line, got '%.200s'", c->probe);
        return SPRIG_E_INVALID;
    }
    if (c->tls_verify != SPRIG_VERIFY_NONE && c->tls_client_ca == NULL) {
        snprintf(why, n, "tls_verify needs tls_client_ca: the authorities for client certificates");
        return SPRIG_E_INVALID;
    }
    if (privileges_check_owner(c, why, n) != 0)
        return SPRIG_E_INVALID;
    char bad[64];
    struct cidr_list networks;
    if (cidr_list_read(&networks, c->trusted_proxies, bad, sizeof bad) == SPRIG_E_INVALID) {
        snprintf(why, n,
                 "trusted_proxies must be a list of addresses and networks, or a number of hops "
                 "from 1 to %d, got '%s'",
                 PROXY_MAX_HOPS, bad);
        return SPRIG_E_INVALID;
    }
    cidr_list_clear(&networks);
    struct log_format format;
    if (c->access_log_format) {
        if (log_format_read(&format, c->access_log_format, bad, sizeof bad) == SPRIG_E_INVALID) {
            snprintf(why, n, "access_log_format: there is no directive '%s'", bad);
            return SPRIG_E_INVALID;
        }
        bool says_nothing =
            strchr(c->access_log_format, '%') == NULL && !log_format_is_name(c->access_log_format);
        log_format_clear(&format);
        if (says_nothing) {
            snprintf(why, n,
                     "access_log_format must be json, common, combined, short or a format with "
                     "directives such as %%h, got '%.200s'",
                     c->access_log_format);
            return SPRIG_E_INVALID;
        }
    }
    if (c->temp_dir && access(c->temp_dir, W_OK | X_OK) == -1) {
        snprintf(why, n, "temp_dir must be a folder that can be written to, got '%s'", c->temp_dir);
        return SPRIG_E_INVALID;
    }
    return 0;
}

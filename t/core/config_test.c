/* The table of options: reading, printing and refusing values. */
#include "base/err.h"
#include "base/log.h"
#include "sprig.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sprig_config config;
static char why[256];

static int set(const char *name, const char *value)
{
    why[0] = '\0';
    return sprig_config_set(&config, name, value, why, sizeof(why));
}

static const char *get(const char *name)
{
    static char buf[64];
    return sprig_config_get(&config, name, buf, sizeof(buf));
}

/* The value is taken, and reads as `as` from then on. */
static void takes(const char *name, const char *value, const char *as)
{
    const char *now = set(name, value) == 0 ? get(name) : why;
    is_str(now, as, "%s takes '%s'", name, value);
}

/* The value is refused, nothing changes, and the message is this. */
static void refuses(const char *name, const char *value, const char *message)
{
    char shown[80], before[64];
    log_escape(shown, sizeof(shown), span_str(value));
    snprintf(before, sizeof(before), "%s", get(name));
    ok(set(name, value) == SPRIG_E_INVALID && strcmp(get(name), before) == 0, "%s refuses '%s'",
       name, shown);
    is_str(why, message, "... and says why");
}

static void defaults(void)
{
    ok(config.max_request_line == 8192 && config.max_header_bytes == 65536, "limits of the head");
    ok(config.max_headers == 100 && config.max_body_bytes == 128 << 20, "limits of a request");
    ok(config.header_timeout == 15 && config.keepalive_timeout == 65, "deadlines");
    ok(config.keepalive && config.no_delay && !config.die_on_disconnect, "switches");
    ok(config.backlog == 0 && config.nested == SPRIG_NESTED_HOLD, "backlog and nesting");
    ok(!config.temp_dir && !config.server_header, "texts are NULL");
    ok(sprig_config_check(&config, why, sizeof(why)) == 0, "the defaults fit together");
}

/* Each field of the table has its default, and takes back what it prints. */
static void every_field(void)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    for (size_t i = 0; i < n; i++) {
        const struct sprig_option *o = &options[i];
        ok(sprig_option_find(o->name) == o, "%s is found by its name", o->name);
        if (o->type == SPRIG_OPTION_PLACK) {
            ok(!get(o->name) && set(o->name, "1") == SPRIG_E_NOTFOUND, "%s: no field", o->name);
            continue;
        }
        char before[64];
        snprintf(before, sizeof(before), "%s", get(o->name));
        ok(set(o->name, o->initial) == 0, "%s takes its default", o->name);
        is_str(get(o->name), before, "... and had it from the start");
        ok(set(o->name, before) == 0, "%s takes what it prints", o->name);
    }
}

static void names(void)
{
    ok(sprig_option_find("max-body-bytes") == sprig_option_find("max_body_bytes"),
       "dashes are underscores");
    ok(!sprig_option_find("max_body") && !sprig_option_find("max_body_bytess"), "whole names only");
    ok(!sprig_option_find(""), "no empty name");
    ok(set("no_such_option", "1") == SPRIG_E_NOTFOUND, "an unknown name is not found");
    ok(!get("no_such_option"), "nor is its value");
}

static void counts(void)
{
    static const char *const bad[] = {"100001", "",   "-1",   "+1",
                                      " 1",     "1 ", "many", "0x10",
                                      "1e3",    "1K", "4.0",  "99999999999999999999999"};
    takes("max_headers", "0", "0");
    takes("max_headers", "100000", "100000");
    takes("max_headers", "007", "7");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char message[128];
        snprintf(message, sizeof(message),
                 "max_headers must be a whole number from 0 to 100000, got '%s'", bad[i]);
        refuses("max_headers", bad[i], message);
    }
    takes("max_keepalive_requests", "4294967295", "4294967295");
    refuses("max_keepalive_requests", "4294967296",
            "max_keepalive_requests must be a whole number from 0 to 4294967295, "
            "got '4294967296'");
}

static void bytes(void)
{
    takes("max_body_bytes", "0", "0");
    takes("max_body_bytes", "10K", "10240");
    takes("max_body_bytes", "3m", "3145728");
    takes("max_body_bytes", "5G", "5368709120");
    takes("max_body_bytes", "1125899906842624", "1125899906842624");
    refuses("max_body_bytes", "1125899906842625",
            "max_body_bytes must be a number of bytes from 0 to 1125899906842624 "
            "(K, M or G may follow), got '1125899906842625'");
    static const char *const bad[] = {
        "", "K", "1KK", "1KB", "1 K", "-1", "1.5M", "1T", "18446744073709551615G"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ok(set("max_body_bytes", bad[i]) == SPRIG_E_INVALID, "max_body_bytes refuses '%s'", bad[i]);
    takes("max_header_bytes", "16M", "16777216");
    refuses("max_header_bytes", "16777217",
            "max_header_bytes must be a number of bytes from 0 to 16777216 "
            "(K, M or G may follow), got '16777217'");
}

static void seconds(void)
{
    takes("header_timeout", "0", "0");
    takes("header_timeout", "2.5", "2.500");
    takes("header_timeout", ".25", "0.250");
    takes("header_timeout", "31536000", "31536000");
    refuses("header_timeout", "31536001",
            "header_timeout must be a number of seconds from 0 to 31536000, got '31536001'");
    static const char *const bad[] = {"", ".", "1.", "-1", "inf", "nan", "1e2", "0x1", " 1", "1s"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ok(set("header_timeout", bad[i]) == SPRIG_E_INVALID, "header_timeout refuses '%s'", bad[i]);
}

static void switches(void)
{
    static const char *const on[] = {"1", "yes", "true", "on", "TRUE"};
    static const char *const off[] = {"0", "no", "false", "off", ""};
    for (size_t i = 0; i < 5; i++) {
        takes("keepalive", off[i], "0");
        takes("keepalive", on[i], "1");
    }
    refuses("keepalive", "2", "keepalive must be 0 or 1, got '2'");
    refuses("keepalive", "yess", "keepalive must be 0 or 1, got 'yess'");
}

static void choices(void)
{
    takes("nested", "dispatch", "dispatch");
    ok(config.nested == SPRIG_NESTED_DISPATCH, "dispatch is the second");
    takes("nested", "croak", "croak");
    ok(config.nested == SPRIG_NESTED_CROAK, "croak is the third");
    takes("nested", "hold", "hold");
    refuses("nested", "hol", "nested must be one of hold|dispatch|croak, got 'hol'");
    refuses("nested", "", "nested must be one of hold|dispatch|croak, got ''");
    refuses("nested", "hold|dispatch",
            "nested must be one of hold|dispatch|croak, got 'hold|dispatch'");
}

static void texts(void)
{
    char longest[202];
    memset(longest, 'x', sizeof(longest));
    longest[200] = '\0';
    takes("server_header", "Sprig (test)", "Sprig (test)");
    takes("server_header", longest, longest);
    takes("server_header", "", "");
    ok(!config.server_header, "an empty text is NULL");
    longest[200] = 'x', longest[201] = '\0';
    ok(set("server_header", longest) == SPRIG_E_INVALID, "one byte more is refused");
    refuses("server_header", "a\r\nSet-Cookie: b",
            "server_header must be at most 200 bytes without control characters, "
            "got 'a\\x0D\\x0ASet-Cookie: b'");
}

static void copies(void)
{
    struct sprig_config copy;
    takes("server_header", "one", "one");
    takes("max_headers", "42", "42");
    ok(sprig_config_copy(&copy, &config) == 0, "copied");
    ok(copy.max_headers == 42 && strcmp(copy.server_header, "one") == 0, "the copy is equal");
    takes("server_header", "two", "two");
    is_str(copy.server_header, "one", "and has its own text");
    sprig_config_clear(&copy);
    ok(!copy.server_header, "clear frees the texts");
}

static void relations(void)
{
    takes("high_water_bytes", "1000", "1000");
    takes("low_water_bytes", "1000", "1000");
    ok(sprig_config_check(&config, why, sizeof(why)) == 0, "low = high is fine");
    takes("low_water_bytes", "1001", "1001");
    ok(sprig_config_check(&config, why, sizeof(why)) == SPRIG_E_INVALID, "low > high is not");
    is_str(why, "low_water_bytes must not exceed high_water_bytes (1000), got '1001'", "says why");
    takes("low_water_bytes", "0", "0");
    takes("temp_dir", "/nonexistent/folder", "/nonexistent/folder");
    ok(sprig_config_check(&config, why, sizeof(why)) == SPRIG_E_INVALID, "no such temp_dir");
    is_str(why, "temp_dir must be a folder that can be written to, got '/nonexistent/folder'",
           "says why");
    takes("temp_dir", "", "");
    takes("max_requests", "10", "10");
    ok(sprig_config_check(&config, why, sizeof(why)) == SPRIG_E_INVALID, "nobody replaces it");
    is_str(why,
           "max_requests needs master, or workers of 2 or more: only a master replaces processes",
           "says why");
    takes("workers", "2", "2");
    ok(sprig_config_check(&config, why, sizeof(why)) == 0, "a master does");
}

int main(void)
{
    static void (*const tests[])(void) = {defaults, every_field, names, counts, bytes,    seconds,
                                          switches, choices,     texts, copies, relations};
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        sprig_config_init(&config);
        tests[i]();
        sprig_config_clear(&config);
    }
    return done_testing();
}

/* option.c - options as text, "name=value": what is taken prints as something that is taken and
 * prints the same; what is refused changes nothing and says why. */
#include "base/config.h"
#include "base/err.h"
#include "fuzz.h"

static void check_taken(struct sprig_config *config, const char *name)
{
    char first[4100], second[4100], buf[64], why[300];
    snprintf(first, sizeof first, "%s", sprig_config_get(config, name, buf, sizeof buf));
    FUZZ_CHECK(sprig_config_set(config, name, first, why, sizeof why) == 0);
    snprintf(second, sizeof second, "%s", sprig_config_get(config, name, buf, sizeof buf));
    FUZZ_CHECK(strcmp(first, second) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sprig_config config, copy;
    char why[300] = "";
    char *text = exact_copy(data, n);
    text = realloc(text, n + 1);
    text[n] = '\0';
    char *value = strchr(text, '=');
    if (value != NULL)
        *value++ = '\0';
    sprig_config_init(&config);
    int rc = sprig_config_set(&config, text, value ? value : "", why, sizeof why);
    FUZZ_CHECK(rc == 0 || rc == SPRIG_E_NOTFOUND || rc == SPRIG_E_INVALID);
    FUZZ_CHECK((rc == SPRIG_E_INVALID) == (*why != '\0'));
    for (const char *p = why; *p; p++)
        FUZZ_CHECK(*p >= 0x20 && *p < 0x7f);
    if (rc == 0)
        check_taken(&config, text);
    FUZZ_CHECK(sprig_config_copy(&copy, &config) == 0);
    sprig_config_clear(&copy);
    sprig_config_clear(&config);
    free(text);
    return 0;
}

/* options.c - the options of a server, from a hash of Perl. */
#include "options.h"

SV *psgi_options_read(pTHX_ struct sprig_config *config, HV *options)
{
    size_t n;
    const struct sprig_option *rows = sprig_options(&n);
    char why[512];

    if (sprig_config_read_environ(config, why, sizeof why) != 0)
        return newSVpv(why, 0);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].type == SPRIG_OPTION_PLACK)
            continue;
        SV **value = hv_fetch(options, rows[i].name, (I32)strlen(rows[i].name), 0);
        if (value == NULL || !SvOK(*value))
            continue;
        const char *text = SvPV_nolen(*value);
        if (rows[i].type == SPRIG_OPTION_BOOL && *text == '\0')
            text = "0"; /* Perl's false */
        if (sprig_config_set(config, rows[i].name, text, why, sizeof why) != 0)
            return newSVpv(why, 0);
    }
    return sprig_config_check(config, why, sizeof why) != 0 ? newSVpv(why, 0) : NULL;
}

SV *psgi_options_check(pTHX_ HV *options)
{
    struct sprig_config config;
    SV *wrong;

    sprig_config_init(&config);
    wrong = psgi_options_read(aTHX_ & config, options);
    sprig_config_clear(&config);
    return wrong;
}

SV *psgi_options_get(pTHX_ HV *options, const char *name)
{
    struct sprig_config config;
    char buf[128];
    SV *wrong, *value;

    sprig_config_init(&config);
    wrong = psgi_options_read(aTHX_ & config, options);
    value = wrong == NULL ? newSVpv(sprig_config_get(&config, name, buf, sizeof buf), 0) : NULL;
    sprig_config_clear(&config);
    if (wrong != NULL)
        croak_sv(sv_2mortal(wrong));
    return value;
}

bool psgi_options_flag(pTHX_ HV *options, const char *name)
{
    SV **value = hv_fetch(options, name, (I32)strlen(name), 0);

    return value != NULL && SvTRUE(*value);
}

/* options.c - the options of a Sprig::Server: makes a configuration from a hash, the environment
 * and a file. */
#include "options.h"

#include "base/config_file.h"

#include <stdlib.h>

/* The file of the option config, as it was when it was read. A worker that starts later gets what
 * the others have, and perhaps only root can read the file. One per process. */
static struct {
    char *path; /* owned; NULL: none */
    struct sprig_config_file file;
    bool has_fixed; /* it was read again: what cannot change is as in `fixed` */
    struct sprig_config fixed;
} kept;

static int keep_file(const char *path, char *why, size_t n)
{
    struct sprig_config_file file;
    char *copy = strdup(path);
    int rc = copy != NULL ? sprig_config_file_read(&file, path, why, n) : SPRIG_E_NOMEM;

    if (rc != 0) {
        free(copy);
        return rc;
    }
    free(kept.path);
    sprig_config_file_clear(&kept.file);
    kept.path = copy;
    kept.file = file;
    return 0;
}

/* ---- the levels, from the weakest to the strongest ---- */

/* The text of a value. Several paths may be given as a list. */
static const char *option_text(pTHX_ const struct sprig_option *row, SV *value)
{
    AV *list = SvROK(value) ? (AV *)SvRV(value) : NULL;
    SV *joined;

    if (row->type != SPRIG_OPTION_PATHS || list == NULL || SvTYPE((SV *)list) != SVt_PVAV)
        return SvPV_nolen(value);
    joined = sv_2mortal(newSVpvs(""));
    for (SSize_t i = 0; i <= av_len(list); i++) {
        SV **one = av_fetch(list, i, 0);
        if (i > 0)
            sv_catpvs(joined, ",");
        if (one != NULL)
            sv_catsv(joined, *one);
    }
    return SvPV_nolen(joined);
}

static int read_hash(pTHX_ struct sprig_config *config, HV *options, char *why, size_t n)
{
    size_t n_rows;
    const struct sprig_option *rows = sprig_options(&n_rows);

    for (size_t i = 0; i < n_rows; i++) {
        if (rows[i].type == SPRIG_OPTION_PLACK)
            continue;
        SV **value = hv_fetch(options, rows[i].name, (I32)strlen(rows[i].name), 0);
        if (value == NULL || !SvOK(*value))
            continue;
        const char *text = option_text(aTHX_ & rows[i], *value);
        if (rows[i].type == SPRIG_OPTION_BOOL && *text == '\0')
            text = "0"; /* Perl's false */
        int rc = sprig_config_set(config, rows[i].name, text, why, n);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Reads the program's defaults, such as those of Sprig::Compat::Twiggy. */
static int read_defaults(pTHX_ struct sprig_config *config, HV *options, char *why, size_t n)
{
    SV **defaults = hv_fetchs(options, "option_defaults", 0);

    return defaults != NULL && SvROK(*defaults) && SvTYPE(SvRV(*defaults)) == SVt_PVHV
               ? read_hash(aTHX_ config, (HV *)SvRV(*defaults), why, n)
               : 0;
}

/* Puts the absolute path of the file into *config. */
static int read_path(pTHX_ struct sprig_config *config, HV *options, char *why, size_t n)
{
    const struct sprig_option *o = sprig_option_find("config");
    SV **value = hv_fetchs(options, "config", 0);
    char variable[64] = "", text[256] = "";
    const char *path = value != NULL && SvOK(*value)
                           ? SvPV_nolen(*value)
                           : sprig_option_environ(o, variable, sizeof variable);
    int rc = path != NULL ? sprig_config_set(config, "config", path, text, sizeof text) : 0;

    if (rc != 0)
        snprintf(why, n, "%s%s%s", variable, *variable != '\0' ? ": " : "", text);
    return rc;
}

static int read_file(struct sprig_config *config, char *why, size_t n)
{
    const char *path = config->config;
    int rc = 0;

    if (path == NULL)
        return 0;
    if (kept.path == NULL || strcmp(kept.path, path) != 0)
        rc = keep_file(path, why, n);
    return rc == 0 ? sprig_config_file_apply(&kept.file, config) : rc;
}

static int read_levels(pTHX_ struct sprig_config *config, HV *options, char *why, size_t n)
{
    char differs[1024];
    int rc = read_defaults(aTHX_ config, options, why, n);

    snprintf(why, n, "%s", sprig_err_text(SPRIG_E_NOMEM));
    if (rc == 0)
        rc = sprig_config_read_platform(config, why, n);
    if (rc == 0)
        rc = read_path(aTHX_ config, options, why, n);
    if (rc == 0)
        rc = read_file(config, why, n);
    if (rc == 0)
        rc = sprig_config_read_environ(config, why, n);
    if (rc == 0)
        rc = read_hash(aTHX_ config, options, why, n);
    if (rc == 0 && kept.has_fixed && config->config != NULL)
        rc = sprig_config_keep_fixed(config, &kept.fixed, differs, sizeof differs);
    sprig_config_settle(config);
    return rc == 0 ? sprig_config_check(config, why, n) : rc;
}

/* ---- for other files ---- */

SV *psgi_options_read(pTHX_ struct sprig_config *config, HV *options)
{
    char why[1200];

    return read_levels(aTHX_ config, options, why, sizeof why) != 0 ? newSVpv(why, 0) : NULL;
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

static int read_again(pTHX_ struct sprig_config *config, HV *options,
                      const struct sprig_config *before, char *differs, char *why, size_t n)
{
    bool had_fixed = kept.has_fixed;
    int rc;

    kept.has_fixed = false;
    sprig_config_init(config);
    rc = read_levels(aTHX_ config, options, why, n);
    kept.has_fixed = had_fixed;
    if (rc == 0 && before != NULL && !had_fixed) {
        rc = sprig_config_copy(&kept.fixed, before);
        kept.has_fixed = rc == 0;
    }
    if (rc == 0 && kept.has_fixed)
        rc = sprig_config_keep_fixed(config, &kept.fixed, differs, n);
    if (rc != 0)
        sprig_config_clear(config);
    return rc;
}

int psgi_options_reload(pTHX_ struct sprig_config *config, HV *options,
                        const struct sprig_config *before, char *differs, char *why, size_t n)
{
    char *path = kept.path;
    struct sprig_config_file file = kept.file;
    int rc;

    kept.path = NULL;
    memset(&kept.file, 0, sizeof kept.file);
    *differs = '\0';
    rc = read_again(aTHX_ config, options, before, differs, why, n);
    if (rc != 0) {
        free(kept.path);
        sprig_config_file_clear(&kept.file);
        kept.path = path;
        kept.file = file;
        return rc;
    }
    free(path);
    sprig_config_file_clear(&file);
    return 0;
}

bool psgi_options_flag(pTHX_ HV *options, const char *name)
{
    SV **value = hv_fetch(options, name, (I32)strlen(name), 0);

    return value != NULL && SvTRUE(*value);
}

void psgi_options_store_listen(pTHX_ HV *hv, struct sprig_listen_options *options)
{
    size_t n;
    const struct sprig_listen_flag *flags = sprig_listen_flags(&n);

    for (size_t i = 0; i < n; i++)
        (void)hv_store(hv, flags[i].name, (I32)strlen(flags[i].name),
                       newSVsv(boolSV(*sprig_listen_flag(options, &flags[i]))), 0);
}

struct sprig_listen_options psgi_options_read_listen(pTHX_ HV *hv)
{
    struct sprig_listen_options options = {0};
    size_t n;
    const struct sprig_listen_flag *flags = sprig_listen_flags(&n);

    for (size_t i = 0; i < n; i++)
        *sprig_listen_flag(&options, &flags[i]) = psgi_options_flag(aTHX_ hv, flags[i].name);
    return options;
}

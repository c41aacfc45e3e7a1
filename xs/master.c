/* master.c - the master of worker processes, called from a living interpreter. */
#include "master.h"
#include "base/privileges.h"
#include "call.h"
#include "embed.h"
#include "loop.h"
#include "options.h"
#include "process.h"
#include "process/daemon.h"
#include "process/quit.h"
#include "process/title.h"
#include "report.h"
#include "server.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

/* One per process. It borrows the configuration and the words. */
static struct {
    struct sprig_master *master; /* owned; NULL: none */
    struct sprig_config config;
    HV *options; /* owned: the options behind the configuration */
    char **argv; /* owned, ends with NULL */
    PerlInterpreter *perl;
    SV *on_ready; /* owned while the master runs, or NULL */
} own;

static void free_words(char **words)
{
    for (char **word = words; word != NULL && *word != NULL; word++)
        free(*word);
    free(words);
}

static char **copy_words(pTHX_ AV *list)
{
    size_t n = (size_t)(av_len(list) + 1);
    char **words = calloc(n + 1, sizeof *words);

    for (size_t i = 0; words != NULL && i < n; i++) {
        SV **word = av_fetch(list, (SSize_t)i, 0);
        words[i] = strdup(word != NULL ? SvPV_nolen(*word) : "");
    }
    return words;
}

void psgi_master_close(pTHX)
{
    struct sprig_master *master = own.master;

    if (master == NULL)
        return;
    own.master = NULL;
    sprig_master_free(master);
    sprig_config_clear(&own.config);
    free_words(own.argv);
    SvREFCNT_dec((SV *)own.options);
    SvREFCNT_dec(own.on_ready);
    own.options = NULL;
    own.on_ready = NULL;
}

/* See sprig_quit_clean. */
static void clean(void)
{
    psgi_pidfile_clean();
    if (own.master != NULL)
        sprig_master_clean(own.master);
}

void psgi_quit_open(void)
{
    sprig_quit_clean(clean);
    sprig_quit_open();
}

/* Closes everything, and dies. */
static void fail_master(pTHX_ const char *why)
{
    psgi_master_close(aTHX);
    croak("%s", why);
}

void psgi_master_open(pTHX_ HV *options, AV *argv)
{
    char why[512];
    SV *wrong;

    if (own.master != NULL)
        croak("Sprig: this process already has a master");
    sprig_open_standard();
    sprig_config_init(&own.config);
    wrong = psgi_options_read(aTHX_ & own.config, options);
    if (wrong != NULL) {
        sprig_config_clear(&own.config);
        croak_sv(sv_2mortal(wrong));
    }
    if (sprig_log_configure(&own.config, why, sizeof why) != 0) {
        sprig_config_clear(&own.config);
        croak("%s", why);
    }
    snprintf(why, sizeof why, "out of memory");
    own.argv = copy_words(aTHX_ argv);
    own.master =
        sprig_master_new(&own.config, own.argv, psgi_daemon_take_status(), why, sizeof why);
    if (own.master != NULL) {
        own.options = (HV *)SvREFCNT_inc_simple_NN((SV *)options);
        return;
    }
    sprig_config_clear(&own.config);
    free_words(own.argv);
    croak("%s", why);
}

static void need_master(pTHX)
{
    if (own.master == NULL)
        croak("Sprig: there is no master");
}

void psgi_master_listen(pTHX_ const char *text)
{
    struct sprig_listen_spec spec;
    char why[512];
    int rc;

    need_master(aTHX);
    sprig_quit_hold();
    rc = sprig_listen_spec_read(&spec, text, why, sizeof why);
    if (rc == 0)
        rc = sprig_master_listen(own.master, &spec, why, sizeof why);
    sprig_quit_release();
    if (rc != 0)
        fail_master(aTHX_ why);
}

void psgi_master_adopt(pTHX_ int fd, bool is_tls)
{
    char why[512];
    int rc;

    need_master(aTHX);
    sprig_quit_hold();
    rc = sprig_master_adopt(own.master, fd, is_tls, why, sizeof why);
    sprig_quit_release();
    if (rc != 0)
        fail_master(aTHX_ why);
}

void psgi_master_drop_privileges(pTHX_ HV *options)
{
    struct sprig_config config;
    char why[512];
    int rc;
    SV *wrong;

    sprig_config_init(&config);
    wrong = psgi_options_read(aTHX_ & config, options);
    rc = wrong == NULL ? privileges_drop(&config, why, sizeof why) : 0;
    sprig_config_clear(&config);
    if (wrong != NULL)
        croak_sv(sv_2mortal(wrong));
    if (rc != 0)
        croak("%s", why);
}

void psgi_master_settle(pTHX)
{
    need_master(aTHX);
    sprig_master_settle(own.master);
}

AV *psgi_master_addresses(pTHX)
{
    const struct sprig_address *address;
    AV *list = newAV();

    for (size_t i = 0; own.master != NULL; i++) {
        if ((address = sprig_master_address(own.master, i)) == NULL)
            break;
        av_push(list, newRV_noinc((SV *)psgi_address_info(aTHX_ address)));
    }
    return list;
}

static void on_ready(void *arg)
{
    SV *error = NULL;
    dTHXa(own.perl);

    PERL_UNUSED_VAR(arg);
    if (!psgi_call(aTHX_ own.on_ready, NULL, 0, NULL, &error) && error != NULL)
        psgi_warn(aTHX_ error);
    SvREFCNT_dec(error);
    PERL_FLUSHALL_FOR_CHILD; /* otherwise the next fork would print it again */
}

/* Used for the workers that start from now on. */
static const struct sprig_config *on_reload(void *arg, char *kept, char *why, size_t n)
{
    struct sprig_config fresh;
    dTHXa(own.perl);

    PERL_UNUSED_VAR(arg);
    *kept = '\0';
    if (own.config.config == NULL)
        return &own.config;
    if (psgi_options_reload(aTHX_ & fresh, own.options, &own.config, kept, why, n) != 0)
        return NULL;
    sprig_config_clear(&own.config);
    own.config = fresh;
    return &own.config;
}

/* Each worker needs random numbers of its own. */
static void reseed(pTHX)
{
    uint64_t seed;

    PL_srand_called = FALSE;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        seed = (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
    srand((unsigned)seed);
    srandom((unsigned)(seed >> 32));
    srand48((long)(seed ^ seed >> 17));
}

/* Bypasses Perl: the master is waiting, and the app's warning handlers are not meant for it. */
static void print_message(enum sprig_log_level level, const char *message, void *arg)
{
    PERL_UNUSED_VAR(arg);
    sprig_log_print(level, message);
}

/* If the app is not loaded yet, looks for it where the folder's name leads by now. */
static void enter_folder(const struct sprig_master *master)
{
    const char *folder = sprig_master_folder(master);

    if (!own.config.preload_app && folder != NULL && chdir(folder) == -1)
        sprig_log(SPRIG_LOG_WARN, "cannot enter %s: %s", folder, Strerror(errno));
}

/* If the program has closed STDIN, the descriptor may be something else. */
static void drop_input(pTHX)
{
    IO *io = PL_stdingv != NULL ? GvIO(PL_stdingv) : NULL;

    if (io != NULL && IoIFP(io) != NULL && PerlIO_fileno(IoIFP(io)) == STDIN_FILENO)
        sprig_daemon_drop_input();
}

/* Uses the place where perl writes what is assigned to $0; a later assignment still wins. The
 * program sprig has a place of its own. */
static void open_title(pTHX)
{
    SV *name = get_sv("0", 0);

    if (PL_origalen <= 1)
        return;
    sprig_title_use(PL_origargv[0], PL_origalen);
    if (name != NULL && SvOK(name))
        sprig_title_name(SvPV_nolen(name));
}

bool psgi_master_run(pTHX_ SV *code)
{
    struct sprig_worker worker;
    char why[1200];
    int rc;

    need_master(aTHX);
#ifdef MULTIPLICITY
    own.perl = aTHX;
#endif
    if (SvOK(code)) {
        own.on_ready = newSVsv(code);
        sprig_master_on_ready(own.master, on_ready, NULL);
    }
    sprig_master_on_reload(own.master, on_reload, NULL);
    open_title(aTHX);
    memset(&worker, 0, sizeof worker);
    PERL_FLUSHALL_FOR_CHILD;
    sprig_log_set_sink(print_message, sprig_log_level(), NULL);
    rc = sprig_master_run(own.master, &worker, why, sizeof why);
    psgi_log_attach(aTHX);
    if (rc > 0)
        enter_folder(own.master);
    if (rc < 0)
        fail_master(aTHX_ why);
    psgi_master_close(aTHX);
    if (rc == 0)
        return false;
    drop_input(aTHX);
    psgi_worker_set(&worker);
    reseed(aTHX);
    return true;
}

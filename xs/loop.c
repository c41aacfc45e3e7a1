/* loop.c - the loop of the core in an interpreter: its hooks, Perl's signals, the log. */
#include "loop.h"
#include "call.h"
#include "process/daemon.h"
#include "report.h"
#include <signal.h>

static struct sprig_loop *volatile sleeper; /* the loop to be woken by Perl's signal handler */

/* ---- signals: one with a %SIG handler ends the loop's sleep ---- */

#if defined(PERL_USE_3ARG_SIGHANDLER) ||                                                           \
    (!PERL_VERSION_GE(5, 31, 6) && defined(HAS_SIGACTION) && defined(SA_SIGINFO))
#define HANDLER_PARAMS int signo, siginfo_t *info, void *context
#define HANDLER_ARGS   signo, info, context
#else
#define HANDLER_PARAMS int signo
#define HANDLER_ARGS   signo
#endif

static Sighandler_t perl_handler; /* Perl's own C handler, which marks the signal as pending */

static Signal_t wake_handler(HANDLER_PARAMS)
{
    struct sprig_loop *loop = sleeper;
    int saved = errno;

    perl_handler(HANDLER_ARGS);
    if (loop != NULL)
        sprig_loop_wake(loop);
    errno = saved;
}

/* Handlers set earlier through %SIG point directly at Perl's function: replaces it with ours, and
 * keeps flags and masks. */
static void rehook_signal(int signo)
{
    struct sigaction sa;

    if (sigaction(signo, NULL, &sa) != 0 ||
        (void (*)(void))sa.sa_handler != (void (*)(void))perl_handler)
        return;
    sa.sa_handler = (void (*)(int))(void (*)(void))wake_handler;
    sigaction(signo, &sa, NULL);
}

static void hook_signals(pTHX)
{
    PERL_UNUSED_CONTEXT;
    if (PL_csighandlerp == wake_handler)
        return;
    perl_handler = PL_csighandlerp;
    PL_csighandlerp = wake_handler;
    for (int signo = 1; signo < SIG_SIZE; signo++)
        rehook_signal(signo);
}

/* ---- hooks of the loop ---- */

static bool is_pending(void *arg)
{
    struct psgi *psgi = arg;
    dTHXa(psgi->perl);

    PERL_UNUSED_VAR(psgi);
    return PL_sig_pending != 0;
}

static void run_handlers(pTHX_ void *arg)
{
    PERL_UNUSED_VAR(arg);
    PERL_ASYNC_CHECK();
}

/* A handler's exception must not pass through the core: psgi_rethrow throws it after the pass. */
static void on_wake(void *arg)
{
    struct psgi *psgi = arg;
    SV *error = NULL;
    dTHXa(psgi->perl);

    if (!PL_sig_pending || psgi_eval(aTHX_ run_handlers, NULL, &error))
        return;
    SvREFCNT_dec(psgi->thrown);
    psgi->thrown = error;
}

/* A nested pass runs in the middle of somebody's code, so it gets its own $_. Its caller preserves
 * the rest. */
static void on_nested_enter(void *arg)
{
    struct psgi *psgi = arg;
    dTHXa(psgi->perl);

    PERL_UNUSED_VAR(psgi);
    ENTER;
    SAVEGENERICSV(GvSV(PL_defgv));
    GvSV(PL_defgv) = newSV(0);
}

static void on_nested_leave(void *arg)
{
    struct psgi *psgi = arg;
    dTHXa(psgi->perl);

    PERL_UNUSED_VAR(psgi);
    LEAVE;
}

static void log_sink(enum sprig_log_level level, const char *message, void *arg)
{
    struct psgi *psgi = arg;
    dTHXa(psgi->perl);

    PERL_UNUSED_VAR(psgi);
    if (psgi_stderr_is_plain(aTHX))
        sprig_log_print(level, message);
    else if (PL_phase != PERL_PHASE_DESTRUCT)
        psgi_warnf(aTHX_ "sprig: %s", message);
}

void psgi_log_attach(pTHX)
{
    sprig_log_set_sink(log_sink, sprig_log_level(), psgi_get(aTHX));
}

static void open_loop(pTHX_ struct psgi *psgi)
{
    const struct sprig_loop_hooks hooks = {is_pending, on_wake, on_nested_enter, on_nested_leave,
                                           psgi};

    sprig_open_standard(); /* not while the module is loaded: perl has its file open then */
    psgi->loop = sprig_loop_new();
    if (psgi->loop == NULL)
        croak("Sprig: cannot create an event loop: %s", Strerror(errno));
    sprig_loop_set_hooks(psgi->loop, &hooks);
    psgi_log_attach(aTHX);
    sleeper = psgi->loop;
    hook_signals(aTHX);
}

struct sprig_loop *psgi_loop(pTHX)
{
    struct psgi *psgi = psgi_get(aTHX);

    if (psgi->loop == NULL)
        open_loop(aTHX_ psgi);
    return psgi->loop;
}

void psgi_rethrow(pTHX)
{
    struct psgi *psgi = psgi_get(aTHX);
    SV *thrown = psgi->thrown;

    if (thrown == NULL)
        return;
    psgi->thrown = NULL;
    croak_sv(sv_2mortal(thrown));
}

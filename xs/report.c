/* report.c - reports failures where the application looks: psgi.errors, warnings, STDERR. */
#include "report.h"
#include "bytes.h"
#include "call.h"
#include "env.h"
#include "stderr.h"

#include "base/log_start.h"
#include <time.h>
#include <unistd.h>

struct message_job {
    SV *message; /* borrowed */
    SV *text;    /* out, owned: a plain string that ends with a newline */
};

/* A stack trace (from confess) goes back to the start of the server. The frames below the event
 * loop say nothing about the application. */
static void cut_trace(pTHX_ SV *text)
{
    static const char eval[] = "\teval {...} called at ";
    const char *start = SvPV_nolen(text), *end = strstr(start, "\n\tSprig::Loop::");
    const char *line = end;

    if (end == NULL)
        return;
    while (line > start && line[-1] != '\n')
        line--;
    if (line > start && strncmp(line, eval, sizeof eval - 1) == 0)
        end = line - 1;
    SvCUR_set(text, end - start);
    sv_catpvs(text, "\n");
}

static void make_text(pTHX_ void *arg)
{
    struct message_job *job = arg;
    SV *text = sv_newmortal();

    SvGETMAGIC(job->message);
    if (SvOK(job->message))
        sv_copypv_nomg(text, job->message);
    else
        sv_setpvs(text, "");
    if (SvCUR(text) == 0 || SvEND(text)[-1] != '\n')
        sv_catpvs(text, "\n");
    cut_trace(aTHX_ text);
    job->text = SvREFCNT_inc_simple_NN(text);
}

/* The message as text, owned by the caller; converting an exception object may itself die. */
static SV *message_text(pTHX_ SV *message)
{
    struct message_job job = {message, NULL};

    if (!psgi_eval(aTHX_ make_text, &job, NULL) || job.text == NULL)
        return newSVpvs("an exception that cannot be turned into text\n");
    return job.text;
}

/* What can be printed there without "Wide character": UTF-8, unless the handle encodes by itself or
 * the text fits into bytes. Borrowed, or a mortal. */
static SV *printable(pTHX_ SV *text, IO *io)
{
    SV *bytes;

    if (!SvUTF8(text) || (io != NULL && (SvRMAGICAL((SV *)io) || PerlIO_isutf8(IoOFP(io)))))
        return text;
    bytes = sv_mortalcopy(text);
    if (!sv_utf8_downgrade(bytes, true))
        sv_utf8_encode(bytes);
    return bytes;
}

static IO *stderr_io(pTHX)
{
    return PL_stderrgv != NULL && SvTYPE((SV *)PL_stderrgv) == SVt_PVGV ? GvIO(PL_stderrgv) : NULL;
}

/* A handler gets the text as it is. */
static void run_warn(pTHX_ void *arg)
{
    warn_sv(PL_warnhook != NULL ? (SV *)arg : printable(aTHX_ arg, stderr_io(aTHX)));
}

void psgi_warn(pTHX_ SV *message)
{
    if (PL_phase == PERL_PHASE_DESTRUCT)
        return;
    SV *text = message_text(aTHX_ message);
    psgi_eval(aTHX_ run_warn, text, NULL);
    SvREFCNT_dec(text);
}

void psgi_warnf(pTHX_ const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    SV *message = vnewSVpvf(fmt, &ap);
    va_end(ap);
    psgi_warn(aTHX_ message);
    SvREFCNT_dec(message);
}

bool psgi_print_as_json(pTHX_ SV *message)
{
    SV *text;

    if (!sprig_log_is_json() && !log_start_is_kept())
        return false;
    text = sv_2mortal(message_text(aTHX_ message));
    while (SvCUR(text) > 0 && SvEND(text)[-1] == '\n')
        SvCUR_set(text, SvCUR(text) - 1);
    *SvEND(text) = '\0';
    if (SvUTF8(text))
        sv_utf8_encode(text);
    sprig_log_print(SPRIG_LOG_ERROR, SvPVX(text));
    return true;
}

/* True if no handler, tie, layer or other file stands in front of descriptor 2. */
bool psgi_stderr_is_plain(pTHX)
{
    IO *io = PL_stderrgv != NULL && isGV_with_GP(PL_stderrgv) ? GvIO(PL_stderrgv) : NULL;
    PerlIO *out = io != NULL ? IoOFP(io) : NULL;

    if (PL_phase == PERL_PHASE_DESTRUCT)
        return true;
    return PL_warnhook == NULL && out != NULL && !SvRMAGICAL((SV *)io) &&
           PerlIO_fileno(out) == STDERR_FILENO;
}

struct print_job {
    HV *env;          /* borrowed; NULL: see psgi_report_of */
    const char *name; /* borrowed: the request's name, if there is no env */
    SV *text;         /* borrowed */
    bool done;
};

/* "14:03:22 " for a terminal, where people may look later; otherwise "". Returns buf, of 16 bytes.
 */
static const char *time_of_day(char *buf)
{
    time_t now = time(NULL);
    struct tm tm;

    buf[0] = '\0';
    if (isatty(STDERR_FILENO) && localtime_r(&now, &tm) != NULL)
        strftime(buf, 16, "%H:%M:%S ", &tm);
    return buf;
}

/* Puts the request's name in front if the message goes to the server's log, and not to one of the
 * app's own, which knows its request. Borrowed, or a mortal. */
static SV *with_request(pTHX_ const struct print_job *job, SV *handle)
{
    char name[PSGI_REQUEST_NAME_BYTES];
    IO *io = psgi_io_of(handle);
    char now[16];
    SV *text;

    if (!SvROK(handle) || SvRV(handle) != psgi_get(aTHX)->errors || io == NULL ||
        SvRMAGICAL((SV *)io))
        return job->text;
    if (job->env != NULL)
        psgi_env_request_name(aTHX_ job->env, name);
    else
        my_strlcpy(name, job->name, sizeof name);
    if (name[0] == '\0')
        return job->text;
    struct sprig_span id = sprig_log_is_json() ? span_make(NULL, 0) : log_request_id();
    text = sv_2mortal(newSVpvf("%s%s", time_of_day(now), name));
    if (id.len > 0)
        sv_catpvf(text, " [%.*s]", (int)id.len, id.ptr);
    sv_catpvs(text, ": ");
    sv_catsv_nomg(text, job->text);
    return text;
}

/* psgi.errors, a mortal; NULL if there is none. */
static SV *error_handle(pTHX_ HV *env)
{
    SV **errors;

    if (env == NULL)
        return psgi_get(aTHX)->errors != NULL ? sv_2mortal(newRV_inc(psgi_get(aTHX)->errors))
                                              : NULL;
    errors = hv_fetchs(env, "psgi.errors", 0);
    if (errors == NULL)
        return NULL;
    SvGETMAGIC(*errors);
    return SvOK(*errors) ? sv_mortalcopy(*errors) : NULL;
}

/* Calls psgi.errors->print. Looks the handle up only now, because the app may have replaced it. */
static void run_print(pTHX_ void *arg)
{
    struct print_job *job = arg;
    SV *handle = error_handle(aTHX_ job->env), *text;
    IO *io;

    if (handle == NULL)
        return;
    SAVEGENERICSV(PL_ors_sv); /* the app's $\ must not apply here */
    PL_ors_sv = NULL;
    io = psgi_io_of(handle);
    text = with_request(aTHX_ job, handle);
    text = io != NULL ? printable(aTHX_ text, io) : text;
    job->done = psgi_call_method(aTHX_ handle, "print", &text, 1, NULL, NULL);
}

/* A layer that the app pushed on STDERR makes it buffered, but messages about failures must not
 * wait. */
static void flush_stderr(pTHX)
{
    IO *io = stderr_io(aTHX);

    if (io != NULL && IoOFP(io) != NULL)
        PerlIO_flush(IoOFP(io));
}

void psgi_report(pTHX_ HV *env, SV *message)
{
    psgi_report_of(aTHX_ env, NULL, message);
}

void psgi_report_of(pTHX_ HV *env, const char *name, SV *message)
{
    if (PL_phase == PERL_PHASE_DESTRUCT)
        return;
    SvREFCNT_inc((SV *)env); /* the text of the message may end the exchange */
    struct print_job job = {env, name, message_text(aTHX_ message), false};
    enum sprig_log_level before = psgi_stderr_level(SPRIG_LOG_ERROR);
    if ((env == NULL && name == NULL) || !psgi_eval(aTHX_ run_print, &job, NULL) || !job.done)
        psgi_warn(aTHX_ job.text);
    flush_stderr(aTHX);
    psgi_stderr_level(before);
    SvREFCNT_dec(job.text);
    SvREFCNT_dec((SV *)env);
}

void psgi_reportf(pTHX_ HV *env, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    SV *message = vnewSVpvf(fmt, &ap);
    va_end(ap);
    psgi_report(aTHX_ env, message);
    SvREFCNT_dec(message);
}

/* An exception in a callback has no caller to go to. */
static void callback_died(pTHX_ SV *error)
{
    CV *handler = get_cv("Sprig::Loop::_died", 0);
    if (handler == NULL || !psgi_call(aTHX_(SV *) handler, &error, 1, NULL, NULL))
        psgi_report(aTHX_ NULL, error);
}

/* Holds its own count, because the callback may drop its watcher; the savestack gives the count
 * back even if exit() passes through. */
void psgi_callback(pTHX_ SV *code, SV **args, int n_args)
{
    SV *error = NULL;
    ENTER;
    SAVEFREESV(SvREFCNT_inc_simple_NN(code));
    if (!psgi_call(aTHX_ code, args, n_args, NULL, &error) && error != NULL) {
        callback_died(aTHX_ error);
        SvREFCNT_dec_NN(error);
    }
    LEAVE;
}

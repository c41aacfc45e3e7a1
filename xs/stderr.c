/* stderr.c - a layer on STDERR that writes to the error log. Descriptor 2 stays as it is: other
 * processes share its flags, and programs started by the app write to it as usual. */
#include "stderr.h"

#include <perliol.h>

/* Text through the layer counts as a warning, unless an error is being reported. */
static enum sprig_log_level level = SPRIG_LOG_WARN;

enum sprig_log_level psgi_stderr_level(enum sprig_log_level next)
{
    enum sprig_log_level before = level;
    level = next;
    return before;
}

static SSize_t write_log(pTHX_ PerlIO *f, const void *bytes, Size_t n)
{
    if (PerlIO_fileno(f) != STDERR_FILENO)
        return PerlIO_write(PerlIONext(f), bytes, n);
    sprig_log_print_output(level, bytes, n);
    return (SSize_t)n; /* lost text is counted, and is not the app's error */
}

static PerlIO_funcs log_layer = {
    .fsize = sizeof(PerlIO_funcs),
    .name = "sprig_log",
    .size = sizeof(PerlIOl),
    .kind = PERLIO_K_RAW,
    .Pushed = PerlIOBase_pushed,
    .Binmode = PerlIOBase_binmode,
    .Fileno = PerlIOBase_fileno,
    .Dup = PerlIOBase_dup,
    .Write = write_log,
    .Close = PerlIOBase_close,
    .Eof = PerlIOBase_eof,
    .Error = PerlIOBase_error,
    .Clearerr = PerlIOBase_clearerr,
    .Setlinebuf = PerlIOBase_setlinebuf,
};

static bool has_layer(PerlIO *f)
{
    for (PerlIOl *layer = *f; layer != NULL; layer = layer->next)
        if (layer->tab == &log_layer)
            return true;
    return false;
}

/* Code that copies STDERR, such as Test::More, gives the copy the same layers by name. */
static void make_known(pTHX)
{
    if (PerlIO_find_layer(aTHX_ log_layer.name, strlen(log_layer.name), 0) == NULL)
        PerlIO_define_layer(aTHX_ & log_layer);
}

void psgi_stderr_attach(pTHX)
{
    IO *io = PL_stderrgv != NULL && isGV_with_GP(PL_stderrgv) ? GvIO(PL_stderrgv) : NULL;
    PerlIO *f = io != NULL ? IoOFP(io) : NULL;

    if (f == NULL || *f == NULL || SvRMAGICAL((SV *)io) || PerlIO_fileno(f) != STDERR_FILENO ||
        has_layer(f) || sprig_log_is_plain_file())
        return;
    make_known(aTHX);
    int is_utf8 = PerlIO_isutf8(f);
    PerlIO_flush(f);
    if (PerlIO_push(aTHX_ f, &log_layer, "w", NULL) != NULL && is_utf8)
        PerlIOBase(f)->flags |= PERLIO_F_UTF8;
}

/* input.c - psgi.input: a real file handle on the request's body, in memory or in a file. */
#include "env.h"

enum { KEPT_BYTES_MAX = 16 * 1024 }; /* larger buffers are freed with their handle */

/* A handle that reads the bytes of a string. */
static PerlIO *open_memory(pTHX_ SV *bytes)
{
    PerlIO_funcs *layer = PerlIO_find_layer(aTHX_ STR_WITH_LEN("scalar"), 1);
    SV *ref = newRV_inc(bytes);
    PerlIO *file = PerlIO_push(aTHX_ PerlIO_allocate(aTHX), layer, "r", ref);

    SvREFCNT_dec(ref);
    if (file != NULL)
        PerlIOBase(file)->flags |= PERLIO_F_OPEN;
    return file;
}

/* Ignores the layers that `use open` or PERLIO ask for: bodies are bytes. */
static PerlIO *open_body_file(pTHX_ int fd)
{
    PerlIO *file = PerlIO_fdopen(fd, "r");

    if (file == NULL)
        PerlLIO_close(fd);
    else
        PerlIO_binmode(aTHX_ file, IoTYPE_RDONLY, O_BINARY, NULL);
    return file;
}

SV *psgi_input_new(pTHX_ struct sprig_body *body, SV **bytes)
{
    HV *stash = gv_stashpvs("IO::File", GV_ADD);
    GV *gv = (GV *)newSV(0);
    IO *io = newIO();

    *bytes = body->fd >= 0 ? NULL : newSVpvn(body->mem.len ? body->mem.ptr : "", body->mem.len);
    gv_init_pvn(gv, stash, "psgi.input", 10, 0);
    GvIOp(gv) = io;
    IoTYPE(io) = IoTYPE_RDONLY;
    IoIFP(io) = *bytes != NULL ? open_memory(aTHX_ * bytes) : open_body_file(aTHX_ body->fd);
    return sv_bless(newRV_noinc((SV *)gv), stash);
}

/* One count of `bytes` belongs to the caller, the other to the layer. The address of the layer's
 * buffer shows that it reads this very string, and not one that the app opened meanwhile. */
bool psgi_input_rewind(pTHX_ PerlIO *file, SV *bytes)
{
    if (SvREFCNT(bytes) != 2 || SvTHINKFIRST(bytes) || SvLEN(bytes) > KEPT_BYTES_MAX ||
        (char *)PerlIO_get_base(file) != SvPVX(bytes))
        return false;
    PerlIO_clearerr(file);
    SvPOK_only(bytes);
    SvCUR_set(bytes, 0);
    *SvPVX(bytes) = '\0';
    return PerlIO_seek(file, 0, SEEK_SET) == 0;
}

void psgi_input_fill(pTHX_ SV *bytes, struct sprig_span span)
{
    if (span.len > 0)
        sv_setpvn(bytes, span.ptr, span.len);
}

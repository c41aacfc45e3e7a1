/* input.c - psgi.input: a real file handle on the request's body, in memory or in its file. */
#include "bridge.h"
#include <perliol.h>

/* A handle that reads the bytes of a fresh string. */
static PerlIO *open_memory(pTHX_ struct sprig_span bytes)
{
    PerlIO_funcs *layer = PerlIO_find_layer(aTHX_ STR_WITH_LEN("scalar"), 1);
    SV *ref = newRV_noinc(newSVpvn(bytes.len ? bytes.ptr : "", bytes.len));
    PerlIO *file = PerlIO_push(aTHX_ PerlIO_allocate(aTHX), layer, "r", ref);

    SvREFCNT_dec(ref);
    if (file != NULL)
        PerlIOBase(file)->flags |= PERLIO_F_OPEN;
    return file;
}

/* Whatever layers `use open` or PERLIO ask for: bodies are bytes. */
static PerlIO *open_file(pTHX_ int fd)
{
    PerlIO *file = PerlIO_fdopen(fd, "r");

    if (file == NULL)
        PerlLIO_close(fd);
    else
        PerlIO_binmode(aTHX_ file, IoTYPE_RDONLY, O_BINARY, NULL);
    return file;
}

SV *psgi_input_new(pTHX_ struct sprig_body *body)
{
    HV *stash = gv_stashpvs("IO::File", GV_ADD);
    GV *gv = (GV *)newSV(0);
    PerlIO *file = body->fd >= 0 ? open_file(aTHX_ body->fd) : open_memory(aTHX_ body->mem);
    IO *io = newIO();

    gv_init_pvn(gv, stash, "psgi.input", 10, 0);
    GvIOp(gv) = io;
    IoTYPE(io) = IoTYPE_RDONLY;
    IoIFP(io) = file;
    return sv_bless(newRV_noinc((SV *)gv), stash);
}

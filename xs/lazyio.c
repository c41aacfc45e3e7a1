/* lazyio.c - a PerlIO layer without a descriptor. The first operation that needs one opens it; from
 * then on each operation is passed to one of two ordinary handles, one per direction, as perl
 * itself makes for sockets.
 *
 * The handle and its layer are members of one struct, so that making one needs no search in perl's
 * table of handles. Perl may look at the handle once more after the layer is popped, so the memory
 * is kept for the next handle and not freed. */
#include "lazyio.h"
#include "loop.h"

/* A socket that one side has closed still counts as connected for this long. */
#define LEFT_NS UINT64_C(1000000000)

struct lazyio {
    PerlIOl slot;     /* what IoIFP points to; slot.next is the top layer, or NULL once closed */
    PerlIOl layer;    /* our layer */
    PerlIO *in, *out; /* owned; NULL until used */
    const struct lazyio_source *source;
    void *arg;              /* owned through source->release; NULL once released */
    struct list_link among; /* while open: in its server's list */
    uint64_t left_ns;       /* when one side was first seen closed; 0: not yet */
    struct lazyio *next_spare;
};

static PerlIO_funcs lazyio_funcs;

/* `f` is the handle itself, or the pointer to our layer in the layer above. */
static struct lazyio *lazyio_self(PerlIO *f)
{
    return (struct lazyio *)((char *)*f - offsetof(struct lazyio, layer));
}

PerlIO *lazyio_new(pTHX_ const struct lazyio_source *source, void *arg)
{
    struct psgi *psgi = psgi_get(aTHX);
    struct lazyio *l = psgi->spare_io;

    if (l != NULL)
        psgi->spare_io = l->next_spare;
    else
        Newx(l, 1, struct lazyio);
    Zero(l, 1, struct lazyio);
    list_init(&l->among);
    l->slot.next = &l->layer;
    l->slot.head = l->layer.head = &l->slot;
    l->layer.tab = &lazyio_funcs;
    l->layer.flags = PERLIO_F_CANREAD | PERLIO_F_CANWRITE | PERLIO_F_OPEN;
    l->source = source;
    l->arg = arg;
    return (PerlIO *)&l->slot;
}

bool lazyio_is_unused(PerlIO *f)
{
    for (PerlIOl *layer = f != NULL ? *f : NULL; layer != NULL; layer = layer->next)
        if (layer->tab == &lazyio_funcs)
            return lazyio_self((PerlIO *)&layer)->in == NULL;
    return false;
}

static void lazyio_release(pTHX_ struct lazyio *l)
{
    void *arg = l->arg;

    l->arg = NULL;
    if (arg != NULL)
        l->source->release(aTHX_ arg);
}

/* Makes two handles on one descriptor, which perl closes with the second of them. The layers are
 * explicit: the caller's `use open` is not meant for sockets. */
static bool lazyio_adopt(pTHX_ struct lazyio *l, int fd)
{
    l->in = PerlIO_openn(aTHX_ ":unix:perlio", "r", fd, 0, 0, NULL, 0, NULL);
    if (l->in == NULL) {
        close(fd);
        return false;
    }
    l->out = PerlIO_openn(aTHX_ ":unix:perlio", "w", fd, 0, 0, NULL, 0, NULL);
    if (l->out != NULL) {
        psgi_get(aTHX)->n_taken++;
        return true;
    }
    PerlIO_close(l->in);
    l->in = NULL;
    return false;
}

/* Opens on first use. False: there is nothing to open; errno is set. */
static bool lazyio_open(pTHX_ struct lazyio *l)
{
    struct sprig_span unread = {NULL, 0};
    struct list_link *among;
    int fd, before = errno;

    if (l->in != NULL)
        return true;
    if (l->arg == NULL) {
        SETERRNO(EBADF, RMS_IFI);
        return false;
    }
    fd = l->source->open(aTHX_ l->arg, &unread, &among);
    if (fd == -1 || !lazyio_adopt(aTHX_ l, fd))
        return false;
    list_append(among, &l->among);
    if (unread.len > 0)
        PerlIO_unread(l->in, unread.ptr, unread.len);
    l->layer.flags |= PERLIO_F_FASTGETS;
    lazyio_release(aTHX_ l);
    errno = before;
    return true;
}

/* Reads the clock again: if another loop drives ours, there may be no more passes. */
static bool lazyio_is_heard(pTHX_ struct lazyio *l)
{
    int n_closed = sprig_socket_closed(PerlIO_fileno(l->in));
    uint64_t now = sprig_loop_now_update(psgi_loop(aTHX));

    if (n_closed != 1)
        return n_closed == 0;
    if (l->left_ns == 0)
        l->left_ns = now;
    return now - l->left_ns < LEFT_NS;
}

UV lazyio_count(pTHX_ struct list_link *among)
{
    UV n = 0;

    list_foreach (it, among)
        n += lazyio_is_heard(aTHX_ list_entry(it, struct lazyio, among));
    return n;
}

/* ---- operations that need the descriptor ---- */

static IV lazyio_fileno(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);

    return lazyio_open(aTHX_ l) ? PerlIO_fileno(l->in) : -1;
}

static SSize_t lazyio_read(pTHX_ PerlIO *f, void *buf, Size_t n)
{
    struct lazyio *l = lazyio_self(f);

    return lazyio_open(aTHX_ l) ? PerlIO_read(l->in, buf, n) : -1;
}

static SSize_t lazyio_write(pTHX_ PerlIO *f, const void *buf, Size_t n)
{
    struct lazyio *l = lazyio_self(f);

    return lazyio_open(aTHX_ l) ? PerlIO_write(l->out, buf, n) : -1;
}

static SSize_t lazyio_unread(pTHX_ PerlIO *f, const void *buf, Size_t n)
{
    struct lazyio *l = lazyio_self(f);

    return lazyio_open(aTHX_ l) ? PerlIO_unread(l->in, buf, n) : -1;
}

static IV lazyio_fill(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);

    return lazyio_open(aTHX_ l) ? PerlIO_fill(l->in) : -1;
}

/* open(my $copy, '<&', $io): the copy is an ordinary handle. Threads do not get one. */
static PerlIO *lazyio_dup(pTHX_ PerlIO *f, PerlIO *from, CLONE_PARAMS *params, int flags)
{
    struct lazyio *l = lazyio_self(from);

    if (params != NULL || !lazyio_open(aTHX_ l))
        return NULL;
    return PerlIOBase(l->in)->tab->Dup(aTHX_ f, l->in, params, flags);
}

/* ---- operations that do not open ---- */

static IV lazyio_seek(pTHX_ PerlIO *f, Off_t offset, int whence)
{
    PERL_UNUSED_CONTEXT;
    PERL_UNUSED_ARG(f);
    PERL_UNUSED_ARG(offset);
    PERL_UNUSED_ARG(whence);
    SETERRNO(ESPIPE, RMS_IFI);
    return -1;
}

static Off_t lazyio_tell(pTHX_ PerlIO *f)
{
    return lazyio_seek(aTHX_ f, 0, SEEK_CUR);
}

static IV lazyio_flush(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);

    return l->out != NULL ? PerlIO_flush(l->out) : 0;
}

static IV lazyio_eof(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);

    return l->in != NULL ? PerlIO_eof(l->in) : 0;
}

static IV lazyio_error(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);

    return l->in != NULL ? PerlIO_error(l->in) || PerlIO_error(l->out) : 0;
}

static void lazyio_clearerr(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);

    if (l->in == NULL)
        return;
    PerlIO_clearerr(l->in);
    PerlIO_clearerr(l->out);
}

static void lazyio_setlinebuf(pTHX_ PerlIO *f)
{
    PERL_UNUSED_CONTEXT;
    PERL_UNUSED_ARG(f);
}

/* ---- perl's access to the read buffer: the inner handle's ---- */

static STDCHAR *lazyio_get_base(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);

    return l->in != NULL ? PerlIO_get_base(l->in) : NULL;
}

static Size_t lazyio_get_bufsiz(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);

    return l->in != NULL ? (Size_t)PerlIO_get_bufsiz(l->in) : 0;
}

static STDCHAR *lazyio_get_ptr(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);

    return l->in != NULL ? PerlIO_get_ptr(l->in) : NULL;
}

static SSize_t lazyio_get_cnt(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);

    return l->in != NULL ? PerlIO_get_cnt(l->in) : 0;
}

static void lazyio_set_ptrcnt(pTHX_ PerlIO *f, STDCHAR *ptr, SSize_t cnt)
{
    struct lazyio *l = lazyio_self(f);

    if (l->in != NULL)
        PerlIO_set_ptrcnt(l->in, ptr, cnt);
}

/* ---- the end ---- */

static IV lazyio_close(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);
    PerlIO *in = l->in, *out = l->out;
    IV rc = 0;

    if (in != NULL && PL_phase != PERL_PHASE_DESTRUCT)
        psgi_get(aTHX)->n_taken--;
    list_remove(&l->among);
    l->in = l->out = NULL;
    if (out != NULL && PerlIO_close(out) != 0)
        rc = -1;
    if (in != NULL && PerlIO_close(in) != 0)
        rc = -1;
    l->layer.flags &= ~(U32)(PERLIO_F_CANREAD | PERLIO_F_CANWRITE | PERLIO_F_OPEN);
    lazyio_release(aTHX_ l);
    return rc;
}

/* Non-zero tells perl not to free the layer. */
static IV lazyio_popped(pTHX_ PerlIO *f)
{
    struct lazyio *l = lazyio_self(f);
    struct psgi *psgi;

    lazyio_close(aTHX_ f);
    *f = NULL;
    if (PL_phase == PERL_PHASE_DESTRUCT)
        return 1;
    psgi = psgi_get(aTHX);
    l->next_spare = psgi->spare_io;
    psgi->spare_io = l;
    return 1;
}

static PerlIO_funcs lazyio_funcs = {
    .fsize = sizeof(PerlIO_funcs),
    .name = "sprig",
    .size = sizeof(PerlIOl),
    .kind = PERLIO_K_RAW | PERLIO_K_FASTGETS,
    .Popped = lazyio_popped,
    .Binmode = PerlIOBase_binmode,
    .Fileno = lazyio_fileno,
    .Dup = lazyio_dup,
    .Read = lazyio_read,
    .Unread = lazyio_unread,
    .Write = lazyio_write,
    .Seek = lazyio_seek,
    .Tell = lazyio_tell,
    .Close = lazyio_close,
    .Flush = lazyio_flush,
    .Fill = lazyio_fill,
    .Eof = lazyio_eof,
    .Error = lazyio_error,
    .Clearerr = lazyio_clearerr,
    .Setlinebuf = lazyio_setlinebuf,
    .Get_base = lazyio_get_base,
    .Get_bufsiz = lazyio_get_bufsiz,
    .Get_ptr = lazyio_get_ptr,
    .Get_cnt = lazyio_get_cnt,
    .Set_ptrcnt = lazyio_set_ptrcnt,
};

/* body.c - response bodies: strings, arrays, files by sendfile, and everything with getline. */
#include "body.h"
#include "bytes.h"
#include "call.h"
#include "exchange.h"
#include "pump.h"
#include <fcntl.h>
#include <perliol.h>
#include <sys/stat.h>

#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#define FUSE_MAGIC 0x65735546
#endif

enum { MAX_PIECES = 32 }; /* of an array, written at once */

/* ---- what kind of body it is ---- */

static int unusable(pTHX_ SV *sv, SV **error)
{
    SvREFCNT_dec(*error);
    *error = newSVpvf(
        "PSGI response has %s %s as its body, expected an array reference or a handle",
        SvOBJECT(SvRV(sv)) ? "an object of class" : "a reference to", sv_reftype(SvRV(sv), 1));
    return -1;
}

/* Adds up the lengths in an array of plain values; false if there are other values. */
static bool array_length(AV *av, uint64_t *length)
{
    *length = 0;
    if (SvRMAGICAL((SV *)av))
        return false;
    for (SSize_t i = 0; i <= AvFILLp(av); i++) {
        SV *sv = AvARRAY(av)[i];
        if (sv != NULL)
            sv = psgi_referent(sv);
        if (sv == NULL || (!SvOK(sv) && !SvGMAGICAL(sv)))
            continue;
        if (!SvPOK(sv) || !psgi_is_plain(sv))
            return false;
        *length += SvCUR(sv);
    }
    return true;
}

/* A class may have its own getline; then the file behind it is not what should be sent. */
static bool has_own_getline(pTHX_ SV *target)
{
    GV *own, *usual;
    HV *io_handle = gv_stashpvs("IO::Handle", 0);

    if (!SvOBJECT(target) || SvTYPE(target) == SVt_PVIO)
        return false;
    own = gv_fetchmeth_pvn(SvSTASH(target), "getline", 7, 0, 0);
    usual = io_handle != NULL ? gv_fetchmeth_pvn(io_handle, "getline", 7, 0, 0) : NULL;
    return own != NULL && (usual == NULL || GvCV(own) != GvCV(usual));
}

/* True for a file on a filesystem that makes up its contents when it is read. Elsewhere files
 * without blocks are rare (sparse, or small enough to be stored in the inode). */
static bool is_virtual(int fd)
{
#ifdef __linux__
    static const unsigned long ones[] = {PROC_SUPER_MAGIC, SYSFS_MAGIC,        DEBUGFS_MAGIC,
                                         TRACEFS_MAGIC,    CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
                                         FUSE_MAGIC};
    struct statfs fs;

    if (fstatfs(fd, &fs) != 0)
        return true;
    for (size_t i = 0; i < C_ARRAY_LENGTH(ones); i++)
        if ((unsigned long)fs.f_type == ones[i])
            return true;
#else
    PERL_UNUSED_VAR(fd);
#endif
    return false;
}

/* True for a regular file whose size is what can be read: not in /proc, where files look empty, nor
 * in /sys and the like, where they look one page long. */
static bool has_true_size(int fd, const struct stat *st, Off_t at)
{
    char byte;

    if (!S_ISREG(st->st_mode))
        return false;
    if (st->st_size <= at)
        return pread(fd, &byte, 1, at) == 0;
    return st->st_blocks > 0 || !is_virtual(fd);
}

/* Whether perl counts the users of the descriptor: it does so for its own layers, except for the
 * standard handles, behind which `open` puts another file. */
static bool is_counted(pTHX_ PerlIO *file, int fd)
{
    while (PerlIOValid(PerlIONext(file)))
        file = PerlIONext(file);
    return fd > PL_maxsysfd && PerlIOBase(file)->tab == &PerlIO_unix;
}

/* Keeps perl's descriptor open, whatever the app does with its handle from now on. */
static int keep_open(pTHX_ PerlIO *file, int fd, bool *is_shared)
{
    *is_shared = is_counted(aTHX_ file, fd);
    if (!*is_shared)
        return fcntl(fd, F_DUPFD_CLOEXEC, 3);
    PerlIOUnix_refcnt_inc(fd);
    return fd;
}

static void give_back_shared(void *fd)
{
    if (PerlIOUnix_refcnt_dec((int)(intptr_t)fd) == 0)
        close((int)(intptr_t)fd);
}

static void give_back_own(void *fd)
{
    close((int)(intptr_t)fd);
}

/* The kernel sends a plain regular file, from where the next read would start. */
static bool inspect_file(pTHX_ SV *sv, IO *io, struct psgi_body *body)
{
    PerlIO *file = IoIFP(io);
    struct stat st;
    Off_t at;
    int fd;

    if (file == NULL ||
        (SvRMAGICAL((SV *)io) && mg_find((SV *)io, PERL_MAGIC_tiedscalar) != NULL) ||
        !psgi_has_plain_layers(file) || has_own_getline(aTHX_ SvROK(sv) ? SvRV(sv) : sv))
        return false;
    fd = PerlIO_fileno(file);
    if (fd < 0 || fstat(fd, &st) != 0 || (at = PerlIO_tell(file)) < 0 ||
        !has_true_size(fd, &st, at))
        return false;
    body->fd = keep_open(aTHX_ file, fd, &body->is_shared);
    body->offset = (uint64_t)at;
    body->length = st.st_size > at ? (uint64_t)(st.st_size - at) : 0;
    return body->fd >= 0;
}

static bool has_method(pTHX_ SV *object, const char *name)
{
    return gv_fetchmethod_autoload(SvSTASH(object), name, TRUE) != NULL;
}

bool psgi_body_has_string_ref(pTHX_ SV *sv)
{
    return SvROK(sv) && SvOBJECT(SvRV(sv)) && !has_method(aTHX_ SvRV(sv), "getline") &&
           has_method(aTHX_ SvRV(sv), "string_ref");
}

static int inspect_handle(pTHX_ SV *sv, IO *io, struct psgi_body *body)
{
    body->kind = inspect_file(aTHX_ sv, io, body) ? PSGI_BODY_FILE : PSGI_BODY_HANDLE;
    return 1;
}

int psgi_body_inspect(pTHX_ SV *sv, struct psgi_body *body, SV **error)
{
    IO *io;

    body->kind = PSGI_BODY_HANDLE;
    body->sv = sv;
    body->length = SPRIG_LENGTH_UNKNOWN;
    body->fd = -1;
    body->is_shared = false;
    if (SvGMAGICAL(sv) && !isGV_with_GP(sv))
        return 0;
    if (!SvROK(sv) && !isGV_with_GP(sv)) {
        body->kind = PSGI_BODY_STRING;
        body->length = SvPOK(sv) ? SvCUR(sv) : 0;
        return SvPOK(sv) && psgi_is_plain(sv);
    }
    if ((io = psgi_io_of(sv)) != NULL)
        return inspect_handle(aTHX_ sv, io, body);
    if (!SvROK(sv) || (SvOBJECT(SvRV(sv)) && has_method(aTHX_ SvRV(sv), "getline")))
        return 1;
    if (psgi_body_has_string_ref(aTHX_ sv))
        return 0;
    if (SvTYPE(SvRV(sv)) == SVt_PVAV) {
        body->kind = PSGI_BODY_ARRAY;
        body->sv = SvRV(sv);
        return array_length((AV *)SvRV(sv), &body->length);
    }
    return SvAMAGIC(sv) ? 0 : unusable(aTHX_ sv, error);
}

/* Takes regular files only, from the beginning. */
static bool take_file(int fd, struct psgi_body *body)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !has_true_size(fd, &st, 0))
        return false;
    body->kind = PSGI_BODY_FILE;
    body->fd = fd;
    body->is_shared = false;
    body->offset = 0;
    body->length = (uint64_t)st.st_size;
    return true;
}

int psgi_body_open_path(pTHX_ SV *sv)
{
    SV *path = NULL;
    STRLEN len;
    int fd = -1;

    if (sv == NULL || SvGMAGICAL(sv) || !SvROK(sv) || !SvOBJECT(SvRV(sv)) ||
        psgi_io_of(sv) != NULL || !has_method(aTHX_ SvRV(sv), "path") ||
        !has_method(aTHX_ SvRV(sv), "getline"))
        return -1;
    if (psgi_call_method(aTHX_ sv, "path", NULL, 0, &path, NULL) && path != NULL && SvPOK(path) &&
        !SvGMAGICAL(path)) {
        const char *name = SvPV_nomg(path, len);
        if (len > 0 && strlen(name) == len)
            fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    }
    SvREFCNT_dec(path);
    return fd;
}

void psgi_body_use_path(int fd, struct psgi_body *body)
{
    if (fd >= 0 && (body->kind != PSGI_BODY_HANDLE || !take_file(fd, body)))
        close(fd);
}

void psgi_body_clear(struct psgi_body *body)
{
    if (body->fd >= 0 && body->is_shared)
        give_back_shared((void *)(intptr_t)body->fd);
    else if (body->fd >= 0)
        give_back_own((void *)(intptr_t)body->fd);
    body->fd = -1;
}

int psgi_body_take_fd(struct psgi_body *body)
{
    int fd = body->is_shared ? fcntl(body->fd, F_DUPFD_CLOEXEC, 3) : body->fd;

    if (body->is_shared)
        psgi_body_clear(body);
    body->fd = -1;
    return fd;
}

/* ---- sending ---- */

/* True for a large string that is used outside this response, too: the app has returned, so it is
 * not one of its local variables. */
static bool is_kept_by_app(AV *av, SV *sv)
{
    return SvPOK(sv) && !SvUTF8(sv) && !SvROK(sv) && SvCUR(sv) >= PSGI_SHARE_MIN_BYTES &&
           (SvREFCNT(av) > 2 || SvREFCNT(sv) > 1 || (SvIsCOW(sv) && CowREFCNT(sv) > 0));
}

/* The bytes of a string that should be copied into the queue. */
static bool is_small_piece(SV *sv, struct sprig_span *bytes)
{
    if (sv == NULL)
        return *bytes = span_make(NULL, 0), true;
    sv = psgi_referent(sv);
    if ((SvFLAGS(sv) & (SVf_POK | SVf_ROK | SVf_UTF8 | SVs_GMG)) != SVf_POK ||
        SvCUR(sv) >= PSGI_SHARE_MIN_BYTES)
        return false;
    *bytes = span_make(SvPVX_const(sv), SvCUR(sv));
    return true;
}

static int send_piece(pTHX_ struct psgi_exchange *px, AV *av, SV *sv)
{
    return is_kept_by_app(av, sv) ? psgi_write_kept(aTHX_ px->ex, sv)
                                  : psgi_write_sv(aTHX_ px->ex, sv);
}

/* Adjacent small pieces are written at once. If a piece is cut, a warning follows, whose handler
 * may empty the array. */
static void send_array(pTHX_ struct psgi_exchange *px, AV *av)
{
    struct sprig_span pieces[MAX_PIECES];
    SSize_t i = 0;
    int rc = 0;

    while (i <= AvFILLp(av) && rc >= 0 && px->ex != NULL) {
        size_t n = 0;
        while (n < MAX_PIECES && i <= AvFILLp(av) && is_small_piece(AvARRAY(av)[i], &pieces[n]))
            i++, n++;
        if (n > 0)
            rc = n > 1 ? sprig_response_write_pieces(px->ex, pieces, n)
                       : sprig_response_write(px->ex, pieces[0]);
        else
            rc = send_piece(aTHX_ px, av, AvARRAY(av)[i++]);
    }
}

static void send_file(pTHX_ struct psgi_exchange *px, struct psgi_body *body)
{
    int fd = body->fd;

    psgi_pump_new(aTHX_ px, body->sv, false); /* only closes the handle at the end */
    if (sprig_response_is_bodyless(px->ex) || body->length == 0) {
        psgi_body_clear(body);
        return;
    }
    body->fd = -1;
    sprig_response_write_file(px->ex, fd, body->offset, body->length,
                              body->is_shared ? give_back_shared : give_back_own,
                              (void *)(intptr_t)fd);
}

void psgi_body_send(pTHX_ struct psgi_exchange *px, struct psgi_body *body)
{
    switch (body->kind) {
    case PSGI_BODY_NONE:
        break;
    case PSGI_BODY_STRING:
        psgi_write_sv(aTHX_ px->ex, body->sv);
        break;
    case PSGI_BODY_ARRAY:
        send_array(aTHX_ px, (AV *)body->sv);
        break;
    case PSGI_BODY_FILE:
        send_file(aTHX_ px, body);
        break;
    case PSGI_BODY_HANDLE:
        sprig_response_may_exceed(px->ex);
        psgi_pump_new(aTHX_ px, body->sv, true);
        psgi_pump_run(aTHX_ px);
        return;
    }
    psgi_exchange_finish(aTHX_ px);
}

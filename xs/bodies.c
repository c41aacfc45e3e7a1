/* bodies.c - bodies of responses: strings, arrays, files by sendfile, and all that has getline. */
#include "bridge.h"
#include <fcntl.h>
#include <perliol.h>
#include <sys/stat.h>

#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#define FUSE_MAGIC 0x65735546
#endif

enum {
    WRITE_REF_MIN_BYTES = 16 * 1024, /* from here on sharing a string is cheaper than copying it */
    RECORD_BYTES = 64 * 1024,        /* $/ for getline */
    SLICE_BYTES = 64 * 1024,         /* of one pump in one turn of the loop */
    SLICE_CALLS = 64,                /* of getline in one turn */
    MAX_PIECES = 32,                 /* of an array, written at one go */
    SPARE_BYTES = 64,                /* behind a string, that do not keep perl from sharing it */
    MAX_EMPTY = 8                    /* empty strings from getline before it is given a rest */
};

/* A body that is only slow to fill its buffer (a compressor) is asked again after the others had
 * their turn; one that goes on having nothing is polled ever more rarely. */
enum { N_SHORT_RESTS = 64 };
static const double REST_MIN_SECONDS = 0.001, REST_MAX_SECONDS = 0.05;

/* A body that is read by getline while it is sent, or that only has to be closed at the end. */
struct psgi_pump {
    SV *body; /* owned: what getline and close are called on */
    struct sprig_timer *rest;
    unsigned n_empty; /* empty strings in a row */
    unsigned n_rests; /* rests in a row */
    bool is_reading;  /* not at its end yet */
    bool is_running;  /* a frame of psgi_pump_run is on the stack */
    bool is_dropped;  /* the exchange is over: the running frame frees it */
    bool is_closed;   /* close was called */
};

/* ---- values ---- */

bool psgi_is_plain(SV *sv)
{
    return !SvGMAGICAL(sv) && !SvROK(sv) && (SvPOK(sv) ? !SvUTF8(sv) : SvNIOK(sv) || !SvOK(sv));
}

/* A string of its own: making one in place would turn the app's number into a string. */
static SV *string_copy(pTHX_ SV *sv)
{
    STRLEN len;
    const char *p = SvPV_nomg(sv, len);

    return newSVpvn_flags(p, len, SVs_TEMP | (SvUTF8(sv) ? SVf_UTF8 : 0));
}

/* The same of a reference: overloading may run any code. */
static SV *object_copy(pTHX_ SV *ref)
{
    struct psgi_status status;
    SV *copy;

    ENTER;
    psgi_status_keep(aTHX_ & status);
    copy = string_copy(aTHX_ ref);
    LEAVE;
    psgi_status_give_back(aTHX_ & status);
    return copy;
}

bool psgi_bytes(pTHX_ SV *sv, struct sprig_span *bytes, SV **hold)
{
    SV *copy;

    *hold = NULL;
    *bytes = SPAN_LIT("");
    SvGETMAGIC(sv);
    if (!SvOK(sv))
        return true;
    if (SvPOK(sv) && !SvUTF8(sv) && !SvROK(sv) && !SvGMAGICAL(sv)) {
        *bytes = span_make(SvPVX_const(sv), SvCUR(sv));
        return true;
    }
    copy = SvROK(sv) ? object_copy(aTHX_ sv) : string_copy(aTHX_ sv);
    if (SvUTF8(copy) && !sv_utf8_downgrade(copy, TRUE))
        return false;
    *bytes = span_make(SvPVX_const(copy), SvCUR(copy));
    *hold = SvREFCNT_inc_simple_NN(copy);
    return true;
}

/* Gives back a string that was sent by reference. A plain string has no destructor. */
static void release_sv(void *sv)
{
    dTHX;
    SvREFCNT_dec((SV *)sv);
}

/* Perl copies a string whose buffer has much room to spare, for sharing would waste that. Giving
 * the room back is cheaper than a copy. */
static void make_shareable(pTHX_ SV *sv)
{
    if (!SvIsCOW(sv) && !SvREADONLY(sv) && !SvOOK(sv) && SvLEN(sv) > SvCUR(sv) + SPARE_BYTES)
        SvPV_renew(sv, SvCUR(sv) + 2);
}

/* Writes a string by reference: shares its buffer copy-on-write where perl can. `is_kept`: the app
 * goes on using that buffer, so holding it costs no memory. */
static int write_large(pTHX_ struct sprig_exchange *ex, SV *sv, bool is_kept)
{
    SV *hold;
    struct sprig_span bytes;

    make_shareable(aTHX_ sv);
    hold = newSV(0); /* newSVsv() never shares */
    sv_setsv_flags(hold, sv, SV_NOSTEAL | SV_COW_SHARED_HASH_KEYS | SV_COW_OTHER_PVS);
    bytes = span_make(SvPVX_const(hold), SvCUR(hold));
    if (is_kept && SvPVX_const(hold) == SvPVX_const(sv))
        return sprig_response_write_shared(ex, bytes, release_sv, hold);
    return sprig_response_write_ref(ex, bytes, release_sv, hold);
}

int psgi_write_bytes(pTHX_ struct sprig_exchange *ex, SV *sv)
{
    if (SvCUR(sv) >= WRITE_REF_MIN_BYTES)
        return write_large(aTHX_ ex, sv, false);
    return sprig_response_write(ex, span_make(SvPVX_const(sv), SvCUR(sv)));
}

int psgi_write_sv(pTHX_ struct sprig_exchange *ex, SV *sv)
{
    struct sprig_span bytes;
    SV *hold;
    int rc;

    sv = psgi_referent(sv);
    if (!psgi_bytes(aTHX_ sv, &bytes, &hold))
        return SPRIG_E_INVALID;
    if (bytes.len >= WRITE_REF_MIN_BYTES && hold == NULL)
        return write_large(aTHX_ ex, sv, false);
    if (bytes.len >= WRITE_REF_MIN_BYTES)
        return sprig_response_write_ref(ex, bytes, release_sv, hold);
    rc = bytes.len > 0 ? sprig_response_write(ex, bytes) : 0;
    SvREFCNT_dec(hold);
    return rc;
}

/* ---- what kind of body it is ---- */

static int unusable(pTHX_ SV *sv, SV **error)
{
    SvREFCNT_dec(*error);
    *error = newSVpvf(
        "PSGI response has %s %s as its body, expected an array reference or a handle",
        SvOBJECT(SvRV(sv)) ? "an object of class" : "a reference to", sv_reftype(SvRV(sv), 1));
    return -1;
}

/* Adds up an array of plain values; false if there are others. */
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

/* The IO of a glob, a reference to one, or a reference to an IO; NULL for everything else. */
static IO *handle_io(SV *sv)
{
    SV *target = SvROK(sv) ? SvRV(sv) : sv;

    if (isGV_with_GP(target))
        return GvIO((GV *)target);
    return SvTYPE(target) == SVt_PVIO ? (IO *)target : NULL;
}

/* A class may read by a getline of its own; then the file behind it is not what is to be sent. */
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

/* Nothing between the file's bytes and the reader: no :utf8, :crlf, :gzip, :encoding. */
static bool has_plain_layers(PerlIO *file)
{
    if (PerlIOBase(file)->flags & (PERLIO_F_UTF8 | PERLIO_F_CRLF))
        return false;
    for (PerlIO *f = file; PerlIOValid(f); f = PerlIONext(f)) {
        const char *name = PerlIOBase(f)->tab->name;
        if (strcmp(name, "unix") != 0 && strcmp(name, "perlio") != 0 && strcmp(name, "stdio") != 0)
            return false;
    }
    return true;
}

/* True for a file of a filesystem that makes its contents up when they are read. Files that have no
 * blocks are rare elsewhere (sparse, or so small that they lie in the inode). */
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

/* True for a regular file whose size is the length of what can be read: neither /proc, where files
 * look empty, nor /sys and the like, where they look like a page. */
static bool has_true_size(int fd, const struct stat *st, Off_t at)
{
    char byte;

    if (!S_ISREG(st->st_mode))
        return false;
    if (st->st_size <= at)
        return pread(fd, &byte, 1, at) == 0;
    return st->st_blocks > 0 || !is_virtual(fd);
}

/* A plain regular file is sent by the kernel, from where the next read would start. The descriptor
 * is duplicated: what the app does with its handle from now on is its own business. */
static bool inspect_file(pTHX_ SV *sv, IO *io, struct psgi_body *body)
{
    PerlIO *file = IoIFP(io);
    struct stat st;
    Off_t at;
    int fd;

    if (file == NULL ||
        (SvRMAGICAL((SV *)io) && mg_find((SV *)io, PERL_MAGIC_tiedscalar) != NULL) ||
        !has_plain_layers(file) || has_own_getline(aTHX_ SvROK(sv) ? SvRV(sv) : sv))
        return false;
    fd = PerlIO_fileno(file);
    if (fd < 0 || fstat(fd, &st) != 0 || (at = PerlIO_tell(file)) < 0 ||
        !has_true_size(fd, &st, at))
        return false;
    body->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
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
    if (SvGMAGICAL(sv) && !isGV_with_GP(sv))
        return 0;
    if (!SvROK(sv) && !isGV_with_GP(sv)) {
        body->kind = PSGI_BODY_STRING;
        body->length = SvPOK(sv) ? SvCUR(sv) : 0;
        return SvPOK(sv) && psgi_is_plain(sv);
    }
    if ((io = handle_io(sv)) != NULL)
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

/* Regular files only; from their beginning. */
static bool take_file(int fd, struct psgi_body *body)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !has_true_size(fd, &st, 0))
        return false;
    body->kind = PSGI_BODY_FILE;
    body->fd = fd;
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
        handle_io(sv) != NULL || !has_method(aTHX_ SvRV(sv), "path") ||
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
    if (body->fd >= 0)
        close(body->fd);
    body->fd = -1;
}

/* ---- the pump ---- */

static struct psgi_pump *pump_new(pTHX_ struct psgi_exchange *px, SV *body)
{
    struct psgi_pump *pump;

    Newxz(pump, 1, struct psgi_pump);
    pump->body = SvROK(body) ? newRV_inc(SvRV(body)) : newRV_inc(body);
    px->server->psgi->n_pumps++;
    px->pump = pump;
    return pump;
}

/* Objects without close are left alone. An AUTOLOAD may stand for it, which only `can` knows. */
static bool can_close(pTHX_ SV *body)
{
    SV *name, *found = NULL;
    bool can;

    if (!SvOBJECT(SvRV(body)))
        return handle_io(body) != NULL;
    if (gv_fetchmethod_autoload(SvSTASH(SvRV(body)), "close", FALSE) != NULL)
        return true;
    name = newSVpvs("close");
    can = psgi_call_method(aTHX_ body, "can", &name, 1, &found, NULL) && found != NULL &&
          SvROK(found);
    SvREFCNT_dec(name);
    SvREFCNT_dec(found);
    return can;
}

/* Calls close, once in the life of the body. False: it died, *error is owned by the caller. */
static bool pump_close(pTHX_ struct psgi_pump *pump, SV **error)
{
    bool ok = true;

    *error = NULL;
    if (pump->is_closed || PL_phase == PERL_PHASE_DESTRUCT)
        return true;
    pump->is_closed = true;
    if (can_close(aTHX_ pump->body))
        ok = psgi_call_method(aTHX_ pump->body, "close", NULL, 0, NULL, error);
    return ok;
}

static void pump_destroy(pTHX_ struct psgi_exchange *px, struct psgi_pump *pump)
{
    SV *error;

    if (pump->rest != NULL)
        sprig_timer_free(pump->rest);
    if (!pump_close(aTHX_ pump, &error) && error != NULL)
        psgi_report(aTHX_ px->env, error);
    SvREFCNT_dec(error);
    SvREFCNT_dec(pump->body);
    px->server->psgi->n_pumps--;
    Safefree(pump);
}

void psgi_pump_free(pTHX_ struct psgi_exchange *px)
{
    struct psgi_pump *pump = px->pump;

    if (pump == NULL)
        return;
    px->pump = NULL;
    if (pump->is_running)
        pump->is_dropped = true;
    else
        pump_destroy(aTHX_ px, pump);
}

static void on_rest(struct sprig_timer *timer, void *arg)
{
    struct psgi_exchange *px = arg;
    struct psgi_pump *pump = px->pump;
    dTHXa(px->server->psgi->perl);

    sprig_timer_free(timer);
    pump->rest = NULL;
    psgi_exchange_hold(px);
    psgi_pump_run(aTHX_ px);
    psgi_exchange_release(aTHX_ px);
}

/* getline has nothing yet: it is asked again in a while rather than in a circle. */
static void pump_rest(struct psgi_exchange *px, struct psgi_pump *pump)
{
    double seconds = 0;

    pump->n_empty = 0;
    for (unsigned n = N_SHORT_RESTS; n < pump->n_rests && seconds < REST_MAX_SECONDS; n++)
        seconds = seconds > 0 ? seconds * 2 : REST_MIN_SECONDS;
    pump->n_rests++;
    if (pump->rest == NULL)
        pump->rest = sprig_timer_new(px->server->psgi->loop, seconds, 0, on_rest, px);
}

/* local $/ = \RECORD_BYTES */
static void localise_rs(pTHX)
{
    GV *gv = gv_fetchpvs("/", GV_ADD, SVt_PV);

    save_scalar(gv);
    sv_setsv_mg(GvSV(gv), sv_2mortal(newRV_noinc(newSViv(RECORD_BYTES))));
}

enum pumped { PUMPED_WAIT, PUMPED_END, PUMPED_FAILED };

struct text_job {
    SV *chunk; /* what getline returned */
    SV *text;  /* out, owned: its bytes; NULL: wide characters */
};

static void run_text(pTHX_ void *arg)
{
    struct text_job *job = arg;
    SV *sv = psgi_referent(job->chunk), *hold;
    struct sprig_span bytes;

    if (psgi_bytes(aTHX_ sv, &bytes, &hold))
        job->text = hold != NULL ? hold : newSVpvn(bytes.ptr, bytes.len);
}

/* Writes what getline returned, an object that overloads "" included: that may be the end of the
 * exchange, so it becomes text before anything is written. */
static enum pumped pump_write(pTHX_ struct psgi_exchange *px, SV *chunk, int *rc, SV **error)
{
    struct text_job job = {chunk, NULL};

    if (SvROK(chunk) && !psgi_guard(aTHX_ run_text, &job, error))
        return PUMPED_FAILED;
    if (SvROK(chunk) && job.text == NULL)
        *rc = SPRIG_E_INVALID;
    else if (px->ex != NULL)
        *rc = psgi_write_sv(aTHX_ px->ex, job.text != NULL ? job.text : chunk);
    else
        *rc = SPRIG_E_CLOSED;
    SvREFCNT_dec(job.text);
    if (*rc != SPRIG_E_INVALID)
        return PUMPED_WAIT;
    *error = newSVpvs("PSGI response has a wide character in its body");
    return PUMPED_FAILED;
}

/* Reads and sends until a slice is full, the queue is full, or the body is at its end. */
static enum pumped pump_slice(pTHX_ struct psgi_exchange *px, struct psgi_pump *pump, SV **error)
{
    uint64_t n_bytes = 0;

    for (int i = 0; i < SLICE_CALLS && n_bytes < SLICE_BYTES; i++) {
        SV *chunk;
        enum pumped pumped = PUMPED_END;
        int rc = 0;
        sprig_loop_lend(px->server->psgi->loop); /* reading may take long */
        if (!psgi_call_method(aTHX_ pump->body, "getline", NULL, 0, &chunk, error))
            return PUMPED_FAILED;
        if (px->ex != NULL && chunk != NULL && SvOK(chunk)) {
            bool is_empty = SvPOK(chunk) && SvCUR(chunk) == 0;
            n_bytes += SvPOK(chunk) ? SvCUR(chunk) : 0;
            pump->n_empty = is_empty ? pump->n_empty + 1 : 0;
            if (!is_empty)
                pump->n_rests = 0;
            pumped = pump_write(aTHX_ px, chunk, &rc, error);
        }
        SvREFCNT_dec(chunk); /* which may be the end of the exchange */
        if (px->ex == NULL)
            return PUMPED_END;
        if (pumped != PUMPED_WAIT || rc != 0)
            return pumped; /* on_drain or on_end follows */
        if (pump->n_empty >= MAX_EMPTY) {
            pump_rest(px, pump);
            return PUMPED_WAIT;
        }
    }
    sprig_response_want_drain(px->ex);
    return PUMPED_WAIT;
}

/* The body is at its end, or failed; closing comes before the last byte, for it may fail as well.
 */
static void pump_end(pTHX_ struct psgi_exchange *px, struct psgi_pump *pump, SV *error)
{
    SV *close_error = NULL;

    pump->is_reading = false;
    if (!pump_close(aTHX_ pump, &close_error) && error == NULL)
        error = sv_2mortal(close_error);
    else
        SvREFCNT_dec(close_error);
    if (px->ex == NULL)
        return;
    if (error != NULL)
        psgi_exchange_fail(aTHX_ px, error);
    else
        psgi_exchange_finish(aTHX_ px);
}

bool psgi_pump_is_reading(const struct psgi_exchange *px)
{
    return px->pump != NULL && px->pump->is_reading;
}

void psgi_pump_run(pTHX_ struct psgi_exchange *px)
{
    struct psgi_pump *pump = px->pump;
    enum pumped pumped = PUMPED_END;
    SV *error = NULL;

    if (px->ex == NULL || pump == NULL || pump->is_running || !pump->is_reading ||
        pump->rest != NULL)
        return;
    psgi_exchange_hold(px);
    pump->is_running = true;
    ENTER;
    SAVETMPS;
    if (!sprig_response_is_bodyless(px->ex)) {
        save_scalar(PL_errgv);
        localise_rs(aTHX);
        pumped = pump_slice(aTHX_ px, pump, &error);
    }
    FREETMPS;
    LEAVE;
    if (pumped != PUMPED_WAIT && !pump->is_dropped)
        pump_end(aTHX_ px, pump, error);
    pump->is_running = false;
    SvREFCNT_dec(error);
    if (pump->is_dropped)
        pump_destroy(aTHX_ px, pump);
    psgi_exchange_release(aTHX_ px);
}

/* ---- sending ---- */

static void release_fd(void *fd)
{
    close((int)(intptr_t)fd);
}

/* True for a large string that somebody else than this response has, too: the app has returned, so
 * that is no passing variable of its. */
static bool is_kept_by_app(AV *av, SV *sv)
{
    return SvPOK(sv) && !SvUTF8(sv) && !SvROK(sv) && SvCUR(sv) >= WRITE_REF_MIN_BYTES &&
           (SvREFCNT(av) > 2 || SvREFCNT(sv) > 1 || (SvIsCOW(sv) && CowREFCNT(sv) > 0));
}

/* The bytes of a string that is to be copied into the queue. */
static bool is_small_piece(SV *sv, struct sprig_span *bytes)
{
    if (sv == NULL)
        return *bytes = span_make(NULL, 0), true;
    sv = psgi_referent(sv);
    if ((SvFLAGS(sv) & (SVf_POK | SVf_ROK | SVf_UTF8 | SVs_GMG)) != SVf_POK ||
        SvCUR(sv) >= WRITE_REF_MIN_BYTES)
        return false;
    *bytes = span_make(SvPVX_const(sv), SvCUR(sv));
    return true;
}

static int send_piece(pTHX_ struct psgi_exchange *px, AV *av, SV *sv)
{
    return is_kept_by_app(av, sv) ? write_large(aTHX_ px->ex, sv, true)
                                  : psgi_write_sv(aTHX_ px->ex, sv);
}

/* Small pieces that follow each other are written at one go. A piece that is cut is warned of,
 * which may be code that empties the array. */
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

    body->fd = -1;
    pump_new(aTHX_ px, body->sv); /* only to close the handle at the end */
    if (sprig_response_is_bodyless(px->ex) || body->length == 0)
        close(fd);
    else
        sprig_response_write_file(px->ex, fd, body->offset, body->length, release_fd,
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
        pump_new(aTHX_ px, body->sv)->is_reading = true;
        psgi_pump_run(aTHX_ px);
        return;
    }
    psgi_exchange_finish(aTHX_ px);
}

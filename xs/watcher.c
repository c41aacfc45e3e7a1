/* watcher.c - AnyEvent watchers on the loop: Perl objects that own a watcher of the core. */
#include "watcher.h"
#include "call.h"
#include "handle.h"
#include "loop.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum watcher_kind { WATCHER_IO, WATCHER_TIMER, WATCHER_SIGNAL, WATCHER_IDLE };

/* Owned by its Perl object's magic. */
struct psgi_watcher {
    enum watcher_kind kind;
    union {
        struct sprig_io *io;
        struct sprig_timer *timer;
        struct sprig_signal *signal;
        struct sprig_idle *idle;
    } on;              /* owned */
    CV *code;          /* owned */
    struct psgi *psgi; /* borrowed: lives as long as the interpreter */
    char *request_id;  /* owned: of the request that made it; NULL: none */
};

struct psgi_watch {
    uint64_t now;                 /* the sprig_loop_now of `wall` */
    NV wall;                      /* seconds since the epoch */
    SV *on_interest, *on_timeout; /* owned */
};

static struct psgi_watch *watch_get(pTHX)
{
    struct psgi *psgi = psgi_get(aTHX);
    if (psgi->watch == NULL)
        Newxz(psgi->watch, 1, struct psgi_watch);
    return psgi->watch;
}

static void watcher_run(struct psgi_watcher *w)
{
    struct log_request before;
    dTHXa(w->psgi->perl);
    if (w->request_id == NULL) {
        psgi_callback(aTHX_(SV *) w->code, NULL, 0);
        return;
    }
    log_request_enter(span_str(w->request_id), &before);
    psgi_callback(aTHX_(SV *) w->code, NULL, 0);
    log_request_leave(&before);
}

static void watcher_on_io(struct sprig_io *io, int what, void *arg)
{
    (void)io, (void)what;
    watcher_run(arg);
}

static void watcher_on_timer(struct sprig_timer *timer, void *arg)
{
    (void)timer;
    watcher_run(arg);
}

static void watcher_on_signal(struct sprig_signal *sig, int signo, void *arg)
{
    (void)sig, (void)signo;
    watcher_run(arg);
}

static void watcher_on_idle(struct sprig_idle *idle, void *arg)
{
    (void)idle;
    watcher_run(arg);
}

/* --------------------------------------------------------------- lifetime ---- */

/* Frees the core's part first: dropping the code may run destructors. */
static int watcher_free(pTHX_ SV *sv, MAGIC *mg)
{
    (void)sv;
    struct psgi_watcher *w = (struct psgi_watcher *)mg->mg_ptr;
    if (w == NULL)
        return 0;
    mg->mg_ptr = NULL;
    switch (w->kind) {
    case WATCHER_IO:
        sprig_io_free(w->on.io);
        break;
    case WATCHER_TIMER:
        sprig_timer_free(w->on.timer);
        break;
    case WATCHER_SIGNAL:
        sprig_signal_free(w->on.signal);
        break;
    case WATCHER_IDLE:
        sprig_idle_free(w->on.idle);
        break;
    }
    w->psgi->n_watchers--;
    CV *code = w->code;
    Safefree(w->request_id);
    Safefree(w);
    SvREFCNT_dec_NN((SV *)code);
    return 0;
}

static const MGVTBL watcher_vtable = {
    .svt_free = watcher_free, .svt_dup = psgi_magic_dup_nothing, /* CLONE_SKIP already makes copies
                                                                  * harmless, but one may slip
                                                                  * through */
};

/* The code behind a reference or an object with &{}, such as a condvar. */
static CV *watcher_code(pTHX_ SV *code)
{
    HV *stash;
    GV *gv;
    SvGETMAGIC(code);
    CV *cv = psgi_is_code(aTHX_ code) ? sv_2cv(code, &stash, &gv, 0) : NULL;
    if (cv == NULL)
        croak("the callback of a watcher must be a code reference");
    return cv;
}

static struct psgi_watcher *watcher_new(pTHX_ enum watcher_kind kind, SV *code)
{
    CV *cv = watcher_code(aTHX_ code);
    psgi_loop(aTHX); /* croaks before anything is allocated */
    struct psgi_watcher *w;
    Newxz(w, 1, struct psgi_watcher);
    w->kind = kind;
    w->psgi = psgi_get(aTHX);
    w->code = (CV *)SvREFCNT_inc_simple_NN((SV *)cv);
    struct sprig_span id = log_request_id();
    if (id.len > 0)
        w->request_id = savepvn(id.ptr, (I32)id.len);
    return w;
}

/* `core` is the core's watcher; NULL: see errno. */
static SV *watcher_wrap(pTHX_ struct psgi_watcher *w, const void *core, const char *what)
{
    if (core == NULL) {
        int saved = errno;
        SvREFCNT_dec_NN((SV *)w->code);
        Safefree(w->request_id);
        Safefree(w);
        croak("cannot watch %s: %s", what, strerror(saved));
    }
    w->psgi->n_watchers++;
    SV *body = newSV_type(SVt_PVMG);
    MAGIC *mg = sv_magicext(body, NULL, PERL_MAGIC_ext, &watcher_vtable, (const char *)w, 0);
    mg->mg_flags |= MGf_DUP;
    return sv_bless(newRV_noinc(body), w->psgi->watcher_class);
}

/* --------------------------------------------------------------------- io ---- */

static int fd_of_handle(pTHX_ SV *fh)
{
    IO *io = sv_2io(fh);
    PerlIO *f = IoIFP(io) != NULL ? IoIFP(io) : IoOFP(io);
    return f != NULL ? PerlIO_fileno(f) : -1;
}

static int watcher_fd(pTHX_ SV *fh)
{
    SvGETMAGIC(fh);
    int fd = -1;
    if (SvROK(fh) || isGV_with_GP(fh) || SvTYPE(fh) == SVt_PVIO || !looks_like_number(fh))
        fd = fd_of_handle(aTHX_ fh);
    else if (SvIV(fh) >= 0 && SvIV(fh) <= I32_MAX)
        fd = (int)SvIV(fh);
    if (fd < 0)
        croak("cannot watch a file handle without a descriptor");
    return fd;
}

SV *psgi_watcher_io(pTHX_ SV *fh, int what, SV *code)
{
    int before = errno;
    int fd = watcher_fd(aTHX_ fh);
    struct psgi_watcher *w = watcher_new(aTHX_ WATCHER_IO, code);
    w->on.io = sprig_io_new(w->psgi->loop, fd, what, watcher_on_io, w);
    SV *watcher = watcher_wrap(aTHX_ w, w->on.io, "this descriptor");
    errno = before;
    return watcher;
}

/* ------------------------------------------------------ timer, signal, idle ---- */

SV *psgi_watcher_timer(pTHX_ SV *after, SV *interval, SV *code)
{
    NV first = SvOK(after) ? SvNV(after) : 0, next = SvOK(interval) ? SvNV(interval) : 0;
    struct psgi_watcher *w = watcher_new(aTHX_ WATCHER_TIMER, code);
    w->on.timer = sprig_timer_new(w->psgi->loop, first, next, watcher_on_timer, w);
    return watcher_wrap(aTHX_ w, w->on.timer, "the time");
}

static int watcher_signo(pTHX_ SV *name)
{
    SvGETMAGIC(name);
    if (looks_like_number(name))
        return (int)SvIV(name);
    STRLEN len;
    const char *text = SvPV(name, len);
    if (len > 3 && strncmp(text, "SIG", 3) == 0)
        text += 3;
    int signo = (int)whichsig(text);
    if (signo <= 0)
        croak("there is no signal '%" SVf "'", SVfARG(name));
    return signo;
}

SV *psgi_watcher_signal(pTHX_ SV *name, SV *code)
{
    int signo = watcher_signo(aTHX_ name);
    struct psgi_watcher *w = watcher_new(aTHX_ WATCHER_SIGNAL, code);
    w->on.signal = sprig_signal_new(w->psgi->loop, signo, watcher_on_signal, w);
    return watcher_wrap(aTHX_ w, w->on.signal, "this signal");
}

SV *psgi_watcher_idle(pTHX_ SV *code)
{
    struct psgi_watcher *w = watcher_new(aTHX_ WATCHER_IDLE, code);
    w->on.idle = sprig_idle_new(w->psgi->loop, watcher_on_idle, w);
    return watcher_wrap(aTHX_ w, w->on.idle, "for idleness");
}

/* ------------------------------------------------------------------- time ---- */

static NV clock_seconds(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (NV)ts.tv_sec + (NV)ts.tv_nsec / 1e9;
}

NV psgi_loop_time(pTHX)
{
    return clock_seconds(CLOCK_REALTIME);
}

/* The wall clock at the moment when the loop last read its own clock; computed once for each
 * reading, so that it stands still during a callback. */
NV psgi_loop_now(pTHX)
{
    struct psgi_watch *watch = watch_get(aTHX);
    uint64_t now = sprig_loop_now(psgi_loop(aTHX));
    if (watch->now != now) {
        NV ago = clock_seconds(CLOCK_MONOTONIC) - (NV)now / 1e9;
        watch->now = now;
        watch->wall = clock_seconds(CLOCK_REALTIME) - ago;
    }
    return watch->wall;
}

/* ----------------------------------------------------------------- passes ---- */

/* A pass that was left early leaves the depth too high; and in a foreign loop no next wake-up is
 * arranged, so another pass is needed. */
static void pass_left(pTHX_ void *depth)
{
    struct sprig_loop *loop = psgi_get(aTHX)->loop;
    if (sprig_loop_depth(loop) == (uint32_t)PTR2UV(depth))
        return;
    sprig_loop_set_depth(loop, (uint32_t)PTR2UV(depth));
    sprig_loop_wake(loop);
}

static int run_pass(pTHX_ bool block)
{
    struct sprig_loop *loop = psgi_loop(aTHX);
    ENTER;
    SAVEDESTRUCTOR_X(pass_left, INT2PTR(void *, (UV)sprig_loop_depth(loop)));
    int n = sprig_loop_pass(loop, block);
    LEAVE;
    psgi_rethrow(aTHX);
    return n;
}

int psgi_loop_pass(pTHX_ bool block)
{
    struct psgi_status status;
    ENTER;
    psgi_status_keep(aTHX_ & status);
    int n = run_pass(aTHX_ block);
    LEAVE;
    psgi_status_give_back(aTHX_ & status);
    return n;
}

/* Keeps the status once for all passes: a server that runs alone spends its life here. */
void psgi_loop_pass_until(pTHX_ SV *ref, SV *key, SV *other)
{
    struct psgi_status status;
    U32 hash = 0; /* known, not computed in each turn */
    if (!SvROK(ref) || SvTYPE(SvRV(ref)) != SVt_PVHV)
        croak("Sprig: not a condvar");
    if (SvPOK(key) && !SvUTF8(key))
        PERL_HASH(hash, SvPVX_const(key), SvCUR(key));
    ENTER;
    psgi_status_keep(aTHX_ & status);
    while (!SvOK(other) && !hv_exists_ent((HV *)SvRV(ref), key, hash)) {
        ENTER;
        SAVETMPS;
        run_pass(aTHX_ true);
        FREETMPS;
        LEAVE;
    }
    LEAVE;
    psgi_status_give_back(aTHX_ & status);
}

/* ------------------------------------------------ hosts without a poll fd ---- */

static void host_tell(struct psgi *psgi, SV *code, SV **args, int n_args)
{
    dTHXa(psgi->perl);
    if (code != NULL && PL_phase != PERL_PHASE_DESTRUCT)
        psgi_callback(aTHX_ code, args, n_args);
    for (int i = 0; i < n_args; i++)
        SvREFCNT_dec_NN(args[i]);
}

static void host_on_interest(int fd, int what, void *arg)
{
    struct psgi *psgi = arg;
    dTHXa(psgi->perl);
    SV *args[] = {newSViv(fd), newSViv(what)};
    host_tell(psgi, psgi->watch->on_interest, args, 2);
}

static void host_on_timeout(double seconds, void *arg)
{
    struct psgi *psgi = arg;
    dTHXa(psgi->perl);
    SV *args[] = {newSVnv(seconds)};
    host_tell(psgi, psgi->watch->on_timeout, args, 1);
}

void psgi_loop_set_interest(pTHX_ SV *on_interest, SV *on_timeout)
{
    struct psgi_watch *watch = watch_get(aTHX);
    CV *interest = watcher_code(aTHX_ on_interest), *timeout = watcher_code(aTHX_ on_timeout);
    SvREFCNT_dec(watch->on_interest);
    SvREFCNT_dec(watch->on_timeout);
    watch->on_interest = SvREFCNT_inc_simple_NN((SV *)interest);
    watch->on_timeout = SvREFCNT_inc_simple_NN((SV *)timeout);
    struct sprig_loop_interest host = {host_on_interest, host_on_timeout, psgi_get(aTHX)};
    sprig_loop_set_interest(psgi_loop(aTHX), &host);
}

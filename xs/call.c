/* call.c - the only way into Perl: calls, methods, and C code that may croak, under eval. */
#include "call.h"
#include <errno.h>

/* What psgi_eval runs; lives on the C stack of its caller. */
struct psgi_eval_job {
    void (*fn)(pTHX_ void *arg);
    void *arg;
};

/* C state that must be restored when Perl unwinds past this call, by die or exit. */
struct call_frame {
    struct psgi *psgi;
    COP *caller; /* PL_curcop outside */
    uint32_t loop_depth;
    bool keeps_status;
    struct psgi_status status;
    uint64_t n_dropped; /* at the start: higher numbers were dropped during this call */
};

static void frame_leave(pTHX_ void *arg)
{
    struct call_frame *frame = arg;

    PL_curcop = frame->caller;
    frame->psgi->call_depth--;
    if (frame->psgi->loop != NULL)
        sprig_loop_set_depth(frame->psgi->loop, frame->loop_depth);
}

void psgi_status_keep(pTHX_ struct psgi_status *status)
{
    status->of_system = errno;
    status->of_child = PL_statusvalue;
    save_scalar(PL_errgv);
}

void psgi_status_give_back(pTHX_ const struct psgi_status *status)
{
    PL_statusvalue = status->of_child;
    errno = status->of_system;
}

/* Whether Perl code is waiting for this call: it called a method of ours, inside the loop or
 * outside. */
static bool is_within_perl(const struct call_frame *frame)
{
    return frame->psgi->call_depth > 1 || frame->loop_depth == 0;
}

/* Call it after ENTER: frame_leave runs at the matching LEAVE or when Perl unwinds. */
static void frame_enter(pTHX_ struct call_frame *frame)
{
    struct psgi *psgi = psgi_get(aTHX);

    frame->psgi = psgi;
    frame->caller = (COP *)PL_curcop;
    frame->loop_depth = psgi->loop != NULL ? sprig_loop_depth(psgi->loop) : 0;
    frame->n_dropped = psgi->n_dropped;
    SAVEDESTRUCTOR_X(frame_leave, frame);
    psgi->call_depth++;
    frame->keeps_status = is_within_perl(frame);
    if (frame->keeps_status)
        psgi_status_keep(aTHX_ & frame->status);
}

/* The call died, so responders and writers that went away meanwhile were not dropped on purpose. */
static void frame_mark_died(const struct call_frame *frame)
{
    list_foreach (it, &frame->psgi->dropped) {
        struct psgi_exchange *px = list_entry(it, struct psgi_exchange, dropped);
        if (px->drop_number > frame->n_dropped)
            px->dropped_by_die = true;
    }
}

/* Makes a copy without running magic: an XSUB may have left anything on the stack. */
static SV *copy_nomg(pTHX_ SV *sv)
{
    SV *copy = newSV(0);

    sv_setsv_flags(copy, sv, SV_NOSTEAL);
    return copy;
}

/* Takes the returned scalar itself if it is a temporary that nobody else has. */
static SV *take_result(pTHX_ SV *sv)
{
    if (SvTEMP(sv) && SvREFCNT(sv) == 1 && !SvMAGICAL(sv))
        return SvREFCNT_inc_simple_NN(sv);
    return copy_nomg(aTHX_ sv);
}

/* True if call_sv ended with an exception: success always leaves $@ empty. */
static bool has_died(pTHX)
{
    SV *err = ERRSV;

    return SvROK(err) || (SvOK(err) && !(SvPOK(err) && SvCUR(err) == 0));
}

/* The only place from which Perl is entered. Its own stack keeps `last` and `goto` inside. */
static bool enter_perl(pTHX_ COP *caller, SV *code, I32 flags, SV **args, int n_args, SV **result,
                       SV **error)
{
    struct call_frame frame;
    bool died;
    int n;
    dSP;

    ENTER;
    SAVETMPS;
    frame_enter(aTHX_ & frame);
    if (caller != NULL)
        PL_curcop = caller;
    PUSHSTACKi(PERLSI_UNKNOWN);
    PUSHMARK(SP);
    EXTEND(SP, n_args);
    for (int i = 0; i < n_args; i++)
        PUSHs(args[i]);
    PUTBACK;
    n = call_sv(code, flags | G_EVAL | (result != NULL ? G_SCALAR : G_VOID | G_DISCARD));
    SPAGAIN;
    died = has_died(aTHX);
    if (died)
        frame_mark_died(&frame);
    if (result != NULL)
        *result = died || n < 1 ? NULL : take_result(aTHX_ * sp);
    if (error != NULL)
        *error = died ? copy_nomg(aTHX_ ERRSV) : NULL;
    SP -= n;
    PUTBACK;
    POPSTACK;
    FREETMPS;
    LEAVE;
    if (frame.keeps_status)
        psgi_status_give_back(aTHX_ & frame.status);
    return !died;
}

/* Refuses calls into an interpreter that is being destroyed. */
static bool refuse_call(SV **result, SV **error)
{
    if (result != NULL)
        *result = NULL;
    if (error != NULL)
        *error = NULL;
    return false;
}

bool psgi_call(pTHX_ SV *code, SV **args, int n_args, SV **result, SV **error)
{
    if (PL_phase == PERL_PHASE_DESTRUCT)
        return refuse_call(result, error);
    return enter_perl(aTHX_ NULL, code, 0, args, n_args, result, error);
}

bool psgi_call_for(pTHX_ struct psgi_server *server, SV *code, SV **args, int n_args, SV **result,
                   SV **error)
{
    if (PL_phase == PERL_PHASE_DESTRUCT)
        return refuse_call(result, error);
    return enter_perl(aTHX_ server != NULL ? &server->caller : NULL, code, 0, args, n_args, result,
                      error);
}

/* The first statement of a sub; NULL: it is in C, or not a plain sub. */
static const COP *first_statement(pTHX_ SV *code)
{
    const CV *cv = SvROK(code) && SvTYPE(SvRV(code)) == SVt_PVCV ? (CV *)SvRV(code) : NULL;
    const OP *op = cv != NULL && !CvISXSUB(cv) ? CvSTART(cv) : NULL;

    PERL_UNUSED_CONTEXT;
    while (op != NULL && op->op_type != OP_NEXTSTATE && op->op_type != OP_DBSTATE)
        op = op->op_next;
    return (const COP *)op;
}

void psgi_caller_init(pTHX_ struct psgi_server *server)
{
    const COP *first = first_statement(aTHX_ server->app);
    COP *caller = &server->caller;

    caller->op_type = OP_NEXTSTATE;
    caller->op_ppaddr = PL_ppaddr[OP_NEXTSTATE];
    caller->cop_warnings = pWARN_STD;
    CopLINE_set(caller, first != NULL ? CopLINE(first) : 1);
    CopFILE_set(caller, first != NULL ? CopFILE(first) : SvPV_nolen(get_sv("0", GV_ADD)));
    CopSTASH_set(caller, gv_stashpvs("Sprig::Server", GV_ADD));
}

void psgi_caller_clear(pTHX_ struct psgi_server *server)
{
    PERL_UNUSED_CONTEXT;
    CopFILE_free(&server->caller);
}

bool psgi_call_method(pTHX_ SV *invocant, const char *method, SV **args, int n_args, SV **result,
                      SV **error)
{
    SV *all[8];
    SV *name;
    bool ok;

    if (PL_phase == PERL_PHASE_DESTRUCT || n_args >= (int)C_ARRAY_LENGTH(all))
        return refuse_call(result, error);
    all[0] = invocant;
    for (int i = 0; i < n_args; i++)
        all[i + 1] = args[i];
    name = newSVpv(method, 0);
    ok = enter_perl(aTHX_ NULL, name, G_METHOD, all, n_args + 1, result, error);
    SvREFCNT_dec(name);
    return ok;
}

bool psgi_is_code(pTHX_ SV *sv)
{
    if (!SvROK(sv))
        return false;
    if (SvTYPE(SvRV(sv)) == SVt_PVCV)
        return true;
    return SvOBJECT(SvRV(sv)) && HvAMAGIC(SvSTASH(SvRV(sv))) &&
           gv_fetchmeth_pvn(SvSTASH(SvRV(sv)), "(&{}", 4, -1, 0) != NULL;
}

/* The body of psgi->eval. */
XS(psgi_eval_run);
XS(psgi_eval_run)
{
    dXSARGS;
    struct psgi_eval_job *job = psgi_get(aTHX)->eval_job;

    PERL_UNUSED_VAR(cv);
    PERL_UNUSED_VAR(items);
    job->fn(aTHX_ job->arg);
    XSRETURN_EMPTY;
}

bool psgi_eval(pTHX_ void (*fn)(pTHX_ void *arg), void *arg, SV **error)
{
    struct psgi_eval_job job = {fn, arg};
    struct psgi *psgi = psgi_get(aTHX);

    if (PL_phase == PERL_PHASE_DESTRUCT)
        return refuse_call(NULL, error);
    if (psgi->eval == NULL)
        psgi->eval = newXS(NULL, psgi_eval_run, __FILE__);
    psgi->eval_job = &job;
    return enter_perl(aTHX_ NULL, (SV *)psgi->eval, 0, NULL, 0, NULL, error);
}

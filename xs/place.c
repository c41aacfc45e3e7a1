/* place.c - tells another thread where Perl is.
 *
 * That thread must neither wait for Perl nor make it wait, so it reads while Perl goes on. Every
 * pointer that it follows may lead to memory that was freed or reused meanwhile. So everything is
 * read with peek(), which fails instead of crashing, into copies, of which only plain numbers and
 * pointers are used; every loop is bounded, and what is printed is cleaned. The worst effect of a
 * race is a wrong name in a message. While Perl is blocked, which is when this is used, nothing of
 * it moves. */
#include "place.h"

#include "base/peek.h"
#include "process.h"

enum {
    MAX_FRAMES = 100,
    MAX_CONTEXTS = 10000,
    MAX_STACKS = 100,
    NAME_BYTES = 128,
    FILE_BYTES = 256
};

#define PEEK(to, from) peek(&(to), (from), sizeof(to))

/* Reads one member of a body, given the body's address. */
#define PEEK_MEMBER(to, body, type, member)                                                        \
    peek(&(to), (const char *)(body) + offsetof(type, member), sizeof(to))

static bool hek_name(const HEK *hek, char *buf, size_t n)
{
    I32 len;

    if (hek == NULL || !PEEK_MEMBER(len, hek, HEK, hek_len) || len <= 0)
        return false;
    if ((size_t)len >= n)
        len = (I32)n - 1;
    buf[len] = '\0';
    return peek(buf, (const char *)hek + offsetof(HEK, hek_key), (size_t)len);
}

/* Where the name of a stash is stored. */
static const char *stash_aux(const HV *copy)
{
#if PERL_VERSION >= 36
    return (const char *)copy->sv_any + offsetof(struct xpvhv_with_aux, xhv_aux);
#else
    STRLEN max;

    if (!PEEK_MEMBER(max, copy->sv_any, XPVHV, xhv_max))
        return NULL;
    return (const char *)copy->sv_u.svu_hash + (max + 1) * sizeof(HE *);
#endif
}

static bool stash_name(const HV *stash, char *buf, size_t n)
{
    HV copy;
    HEK *hek = NULL;
    I32 n_names;

    if (stash == NULL || !PEEK(copy, stash) || SvTYPE(&copy) != SVt_PVHV || !SvOOK(&copy))
        return false;
    const char *aux = stash_aux(&copy);
    if (aux == NULL || !PEEK_MEMBER(n_names, aux, struct xpvhv_aux, xhv_name_count) ||
        !PEEK_MEMBER(hek, aux, struct xpvhv_aux, xhv_name_u))
        return false;
    if (n_names != 0) { /* several names: a list */
        HEK **names = (HEK **)hek;
        if (!PEEK(hek, names) || (hek == NULL && !PEEK(hek, names + 1)))
            return false;
    }
    return hek_name(hek, buf, n);
}

static bool glob_name(const GV *gv, char *buf, size_t n, HV **stash)
{
    GV copy;
    HEK *hek;

    return gv != NULL && PEEK(copy, gv) && SvTYPE(&copy) == SVt_PVGV &&
           PEEK_MEMBER(hek, copy.sv_any, XPVGV, xiv_u) &&
           PEEK_MEMBER(*stash, copy.sv_any, XPVGV, xnv_u) && hek_name(hek, buf, n);
}

/* The name of a sub, with its package. */
static bool sub_name(const CV *cv, char *buf, size_t n)
{
    CV copy;
    GV *gv;
    HV *stash = NULL;
    char name[NAME_BYTES], package[NAME_BYTES];
    bool is_known;

    if (cv == NULL || !PEEK(copy, cv) || SvTYPE(&copy) != SVt_PVCV)
        return false;
#ifdef CVf_NAMED
    cv_flags_t flags;
    if (!PEEK_MEMBER(flags, copy.sv_any, XPVCV, xcv_flags) ||
        !PEEK_MEMBER(gv, copy.sv_any, XPVCV, xcv_gv_u))
        return false;
    if (flags & CVf_NAMED)
        is_known = PEEK_MEMBER(stash, copy.sv_any, XPVCV, xcv_stash) &&
                   hek_name((const HEK *)gv, name, sizeof name);
    else
        is_known = glob_name(gv, name, sizeof name, &stash);
#else
    is_known =
        PEEK_MEMBER(gv, copy.sv_any, XPVCV, xcv_gv) && glob_name(gv, name, sizeof name, &stash);
#endif
    if (!is_known)
        return false;
    /* Plack::Util gives each app.psgi its own package, named after the file, encoded. */
    if (stash_name(stash, package, sizeof package) && strncmp(package, "Plack::Sandbox::", 16) != 0)
        snprintf(buf, n, "%s::%s", package, name);
    else
        snprintf(buf, n, "%s", name);
    return true;
}

/* "lib/My/Report.pm line 212" */
static bool cop_place(const COP *cop, char *buf, size_t n)
{
    line_t line;
    char file[FILE_BYTES];

    if (cop == NULL || !PEEK_MEMBER(line, cop, COP, cop_line))
        return false;
#ifdef USE_ITHREADS
    char *name;
    if (!PEEK_MEMBER(name, cop, COP, cop_file) || name == NULL)
        return false;
    peek_string(file, name, sizeof file);
#else
    GV *gv;
    HV *stash;
    char name[FILE_BYTES]; /* "_<FILE" */
    if (!PEEK_MEMBER(gv, cop, COP, cop_filegv) || !glob_name(gv, name, sizeof name, &stash))
        return false;
    snprintf(file, sizeof file, "%s", strncmp(name, "_<", 2) == 0 ? name + 2 : name);
#endif
    if (*file == '\0' || line == NOLINE)
        return false;
    snprintf(buf, n, "%s line %lu", file, (unsigned long)line);
    return true;
}

/* ---- the stack ---- */

struct walk {
    const COP *cop; /* of the next frame */
    PERL_SI stack;
    I32 ix; /* of the next context to look at */
    int n_stacks;
};

static bool walk_begin(pTHX_ struct walk *w)
{
    PERL_SI *stack;

    w->n_stacks = 0;
    if (!PEEK(w->cop, &PL_curcop) || !PEEK(stack, &PL_curstackinfo) || stack == NULL ||
        !PEEK(w->stack, stack))
        return false;
    w->ix = w->stack.si_cxix;
    return true;
}

/* Finds the innermost sub that is left, and its context. False: there is none. */
static bool walk_next(struct walk *w, PERL_CONTEXT *cx)
{
    for (int i = 0; i < MAX_CONTEXTS; i++) {
        if (w->ix < 0) {
            if (w->stack.si_prev == NULL || ++w->n_stacks > MAX_STACKS ||
                !PEEK(w->stack, w->stack.si_prev))
                return false;
            w->ix = w->stack.si_cxix;
            continue;
        }
        if (w->stack.si_cxstack == NULL || !PEEK(*cx, w->stack.si_cxstack + w->ix--))
            return false;
        if (CxTYPE(cx) == CXt_SUB)
            return true;
    }
    return false;
}

static void clean(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

static size_t print_place(char *buf, size_t n, void *arg)
{
    struct walk walk;
    PERL_CONTEXT cx;
    char place[FILE_BYTES + 32], sub[2 * NAME_BYTES + 4];
    dTHXa(arg);

    if (!walk_begin(aTHX_ & walk) || !cop_place(walk.cop, place, sizeof place))
        return 0;
    bool has_sub = walk_next(&walk, &cx) && sub_name(cx.blk_sub.cv, sub, sizeof sub);
    snprintf(buf, n, has_sub ? "%s (%s)" : "%s", place, sub);
    clean(buf);
    return strlen(buf);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Whether this sub started the server: the rest of the stack is of no interest. */
static bool is_start(const char *sub)
{
    return begins(sub, "Sprig::Server::") || begins(sub, "Sprig::Program::");
}

/* Prints a line for each frame of the application, innermost first: "    My::Report::total at FILE
 * line 212". Leaves out the loop's frames. */
static size_t print_stack(char *buf, size_t n, void *arg)
{
    struct walk walk;
    PERL_CONTEXT cx;
    size_t len = 0;
    dTHXa(arg);

    if (!walk_begin(aTHX_ & walk))
        return 0;
    for (int i = 0; i < MAX_FRAMES && len + 700 < n; i++) {
        char place[FILE_BYTES + 32], sub[2 * NAME_BYTES + 4] = "(main)";
        bool has_sub = walk_next(&walk, &cx);
        if (has_sub && !sub_name(cx.blk_sub.cv, sub, sizeof sub))
            snprintf(sub, sizeof sub, "(a sub)");
        if (is_start(sub))
            break;
        if (!cop_place(walk.cop, place, sizeof place))
            snprintf(place, sizeof place, "(unknown)");
        clean(place);
        clean(sub);
        if (!begins(sub, "Sprig::Loop::"))
            len += (size_t)snprintf(buf + len, n - len, "    %s at %s\n", sub, place);
        if (!has_sub)
            break;
        walk.cop = cx.blk_oldcop;
    }
    return len;
}

void psgi_watchdog_start(pTHX_ const struct sprig_config *config)
{
    struct sprig_watchdog how = {.block_warning = config->block_warning,
                                 .block_timeout = config->block_timeout,
                                 .worker = psgi_worker_number(),
                                 .place = print_place,
                                 .stack = print_stack};

#ifdef MULTIPLICITY
    how.arg = aTHX;
#endif
    sprig_watchdog_start(&how);
}

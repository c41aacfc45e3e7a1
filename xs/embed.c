/* embed.c - creates, runs and destroys the program's perl interpreter. */
#define PERL_NO_GET_CONTEXT
#include <EXTERN.h>
#include <XSUB.h>
#include <perl.h>

#include "embed.h"
#include <sys/stat.h>
#include <unistd.h>

XS_EXTERNAL(boot_DynaLoader);
XS_EXTERNAL(boot_Sprig);

XS_INTERNAL(report)
{
    dXSARGS;
    if (items != 1)
        croak_xs_usage(cv, "text");
    ST(0) = boolSV(psgi_worker_report(SvPV_nolen(ST(0))));
    XSRETURN(1);
}

/* ---- the perl that this library belongs to ---- */

static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The path of a perl of the same version. If another one has been installed in its place, it still
 * exists beside that under a name with the version, as perl's `make install` leaves it. Returns the
 * bare name if there is none at all: anything is better than a program that starts this server. */
static const char *perl_path(void)
{
    bool is_there = access(SPRIG_PERL, X_OK) == 0;
    bool has_versioned = access(SPRIG_PERL_VERSIONED, X_OK) == 0;
    if (has_versioned && !(is_there && is_same_file(SPRIG_PERL, SPRIG_PERL_VERSIONED)))
        return SPRIG_PERL_VERSIONED;
    return is_there ? SPRIG_PERL : "perl";
}

/* Perl sets $^X to this process's file; sets it to perl instead. */
XS_INTERNAL(name_perl)
{
    dXSARGS;
    PERL_UNUSED_VAR(items);
    sv_setpv(get_sv("\030", GV_ADD), perl_path());
    XSRETURN_EMPTY;
}

/* ---- our modules ---- */

/* The folder above the program's, with links followed. Undef: the system does not say. */
static SV *prefix(pTHX)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    for (int i = 0; i < 2 && n > 0; i++) {
        path[n] = '\0';
        char *slash = strrchr(path, '/');
        n = slash != NULL ? slash - path : -1;
    }
    return n >= 0 ? sv_2mortal(newSVpvn(path, (STRLEN)n)) : NULL;
}

static void push_folder(pTHX_ const char *folder)
{
    if (access(folder, R_OK | X_OK) == 0)
        av_push(GvAVn(PL_incgv), newSVpv(folder, 0));
}

/* Adds the modules' folder if perl does not know it: lib/perl5 beside this bin (INSTALL_BASE,
 * local::lib), or where they were installed. */
XS_INTERNAL(add_folders)
{
    dXSARGS;
    SV *above = prefix(aTHX);
    PERL_UNUSED_VAR(items);
    if (above != NULL) {
        SV *lib = sv_2mortal(newSVpvf("%" SVf "/lib/perl5", SVfARG(above)));
        push_folder(aTHX_ SvPV_nolen(sv_2mortal(newSVpvf("%" SVf "/" ARCHNAME, SVfARG(lib)))));
        push_folder(aTHX_ SvPV_nolen(lib));
    }
    push_folder(aTHX_ SPRIG_ARCH_FOLDER);
    push_folder(aTHX_ SPRIG_LIB_FOLDER);
    XSRETURN_EMPTY;
}

/* ---- the interpreter ---- */

/* Runs before any other Perl code, including that of PERL5OPT. */
static const char preamble[] =
    "BEGIN { Sprig::_name_perl();"
    " Sprig::_add_folders() if !grep { !ref && -e \"$_/Sprig/Program.pm\" } @INC }";

/* XSLoader calls an existing Sprig::bootstrap instead of loading Sprig.so, so that there is one
 * copy of the C state. */
static void boot_linked_in(pTHX)
{
    newXS("DynaLoader::boot_DynaLoader", boot_DynaLoader, __FILE__);
    newXS("Sprig::bootstrap", boot_Sprig, __FILE__);
    newXS("Sprig::_report", report, __FILE__);
    newXS("Sprig::_name_perl", name_perl, __FILE__);
    newXS("Sprig::_add_folders", add_folders, __FILE__);
    if (PL_preambleav == NULL)
        PL_preambleav = newAV();
    av_unshift(PL_preambleav, 1);
    av_store(PL_preambleav, 0, newSVpv(preamble, 0));
}

void psgi_embed_begin(int *argc, char ***argv, char ***env)
{
    PERL_SYS_INIT3(argc, argv, env);
}

void psgi_embed_end(void)
{
    PERL_SYS_TERM();
}

int psgi_embed_run(int argc, char **argv)
{
    PerlInterpreter *my_perl = perl_alloc();
    if (!my_perl)
        return 1;
    PL_perl_destruct_level = 1;
    perl_construct(my_perl);
    PL_origalen = 1;                         /* assigning to $0 must not overwrite argv */
    PL_exit_flags |= PERL_EXIT_DESTRUCT_END; /* END blocks run in perl_destruct */
    if (perl_parse(my_perl, boot_linked_in, argc, argv, NULL) == 0)
        perl_run(my_perl);
    int status = perl_destruct(my_perl);
    perl_free(my_perl);
    return status;
}

const char *psgi_embed_version(void)
{
    return PERL_VERSION_STRING;
}

/* embed.c - makes, runs and destroys the perl interpreter of the program. */
#define PERL_NO_GET_CONTEXT
#include <EXTERN.h>
#include <XSUB.h>
#include <perl.h>

#include "embed.h"

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

/* XSLoader calls an existing Sprig::bootstrap rather than load Sprig.so, so that there is one copy
 * of the state in C. */
static void boot_linked_in(pTHX)
{
    newXS("DynaLoader::boot_DynaLoader", boot_DynaLoader, __FILE__);
    newXS("Sprig::bootstrap", boot_Sprig, __FILE__);
    newXS("Sprig::_report", report, __FILE__);
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
    PL_origalen = 1;                         /* assigning to $0 must not write over argv */
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

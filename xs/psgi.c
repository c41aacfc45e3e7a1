/* psgi.c - everything that the bridge keeps for one interpreter. */
#include "bridge.h"
#include "keys.h"
#include "process/origin.h"

#define MY_CXT_KEY "Sprig::_bridge" SPRIG_VERSION

/* Only a pointer: perl frees the context itself early in global destruction, when objects that are
 * counted in struct psgi are still alive. */
typedef struct {
    struct psgi *psgi;
} my_cxt_t;

START_MY_CXT

static struct psgi *first_psgi; /* keeps the struct reachable; it is never freed */

void psgi_boot(pTHX)
{
    struct psgi *psgi;
    MY_CXT_INIT;

    sprig_origin_keep();
    Newxz(psgi, 1, struct psgi);
#ifdef MULTIPLICITY
    psgi->perl = aTHX;
#endif
    list_init(&psgi->dropped);
    MY_CXT.psgi = psgi;
    first_psgi = psgi;
    psgi->keys = psgi_keys_new(aTHX);
    psgi->writer_class = (HV *)SvREFCNT_inc((SV *)gv_stashpvs("Sprig::Writer", GV_ADD));
    psgi->watcher_class = (HV *)SvREFCNT_inc((SV *)gv_stashpvs("Sprig::Loop::Watcher", GV_ADD));
}

struct psgi *psgi_get(pTHX)
{
    dMY_CXT;
#ifdef MULTIPLICITY
    if (MY_CXT.psgi->perl != aTHX)
        croak("Sprig works only in the thread that loaded it");
#endif
    return MY_CXT.psgi;
}

/* ---- clang ---- */

#ifdef PERL_TSA_ACTIVE
/* With clang, perl.h locks through these two, but only a libperl compiled by clang has them. */
__attribute__((weak)) int perl_tsa_mutex_lock(perl_mutex *mutex)
{
    return pthread_mutex_lock(mutex);
}

__attribute__((weak)) int perl_tsa_mutex_unlock(perl_mutex *mutex)
{
    return pthread_mutex_unlock(mutex);
}
#endif

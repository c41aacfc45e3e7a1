/* compat.h - what the perls from 5.16 on lack of the interface that the bridge uses. Included by
 * bridge.h, behind perl's own headers; each piece names the perl that brought it. */
#ifndef SPRIG_COMPAT_H
#define SPRIG_COMPAT_H

#ifndef PERL_VERSION_GE /* 5.33.4 */
#define PERL_VERSION_GE(revision, version, subversion)                                             \
    (PERL_REVISION * 1000000 + PERL_VERSION * 1000 + PERL_SUBVERSION >=                            \
     (revision) * 1000000 + (version) * 1000 + (subversion))
#endif

#ifndef newSVsv_nomg /* 5.29.10 */
static inline SV *sprig_new_sv_nomg(pTHX_ SV *from)
{
    SV *sv = newSV(0);

    sv_setsv_nomg(sv, from);
    return sv;
}
#define newSVsv_nomg(from) sprig_new_sv_nomg(aTHX_ from)
#endif

#ifndef SVf_PROTECT /* 5.21.4: before, SVf_READONLY says it all */
#define SVf_PROTECT 0
#endif

#ifndef toUPPER_A /* 5.19.7 */
#define toUPPER_A(c) toUPPER(c)
#endif

#ifndef isDIGIT_A /* 5.13.7 has it; some systems' headers of 5.16 do not */
#define isDIGIT_A(c) isDIGIT(c)
#endif

#endif

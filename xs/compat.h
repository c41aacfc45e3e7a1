/* compat.h - parts of perl's interface that the bridge uses and older perls (from 5.16) lack.
 * Included by bridge.h, after perl's own headers; each piece names the perl that introduced it. */
#ifndef SPRIG_COMPAT_H
#define SPRIG_COMPAT_H

#ifndef PERL_VERSION_GE /* 5.33.4 */
#define PERL_VERSION_GE(revision, version, subversion)                                             \
    (PERL_REVISION * 1000000 + PERL_VERSION * 1000 + PERL_SUBVERSION >=                            \
     (revision)*1000000 + (version)*1000 + (subversion))
#endif

#ifndef G_LIST /* 5.35.0: the new name of the same */
#define G_LIST G_ARRAY
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

#ifndef SVf_PROTECT /* 5.21.4: before, SVf_READONLY covers it */
#define SVf_PROTECT 0
#endif

#ifndef toUPPER_A /* 5.19.7 */
#define toUPPER_A(c) toUPPER(c)
#endif

#ifndef toLOWER_A /* 5.19.7 */
#define toLOWER_A(c) toLOWER(c)
#endif

#ifndef is_utf8_invariant_string /* 5.25.6 */
static inline bool sprig_is_utf8_invariant(const U8 *bytes, STRLEN n)
{
    for (STRLEN i = 0; i < n; i++)
        if (bytes[i] >= 0x80)
            return false;
    return true;
}
#define is_utf8_invariant_string(bytes, n) sprig_is_utf8_invariant(bytes, n)
#endif

#ifndef SVf_IsCOW /* 5.17.3: before, such strings are SVf_READONLY as well */
#define SVf_IsCOW 0
#endif

#ifndef CowREFCNT /* 5.19.0: before, only hash keys are shared */
#define CowREFCNT(sv) 0
#endif

#ifndef isREGEXP /* 5.17.7 */
#define isREGEXP(sv) (SvTYPE(sv) == SVt_REGEXP)
#endif

#ifndef HvAMAGIC /* 5.17.0: before, only a look at the methods shows it */
#define HvAMAGIC(stash) 1
#endif

#ifndef sv_copypv_nomg /* 5.17.2 */
static inline void sprig_copypv_nomg(pTHX_ SV *to, SV *from)
{
    STRLEN n;
    const char *bytes = SvPV_nomg(from, n);

    sv_setpvn(to, bytes, n);
    if (SvUTF8(from))
        SvUTF8_on(to);
    else
        SvUTF8_off(to);
}
#define sv_copypv_nomg(to, from) sprig_copypv_nomg(aTHX_ to, from)
#endif

#ifndef SvREFCNT_dec_NN /* 5.17.7 */
#define SvREFCNT_dec_NN(sv) SvREFCNT_dec(sv)
#endif

#ifndef isDIGIT_A /* 5.13.7 has it; some systems' headers of 5.16 do not */
#define isDIGIT_A(c) isDIGIT(c)
#endif

#endif

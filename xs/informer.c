/* informer.c - psgix.informational: interim responses, such as 103 Early Hints, before the final
 * one (RFC 9110 section 15.2, RFC 8297). */
#include "informer.h"
#include "bytes.h"
#include "exchange.h"

/* One call: its headers as plain bytes. */
struct interim {
    struct sprig_header *headers; /* freed with the scope */
    size_t n;
};

/* The bytes of a name or value, in a temporary copy: converting another one to text may run code
 * that changes this one. */
static struct sprig_span interim_text(pTHX_ SV **slot)
{
    struct sprig_span bytes = SPAN_LIT("");
    SV *sv = slot != NULL ? sv_2mortal(SvREFCNT_inc_simple_NN(*slot)) : NULL;
    SV *hold = NULL;

    if (sv != NULL && !psgi_bytes(aTHX_ sv, &bytes, &hold))
        croak("psgix.informational: wide character in a header");
    hold = sv_2mortal(hold != NULL ? hold : newSVpvn(bytes.ptr, bytes.len));
    return span_make(SvPVX_const(hold), SvCUR(hold));
}

static void interim_read(pTHX_ struct interim *interim, SV *ref)
{
    AV *list;

    SvGETMAGIC(ref);
    if (!SvROK(ref) || SvTYPE(SvRV(ref)) != SVt_PVAV)
        croak("psgix.informational: the headers are not an array reference");
    list = (AV *)sv_2mortal(SvREFCNT_inc_simple_NN(SvRV(ref)));
    if (av_len(list) % 2 == 0)
        croak("psgix.informational: odd number of header elements");
    interim->n = (size_t)(av_len(list) + 1) / 2;
    Newx(interim->headers, interim->n + 1, struct sprig_header);
    SAVEFREEPV(interim->headers);
    for (size_t i = 0; i < interim->n; i++) {
        interim->headers[i].name = interim_text(aTHX_ av_fetch(list, (SSize_t)(2 * i), 0));
        interim->headers[i].value = interim_text(aTHX_ av_fetch(list, (SSize_t)(2 * i + 1), 0));
    }
}

/* True: it is on its way, or the client speaks HTTP/1.0 and gets none. */
static bool interim_send(pTHX_ struct psgi_exchange *px, int status, SV *headers)
{
    struct interim interim = {NULL, 0};
    struct sprig_head head;
    char why[256];
    int rc = SPRIG_E_CLOSED;

    ENTER;
    if (headers != NULL)
        interim_read(aTHX_ & interim, headers);
    head = (struct sprig_head){status, interim.headers, interim.n, 0};
    if (px->ex != NULL) {
        psgi_exchange_ref(px);
        rc = sprig_response_interim(px->ex, &head, why, sizeof why);
        psgi_exchange_unref(aTHX_ px);
    }
    LEAVE;
    if (rc == SPRIG_E_INVALID)
        croak("psgix.informational: %s", why);
    return rc == 0;
}

/* The body of each of these code refs; the CV holds the exchange, or NULL once it is over. */
XS(psgi_informer_call);
XS(psgi_informer_call)
{
    dXSARGS;
    struct psgi_exchange *px;
    bool sent;

    psgi_get(aTHX); /* croaks in another thread, where the copy of the CV points nowhere */
    px = CvXSUBANY(cv).any_ptr;
    if (items < 1 || items > 2)
        croak("Usage: $env->{'psgix.informational'}->($status, [$name => $value, ...])");
    sent = px != NULL && interim_send(aTHX_ px, (int)SvIV(ST(0)), items > 1 ? ST(1) : NULL);
    ST(0) = boolSV(sent);
    XSRETURN(1);
}

CV *psgi_informer_new(pTHX_ struct psgi_exchange *px)
{
    CV *cv = newXS(NULL, psgi_informer_call, __FILE__);

    psgi_informer_reuse(px, cv);
    return cv;
}

void psgi_informer_reuse(struct psgi_exchange *px, CV *cv)
{
    CvXSUBANY(cv).any_ptr = px;
    px->informer = (CV *)SvREFCNT_inc_simple_NN((SV *)cv);
}

void psgi_informer_sever(pTHX_ struct psgi_exchange *px)
{
    CV *cv = px->informer;

    PERL_UNUSED_CONTEXT;
    px->informer = NULL;
    if (cv == NULL)
        return;
    CvXSUBANY(cv).any_ptr = NULL;
    SvREFCNT_dec((SV *)cv);
}

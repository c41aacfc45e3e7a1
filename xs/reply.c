/* reply.c - turns [status, headers, body] into a response. Plain values are read in place;
 * everything that could run Perl (ties, overloading, magic) or needs recoding is first copied under
 * eval. */
#include "reply.h"
#include "base/number.h"
#include "body.h"
#include "bytes.h"
#include "call.h"
#include "exchange.h"
#include "report.h"
#include <stdarg.h>

enum { REPLY_STACK_HEADERS = 32, NUMBER_TEXT_BYTES = 1 + NUMBER_MAX_DIGITS };

/* A response while it is read. */
struct reply {
    struct psgi_exchange *px;
    AV *parts;       /* the response: the app's array, or `copy` */
    AV *copy;        /* owned: a plain copy, or NULL */
    SV *error;       /* owned: what is wrong with it */
    SV *on_complete; /* borrowed from parts */
    bool streaming;
    int status;
    struct sprig_header *headers; /* `few`, or owned if there are more */
    size_t n_headers;
    struct psgi_body body;
    int path_fd; /* owned: the file named by the body's method `path`, or -1 */
    struct sprig_header few[REPLY_STACK_HEADERS];
    char numbers[REPLY_STACK_HEADERS][NUMBER_TEXT_BYTES]; /* numeric header values as text */
};

/* The result of looking at a part of the response. */
enum look { LOOK_OK = 1, LOOK_COPY = 0, LOOK_WRONG = -1 };

static enum look wrong(pTHX_ struct reply *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    SvREFCNT_dec(r->error);
    r->error = vnewSVpvf(fmt, &ap);
    va_end(ap);
    return LOOK_WRONG;
}

/* ---- reading plain values ---- */

/* The array that an element refers to, if it can be read without running magic. */
static AV *plain_array(SV *ref)
{
    if (!SvROK(ref) || SvGMAGICAL(ref) || SvTYPE(SvRV(ref)) != SVt_PVAV || SvRMAGICAL(SvRV(ref)))
        return NULL;
    return (AV *)SvRV(ref);
}

static SV *element(AV *av, SSize_t i)
{
    return i <= AvFILLp(av) ? AvARRAY(av)[i] : NULL;
}

/* Reads the leading digits of the status: "200", 200, "200 Fine". */
static enum look read_status(pTHX_ struct reply *r)
{
    SV *sv = element(r->parts, 0);
    int status = 0;

    if (sv == NULL || !SvOK(sv))
        return sv != NULL && SvGMAGICAL(sv)
                   ? LOOK_COPY
                   : wrong(aTHX_ r, "PSGI response has an undefined status");
    if (SvROK(sv) || SvGMAGICAL(sv))
        return LOOK_COPY;
    if (SvPOK(sv)) {
        const char *p = SvPVX(sv);
        for (int i = 0; i < 4 && isDIGIT_A(p[i]); i++)
            status = status * 10 + (p[i] - '0');
    } else if (SvIOK(sv)) {
        status = SvIVX(sv) > 0 && SvIVX(sv) < 1000 ? (int)SvIVX(sv) : 0;
    } else {
        return LOOK_COPY;
    }
    if (status < 100 || status > 999)
        return wrong(aTHX_ r, "PSGI response has status '%" SVf "', expected 100 to 999",
                     SVfARG(sv));
    if (status < 200 && status != 101)
        return wrong(aTHX_ r, "PSGI response has the interim status %d as its final one", status);
    r->status = status;
    return LOOK_OK;
}

/* Formats a number separately: converting it in place would change the app's scalar. */
static bool read_number(struct reply *r, size_t row, SV *sv, struct sprig_span *out)
{
    if (row >= REPLY_STACK_HEADERS || !SvIOK(sv) || SvNOK(sv) || SvPOKp(sv) || SvGMAGICAL(sv))
        return false;
    bool is_negative = !SvIsUV(sv) && SvIVX(sv) < 0;
    UV n = is_negative ? (UV)0 - (UV)SvIVX(sv) : SvUVX(sv);
    char *text = r->numbers[row];
    *text = '-';
    *out = span_make(text, (size_t)(number_write(text + is_negative, n) - text));
    return true;
}

static bool read_string(SV *sv, struct sprig_span *out)
{
    if (sv == NULL || !SvPOK(sv) || SvUTF8(sv) || SvGMAGICAL(sv) || SvROK(sv))
        return false;
    *out = span_make(SvPVX_const(sv), SvCUR(sv));
    return true;
}

static enum look read_headers(pTHX_ struct reply *r)
{
    SV *ref = element(r->parts, 1);
    AV *list = ref != NULL ? plain_array(ref) : NULL;

    if (list == NULL) {
        if (r->copy == NULL && ref != NULL && (SvROK(ref) || SvGMAGICAL(ref)))
            return LOOK_COPY;
        return wrong(aTHX_ r, "PSGI response headers are not an array reference");
    }
    if (AvFILLp(list) % 2 == 0)
        return wrong(aTHX_ r, "PSGI response has an odd number of header elements");
    r->n_headers = (size_t)(AvFILLp(list) + 1) / 2;
    if (r->n_headers > REPLY_STACK_HEADERS && r->headers == r->few)
        Newx(r->headers, r->n_headers, struct sprig_header);
    for (size_t i = 0; i < r->n_headers; i++) {
        struct sprig_header *h = &r->headers[i];
        SV *value = AvARRAY(list)[2 * i + 1];
        if (!read_string(AvARRAY(list)[2 * i], &h->name))
            return LOOK_COPY;
        if (value == NULL ||
            !(read_string(value, &h->value) || read_number(r, i, value, &h->value)))
            return LOOK_COPY;
    }
    return LOOK_OK;
}

/* Without a third element, or with an undefined one, a writer will send the body. */
static enum look read_body(pTHX_ struct reply *r)
{
    SV *sv = element(r->parts, 2);

    if (sv == NULL || (!SvOK(sv) && !SvGMAGICAL(sv))) {
        if (!r->streaming)
            return wrong(aTHX_ r, "PSGI response has an undefined body, expected "
                                  "[status, headers, body]");
        r->body.kind = PSGI_BODY_NONE;
        r->body.length = SPRIG_LENGTH_UNKNOWN;
        return LOOK_OK;
    }
    r->streaming = false;
    return (enum look)psgi_body_inspect(aTHX_ sv, &r->body, &r->error);
}

static enum look read_parts(pTHX_ struct reply *r)
{
    SSize_t n = AvFILLp(r->parts) + 1;
    enum look look;

    if (n < (r->streaming ? 2 : 3) || n > 4)
        return wrong(aTHX_ r, "PSGI response has %d elements, expected [status, headers, body]",
                     (int)n);
    if ((look = read_status(aTHX_ r)) != LOOK_OK || (look = read_headers(aTHX_ r)) != LOOK_OK ||
        (look = read_body(aTHX_ r)) != LOOK_OK)
        return look;
    r->on_complete = element(r->parts, 3);
    if (r->on_complete != NULL && !psgi_is_code(aTHX_ r->on_complete))
        r->on_complete = NULL;
    return LOOK_OK;
}

/* ---- plain copies, under eval ---- */

/* The bytes of a value as a new string; undef for undef; NULL for wide characters. */
static SV *copy_bytes(pTHX_ SV *sv)
{
    struct sprig_span bytes;
    SV *hold;

    SvGETMAGIC(sv);
    if (!SvOK(sv))
        return newSV(0);
    if (!psgi_bytes(aTHX_ sv, &bytes, &hold))
        return NULL;
    if (hold == NULL)
        hold = newSVpvn(bytes.ptr, bytes.len);
    if (SvTYPE(hold) >= SVt_PVMG)
        sv_unmagic(hold, PERL_MAGIC_taint); /* tainted values may be sent to the client */
    return hold;
}

static SV *any_element(pTHX_ AV *av, SSize_t i)
{
    SV **sv = av_fetch(av, i, 0);

    return sv != NULL ? *sv : &PL_sv_undef;
}

/* Holds an array's elements in a temporary one: converting an element to text may run code that
 * changes the response. */
static AV *keep_elements(pTHX_ AV *from)
{
    AV *held = (AV *)sv_2mortal((SV *)newAV());

    sv_2mortal(SvREFCNT_inc_simple_NN((SV *)from));
    for (SSize_t i = 0; i <= av_len(from); i++)
        av_push(held, SvREFCNT_inc_simple_NN(any_element(aTHX_ from, i)));
    return held;
}

/* The elements of the array behind a reference: plain, tied, or an object that overloads @{}. NULL:
 * it is not one. */
static AV *any_array(pTHX_ SV *ref)
{
    SvGETMAGIC(ref);
    if (SvROK(ref) && SvAMAGIC(ref) && SvTYPE(SvRV(ref)) != SVt_PVAV)
        ref = amagic_deref_call(ref, to_av_amg);
    if (!SvROK(ref) || SvTYPE(SvRV(ref)) != SVt_PVAV)
        return NULL;
    return keep_elements(aTHX_(AV *) SvRV(ref));
}

/* Sends an undefined value as an empty one, with a warning. */
static SV *copy_header(pTHX_ AV *from, SSize_t i, SV *name)
{
    SV *copy = copy_bytes(aTHX_ any_element(aTHX_ from, i));

    if (copy == NULL)
        croak("PSGI response has a wide character in a header%s%s", name ? ": " : "",
              name ? SvPV_nolen(name) : "");
    if (!SvOK(copy)) {
        if (name != NULL)
            psgi_warnf(aTHX_ "PSGI response header %" SVf " has an undefined value", SVfARG(name));
        sv_setpvs(copy, "");
    }
    return copy;
}

static void copy_headers(pTHX_ struct reply *r, SV *ref)
{
    AV *from = any_array(aTHX_ ref);
    AV *to = newAV();
    SSize_t last = from != NULL ? av_len(from) : -1;

    av_push(r->copy, from != NULL ? newRV_noinc((SV *)to) : newSV(0));
    if (from == NULL)
        SvREFCNT_dec(to);
    for (SSize_t i = 0; i <= last; i++)
        av_push(to, copy_header(aTHX_ from, i, i % 2 ? AvARRAY(to)[i - 1] : NULL));
}

static void copy_pieces(pTHX_ AV *from, AV *to)
{
    SSize_t last = av_len(from);

    for (SSize_t i = 0; i <= last; i++) {
        SV *copy = copy_bytes(aTHX_ psgi_referent(any_element(aTHX_ from, i)));
        if (copy == NULL)
            croak("PSGI response has a wide character in element %d of its body", (int)i);
        av_push(to, copy);
    }
}

/* True for an object that is neither an array nor a handle, but has text. */
static bool is_text_object(pTHX_ SV *sv)
{
    struct psgi_body body;
    SV *error = NULL;
    int look;

    if (!SvROK(sv) || !SvAMAGIC(sv))
        return false;
    look = psgi_body_inspect(aTHX_ sv, &body, &error);
    psgi_body_clear(&body);
    SvREFCNT_dec(error);
    return look == 0;
}

static void copy_text(pTHX_ struct reply *r, SV *sv)
{
    SV *copy = copy_bytes(aTHX_ sv);

    if (copy == NULL)
        croak("PSGI response has a wide character in its body");
    av_push(r->copy, copy);
}

/* The text that an object offers through string_ref, from its position if it has tell. */
static void copy_string_ref(pTHX_ struct reply *r, SV *sv)
{
    SV *ref = NULL, *error = NULL, *tell = NULL;

    if (!psgi_call_method(aTHX_ sv, "string_ref", NULL, 0, &ref, &error))
        croak_sv(sv_2mortal(error != NULL ? error : newSVpvs("string_ref of a body failed")));
    sv_2mortal(ref);
    if (ref == NULL || !SvROK(ref) || SvTYPE(SvRV(ref)) > SVt_PVMG)
        croak("string_ref of a PSGI body did not return a reference to a string");
    copy_text(aTHX_ r, SvRV(ref));
    if (psgi_call_method(aTHX_ sv, "tell", NULL, 0, &tell, NULL) && tell != NULL) {
        SV *copy = *av_fetch(r->copy, 2, 0);
        STRLEN at = (STRLEN)SvUV(sv_2mortal(tell));
        if (at > 0)
            sv_chop(copy, SvPVX(copy) + (at < SvCUR(copy) ? at : SvCUR(copy)));
    }
}

/* Takes a body that is not an array as it is if it is a handle, otherwise as text. */
static void copy_body(pTHX_ struct reply *r, SV *sv)
{
    SvGETMAGIC(sv);
    if (psgi_body_has_string_ref(aTHX_ sv)) {
        copy_string_ref(aTHX_ r, sv);
        return;
    }
    if (SvROK(sv) && (!SvOBJECT(SvRV(sv)) || SvAMAGIC(sv))) {
        AV *from = any_array(aTHX_ sv);
        if (from != NULL) {
            AV *to = newAV();
            av_push(r->copy, newRV_noinc((SV *)to));
            copy_pieces(aTHX_ from, to);
            return;
        }
    }
    if (is_text_object(aTHX_ sv) || (!SvROK(sv) && SvOK(sv) && !isGV_with_GP(sv))) {
        copy_text(aTHX_ r, sv);
        return;
    }
    av_push(r->copy, newSVsv(sv));
}

static void copy_parts(pTHX_ void *arg)
{
    struct reply *r = arg;
    AV *parts = keep_elements(aTHX_ r->parts);

    for (SSize_t i = 0; i <= AvFILLp(parts) && i < 5; i++) {
        SV *sv = AvARRAY(parts)[i];
        if (i == 0)
            av_push(r->copy, copy_bytes(aTHX_ sv));
        else if (i == 1)
            copy_headers(aTHX_ r, sv);
        else if (i == 2)
            copy_body(aTHX_ r, sv);
        else
            av_push(r->copy, newSVsv(sv));
    }
}

/* Replaces the app's array with a plain copy and reads that. */
static enum look read_copy(pTHX_ struct reply *r)
{
    enum look look;

    r->copy = newAV();
    if (!psgi_eval(aTHX_ copy_parts, r, &r->error))
        return LOOK_WRONG;
    r->parts = r->copy;
    look = read_parts(aTHX_ r);
    return look == LOOK_COPY ? wrong(aTHX_ r, "PSGI response cannot be read") : look;
}

static enum look read_response(pTHX_ struct reply *r, SV *response)
{
    enum look look = LOOK_COPY;

    if (!SvROK(response) || SvTYPE(SvRV(response)) != SVt_PVAV)
        return wrong(aTHX_ r, "PSGI response is not an array reference");
    r->parts = (AV *)SvRV(response);
    if (!SvRMAGICAL((SV *)r->parts))
        look = read_parts(aTHX_ r);
    return look == LOOK_COPY ? read_copy(aTHX_ r) : look;
}

/* ---- sending ---- */

/* The app's Content-Length, or SPRIG_LENGTH_UNKNOWN. Anything but a number is left to the core,
 * which refuses it. */
static uint64_t announced(const struct reply *r)
{
    uint64_t length = SPRIG_LENGTH_UNKNOWN;

    for (size_t i = 0; i < r->n_headers; i++) {
        const struct sprig_header *h = &r->headers[i];
        if (h->name.len == 14 && span_ieq(h->name, SPAN_LIT("Content-Length")) &&
            !number_read(h->value, INT64_MAX, &length))
            length = SPRIG_LENGTH_UNKNOWN;
    }
    return length;
}

/* A part of the file, such as a range. */
static void cut_file(struct reply *r)
{
    uint64_t length = announced(r);

    if (length < r->body.length)
        r->body.length = length;
}

static int send_head(pTHX_ struct reply *r)
{
    char why[256];
    int rc;

    if (r->body.kind == PSGI_BODY_FILE)
        cut_file(r);
    struct sprig_head head = {r->status, r->headers, r->n_headers, r->body.length};
    rc = sprig_response_head(r->px->ex, &head, why, sizeof why);
    if (rc == SPRIG_E_INVALID)
        wrong(aTHX_ r, "PSGI response: %s", why);
    else if (rc == SPRIG_E_NOMEM)
        wrong(aTHX_ r, "PSGI response: out of memory");
    return r->error != NULL ? -1 : 0;
}

static int send_reply(pTHX_ struct reply *r)
{
    struct psgi_exchange *px = r->px;
    SV *body = NULL;

    if (px->ex == NULL)
        return 0;
    if (r->on_complete != NULL && px->on_complete == NULL)
        px->on_complete = newSVsv(r->on_complete);
    if (r->body.kind != PSGI_BODY_NONE)
        body =
            SvREFCNT_inc_simple_NN(r->body.sv); /* a warning may run code that changes the array */
    if (send_head(aTHX_ r) != 0) {
        SvREFCNT_dec(body);
        return -1;
    }
    px->is_answered = true;
    if (r->streaming)
        return 1;
    if (px->ex != NULL)
        psgi_body_send(aTHX_ px, &r->body);
    SvREFCNT_dec(body);
    return 0;
}

/* Runs before anything else is read, because `path` may run Perl. */
static int open_path(pTHX_ SV *response)
{
    AV *parts = plain_array(response);

    return parts != NULL ? psgi_body_open_path(aTHX_ element(parts, 2)) : -1;
}

int psgi_reply_send(pTHX_ struct psgi_exchange *px, SV *response, bool streaming)
{
    struct reply r;
    enum look look;
    int rc = -1;

    r.px = psgi_exchange_ref(px);
    r.copy = NULL;
    r.error = r.on_complete = NULL;
    r.streaming = streaming;
    r.headers = r.few;
    r.body.kind = PSGI_BODY_NONE;
    r.body.fd = -1;
    r.body.is_shared = false;
    r.path_fd = open_path(aTHX_ response);
    look = read_response(aTHX_ & r, response);
    psgi_body_use_path(r.path_fd, &r.body);
    if (look == LOOK_OK)
        rc = send_reply(aTHX_ & r);
    if (rc < 0)
        psgi_exchange_fail(aTHX_ px, r.error != NULL ? r.error : &PL_sv_undef);
    psgi_body_clear(&r.body);
    if (r.headers != r.few)
        Safefree(r.headers);
    SvREFCNT_dec(r.error);
    SvREFCNT_dec((SV *)r.copy);
    psgi_exchange_unref(aTHX_ px);
    return rc;
}

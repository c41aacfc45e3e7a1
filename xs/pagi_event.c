/* pagi_event.c - the fields of the events that a PAGI application sends; see pagi_event.h */
#include "pagi_event.h"
#include "base/utf8.h"
#include "bytes.h"
#include <stdarg.h>

bool psgi_event_refuse(pTHX_ struct psgi_event *ev, const char *fmt, ...)
{
    va_list ap;

    if (ev->error != NULL)
        return false;
    ev->error = newSVpvf("%s: ", ev->type);
    va_start(ap, fmt);
    sv_vcatpvf(ev->error, fmt, &ap);
    va_end(ap);
    return false;
}

bool psgi_event_read(pTHX_ struct psgi_event *ev, SV *sv)
{
    SV *type;

    ev->type = "send";
    ev->error = NULL;
    SvGETMAGIC(sv);
    if (!SvROK(sv) || SvTYPE(SvRV(sv)) != SVt_PVHV)
        return psgi_event_refuse(aTHX_ ev, "an event is a hash reference");
    ev->hv = (HV *)SvRV(sv);
    type = psgi_event_field(aTHX_ ev, "type");
    if (type == NULL || SvROK(type))
        return psgi_event_refuse(aTHX_ ev, "the event has no type");
    ev->type = SvPV_nomg_nolen(type);
    return true;
}

SV *psgi_event_field(pTHX_ const struct psgi_event *ev, const char *name)
{
    SV **sv = hv_fetch(ev->hv, name, (I32)strlen(name), 0);

    if (sv == NULL)
        return NULL;
    SvGETMAGIC(*sv);
    return SvOK(*sv) ? *sv : NULL;
}

bool psgi_event_flag(pTHX_ const struct psgi_event *ev, const char *name)
{
    SV *sv = psgi_event_field(aTHX_ ev, name);

    return sv != NULL && SvTRUE_nomg(sv);
}

/* Integers, and strings that look like them. */
static bool read_count(pTHX_ SV *sv, uint64_t max, uint64_t *out)
{
    struct sprig_span text;
    uint64_t n = 0;
    STRLEN len;

    if (SvIOK(sv) && !SvROK(sv)) {
        if (!SvIsUV(sv) && SvIVX(sv) < 0)
            return false;
        *out = SvUVX(sv);
        return *out <= max;
    }
    if (SvROK(sv))
        return false;
    text.ptr = SvPV_nomg(sv, len);
    if (len == 0 || len > 18)
        return false;
    for (STRLEN i = 0; i < len; i++) {
        if (!isDIGIT_A(text.ptr[i]))
            return false;
        n = n * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *out = n;
    return n <= max;
}

bool psgi_event_count(pTHX_ struct psgi_event *ev, const char *name, uint64_t max, uint64_t *out)
{
    SV *sv = psgi_event_field(aTHX_ ev, name);

    if (sv == NULL || read_count(aTHX_ sv, max, out))
        return true;
    return psgi_event_refuse(aTHX_ ev, "%s must be a non-negative integer, not '%" SVf "'", name,
                             SVfARG(sv));
}

bool psgi_event_seconds(pTHX_ struct psgi_event *ev, const char *name, double *out)
{
    SV *sv = psgi_event_field(aTHX_ ev, name);
    NV n;

    if (sv == NULL)
        return true;
    n = !SvROK(sv) && looks_like_number(sv) ? SvNV_nomg(sv) : -1;
    if (!(n >= 0 && n <= 86400))
        return psgi_event_refuse(aTHX_ ev, "%s must be a number of seconds from 0 to 86400", name);
    *out = n;
    return true;
}

/* The bytes of a value, held by it or a mortal. False: it has wide characters. */
static bool read_bytes(pTHX_ SV *sv, struct sprig_span *bytes)
{
    SV *hold;

    if (!psgi_bytes(aTHX_ sv, bytes, &hold))
        return false;
    sv_2mortal(hold);
    return true;
}

bool psgi_event_bytes(pTHX_ struct psgi_event *ev, const char *name, SV **out)
{
    SV *sv = psgi_event_field(aTHX_ ev, name);

    *out = sv;
    if (sv == NULL || (SvPOK(sv) && !SvUTF8(sv) && !SvROK(sv) && !SvGMAGICAL(sv)))
        return true;
    if (SvROK(sv) && !SvAMAGIC(sv))
        return psgi_event_refuse(aTHX_ ev, "%s must be a string of bytes, not a reference", name);
    *out = sv_newmortal();
    sv_copypv_nomg(*out, sv);
    if (SvUTF8(*out) && !sv_utf8_downgrade(*out, true))
        return psgi_event_refuse(aTHX_ ev, "%s has a wide character: encode it first", name);
    return true;
}

bool psgi_event_text(pTHX_ struct psgi_event *ev, const char *name, struct sprig_span *out)
{
    SV *sv = psgi_event_field(aTHX_ ev, name);

    *out = span_make(NULL, 0);
    if (sv == NULL)
        return true;
    if (SvROK(sv) && !SvAMAGIC(sv))
        return psgi_event_refuse(aTHX_ ev, "%s must be a string, not a reference", name);
    if (!SvPOK(sv) || SvROK(sv) || SvGMAGICAL(sv)) {
        SV *copy = sv_newmortal();
        sv_copypv_nomg(copy, sv);
        sv = copy;
    }
    *out = span_make(SvPVX(sv), SvCUR(sv));
    if (SvUTF8(sv))
        return utf8_is_valid(*out) ||
               psgi_event_refuse(aTHX_ ev, "%s has a character outside Unicode", name);
    if (utf8_is_ascii(*out))
        return true;
    sv = sv_2mortal(newSVpvn(out->ptr, out->len));
    sv_utf8_upgrade(sv);
    *out = span_make(SvPVX(sv), SvCUR(sv));
    return true;
}

/* ---- heads of responses ---- */

void psgi_head_add(struct psgi_head *head, struct sprig_span name, struct sprig_span value)
{
    head->headers[head->n++] = (struct sprig_header){name, value};
}

/* Fields about the connection's life and the end of a message are the server's business. */
static bool is_servers(struct sprig_span name)
{
    switch (name.len) {
    case 2:
        return span_ieq(name, SPAN_LIT("te"));
    case 10:
        return span_ieq(name, SPAN_LIT("connection")) || span_ieq(name, SPAN_LIT("keep-alive"));
    case 16:
        return span_ieq(name, SPAN_LIT("proxy-connection"));
    case 17:
        return span_ieq(name, SPAN_LIT("transfer-encoding"));
    default:
        return false;
    }
}

static void take_header(struct psgi_head *head, struct sprig_span name, struct sprig_span value)
{
    if (is_servers(name)) {
        sprig_log(SPRIG_LOG_DEBUG, "left out header %.*s of the application", (int)name.len,
                  name.ptr);
        return;
    }
    head->has_type |= name.len == 12 && span_ieq(name, SPAN_LIT("content-type"));
    head->has_length |= name.len == 14 && span_ieq(name, SPAN_LIT("content-length"));
    psgi_head_add(head, name, value);
}

static bool read_pair(pTHX_ struct psgi_event *ev, SV *sv, struct psgi_head *head)
{
    struct sprig_span part[2];
    AV *pair;

    SvGETMAGIC(sv);
    if (!SvROK(sv) || SvTYPE(SvRV(sv)) != SVt_PVAV || av_len(pair = (AV *)SvRV(sv)) != 1)
        return psgi_event_refuse(aTHX_ ev, "each header must be an array of name and value");
    for (int i = 0; i < 2; i++) {
        SV **it = av_fetch(pair, i, 0);
        if (it == NULL || !SvOK(*it) || SvROK(*it))
            return psgi_event_refuse(aTHX_ ev, "the name and value of a header must be strings");
        if (!read_bytes(aTHX_ * it, &part[i]))
            return psgi_event_refuse(aTHX_ ev, "a header has a wide character: encode it first");
    }
    take_header(head, part[0], part[1]);
    return true;
}

bool psgi_event_headers(pTHX_ struct psgi_event *ev, struct psgi_head *head)
{
    SV *sv = psgi_event_field(aTHX_ ev, "headers");
    SSize_t last;
    AV *list;

    head->headers = head->few;
    head->n = 0;
    head->has_type = head->has_length = false;
    if (sv == NULL)
        return true;
    if (!SvROK(sv) || SvTYPE(SvRV(sv)) != SVt_PVAV)
        return psgi_event_refuse(aTHX_ ev, "headers must be an array of [name, value]");
    list = (AV *)SvRV(sv);
    last = av_len(list);
    if (last >= PSGI_HEAD_FEW) {
        SV *room = sv_2mortal(newSV(((size_t)last + 1 + PSGI_HEAD_EXTRA) * sizeof *head->headers));
        head->headers = (struct sprig_header *)SvPVX(room);
    }
    for (SSize_t i = 0; i <= last; i++) {
        SV **pair = av_fetch(list, i, 0);
        if (!read_pair(aTHX_ ev, pair != NULL ? *pair : &PL_sv_undef, head))
            return false;
    }
    return true;
}

bool psgi_event_head(pTHX_ struct psgi_event *ev, int initial, struct psgi_head *head)
{
    uint64_t status = (uint64_t)initial;
    SV *sv = psgi_event_field(aTHX_ ev, "status");

    if (sv == NULL && initial == 0)
        return psgi_event_refuse(aTHX_ ev, "status is missing");
    if (sv != NULL && (!read_count(aTHX_ sv, 999, &status) || status < 200))
        return psgi_event_refuse(
            aTHX_ ev, "status must be an integer from 200 to 999, not '%" SVf "'", SVfARG(sv));
    head->status = (int)status;
    return psgi_event_headers(aTHX_ ev, head);
}

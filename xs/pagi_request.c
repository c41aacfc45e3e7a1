/* pagi_request.c - from a request to the scope of a PAGI application; see pagi_request.h */
#include "pagi_request.h"
#include "base/number.h"
#include "base/utf8.h"
#include "exchange.h"
#include "keys.h"
#include "pagi_sse.h"

/* The versions of the specification that this is made after: PAGI::Spec, PAGI::Spec::Www. */
#define CORE_VERSION "0.5"
#define WWW_VERSION  "0.6"

static SV *span_sv(pTHX_ struct sprig_span text)
{
    return newSVpvn(text.len > 0 ? text.ptr : "", text.len);
}

static void put(pTHX_ HV *hv, const char *name, I32 len, SV *value)
{
    (void)hv_store(hv, name, len, value, 0);
}
#define PUT(hv, name, value) put(aTHX_ hv, "" name, sizeof(name) - 1, value)

static SV *list_sv(pTHX_ SV *first, SV *second)
{
    AV *av = newAV();

    av_extend(av, 1);
    av_push(av, first);
    av_push(av, second);
    return newRV_noinc((SV *)av);
}

/* ---- headers ---- */

static SV *lower_sv(pTHX_ struct sprig_span name)
{
    SV *sv = newSVpvn(name.ptr, name.len);
    char *p = SvPVX(sv);

    for (size_t i = 0; i < name.len; i++)
        p[i] = toLOWER_A(p[i]);
    return sv;
}

static bool is_host(struct sprig_span name)
{
    return name.len == 4 && span_ieq(name, SPAN_LIT("host"));
}

/* Several Cookie fields are one (RFC 9113 section 8.2.3). */
static bool join_cookie(pTHX_ const struct sprig_header *h, SV **cookie, SV *value)
{
    if (h->name.len != 6 || !span_ieq(h->name, SPAN_LIT("cookie")))
        return false;
    if (*cookie == NULL) {
        *cookie = value;
        return false;
    }
    sv_catpvs(*cookie, "; ");
    sv_catsv(*cookie, value);
    SvREFCNT_dec(value);
    return true;
}

/* `host`, unless its ptr is NULL, is what the client meant by an absolute target, or what a proxy
 * has told. */
static SV *headers_sv(pTHX_ const struct sprig_request *req, struct sprig_span host)
{
    AV *av = newAV();
    SV *cookie = NULL;

    av_extend(av, req->n_headers);
    if (host.ptr != NULL)
        av_push(av, list_sv(aTHX_ newSVpvs("host"), span_sv(aTHX_ host)));
    for (uint32_t i = 0; i < req->n_headers; i++) {
        const struct sprig_header *h = &req->headers[i];
        SV *value;
        if (host.ptr != NULL && is_host(h->name))
            continue;
        value = span_sv(aTHX_ h->value);
        if (!join_cookie(aTHX_ h, &cookie, value))
            av_push(av, list_sv(aTHX_ lower_sv(aTHX_ h->name), value));
    }
    return newRV_noinc((SV *)av);
}

/* ---- addresses ---- */

static SV *port_sv(pTHX_ struct sprig_span port)
{
    uint64_t n;

    return number_read(port, 65535, &n) ? newSVuv((UV)n) : newSV(0);
}

static SV *server_sv(pTHX_ const struct sprig_address *local, struct sprig_span port)
{
    if (local->is_unix)
        return list_sv(aTHX_ newSVpv(local->port, 0), newSV(0));
    return list_sv(aTHX_ newSVpv(local->host, 0),
                   port_sv(aTHX_ port.ptr != NULL ? port : span_str(local->port)));
}

static const char *scheme_of(const struct psgi_scope *scope, const struct sprig_forwarded *f)
{
    bool is_secure =
        f->scheme.ptr != NULL ? f->scheme.len == 5 : sprig_exchange_is_tls(scope->px->ex);

    if (scope->type == SCOPE_WEBSOCKET)
        return is_secure ? "wss" : "ws";
    return is_secure ? "https" : "http";
}

/* Fills what proxies may know better; the Host that they tell is returned as *host, in a mortal. */
static void put_addresses(pTHX_ struct psgi_scope *scope, struct sprig_span *host)
{
    struct sprig_forwarded f;
    SV *text;

    sprig_exchange_forwarded(scope->px->ex, &f);
    PUT(scope->hv, "scheme", newSVpv(scheme_of(scope, &f), 0));
    if (!span_eq(f.remote_host, SPAN_LIT("unix/")))
        PUT(scope->hv, "client",
            list_sv(aTHX_ span_sv(aTHX_ f.remote_host), port_sv(aTHX_ f.remote_port)));
    PUT(scope->hv, "server", server_sv(aTHX_ sprig_exchange_local(scope->px->ex), f.port));
    *host = sprig_exchange_request(scope->px->ex)->authority;
    if (f.host.ptr == NULL)
        return;
    text = sv_2mortal(span_sv(aTHX_ f.host));
    if (f.host_lacks_port && f.port.ptr != NULL)
        sv_catpvf(text, ":%.*s", (int)f.port.len, f.port.ptr);
    *host = span_make(SvPVX(text), SvCUR(text));
}

/* ---- the rest ---- */

/* Percent-decoded; text, if that is UTF-8. */
static SV *path_sv(pTHX_ struct sprig_span path)
{
    SV *sv = span_sv(aTHX_ path);

    if (memchr(path.ptr, '%', path.len) != NULL) {
        SvCUR_set(sv, request_decode_path(path, SvPVX(sv)));
        *SvEND(sv) = '\0';
    }
    struct sprig_span text = span_make(SvPVX(sv), SvCUR(sv));
    if (!utf8_is_ascii(text) && utf8_is_valid(text))
        SvUTF8_on(sv);
    return sv;
}

static const char *version_of(const struct sprig_request *req)
{
    return req->version == 11 ? "1.1" : req->version == 10 ? "1.0" : "2";
}

/* A string of a hash that was kept is as it was made. */
static bool has_still(pTHX_ HV *hv, const char *key, I32 len, const char *text)
{
    SV **sv = hv_fetch(hv, key, len, 0);

    return sv != NULL && SvREFCNT(*sv) == 1 && SvPOK(*sv) && !SvROK(*sv) && !SvMAGICAL(*sv) &&
           strEQ(SvPVX_const(*sv), text);
}

/* The same for most requests: kept from the one before, if nobody else has it or has changed it. */
static SV *versions_sv(pTHX_ struct psgi_scope *scope)
{
    HV *hv = scope->versions;

    if (hv != NULL && SvREFCNT(hv) == 1 && !SvOBJECT((SV *)hv) && !SvMAGICAL((SV *)hv) &&
        HvUSEDKEYS(hv) == 2 && has_still(aTHX_ hv, "version", 7, CORE_VERSION) &&
        has_still(aTHX_ hv, "spec_version", 12, WWW_VERSION))
        return newRV_inc((SV *)hv);
    SvREFCNT_dec((SV *)hv);
    scope->versions = hv = newHV();
    PUT(hv, "version", newSVpvs(CORE_VERSION));
    PUT(hv, "spec_version", newSVpvs(WWW_VERSION));
    return newRV_inc((SV *)hv);
}

/* What the client offers as subprotocols, each apart. */
static SV *subprotocols_sv(pTHX_ const struct sprig_ws_offer *offer)
{
    struct sprig_span rest = offer->protocols;
    AV *av = newAV();

    while (rest.len > 0) {
        const char *comma = memchr(rest.ptr, ',', rest.len);
        size_t n = comma != NULL ? (size_t)(comma - rest.ptr) : rest.len;
        struct sprig_span name = span_trim(span_make(rest.ptr, n));
        if (name.len > 0)
            av_push(av, span_sv(aTHX_ name));
        n += comma != NULL;
        rest = span_make(rest.ptr + n, rest.len - n);
    }
    return newRV_noinc((SV *)av);
}

/* A frame is part of a message at least. */
static void put_frame_limit(pTHX_ struct psgi_scope *scope)
{
    uint64_t max = psgi_exchange_config(scope->px)->websocket_max_message_bytes;

    if (max != 0)
        PUT(scope->hv, "max_frame_size", newSVuv((UV)max));
}

/* ---- TLS ---- */

struct tls_fields {
    HV *hv;
    AV *chain;
};

/* The number that TLS has for it; 0: it is none of these. */
static unsigned version_number(struct sprig_span name)
{
    if (span_eq(name, SPAN_LIT("TLSv1.3")))
        return 0x0304;
    return span_eq(name, SPAN_LIT("TLSv1.2")) ? 0x0303 : 0;
}

/* The suites of TLS 1.3; older ones have no number here. */
static unsigned suite_number(struct sprig_span name)
{
    if (span_eq(name, SPAN_LIT("TLS_AES_128_GCM_SHA256")))
        return 0x1301;
    if (span_eq(name, SPAN_LIT("TLS_AES_256_GCM_SHA384")))
        return 0x1302;
    return span_eq(name, SPAN_LIT("TLS_CHACHA20_POLY1305_SHA256")) ? 0x1303 : 0;
}

static void put_tls_field(struct sprig_span name, struct sprig_span value, void *arg)
{
    struct tls_fields *tls = arg;
    unsigned n;
    dTHX;

    if (span_eq(name, SPAN_LIT("SSL_PROTOCOL")) && (n = version_number(value)) != 0)
        PUT(tls->hv, "tls_version", newSVuv(n));
    else if (span_eq(name, SPAN_LIT("SSL_CIPHER")) && (n = suite_number(value)) != 0)
        PUT(tls->hv, "cipher_suite", newSVuv(n));
    else if (span_eq(name, SPAN_LIT("SSL_CLIENT_S_DN")))
        PUT(tls->hv, "client_cert_name", span_sv(aTHX_ value));
    else if (span_eq(name, SPAN_LIT("SSL_CLIENT_CERT")))
        av_push(tls->chain, span_sv(aTHX_ value));
}

static SV *tls_sv(pTHX_ struct psgi_scope *scope)
{
    struct tls_fields tls = {newHV(), newAV()};

    PUT(tls.hv, "server_cert", newSV(0));
    PUT(tls.hv, "client_cert_chain", newRV_noinc((SV *)tls.chain));
    PUT(tls.hv, "client_cert_name", newSV(0));
    PUT(tls.hv, "client_cert_error", newSV(0));
    PUT(tls.hv, "tls_version", newSV(0));
    PUT(tls.hv, "cipher_suite", newSV(0));
    sprig_exchange_describe_tls(scope->px->ex, put_tls_field, &tls);
    return newRV_noinc((SV *)tls.hv);
}

/* { fullflush => {} }, kept like the versions. */
static bool extensions_are_kept(pTHX_ struct psgi_scope *scope)
{
    HV *hv = scope->extensions;
    SV **flush;

    if (hv == NULL || scope->type == SCOPE_WEBSOCKET || sprig_exchange_is_tls(scope->px->ex) ||
        SvREFCNT(hv) != 1 || SvOBJECT((SV *)hv) || SvMAGICAL((SV *)hv) || HvUSEDKEYS(hv) != 1)
        return false;
    flush = hv_fetchs(hv, "fullflush", 0);
    return flush != NULL && SvREFCNT(*flush) == 1 && SvROK(*flush) && !SvMAGICAL(*flush) &&
           SvTYPE(SvRV(*flush)) == SVt_PVHV && SvREFCNT(SvRV(*flush)) == 1 &&
           !SvOBJECT(SvRV(*flush)) && !SvMAGICAL(SvRV(*flush)) &&
           HvUSEDKEYS((HV *)SvRV(*flush)) == 0;
}

static SV *extensions_sv(pTHX_ struct psgi_scope *scope)
{
    HV *hv;

    if (extensions_are_kept(aTHX_ scope))
        return newRV_inc((SV *)scope->extensions);
    SvREFCNT_dec((SV *)scope->extensions);
    scope->extensions = hv = newHV();

    if (scope->type != SCOPE_WEBSOCKET)
        PUT(hv, "fullflush", newRV_noinc((SV *)newHV()));
    if (sprig_exchange_is_tls(scope->px->ex))
        PUT(hv, "tls", tls_sv(aTHX_ scope));
    return newRV_inc((SV *)hv);
}

/* ---- the scope ---- */

static enum psgi_scope_type type_of(const struct sprig_request *req)
{
    if (req->upgrade && sprig_ws_is_handshake(req))
        return SCOPE_WEBSOCKET;
    return psgi_scope_asks_for_events(req) ? SCOPE_SSE : SCOPE_HTTP;
}

void psgi_scope_build(pTHX_ struct psgi_scope *scope, struct sprig_span root, HV *state)
{
    static const char *const types[] = {"http", "sse", "websocket"};
    const struct sprig_request *req = sprig_exchange_request(scope->px->ex);
    struct sprig_span host;
    HV *hv = newHV();

    scope->hv = hv;
    scope->type = type_of(req);
    hv_ksplit(hv, 32);
    PUT(hv, "type", newSVpv(types[scope->type], 0));
    PUT(hv, "pagi", versions_sv(aTHX_ scope));
    PUT(hv, "http_version", newSVpv(version_of(req), 0));
    put_addresses(aTHX_ scope, &host);
    PUT(hv, "path", path_sv(aTHX_ req->path));
    PUT(hv, "raw_path", span_sv(aTHX_ req->path));
    PUT(hv, "query_string", span_sv(aTHX_ req->query));
    PUT(hv, "root_path", span_sv(aTHX_ root));
    PUT(hv, "headers", headers_sv(aTHX_ req, host));
    PUT(hv, "extensions", extensions_sv(aTHX_ scope));
    PUT(hv, "pagi.transport", newRV_inc(scope->object[SCOPE_TRANSPORT]));
    PUT(hv, "pagi.connection", newRV_inc(scope->object[SCOPE_CONNECTION]));
    if (scope->type != SCOPE_WEBSOCKET) {
        PUT(hv, "method", span_sv(aTHX_ req->method));
    } else {
        sprig_ws_offer_take(&scope->offer, req);
        sprig_exchange_keep_input(scope->px->ex);
        PUT(hv, "subprotocols", subprotocols_sv(aTHX_ & scope->offer));
        put_frame_limit(aTHX_ scope);
    }
    if (state != NULL)
        PUT(hv, "state", newRV_noinc((SV *)(HvUSEDKEYS(state) > 0 ? newHVhv(state) : newHV())));
}

/* pagi_request.c - turns a request into the scope of a PAGI application; see pagi_request.h */
#include "pagi_request.h"
#include "base/number.h"
#include "base/utf8.h"
#include "exchange.h"
#include "keptvalue.h"
#include "pagi_sse.h"

static SV *span_sv(pTHX_ struct sprig_span text)
{
    return newSVpvn(text.len > 0 ? text.ptr : "", text.len);
}

static SV *value_of(pTHX_ struct psgi_scope *scope, enum psgi_scope_key which)
{
    return psgi_scope_value(aTHX_ & scope->hash, which);
}

static void put_text(pTHX_ struct psgi_scope *scope, enum psgi_scope_key which,
                     struct sprig_span text)
{
    psgi_value_set_text(aTHX_ value_of(aTHX_ scope, which), text);
}

/* Used if there is no value from an earlier request. */
static void put_new(pTHX_ SV *value, SV *target)
{
    if (SvROK(value))
        sv_setsv(value, &PL_sv_undef);
    psgi_value_set_ref(aTHX_ value, target);
}

/* ---- headers ---- */

static bool is_host(struct sprig_span name)
{
    return name.len == 4 && span_ieq(name, SPAN_LIT("host"));
}

static bool is_cookie(struct sprig_span name)
{
    return name.len == 6 && span_ieq(name, SPAN_LIT("cookie"));
}

/* The array for a pair, from an earlier request if that had as many. */
static AV *pair_at(pTHX_ AV *list, SSize_t i)
{
    AV *pair;

    if (i <= AvFILLp(list))
        return (AV *)SvRV(AvARRAY(list)[i]);
    pair = newAV();
    av_extend(pair, 1);
    av_push(pair, newSV(0));
    av_push(pair, newSV(0));
    av_push(list, newRV_noinc((SV *)pair));
    return pair;
}

/* Returns the value. */
static SV *put_header(pTHX_ AV *list, SSize_t i, struct sprig_span name, struct sprig_span value)
{
    SV **part = AvARRAY(pair_at(aTHX_ list, i));
    char *p;

    psgi_value_set_text(aTHX_ part[0], name);
    p = SvPVX(part[0]);
    for (size_t k = 0; k < name.len; k++)
        p[k] = toLOWER_A(p[k]);
    psgi_value_set_text(aTHX_ part[1], value);
    return part[1];
}

/* Returns the number of list entries used. `host`, unless its ptr is NULL, comes from an absolute
 * target or from a proxy. Several Cookie fields become one (RFC 9113 section 8.2.3). */
static SSize_t fill_headers(pTHX_ AV *list, const struct sprig_request *req, struct sprig_span host)
{
    SV *cookie = NULL, *value;
    SSize_t n = 0;

    if (host.ptr != NULL)
        put_header(aTHX_ list, n++, SPAN_LIT("host"), host);
    for (uint32_t i = 0; i < req->n_headers; i++) {
        const struct sprig_header *h = &req->headers[i];
        bool is_one_more = is_cookie(h->name);
        if (host.ptr != NULL && is_host(h->name))
            continue;
        if (is_one_more && cookie != NULL) {
            sv_catpvs(cookie, "; ");
            sv_catpvn(cookie, h->value.len > 0 ? h->value.ptr : "", h->value.len);
            continue;
        }
        value = put_header(aTHX_ list, n++, h->name, h->value);
        if (is_one_more)
            cookie = value;
    }
    return n;
}

static void put_headers(pTHX_ struct psgi_scope *scope, const struct sprig_request *req,
                        struct sprig_span host)
{
    SV *sv = value_of(aTHX_ scope, SCOPE_KEY_HEADERS);
    AV *list;
    SSize_t n;

    if (!SvROK(sv))
        psgi_value_set_ref(aTHX_ sv, (SV *)newAV());
    list = (AV *)SvRV(sv);
    av_extend(list, req->n_headers);
    n = fill_headers(aTHX_ list, req, host);
    while (AvFILLp(list) >= n)
        SvREFCNT_dec(av_pop(list));
}

/* ---- addresses ---- */

/* [host, port]; a port that is not a number becomes undef. */
static void put_address(pTHX_ struct psgi_scope *scope, enum psgi_scope_key which,
                        struct sprig_span host, struct sprig_span port)
{
    SV *sv = value_of(aTHX_ scope, which), **part;
    uint64_t n;

    if (!SvROK(sv)) {
        AV *av = newAV();
        av_push(av, newSV(0));
        av_push(av, newSV(0));
        psgi_value_set_ref(aTHX_ sv, (SV *)av);
    }
    part = AvARRAY((AV *)SvRV(sv));
    psgi_value_set_text(aTHX_ part[0], host);
    if (number_read(port, 65535, &n))
        sv_setuv(part[1], (UV)n);
    else
        sv_setsv(part[1], &PL_sv_undef);
}

static void put_server(pTHX_ struct psgi_scope *scope, struct sprig_span port)
{
    const struct sprig_address *local = sprig_exchange_local(scope->px->ex);

    if (local->is_unix)
        put_address(aTHX_ scope, SCOPE_KEY_SERVER, span_str(local->port), span_make("", 0));
    else
        put_address(aTHX_ scope, SCOPE_KEY_SERVER, span_str(local->host),
                    port.ptr != NULL ? port : span_str(local->port));
}

static const char *scheme_of(const struct psgi_scope *scope, const struct sprig_forwarded *f)
{
    bool is_secure =
        f->scheme.ptr != NULL ? f->scheme.len == 5 : sprig_exchange_is_tls(scope->px->ex);

    if (scope->type == SCOPE_WEBSOCKET)
        return is_secure ? "wss" : "ws";
    return is_secure ? "https" : "http";
}

/* Fills in what proxies may know better; returns their Host as *host, in a mortal. */
static void put_addresses(pTHX_ struct psgi_scope *scope, struct sprig_span *host)
{
    struct sprig_forwarded f;
    SV *text;

    sprig_exchange_forwarded(scope->px->ex, &f);
    put_text(aTHX_ scope, SCOPE_KEY_SCHEME, span_str(scheme_of(scope, &f)));
    if (!span_eq(f.remote_host, SPAN_LIT("unix/")))
        put_address(aTHX_ scope, SCOPE_KEY_CLIENT, f.remote_host, f.remote_port);
    put_server(aTHX_ scope, f.port);
    *host = sprig_exchange_request(scope->px->ex)->authority;
    if (f.host.ptr == NULL)
        return;
    text = sv_2mortal(span_sv(aTHX_ f.host));
    if (f.host_lacks_port && f.port.ptr != NULL)
        sv_catpvf(text, ":%.*s", (int)f.port.len, f.port.ptr);
    *host = span_make(SvPVX(text), SvCUR(text));
}

/* ---- the rest ---- */

/* Percent-decoded; as text if it is UTF-8. */
static void put_path(pTHX_ struct psgi_scope *scope, struct sprig_span path)
{
    SV *sv = value_of(aTHX_ scope, SCOPE_KEY_PATH);

    psgi_value_set_text(aTHX_ sv, path);
    if (memchr(path.ptr, '%', path.len) != NULL) {
        SvCUR_set(sv, request_decode_path(path, SvPVX(sv)));
        *SvEND(sv) = '\0';
    }
    struct sprig_span text = span_make(SvPVX(sv), SvCUR(sv));
    if (!utf8_is_ascii(text) && utf8_is_valid(text))
        SvUTF8_on(sv);
}

static const char *version_of(const struct sprig_request *req)
{
    return req->version == 11 ? "1.1" : req->version == 10 ? "1.0" : "2";
}

/* The subprotocols that the client offers, one by one. */
static AV *subprotocols_av(pTHX_ const struct sprig_ws_offer *offer)
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
    return av;
}

/* A frame is never larger than its message. */
static void put_frame_limit(pTHX_ struct psgi_scope *scope)
{
    uint64_t max = psgi_exchange_config(scope->px)->websocket_max_message_bytes;

    if (max != 0)
        sv_setuv(value_of(aTHX_ scope, SCOPE_KEY_MAX_FRAME_SIZE), (UV)max);
}

/* ---- TLS ---- */

static void put(pTHX_ HV *hv, const char *name, I32 len, SV *value)
{
    (void)hv_store(hv, name, len, value, 0);
}
#define PUT(hv, name, value) put(aTHX_ hv, "" name, sizeof(name) - 1, value)

struct tls_fields {
    HV *hv;
    AV *chain;
};

/* Its number in TLS; 0: none of these. */
static unsigned version_number(struct sprig_span name)
{
    if (span_eq(name, SPAN_LIT("TLSv1.3")))
        return 0x0304;
    return span_eq(name, SPAN_LIT("TLSv1.2")) ? 0x0303 : 0;
}

/* The cipher suites of TLS 1.3; older ones have no number here. */
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

/* ---- the scope ---- */

static enum psgi_scope_type type_of(const struct sprig_request *req)
{
    if (req->upgrade && sprig_ws_is_handshake(req))
        return SCOPE_WEBSOCKET;
    return psgi_scope_asks_for_events(req) ? SCOPE_SSE : SCOPE_HTTP;
}

/* These are kept as they are. */
static void put_constants(pTHX_ struct psgi_scope *scope)
{
    SV *versions = value_of(aTHX_ scope, SCOPE_KEY_PAGI);
    SV *transport = value_of(aTHX_ scope, SCOPE_KEY_TRANSPORT);
    SV *connection = value_of(aTHX_ scope, SCOPE_KEY_CONNECTION);

    if (!SvROK(versions))
        psgi_value_set_ref(aTHX_ versions, (SV *)psgi_scope_versions_new(aTHX));
    if (!SvROK(transport))
        psgi_value_set_ref(aTHX_ transport, SvREFCNT_inc_simple_NN(scope->object[SCOPE_TRANSPORT]));
    if (!SvROK(connection))
        psgi_value_set_ref(aTHX_ connection,
                           SvREFCNT_inc_simple_NN(scope->object[SCOPE_CONNECTION]));
}

static void put_extensions(pTHX_ struct psgi_scope *scope)
{
    SV *sv = value_of(aTHX_ scope, SCOPE_KEY_EXTENSIONS);
    bool is_plain = scope->type != SCOPE_WEBSOCKET && !sprig_exchange_is_tls(scope->px->ex);
    HV *hv;

    if (is_plain && SvROK(sv))
        return;
    hv = psgi_scope_extensions_new(aTHX_ scope->type != SCOPE_WEBSOCKET);
    if (sprig_exchange_is_tls(scope->px->ex))
        PUT(hv, "tls", tls_sv(aTHX_ scope));
    put_new(aTHX_ sv, (SV *)hv);
}

static void put_state(pTHX_ struct psgi_scope *scope, HV *state)
{
    SV *sv;

    if (state == NULL)
        return;
    sv = value_of(aTHX_ scope, SCOPE_KEY_STATE);
    if (HvUSEDKEYS(state) > 0)
        put_new(aTHX_ sv, (SV *)newHVhv(state));
    else if (!SvROK(sv))
        psgi_value_set_ref(aTHX_ sv, (SV *)newHV());
}

static void put_handshake(pTHX_ struct psgi_scope *scope, const struct sprig_request *req)
{
    sprig_ws_offer_take(&scope->offer, req);
    sprig_exchange_keep_input(scope->px->ex);
    put_new(aTHX_ value_of(aTHX_ scope, SCOPE_KEY_SUBPROTOCOLS),
            (SV *)subprotocols_av(aTHX_ & scope->offer));
    put_frame_limit(aTHX_ scope);
}

void psgi_scope_build(pTHX_ struct psgi_scope *scope, struct sprig_span root, HV *state)
{
    static const char *const types[] = {"http", "sse", "websocket"};
    const struct sprig_request *req = sprig_exchange_request(scope->px->ex);
    struct sprig_span host;

    scope->type = type_of(req);
    psgi_scope_hash_begin(aTHX_ & scope->hash, scope->server->psgi);
    put_text(aTHX_ scope, SCOPE_KEY_TYPE, span_str(types[scope->type]));
    put_text(aTHX_ scope, SCOPE_KEY_HTTP_VERSION, span_str(version_of(req)));
    put_addresses(aTHX_ scope, &host);
    put_path(aTHX_ scope, req->path);
    put_text(aTHX_ scope, SCOPE_KEY_RAW_PATH, req->path);
    put_text(aTHX_ scope, SCOPE_KEY_QUERY_STRING, req->query);
    put_text(aTHX_ scope, SCOPE_KEY_ROOT_PATH, root);
    put_headers(aTHX_ scope, req, host);
    put_constants(aTHX_ scope);
    put_extensions(aTHX_ scope);
    if (scope->type == SCOPE_WEBSOCKET)
        put_handshake(aTHX_ scope, req);
    else
        put_text(aTHX_ scope, SCOPE_KEY_METHOD, req->method);
    put_state(aTHX_ scope, state);
    psgi_scope_hash_end(aTHX_ & scope->hash);
}

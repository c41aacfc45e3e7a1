/* env.c - makes the PSGI env of a request: every value is written, or is constant. */
#include "env.h"
#include "informer.h"
#include "keptvalue.h"
#include "lazyvalue.h"
#include "raiser.h"
#include "reader.h"
#include "socket.h"
#include "trailers.h"
#include "websocket_object.h"

/* ---- values ---- */

struct env_builder {
    const struct psgi_keys *keys;
    const struct sprig_request *req;
    struct psgi_env *env;
    struct sprig_span host;      /* replaces the Host header; or ptr NULL */
    struct sprig_span host_port; /* appended to it; or ptr NULL */
};

static inline bool is_set(const uint64_t *bits, unsigned slot)
{
    return bits[slot >> 6] >> (slot & 63) & 1;
}

static inline void set_bit(uint64_t *bits, unsigned slot)
{
    bits[slot >> 6] |= UINT64_C(1) << (slot & 63);
}

/* The env is new, or the app removed the key. */
__attribute__((noinline)) static SV *value_new(pTHX_ struct env_builder *b, unsigned slot)
{
    const struct psgi_key *key = &b->keys->key[slot];
    HE *he = hv_store_ent(b->env->hv, key->sv, newSV(0), key->hash);

    b->env->entry[slot] = he;
    set_bit(b->env->present, slot);
    b->env->n_present++;
    return HeVAL(he);
}

/* The value of a slot: the previous request's, or undef. */
static inline SV *value_of(pTHX_ struct env_builder *b, unsigned slot)
{
    struct psgi_env *env = b->env;

    set_bit(env->written, slot);
    return is_set(env->present, slot) ? HeVAL(env->entry[slot]) : value_new(aTHX_ b, slot);
}

static inline void put_span(pTHX_ struct env_builder *b, unsigned slot, struct sprig_span text)
{
    psgi_value_set_text(aTHX_ value_of(aTHX_ b, slot), text);
}

static void put_bool(pTHX_ struct env_builder *b, enum env_key which, bool value)
{
    SV *sv = value_of(aTHX_ b, which);

    if (!SvOK(sv))
        sv_setsv(sv, value ? b->keys->yes : b->keys->no);
}

/* Percent-decoded once; bytes from %00 and %2F are kept, because lengths are counted. */
static void put_path(pTHX_ struct env_builder *b)
{
    struct sprig_span path = b->req->path;
    SV *value = value_of(aTHX_ b, KEY_PATH_INFO);

    psgi_value_set_text(aTHX_ value, path);
    if (memchr(path.ptr, '%', path.len) == NULL)
        return;
    SvCUR_set(value, request_decode_path(path, SvPVX(value)));
    *SvEND(value) = '\0';
}

/* ---- headers ---- */

/* Appends to a header that came before: RFC 9110 section 5.3, RFC 6265 section 5.4 for cookies. */
static void append_header(pTHX_ SV *value, const struct sprig_header *h)
{
    sv_catpvn_nomg(value, span_ieq(h->name, SPAN_LIT("Cookie")) ? "; " : ", ", 2);
    if (h->value.len)
        sv_catpvn_nomg(value, h->value.ptr, h->value.len);
}

/* Headers without a prepared key that must not reach the env. A name with '_' could pass for one
 * with '-' (Content_Length), and Proxy for the environment variable of that name. */
static bool is_dropped(struct sprig_span name)
{
    return (name.len == 14 && span_ieq(name, SPAN_LIT("Content-Length"))) ||
           (name.len == 5 && span_ieq(name, SPAN_LIT("Proxy"))) ||
           memchr(name.ptr, '_', name.len) != NULL;
}

/* Headers with a key that the server itself has answered, or replaces. */
static bool gives_way(const struct env_builder *b, unsigned slot)
{
    return (slot == b->keys->host && b->host.ptr != NULL) ||
           (slot == b->keys->transfer_encoding && b->req->chunked);
}

static void put_known_header(pTHX_ struct env_builder *b, unsigned slot,
                             const struct sprig_header *h)
{
    if (is_set(b->env->written, slot))
        append_header(aTHX_ HeVAL(b->env->entry[slot]), h);
    else
        put_span(aTHX_ b, slot, h->value);
}

/* An entry without a slot: deleted when the env is recycled. */
static void put_unknown_header(pTHX_ struct env_builder *b, const struct sprig_header *h)
{
    SV *key = newSV(h->name.len + 6);
    SV *value;

    SvPOK_only(key);
    SvCUR_set(key, psgi_keys_fold(h->name, SvPVX(key)));
    *SvEND(key) = '\0';
    value = HeVAL(hv_fetch_ent(b->env->hv, key, 1, 0));
    if (SvOK(value))
        append_header(aTHX_ value, h);
    else
        psgi_value_set_text(aTHX_ value, h->value);
    SvREFCNT_dec(key);
}

/* The host of an absolute target, or from a proxy, in which case the port may come separately. */
static void put_host(pTHX_ struct env_builder *b)
{
    unsigned slot = b->keys->host;

    put_span(aTHX_ b, slot, b->host);
    if (b->host_port.ptr != NULL) {
        sv_catpvn_nomg(HeVAL(b->env->entry[slot]), ":", 1);
        sv_catpvn_nomg(HeVAL(b->env->entry[slot]), b->host_port.ptr, b->host_port.len);
    }
}

static void put_headers(pTHX_ struct env_builder *b)
{
    for (uint32_t i = 0; i < b->req->n_headers; i++) {
        const struct sprig_header *h = &b->req->headers[i];
        int slot = psgi_keys_of_header(b->keys, h->name);
        if (slot == NO_SLOT && !is_dropped(h->name))
            put_unknown_header(aTHX_ b, h);
        else if (slot != NO_SLOT && !gives_way(b, (unsigned)slot))
            put_known_header(aTHX_ b, (unsigned)slot, h);
    }
    if (b->host.ptr != NULL)
        put_host(aTHX_ b);
}

/* ---- the parts of an env ---- */

static void put_request_line(pTHX_ struct env_builder *b)
{
    put_span(aTHX_ b, KEY_REQUEST_METHOD, b->req->method);
    put_span(aTHX_ b, KEY_REQUEST_URI, b->req->uri);
    put_path(aTHX_ b);
    put_span(aTHX_ b, KEY_QUERY_STRING, b->req->query);
    put_span(aTHX_ b, KEY_SCRIPT_NAME, SPAN_LIT(""));
    put_span(aTHX_ b, KEY_SERVER_PROTOCOL, request_protocol(b->req));
}

/* Values from a proxy may be stored in *f, which has to live as long as the builder. */
static void put_addresses(pTHX_ struct env_builder *b, struct sprig_exchange *ex, bool is_tls,
                          struct sprig_forwarded *f)
{
    const struct sprig_address *local = sprig_exchange_local(ex);

    sprig_exchange_forwarded(ex, f);
    put_span(aTHX_ b, KEY_SERVER_NAME, span_str(local->host));
    put_span(aTHX_ b, KEY_SERVER_PORT, f->port.ptr ? f->port : span_str(local->port));
    put_span(aTHX_ b, KEY_URL_SCHEME,
             f->scheme.ptr ? f->scheme
             : is_tls      ? SPAN_LIT("https")
                           : SPAN_LIT("http"));
    if (f->scheme.ptr == NULL && is_tls)
        put_span(aTHX_ b, KEY_HTTPS, SPAN_LIT("on"));
    put_span(aTHX_ b, KEY_REMOTE_ADDR, f->remote_host);
    if (f->remote_port.len)
        put_span(aTHX_ b, KEY_REMOTE_PORT, f->remote_port);
    b->host = f->host.ptr ? f->host : b->req->authority;
    b->host_port = f->host_lacks_port ? f->port : span_make(NULL, 0);
}

static void put_input(pTHX_ struct env_builder *b, struct sprig_body *body)
{
    struct psgi_env *env = b->env;
    SV *sv = value_of(aTHX_ b, KEY_INPUT);
    SV *ref;

    if (SvROK(sv) && body->fd < 0) {
        psgi_input_fill(aTHX_ env->bytes, body->mem);
        return;
    }
    SvREFCNT_dec(env->bytes);
    ref = psgi_input_new(aTHX_ body, &env->bytes);
    if (SvROK(sv)) /* the previous body was in memory and nobody read it; this one is a file */
        sv_setsv(sv, &PL_sv_undef);
    psgi_value_set_ref(aTHX_ sv, SvREFCNT_inc_simple_NN(SvRV(ref)));
    SvREFCNT_dec(ref);
    env->input.gv = NULL;
    if (env->bytes != NULL)
        psgi_glob_note(aTHX_ & env->input, sv);
}

/* The length of the body as the app reads it, after de-chunking. */
static void put_body(pTHX_ struct env_builder *b, struct sprig_exchange *ex)
{
    struct sprig_body body;
    char text[24];

    sprig_exchange_take_body(ex, &body);
    if (sprig_exchange_is_streaming(ex))
        body.size = b->req->content_length;
    if (b->req->has_content_length || (b->req->chunked && !sprig_exchange_is_streaming(ex))) {
        int len = snprintf(text, sizeof text, "%llu", (unsigned long long)body.size);
        put_span(aTHX_ b, KEY_CONTENT_LENGTH, span_make(text, (size_t)len));
    }
    put_input(aTHX_ b, &body);
}

static void put_socket(pTHX_ struct env_builder *b, struct psgi_exchange *px)
{
    SV *sv = value_of(aTHX_ b, KEY_IO);

    if (psgi_lazy_reuse(aTHX_ sv, px))
        return;
    HeVAL(b->env->entry[KEY_IO]) = psgi_socket_new(aTHX_ px);
    SvREFCNT_dec(sv);
}

static void put_raiser(pTHX_ struct env_builder *b, struct psgi_exchange *px)
{
    SV *sv = value_of(aTHX_ b, KEY_RAISE);

    if (psgi_lazy_reuse(aTHX_ sv, px))
        return;
    HeVAL(b->env->entry[KEY_RAISE]) = psgi_raiser_new(aTHX_ px);
    SvREFCNT_dec(sv);
}

static void put_informer(pTHX_ struct env_builder *b, struct psgi_exchange *px)
{
    SV *sv = value_of(aTHX_ b, KEY_INFORMATIONAL);

    if (SvROK(sv)) {
        psgi_informer_reuse(px, (CV *)SvRV(sv));
        return;
    }
    psgi_value_set_ref(aTHX_ sv, (SV *)psgi_informer_new(aTHX_ px));
    b->env->informer_flags = SvFLAGS(SvRV(sv));
    b->env->informer_cv_flags = CvFLAGS((CV *)SvRV(sv));
}

static void put_version(pTHX_ struct env_builder *b)
{
    SV *sv = value_of(aTHX_ b, KEY_VERSION);
    AV *version;

    if (SvROK(sv))
        return;
    version = newAV();
    av_push(version, newSViv(1));
    av_push(version, newSViv(1));
    psgi_value_set_ref(aTHX_ sv, (SV *)version);
}

static void put_exit_guard(pTHX_ struct env_builder *b, SV *guard)
{
    SV *sv = value_of(aTHX_ b, KEY_EXIT_GUARD);

    if (!SvROK(sv))
        psgi_value_set_ref(aTHX_ sv, SvREFCNT_inc_simple_NN(SvRV(guard)));
}

/* A copy of the glob, as other servers give: `local *STDERR` in an app does not affect it. If the
 * program has put another handle in its place, makes a new copy. */
SV *psgi_env_errors(pTHX_ struct psgi *psgi)
{
    GV *copy = (GV *)psgi->errors;

    if (copy == NULL || !isGV_with_GP(copy) || GvGP(copy) != GvGP(PL_stderrgv)) {
        psgi->errors = newSV(0);
        sv_setsv(psgi->errors, (SV *)PL_stderrgv);
        SvREFCNT_dec((SV *)copy);
    }
    return psgi->errors;
}

static void put_errors(pTHX_ struct env_builder *b, struct psgi *psgi)
{
    SV *sv = value_of(aTHX_ b, KEY_ERRORS);
    SV *handle = psgi_env_errors(aTHX_ psgi);

    if (SvROK(sv) && SvRV(sv) == handle)
        return;
    if (SvROK(sv))
        sv_setsv(sv, &PL_sv_undef);
    psgi_value_set_ref(aTHX_ sv, SvREFCNT_inc_simple_NN(handle));
}

static void put_request_id(pTHX_ struct env_builder *b, struct sprig_exchange *ex)
{
    struct sprig_span id = sprig_exchange_request_id(ex);

    if (id.len > 0)
        put_span(aTHX_ b, KEY_REQUEST_ID, id);
}

/* The same for all requests of a server; not written again if the last app left them alone. */
static void put_constants(pTHX_ struct env_builder *b, const struct psgi_server *server)
{
    SV *handlers = value_of(aTHX_ b, KEY_CLEANUP_HANDLERS);

    put_version(aTHX_ b);
    if (!SvROK(handlers))
        psgi_value_set_ref(aTHX_ handlers, (SV *)newAV());
    put_bool(aTHX_ b, KEY_NONBLOCKING, true);
    put_bool(aTHX_ b, KEY_STREAMING, true);
    put_bool(aTHX_ b, KEY_RUN_ONCE, false);
    put_bool(aTHX_ b, KEY_MULTITHREAD, false);
    put_bool(aTHX_ b, KEY_MULTIPROCESS, server->multiprocess);
    put_bool(aTHX_ b, KEY_INPUT_BUFFERED, true);
    put_bool(aTHX_ b, KEY_CLEANUP, true);
    put_bool(aTHX_ b, KEY_HARAKIRI, server->harakiri);
    put_bool(aTHX_ b, KEY_SCALAR_REFS, true);
    if (server->exit_guard != NULL)
        put_exit_guard(aTHX_ b, server->exit_guard);
}

/* Deletes what the previous request had and this one has not. The values are plain strings. */
static void delete_stale(pTHX_ struct env_builder *b)
{
    struct psgi_env *env = b->env;

    for (unsigned word = 0; word < ENV_WORDS; word++) {
        for (uint64_t bits = env->present[word] & ~env->written[word]; bits != 0;
             bits &= bits - 1) {
            unsigned slot = word * 64 + (unsigned)__builtin_ctzll(bits);
            const struct psgi_key *key = &b->keys->key[slot];
            (void)hv_delete_ent(env->hv, key->sv, G_DISCARD, key->hash);
            env->n_present--;
        }
        env->present[word] = env->written[word];
        env->written[word] = 0;
    }
}

/* Recycling removes these, like changes by the app. */
static void put_reader(pTHX_ HV *env, struct psgi_exchange *px)
{
    (void)hv_stores(env, "psgix.input.streaming", newSVsv(&PL_sv_yes));
    (void)hv_stores(env, "psgix.input.buffered", newSVsv(&PL_sv_no));
    (void)hv_stores(env, "psgix.input.reader", psgi_reader_new(aTHX_ px));
    psgi_trailers_put(aTHX_ env, px);
}

static void put_websocket(pTHX_ HV *env, struct psgi_exchange *px)
{
    (void)hv_stores(env, "psgix.websocket", psgi_websocket_new(aTHX_ px));
}

static void put_variable(struct sprig_span name, struct sprig_span value, void *arg)
{
    dTHX;

    (void)hv_store((HV *)arg, name.ptr, (I32)name.len, newSVpvn(value.ptr, value.len), 0);
}

/* Recycling removes these, too. */
static void put_tls(pTHX_ HV *env, struct psgi_exchange *px)
{
    PERL_UNUSED_CONTEXT;
    sprig_exchange_describe_tls(px->ex, put_variable, env);
}

HV *psgi_env_build(pTHX_ struct psgi_exchange *px)
{
    struct env_builder b = {px->server->psgi->keys,
                            sprig_exchange_request(px->ex),
                            psgi_env_take(aTHX_ px->server),
                            {NULL, 0},
                            {NULL, 0}};

    const struct sprig_config *config = sprig_server_config(sprig_exchange_server(px->ex));
    bool is_tls = sprig_exchange_is_tls(px->ex);
    struct sprig_forwarded told;

    px->entries = b.env;
    put_request_line(aTHX_ & b);
    put_addresses(aTHX_ & b, px->ex, is_tls, &told);
    put_headers(aTHX_ & b);
    put_body(aTHX_ & b, px->ex);
    if (b.env->has_constants)
        b.env->written[0] |= env_constants(px->server);
    else
        put_constants(aTHX_ & b, px->server);
    put_errors(aTHX_ & b, px->server->psgi);
    if (sprig_exchange_owns_socket(px->ex))
        put_socket(aTHX_ & b, px);
    if (config->informational)
        put_informer(aTHX_ & b, px);
    put_raiser(aTHX_ & b, px);
    if (config->request_id != SPRIG_REQUEST_ID_OFF)
        put_request_id(aTHX_ & b, px->ex);
    delete_stale(aTHX_ & b);
    if (sprig_exchange_is_streaming(px->ex))
        put_reader(aTHX_ b.env->hv, px);
    else if (sprig_exchange_has_trailers(px->ex))
        psgi_trailers_put(aTHX_ b.env->hv, px);
    if (b.req->upgrade && sprig_ws_is_handshake(b.req))
        put_websocket(aTHX_ b.env->hv, px);
    if (is_tls && config->tls_env)
        put_tls(aTHX_ b.env->hv, px);
    return b.env->hv;
}

/* env.c - from a request to the PSGI env: keys made once, values fresh for every request. */
#include "bridge.h"

/* The keys of every env. */
#define ENV_KEYS(X)                                                                                \
    X(REQUEST_METHOD, "REQUEST_METHOD")                                                            \
    X(REQUEST_URI, "REQUEST_URI")                                                                  \
    X(PATH_INFO, "PATH_INFO")                                                                      \
    X(QUERY_STRING, "QUERY_STRING")                                                                \
    X(SCRIPT_NAME, "SCRIPT_NAME")                                                                  \
    X(SERVER_PROTOCOL, "SERVER_PROTOCOL")                                                          \
    X(SERVER_NAME, "SERVER_NAME")                                                                  \
    X(SERVER_PORT, "SERVER_PORT")                                                                  \
    X(REMOTE_ADDR, "REMOTE_ADDR")                                                                  \
    X(REMOTE_PORT, "REMOTE_PORT")                                                                  \
    X(CONTENT_LENGTH, "CONTENT_LENGTH")                                                            \
    X(HTTP_HOST, "HTTP_HOST")                                                                      \
    X(VERSION, "psgi.version")                                                                     \
    X(URL_SCHEME, "psgi.url_scheme")                                                               \
    X(ERRORS, "psgi.errors")                                                                       \
    X(INPUT, "psgi.input")                                                                         \
    X(NONBLOCKING, "psgi.nonblocking")                                                             \
    X(STREAMING, "psgi.streaming")                                                                 \
    X(RUN_ONCE, "psgi.run_once")                                                                   \
    X(MULTITHREAD, "psgi.multithread")                                                             \
    X(MULTIPROCESS, "psgi.multiprocess")                                                           \
    X(IO, "psgix.io")                                                                              \
    X(INPUT_BUFFERED, "psgix.input.buffered")                                                      \
    X(CLEANUP, "psgix.cleanup")                                                                    \
    X(CLEANUP_HANDLERS, "psgix.cleanup.handlers")                                                  \
    X(HARAKIRI, "psgix.harakiri")                                                                  \
    X(INFORMATIONAL, "psgix.informational")                                                        \
    X(SCALAR_REFS, "psgix.body.scalar_refs")

enum env_key {
#define X(name, text) KEY_##name,
    ENV_KEYS(X)
#undef X
        N_ENV_KEYS
};

static const char *const env_key_text[] = {
#define X(name, text) text,
    ENV_KEYS(X)
#undef X
};

/* Request headers that are worth a ready-made key; all others are folded one by one. */
static const char *const known_names[] = {
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Type",
    "Cookie",
    "DNT",
    "Date",
    "Expect",
    "Forwarded",
    "From",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Keep-Alive",
    "Origin",
    "Pragma",
    "Priority",
    "Range",
    "Referer",
    "Save-Data",
    "Sec-CH-UA",
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Platform",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "Sec-Fetch-User",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Upgrade-Insecure-Requests",
    "User-Agent",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-Request-ID",
    "X-Requested-With",
};

enum { N_KNOWN = sizeof known_names / sizeof *known_names, N_BUCKETS = 128 };

/* A key as a shared-hash SV and its hash value. */
struct key {
    SV *sv;
    U32 hash;
};

struct known {
    struct sprig_span name;
    struct key key;
    struct known *next; /* in its bucket */
};

struct psgi_keys {
    struct key env[N_ENV_KEYS];
    struct known known[N_KNOWN];
    struct known *buckets[N_BUCKETS];
};

/* ---- keys ---- */

static struct key key_new(pTHX_ const char *text, size_t len)
{
    SV *sv = newSVpvn_share(text, (I32)len, 0);

    return (struct key){sv, SvSHARED_HASH(sv)};
}

/* Header names differ well enough in length, first and last letter; case does not count. */
static unsigned name_bucket(struct sprig_span name)
{
    unsigned first = (unsigned char)name.ptr[0] | 0x20u;
    unsigned last = (unsigned char)name.ptr[name.len - 1] | 0x20u;

    return ((unsigned)name.len * 11 + first * 5 + last * 3) % N_BUCKETS;
}

/* HTTP_ACCEPT_LANGUAGE out of Accept-Language; room for len + 5 bytes. Returns the length. */
static size_t fold_name(struct sprig_span name, char *out)
{
    memcpy(out, "HTTP_", 5);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        out[i + 5] = c == '-' ? '_' : toUPPER_A(c);
    }
    return name.len + 5;
}

/* "Content-Type" is the only header here that the CGI specification gives a name without HTTP_. */
static void known_init(pTHX_ struct psgi_keys *keys, struct known *known, const char *name)
{
    char text[64];
    size_t len;
    struct known **bucket;

    known->name = span_str(name);
    len = fold_name(known->name, text);
    if (span_eq(known->name, SPAN_LIT("Content-Type")))
        known->key = key_new(aTHX_ text + 5, len - 5);
    else
        known->key = key_new(aTHX_ text, len);
    bucket = &keys->buckets[name_bucket(known->name)];
    known->next = *bucket;
    *bucket = known;
}

struct psgi_keys *psgi_keys_new(pTHX)
{
    struct psgi_keys *keys;

    Newxz(keys, 1, struct psgi_keys);
    for (int i = 0; i < N_ENV_KEYS; i++)
        keys->env[i] = key_new(aTHX_ env_key_text[i], strlen(env_key_text[i]));
    for (int i = 0; i < N_KNOWN; i++)
        known_init(aTHX_ keys, &keys->known[i], known_names[i]);
    return keys;
}

static const struct key *known_key(const struct psgi_keys *keys, struct sprig_span name)
{
    for (const struct known *it = keys->buckets[name_bucket(name)]; it != NULL; it = it->next) {
        if (span_ieq(it->name, name))
            return &it->key;
    }
    return NULL;
}

/* ---- values ---- */

struct env_builder {
    const struct psgi_keys *keys;
    const struct sprig_request *req;
    HV *env;
};

static void put(pTHX_ struct env_builder *b, enum env_key which, SV *value)
{
    const struct key *key = &b->keys->env[which];

    (void)hv_store_ent(b->env, key->sv, value, key->hash);
}

static void put_span(pTHX_ struct env_builder *b, enum env_key which, struct sprig_span value)
{
    put(aTHX_ b, which, newSVpvn(value.len ? value.ptr : "", value.len));
}

static void put_bool(pTHX_ struct env_builder *b, enum env_key which, bool value)
{
    put(aTHX_ b, which, newSVsv(boolSV(value)));
}

/* Percent-decoded once; what %00 or %2F stood for is kept, lengths are counted. */
static void put_path(pTHX_ struct env_builder *b)
{
    struct sprig_span path = b->req->path;
    SV *value;

    if (memchr(path.ptr, '%', path.len) == NULL) {
        put_span(aTHX_ b, KEY_PATH_INFO, path);
        return;
    }
    value = newSV(path.len + 1);
    SvPOK_only(value);
    SvCUR_set(value, request_decode_path(path, SvPVX(value)));
    *SvEND(value) = '\0';
    put(aTHX_ b, KEY_PATH_INFO, value);
}

/* ---- headers ---- */

/* A header that came before is continued: RFC 9110 section 5.3, RFC 6265 section 5.4 for cookies.
 */
static void put_header(pTHX_ struct env_builder *b, SV *key, U32 hash, const struct sprig_header *h)
{
    SV *value = HeVAL(hv_fetch_ent(b->env, key, 1, hash));

    if (!SvOK(value)) {
        sv_setpvn(value, h->value.len ? h->value.ptr : "", h->value.len);
        return;
    }
    sv_catpvn_nomg(value, span_ieq(h->name, SPAN_LIT("Cookie")) ? "; " : ", ", 2);
    if (h->value.len)
        sv_catpvn_nomg(value, h->value.ptr, h->value.len);
}

/* Headers that must not reach the env, or reach it in another way. A name with '_' could pass for
 * one with '-' (Content_Length), and Proxy for the environment variable of that name. */
static bool is_dropped(const struct sprig_request *req, struct sprig_span name)
{
    if (name.len == 14 && span_ieq(name, SPAN_LIT("Content-Length")))
        return true;
    if (req->chunked && name.len == 17 && span_ieq(name, SPAN_LIT("Transfer-Encoding")))
        return true;
    if (req->authority.ptr != NULL && name.len == 4 && span_ieq(name, SPAN_LIT("Host")))
        return true;
    if (name.len == 5 && span_ieq(name, SPAN_LIT("Proxy")))
        return true;
    return memchr(name.ptr, '_', name.len) != NULL;
}

static void put_unknown_header(pTHX_ struct env_builder *b, const struct sprig_header *h)
{
    SV *key = newSV(h->name.len + 6);

    SvPOK_only(key);
    SvCUR_set(key, fold_name(h->name, SvPVX(key)));
    *SvEND(key) = '\0';
    put_header(aTHX_ b, key, 0, h);
    SvREFCNT_dec(key);
}

static void put_headers(pTHX_ struct env_builder *b)
{
    for (uint32_t i = 0; i < b->req->n_headers; i++) {
        const struct sprig_header *h = &b->req->headers[i];
        if (is_dropped(b->req, h->name))
            continue;
        const struct key *key = known_key(b->keys, h->name);
        if (key != NULL)
            put_header(aTHX_ b, key->sv, key->hash, h);
        else
            put_unknown_header(aTHX_ b, h);
    }
    if (b->req->authority.ptr != NULL)
        put_span(aTHX_ b, KEY_HTTP_HOST, b->req->authority);
}

/* ---- the parts of an env ---- */

static void put_request_line(pTHX_ struct env_builder *b)
{
    put_span(aTHX_ b, KEY_REQUEST_METHOD, b->req->method);
    put_span(aTHX_ b, KEY_REQUEST_URI, b->req->uri);
    put_path(aTHX_ b);
    put_span(aTHX_ b, KEY_QUERY_STRING, b->req->query);
    put_span(aTHX_ b, KEY_SCRIPT_NAME, SPAN_LIT(""));
    put_span(aTHX_ b, KEY_SERVER_PROTOCOL,
             b->req->minor ? SPAN_LIT("HTTP/1.1") : SPAN_LIT("HTTP/1.0"));
}

static void put_addresses(pTHX_ struct env_builder *b, struct sprig_exchange *ex)
{
    const struct sprig_address *local = sprig_exchange_local(ex);
    struct sprig_span host, port;

    sprig_exchange_remote(ex, &host, &port);
    put_span(aTHX_ b, KEY_SERVER_NAME, span_str(local->host));
    put_span(aTHX_ b, KEY_SERVER_PORT, span_str(local->port));
    put_span(aTHX_ b, KEY_REMOTE_ADDR, host);
    if (port.len)
        put_span(aTHX_ b, KEY_REMOTE_PORT, port);
}

/* The length of the body as the app reads it, that is, after de-chunking. */
static void put_body(pTHX_ struct env_builder *b, struct sprig_exchange *ex)
{
    struct sprig_body body;
    char text[24];

    sprig_exchange_take_body(ex, &body);
    if (b->req->has_content_length || b->req->chunked) {
        int len = snprintf(text, sizeof text, "%llu", (unsigned long long)body.size);
        put_span(aTHX_ b, KEY_CONTENT_LENGTH, span_make(text, (size_t)len));
    }
    put(aTHX_ b, KEY_INPUT, psgi_input_new(aTHX_ & body));
}

static void put_psgi(pTHX_ struct env_builder *b, const struct psgi_server *server)
{
    AV *version = newAV();

    av_push(version, newSViv(1));
    av_push(version, newSViv(1));
    put(aTHX_ b, KEY_VERSION, newRV_noinc((SV *)version));
    put_span(aTHX_ b, KEY_URL_SCHEME, SPAN_LIT("http"));
    put(aTHX_ b, KEY_ERRORS, newRV_inc((SV *)PL_stderrgv));
    put_bool(aTHX_ b, KEY_NONBLOCKING, true);
    put_bool(aTHX_ b, KEY_STREAMING, true);
    put_bool(aTHX_ b, KEY_RUN_ONCE, false);
    put_bool(aTHX_ b, KEY_MULTITHREAD, false);
    put_bool(aTHX_ b, KEY_MULTIPROCESS, server->multiprocess);
    put_bool(aTHX_ b, KEY_INPUT_BUFFERED, true);
    put_bool(aTHX_ b, KEY_CLEANUP, true);
    put(aTHX_ b, KEY_CLEANUP_HANDLERS, newRV_noinc((SV *)newAV()));
    put_bool(aTHX_ b, KEY_HARAKIRI, server->harakiri);
    put_bool(aTHX_ b, KEY_SCALAR_REFS, true);
}

HV *psgi_env_build(pTHX_ struct psgi_exchange *px)
{
    struct env_builder b = {px->server->psgi->keys, sprig_exchange_request(px->ex), newHV()};

    hv_ksplit(b.env, 48);
    put_request_line(aTHX_ & b);
    put_addresses(aTHX_ & b, px->ex);
    put_headers(aTHX_ & b);
    put_body(aTHX_ & b, px->ex);
    put_psgi(aTHX_ & b, px->server);
    put(aTHX_ & b, KEY_IO, psgi_socket_new(aTHX_ px));
    put(aTHX_ & b, KEY_INFORMATIONAL, psgi_informer_new(aTHX_ px));
    return b.env;
}

void psgi_env_release(pTHX_ struct psgi_exchange *px)
{
    HV *env = px->env;

    px->env = NULL;
    SvREFCNT_dec((SV *)env);
}

/* ---- reading the env back ---- */

struct get_job {
    HV *env;
    const char *key;
    SV *value; /* out, owned */
};

static void run_get(pTHX_ void *arg)
{
    struct get_job *job = arg;
    SV **value = hv_fetch(job->env, job->key, (I32)strlen(job->key), 0);

    if (value != NULL)
        job->value = newSVsv(*value);
}

SV *psgi_env_get(pTHX_ HV *env, const char *key)
{
    struct get_job job = {env, key, NULL};

    if (SvRMAGICAL((SV *)env)) { /* the app tied it */
        psgi_guard(aTHX_ run_get, &job, NULL);
        return job.value;
    }
    SV **value = hv_fetch(env, key, (I32)strlen(key), 0);
    if (value == NULL || !SvGMAGICAL(*value))
        return value != NULL ? newSVsv(*value) : NULL;
    psgi_guard(aTHX_ run_get, &job, NULL);
    return job.value;
}

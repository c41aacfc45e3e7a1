/* keys.c - the keys of envs: shared-hash scalars made once, so that a request does not hash any. */
#include "keys.h"

#include "http/chars.h"

static const char *const env_key_text[] = {
#define X(name, text) text,
    ENV_KEYS(X)
#undef X
};

/* Request headers worth a prepared key; all others are converted one by one. In lower case, for
 * name_is. None of them is dropped: see is_dropped in env.c. */
static const char *const known_names[] = {
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-type",
    "cookie",
    "dnt",
    "date",
    "expect",
    "forwarded",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "origin",
    "pragma",
    "priority",
    "range",
    "referer",
    "save-data",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
};

enum { N_KNOWN = sizeof known_names / sizeof *known_names };

_Static_assert(N_ENV_KEYS + N_KNOWN <= ENV_SLOTS, "one slot for each key");

/* Header names differ well enough in length, first and last letter, ignoring case. */
static unsigned name_bucket(struct sprig_span name)
{
    unsigned first = (unsigned char)name.ptr[0] | 0x20u;
    unsigned last = (unsigned char)name.ptr[name.len - 1] | 0x20u;

    return ((unsigned)name.len * 11 + first * 5 + last * 3) % ENV_BUCKETS;
}

static unsigned hek_bucket(const HEK *hek)
{
    return (unsigned)(PTR2UV(hek) >> 4) % (2 * ENV_BUCKETS);
}

size_t psgi_keys_fold(struct sprig_span name, char *out)
{
    memcpy(out, "HTTP_", 5);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        out[i + 5] = c == '-' ? '_' : toUPPER_A(c);
    }
    return name.len + 5;
}

struct psgi_key psgi_key_make(pTHX_ const char *text, size_t len)
{
    SV *sv = newSVpvn_share(text, (I32)len, 0);

    return (struct psgi_key){sv, SvSHARED_HEK_FROM_PV(SvPVX_const(sv)), SvSHARED_HASH(sv)};
}

static void add_key(pTHX_ struct psgi_keys *keys, unsigned slot, const char *text, size_t len)
{
    struct psgi_key key = psgi_key_make(aTHX_ text, len);
    unsigned i = hek_bucket(key.hek);

    while (keys->by_hek[i] != 0)
        i = (i + 1) % (2 * ENV_BUCKETS);
    keys->by_hek[i] = (uint8_t)(slot + 1);
    keys->key[slot] = key;
}

/* Content-Type is the only header here whose name in the CGI specification has no HTTP_. */
static void add_header(pTHX_ struct psgi_keys *keys, unsigned slot, const char *name)
{
    struct sprig_span span = span_str(name);
    size_t skip = span_eq(span, SPAN_LIT("content-type")) ? 5 : 0;
    uint8_t *bucket = &keys->bucket[name_bucket(span)];
    char text[64];
    size_t len = psgi_keys_fold(span, text);

    add_key(aTHX_ keys, slot, text + skip, len - skip);
    keys->name[slot] = span;
    keys->next[slot] = *bucket;
    *bucket = (uint8_t)slot;
    if (span_eq(span, SPAN_LIT("host")))
        keys->host = slot;
    if (span_eq(span, SPAN_LIT("transfer-encoding")))
        keys->transfer_encoding = slot;
}

struct psgi_keys *psgi_keys_new(pTHX)
{
    struct psgi_keys *keys;

    Newxz(keys, 1, struct psgi_keys);
    for (unsigned i = 0; i < N_ENV_KEYS; i++)
        add_key(aTHX_ keys, i, env_key_text[i], strlen(env_key_text[i]));
    for (unsigned i = 0; i < N_KNOWN; i++)
        add_header(aTHX_ keys, N_ENV_KEYS + i, known_names[i]);
    keys->user = psgi_key_make(aTHX_ STR_WITH_LEN("REMOTE_USER"));
    keys->yes = newSVsv(&PL_sv_yes);
    keys->no = newSVsv(&PL_sv_no);
    return keys;
}

int psgi_keys_of_header(const struct psgi_keys *keys, struct sprig_span name)
{
    for (unsigned slot = keys->bucket[name_bucket(name)]; slot != 0; slot = keys->next[slot])
        if (keys->name[slot].len == name.len && name_is(name, keys->name[slot].ptr))
            return (int)slot;
    return NO_SLOT;
}

/* In hashes that share their keys, equal keys are one and the same. */
int psgi_keys_of_entry(const struct psgi_keys *keys, const HE *he)
{
    for (unsigned i = hek_bucket(HeKEY_hek(he)); keys->by_hek[i] != 0;
         i = (i + 1) % (2 * ENV_BUCKETS))
        if (keys->key[keys->by_hek[i] - 1].hek == HeKEY_hek(he))
            return keys->by_hek[i] - 1;
    return NO_SLOT;
}

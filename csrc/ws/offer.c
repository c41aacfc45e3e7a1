/* offer.c - what a client offers in its opening handshake, kept until the app has decided. */
#include "http/elements.h"
#include "websocket.h"
#include "ws/handshake.h"

#include <stdlib.h>

bool sprig_ws_is_handshake(const struct sprig_request *req)
{
    return ws_handshake_is_valid(req);
}

/* Copies a text behind *at. */
static struct sprig_span put(char **at, struct sprig_span text)
{
    char *start = *at;
    if (text.len > 0)
        memcpy(start, text.ptr, text.len);
    *at += text.len;
    return span_make(start, text.len);
}

int sprig_ws_offer_take(struct sprig_ws_offer *offer, const struct sprig_request *req)
{
    char *joined[2];
    struct sprig_span key = request_header(req, SPAN_LIT("Sec-WebSocket-Key"));
    struct sprig_span protocols =
        ws_handshake_field(req, SPAN_LIT("Sec-WebSocket-Protocol"), &joined[0]);
    struct sprig_span extensions =
        ws_handshake_field(req, SPAN_LIT("Sec-WebSocket-Extensions"), &joined[1]);
    struct sprig_span origin = request_header(req, SPAN_LIT("Origin"));
    struct sprig_span host =
        req->authority.ptr ? req->authority : request_header(req, SPAN_LIT("Host"));
    char *at = malloc(key.len + protocols.len + extensions.len + origin.len + host.len + 1);
    *offer = (struct sprig_ws_offer){.own = at};
    if (at != NULL) {
        offer->key = put(&at, key);
        offer->protocols = put(&at, protocols);
        offer->extensions = put(&at, extensions);
        offer->origin = put(&at, origin);
        offer->host = put(&at, host);
    }
    free(joined[0]);
    free(joined[1]);
    return offer->own != NULL ? 0 : SPRIG_E_NOMEM;
}

void sprig_ws_offer_clear(struct sprig_ws_offer *offer)
{
    free(offer->own);
    *offer = (struct sprig_ws_offer){.own = NULL};
}

bool sprig_ws_offers(const struct sprig_ws_offer *offer, struct sprig_span protocol)
{
    return ws_handshake_offers(offer->protocols, protocol);
}

/* ------------------------------------------------------------------- origins ---- */

/* The part after "scheme://". */
static struct sprig_span host_of(struct sprig_span origin)
{
    for (size_t i = 0; i + 3 <= origin.len; i++)
        if (memcmp(origin.ptr + i, "://", 3) == 0)
            return span_make(origin.ptr + i + 3, origin.len - i - 3);
    return span_make(NULL, 0);
}

/* The host without a port. */
static struct sprig_span name_of(struct sprig_span host)
{
    const char *colon = host.len > 0 && host.ptr[0] != '[' ? memchr(host.ptr, ':', host.len) : NULL;
    return colon != NULL ? span_make(host.ptr, (size_t)(colon - host.ptr)) : host;
}

/* "*.example.org": names below example.org, and example.org itself. */
static bool is_below(struct sprig_span name, struct sprig_span domain)
{
    if (span_ieq(name, domain))
        return true;
    return name.len > domain.len && name.ptr[name.len - domain.len - 1] == '.' &&
           span_ieq(span_make(name.ptr + name.len - domain.len, domain.len), domain);
}

static bool matches(const struct sprig_ws_offer *offer, struct sprig_span pattern)
{
    struct sprig_span host = host_of(offer->origin);
    if (span_ieq(pattern, SPAN_LIT("same")))
        return host.len > 0 && span_ieq(host, offer->host);
    if (pattern.len > 2 && memcmp(pattern.ptr, "*.", 2) == 0)
        return is_below(name_of(host), span_make(pattern.ptr + 2, pattern.len - 2));
    return pattern.len > 0 && span_ieq(offer->origin, pattern);
}

static bool is_listed(const struct sprig_ws_offer *offer, const char *origins)
{
    struct sprig_span list = span_str(origins);
    while (list.len > 0) {
        size_t n = 0;
        while (n < list.len && list.ptr[n] != ',' && list.ptr[n] != ' ')
            n++;
        if (matches(offer, span_make(list.ptr, n)))
            return true;
        n += n < list.len;
        list = span_make(list.ptr + n, list.len - n);
    }
    return false;
}

bool sprig_ws_admits(struct sprig_exchange *ex, const struct sprig_ws_offer *offer,
                     const char *origins)
{
    if (origins == NULL || *origins == '\0' || offer->origin.len == 0 || is_listed(offer, origins))
        return true;
    sprig_exchange_tell(ex, 403, "websocket_origins: it comes from a page that may not connect",
                        offer->origin);
    return false;
}

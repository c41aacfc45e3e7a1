/* cidr.c - lists of networks; see cidr.h */
#include "base/cidr.h"

#include "base/err.h"
#include "base/log.h"
#include "base/number.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

/* The prefix of an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2). */
static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Reads a numeric address. Returns its family (4 or 6), or 0 if it is not one. */
static uint8_t read_address(struct sprig_span host, uint8_t bytes[16])
{
    char text[46];
    if (host.len >= sizeof text || memchr(host.ptr, '\0', host.len) != NULL)
        return 0;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, bytes) == 1)
        return 4;
    if (inet_pton(AF_INET6, text, bytes) != 1)
        return 0;
    if (memcmp(bytes, mapped, sizeof mapped) != 0)
        return 6;
    memmove(bytes, bytes + 12, 4);
    return 4;
}

bool cidr_is_address(struct sprig_span host)
{
    uint8_t bytes[16];
    return host.len > 0 && read_address(host, bytes) != 0;
}

struct sprig_span cidr_unmapped(struct sprig_span host)
{
    static const struct sprig_span prefix = {"::ffff:", 7};
    uint8_t bytes[16];
    if (host.len <= prefix.len || !span_ieq(span_make(host.ptr, prefix.len), prefix))
        return host;
    struct sprig_span rest = span_make(host.ptr + prefix.len, host.len - prefix.len);
    bool is_ipv4 = memchr(rest.ptr, '.', rest.len) != NULL && read_address(rest, bytes) == 4;
    return is_ipv4 ? rest : host;
}

void cidr_print(int family, const void *address, char *to)
{
    bool is_mapped = family == AF_INET6 && memcmp(address, mapped, sizeof mapped) == 0;
    const uint8_t *bytes = address;
    if (is_mapped)
        inet_ntop(AF_INET, bytes + sizeof mapped, to, INET6_ADDRSTRLEN);
    else
        inet_ntop(family, bytes, to, INET6_ADDRSTRLEN);
}

/* Reads the digits after the slash. False: not a number, or more than max. */
static bool read_bits(struct sprig_span text, unsigned max, uint8_t *bits)
{
    uint64_t v;
    if (text.len > 3 || !number_read(text, max, &v))
        return false;
    *bits = (uint8_t)v;
    return true;
}

static bool read_item(struct sprig_span item, struct cidr *c)
{
    const char *slash = memchr(item.ptr, '/', item.len);
    size_t n = slash ? (size_t)(slash - item.ptr) : item.len;
    memset(c, 0, sizeof *c);
    if (span_eq(item, SPAN_LIT("unix")) || span_eq(item, SPAN_LIT("unix/")))
        return true;
    c->family = read_address(span_make(item.ptr, n), c->bytes);
    unsigned max = c->family == 4 ? 32 : 128;
    c->bits = (uint8_t)max;
    if (c->family == 0 || slash == NULL)
        return c->family != 0;
    return read_bits(span_make(slash + 1, item.len - n - 1), max, &c->bits);
}

void cidr_list_clear(struct cidr_list *list)
{
    free(list->items);
    *list = (struct cidr_list){NULL, 0, 0};
}

int cidr_list_read(struct cidr_list *list, const char *text, char *bad, size_t n)
{
    uint64_t hops;
    *list = (struct cidr_list){NULL, 0, 0};
    if (number_read(span_trim(span_str(text)), PROXY_MAX_HOPS, &hops) && hops > 0) {
        list->hops = (uint32_t)hops;
        return 0;
    }
    for (const char *p = text ? text : ""; *(p += strspn(p, ", \t")); p += strcspn(p, ", \t")) {
        struct sprig_span item = span_make(p, strcspn(p, ", \t"));
        struct cidr c;
        if (!read_item(item, &c)) {
            log_escape(bad, n, item);
            cidr_list_clear(list);
            return SPRIG_E_INVALID;
        }
        struct cidr *grown = realloc(list->items, (list->n + 1) * sizeof *grown);
        if (grown == NULL) {
            cidr_list_clear(list);
            return SPRIG_E_NOMEM;
        }
        list->items = grown;
        list->items[list->n++] = c;
    }
    return 0;
}

static bool matches(const struct cidr *c, const uint8_t *bytes)
{
    unsigned whole = c->bits / 8, rest = c->bits % 8;
    if (memcmp(c->bytes, bytes, whole) != 0)
        return false;
    return rest == 0 || ((c->bytes[whole] ^ bytes[whole]) >> (8 - rest)) == 0;
}

bool cidr_list_has(const struct cidr_list *list, struct sprig_span host)
{
    uint8_t bytes[16];
    if (list->n == 0 || list->hops != 0)
        return list->hops != 0;
    uint8_t family = span_eq(host, SPAN_LIT("unix/")) ? 0 : read_address(host, bytes);
    if (family == 0 && !span_eq(host, SPAN_LIT("unix/")))
        return false;
    for (uint32_t i = 0; i < list->n; i++)
        if (list->items[i].family == family && (family == 0 || matches(&list->items[i], bytes)))
            return true;
    return false;
}

const struct cidr *cidr_list_find_public(const struct cidr_list *list)
{
    enum { LARGEST_IPV4 = 8, LARGEST_IPV6 = 7 }; /* 10.0.0.0/8, fc00::/7 */
    for (uint32_t i = 0; i < list->n; i++) {
        const struct cidr *c = &list->items[i];
        if ((c->family == 4 && c->bits < LARGEST_IPV4) ||
            (c->family == 6 && c->bits < LARGEST_IPV6))
            return c;
    }
    return NULL;
}

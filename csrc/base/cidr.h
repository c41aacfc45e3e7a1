/* cidr.h - lists of networks: "10.0.0.0/8, ::1, unix". */
#ifndef CIDR_H
#define CIDR_H

#include "base/span.h"
#include <stdint.h>

struct cidr {
    uint8_t family; /* 4, 6, or 0 for unix sockets */
    uint8_t bits;
    uint8_t bytes[16];
};

/* Networks, or a number of hops. With a number, every address is in the list, and the caller
 * counts. */
struct cidr_list {
    struct cidr *items; /* owned */
    uint32_t n;
    uint32_t hops; /* 0: the networks count */
};

enum { PROXY_MAX_HOPS = 32 };

/* Reads addresses and networks, separated by commas or blanks. "unix" stands for clients of unix
 * sockets. A lone number from 1 to PROXY_MAX_HOPS is a number of hops. If text is NULL, the list is
 * empty. SPRIG_E_INVALID: *list is empty, and `bad` (n bytes) gets the offending item, escaped.
 * SPRIG_E_NOMEM. */
int cidr_list_read(struct cidr_list *list, const char *text, char *bad, size_t n);
void cidr_list_clear(struct cidr_list *list);

static inline bool cidr_list_is_empty(const struct cidr_list *list)
{
    return list->n == 0 && list->hops == 0;
}

/* The first network that is larger than any private one, such as 0.0.0.0/0; NULL if there is none.
 */
const struct cidr *cidr_list_find_public(const struct cidr_list *list);

/* True if the numeric address (or "unix/") lies in one of them. IPv4 in IPv6 (::ffff:1.2.3.4)
 * counts as the IPv4 address. */
bool cidr_list_has(const struct cidr_list *list, struct sprig_span host);

/* Turns ::ffff:1.2.3.4, as sockets for both families name an IPv4 address, into the IPv4 address.
 * Returns any other text unchanged. */
struct sprig_span cidr_unmapped(struct sprig_span host);

/* Writes the address of a family (AF_INET, AF_INET6) as text of at most 46 bytes, an IPv4 address
 * in IPv6 as IPv4. */
void cidr_print(int family, const void *address, char *to);

/* True for a numeric IPv4 or IPv6 address without brackets or port. */
bool cidr_is_address(struct sprig_span host);

#endif

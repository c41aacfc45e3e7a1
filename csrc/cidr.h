/* cidr.h - lists of networks: "10.0.0.0/8, ::1, unix". */
#ifndef CIDR_H
#define CIDR_H

#include "span.h"
#include <stdint.h>

struct cidr {
    uint8_t family; /* 4, 6, or 0 for unix sockets */
    uint8_t bits;
    uint8_t bytes[16];
};

struct cidr_list {
    struct cidr *items; /* owned */
    uint32_t n;
};

/* Reads addresses and networks, separated by commas or blanks; "unix" stands for the other ends of
 * unix sockets. text NULL is an empty list. SPRIG_E_INVALID: *list is empty, and `bad` (n bytes)
 * gets the item that is wrong, escaped. SPRIG_E_NOMEM. */
int cidr_list_read(struct cidr_list *list, const char *text, char *bad, size_t n);
void cidr_list_clear(struct cidr_list *list);

/* True if the numeric address (or "unix/") lies in one of them. IPv4 in IPv6 (::ffff:1.2.3.4)
 * counts as the IPv4 address. */
bool cidr_list_has(const struct cidr_list *list, struct sprig_span host);

/* True for a numeric IPv4 or IPv6 address without brackets or port. */
bool cidr_is_address(struct sprig_span host);

#endif

/* dev_hosts.h - whom option dev answers. A page on the web can make its own name point to 127.0.0.1
 * (DNS rebinding) and then read what is served there; its Host still gives it away. */
#ifndef DEV_HOSTS_H
#define DEV_HOSTS_H

#include "serve/conn.h"

/* Whether the host, as Host has it, is this machine or in the list: names with commas between them,
 * "*.test" for all below test; NULL: none. Addresses of the loopback interface, localhost and names
 * below it are this machine. */
bool dev_hosts_has(const char *list, struct sprig_span host);

/* Answers the request with 403 and returns true, unless its host is known or it names none, as no
 * browser does. Proxies are not asked: a page can send their header fields. */
bool dev_hosts_refuse(struct sprig_exchange *ex);

#endif

/* dev_hosts.h - whom sprig --dev answers. A page on the web can make its own name point to
 * 127.0.0.1 (DNS rebinding) and then read what is served there. Its Host header gives it away. */
#ifndef DEV_HOSTS_H
#define DEV_HOSTS_H

#include "serve/conn.h"

/* True if the host, as written in Host, is this machine or in the list: names separated by commas,
 * "*.test" for everything below test; NULL for none. Loopback addresses, localhost and names below
 * it are this machine. */
bool dev_hosts_has(const char *list, struct sprig_span host);

/* Answers the request with 403 and returns true, unless its host is known or missing, which no
 * browser does. Ignores what proxies say: a page can send their header fields. */
bool dev_hosts_refuse(struct sprig_exchange *ex);

#endif

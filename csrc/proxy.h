/* proxy.h - what proxies tell about the client: the PROXY protocol at the start of a connection,
 * and header fields of a request (X-Forwarded-*, or Forwarded of RFC 7239). Pure functions. */
#ifndef PROXY_H
#define PROXY_H

#include "cidr.h"
#include "config.h"
#include "request.h"

/* A longer one is refused: version 1 has at most 107 bytes, version 2 carries little else. */
enum { PROXY_MAX_BYTES = 1024 };

struct proxy_header {
    bool is_told; /* false: UNKNOWN, LOCAL or another family: the socket's own addresses stand */
    char remote_host[46], remote_port[6];
    char local_host[46], local_port[6];
};

/* Reads a PROXY header, version 1 or 2, at the start of `bytes`. > 0: its length; 0: incomplete;
 * < 0: there is none, or it is malformed. The verdict does not depend on how the bytes were cut. */
long proxy_header_parse(struct sprig_span bytes, struct proxy_header *out);

/* What trusted proxies say about a request that came from `peer` (numeric, or "unix/"). From other
 * peers nothing is believed. Spans are borrowed from the request; their ptr is NULL where nothing
 * is told. The addresses are read from right to left until one is not that of a trusted proxy. */
void proxy_forwarded(const struct sprig_request *req, const struct cidr_list *trusted,
                     enum sprig_proxy_headers which, struct sprig_span peer,
                     struct sprig_forwarded *out);

#endif

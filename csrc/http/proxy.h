/* proxy.h - what proxies tell about the client: the PROXY protocol at the start of a connection,
 * and header fields of a request (X-Forwarded-*, or Forwarded of RFC 7239). Pure functions. */
#ifndef PROXY_H
#define PROXY_H

#include "base/cidr.h"
#include "base/config.h"
#include "http/request.h"

/* What version 2 carries behind its first 16 bytes: addresses, and TLVs such as the certificate's
 * name or the identifier of a cloud's endpoint. More is refused; version 1 has at most 107 bytes.
 */
enum { PROXY_MAX_BYTES = 4096 };

struct proxy_header {
    /* False: UNKNOWN, LOCAL or another family. Then the socket's own addresses stand, and nobody
     * knows who the client is: what it says in header fields must not be believed. */
    bool is_told;
    char remote_host[46], remote_port[6];
    char local_host[46], local_port[6];
};

/* Reads a PROXY header, version 1 or 2, at the start of `bytes`. > 0: its length; 0: incomplete;
 * < 0: *reason tells, in static text, that there is none, or what is wrong with it. The verdict
 * does not depend on how the bytes were cut. */
long proxy_header_parse(struct sprig_span bytes, struct proxy_header *out, const char **reason);

/* What trusted proxies say about a request that came from `peer` (numeric, or "unix/"). From other
 * peers nothing is believed. Spans are borrowed from the request or from *out; their ptr is NULL
 * where nothing is told. The addresses are read from right to left until one is not that of a
 * trusted proxy, or as many as there are trusted hops. */
void proxy_forwarded(const struct sprig_request *req, const struct cidr_list *trusted,
                     enum sprig_proxy_headers which, struct sprig_span peer,
                     struct sprig_forwarded *out);

#endif

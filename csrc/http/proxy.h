/* proxy.h - what proxies say about the client: the PROXY protocol at the start of a connection, and
 * header fields of a request (X-Forwarded-*, or Forwarded of RFC 7239). Pure functions. */
#ifndef PROXY_H
#define PROXY_H

#include "base/cidr.h"
#include "base/config.h"
#include "http/request.h"

/* What version 2 carries after its first 16 bytes: addresses, and TLVs such as the certificate's
 * name or a cloud endpoint's identifier. More is refused; version 1 has at most 107 bytes. */
enum { PROXY_MAX_BYTES = 4096 };

struct proxy_header {
    /* False for UNKNOWN, LOCAL or another family. The socket's own addresses then stand, nobody
     * knows who the client is, and its header fields must not be believed. */
    bool is_told;
    char remote_host[46], remote_port[6];
    char local_host[46], local_port[6];
};

/* Reads a PROXY header, version 1 or 2, at the start of `bytes`. > 0: its length; 0: incomplete; <
 * 0: there is none or it is wrong, and *reason (static text) says why. The verdict does not depend
 * on how the bytes were cut. */
long proxy_header_parse(struct sprig_span bytes, struct proxy_header *out, const char **reason);

/* Reads what trusted proxies say about a request from `peer` (numeric, or "unix/"). Other peers are
 * not believed. Spans are borrowed from the request or from *out; their ptr is NULL if nothing is
 * said. Addresses are read from right to left up to the first one that is not a trusted proxy, or
 * up to the number of trusted hops. */
void proxy_forwarded(const struct sprig_request *req, const struct cidr_list *trusted,
                     enum sprig_proxy_headers which, struct sprig_span peer,
                     struct sprig_forwarded *out);

#endif

/* target.h - the request target: its four forms and the host[:port] in them. */
#ifndef SPRIG_TARGET_H
#define SPRIG_TARGET_H

#include "http/request.h"

/* NULL if `target` may follow `method` (RFC 9112 section 3.2), else the reason for a 400, static.
 *   origin-form     "/" path ["?" query]
 *   absolute-form   http or https, a host, no userinfo
 *   authority-form  host:port, for CONNECT, which takes no other
 *   asterisk-form   "*", for OPTIONS only
 * Path and query are visible ASCII but '#', and 8-bit bytes, which old clients do not escape. In
 * the path each '%' has two hex digits behind it, and not those of NUL, since programs that pass
 * the decoded path to the system would see another one. The query is the app's to judge, which gets
 * it raw: browsers send "?q=100%" as it was typed. */
const char *target_check(struct sprig_span method, struct sprig_span target);

/* Fills uri, path, query and authority from method and target, which have passed target_check. If
 * the target has a query but no path ("http://host?x"), uri has no bytes to point at: it is left as
 * "?x", and true is returned. */
bool target_split(struct sprig_request *req);

/* True for uri-host [":" *DIGIT] (RFC 9110 section 7.2): a name, an IPv4 address or an IP literal
 * in brackets; the port up to 65535. An empty host is not one. */
bool target_is_authority(struct sprig_span s);

#endif

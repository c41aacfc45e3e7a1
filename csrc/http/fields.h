/* fields.h - the header fields that decide how a message is framed and how the connection goes on.
 */
#ifndef SPRIG_FIELDS_H
#define SPRIG_FIELDS_H

#include "http/request.h"

struct parser_refusal;

/* Reads version, method and headers of *req and fills the rest: content_length, has_content_length,
 * chunked, keep_alive, expect_continue, upgrade, is_head. 0, or -status with *why filled.
 *
 *   Host               once on 1.1, else at most once; valid, or empty (RFC 9112 section 3.2)
 *   Content-Length     once, 1*DIGIT, at most INT64_MAX; a repeated one is refused, equal or not
 *   Transfer-Encoding  once, only on 1.1, only without Content-Length, exactly "chunked"; 501 for
 *                      other codings (RFC 9112 sections 6.1 to 6.3)
 *   Content-Type,      at most once, whatever the values are: two parties that took different ones
 *   Content-Range,     would understand the message differently. Other fields that RFC 9110 wants
 *   Authorization      once are joined like lists: what they mean then is harmless
 *   Expect             "100-continue" or 417; ignored on 1.0 (RFC 9110 section 10.1.1)
 *   Upgrade            counts on 1.1, with "Connection: upgrade", for anything but h2c, which we
 *                      do not speak: such a request is served as HTTP/1.1 (RFC 9110 section 7.8) */
int fields_check(struct sprig_request *req, struct parser_refusal *why);

#endif

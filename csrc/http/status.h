/* status.h - status codes and their reason phrases (IANA registry, RFC 9110 section 15). */
#ifndef SPRIG_STATUS_H
#define SPRIG_STATUS_H

#include <stdbool.h>

/* The reason phrase of a registered code, "" for any other; static storage. */
const char *status_reason(int status);

/* True if a response with this status has no content: 1xx, 204, 304 (RFC 9110 section 6.4.1). */
static inline bool status_has_no_body(int status)
{
    return (status >= 100 && status < 200) || status == 204 || status == 304;
}

#endif

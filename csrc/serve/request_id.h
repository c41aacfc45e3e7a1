/* request_id.h - the id of a request, by which you find its lines in the logs of several programs.
 */
#ifndef REQUEST_ID_H
#define REQUEST_ID_H

#include "serve/conn.h"

/* The id of the exchange. It is made, or taken from the request, when it is first asked for, before
 * the request is forgotten. Empty if the option request_id is off. Borrowed until the exchange ends
 * or forgets its request. */
struct sprig_span exchange_request_id(struct sprig_exchange *ex);

/* No request has an id, so nobody need ask. */
static inline bool request_id_is_off(const struct sprig_exchange *ex)
{
    return ex->conn->server->config.request_id == SPRIG_REQUEST_ID_OFF;
}

/* Returns the head with the field request_id_header, unless the app has set that. *room and *fields
 * belong to the caller, who frees *fields. Returns the head unchanged if there is nothing to add.
 */
const struct sprig_head *request_id_add(struct sprig_exchange *ex, const struct sprig_head *head,
                                        struct sprig_head *room, struct sprig_header **fields);

#endif

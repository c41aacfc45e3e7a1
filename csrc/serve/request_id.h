/* request_id.h - the name of a request, by which lines of several programs are found together. */
#ifndef REQUEST_ID_H
#define REQUEST_ID_H

#include "serve/conn.h"

/* The id of the exchange, made or taken from the request the first time that it is asked for, which
 * is before the request is forgotten; empty where the option request_id is off. Borrowed until the
 * exchange ends, or forgets its request. */
struct sprig_span exchange_request_id(struct sprig_exchange *ex);

/* The head with the field request_id_header, unless the app has set it: *room and *fields are the
 * caller's, and *fields is to be freed. The head as it was if there is nothing to add. */
const struct sprig_head *request_id_add(struct sprig_exchange *ex, const struct sprig_head *head,
                                        struct sprig_head *room, struct sprig_header **fields);

#endif

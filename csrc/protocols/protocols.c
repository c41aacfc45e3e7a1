/* protocols.c - which protocols a server speaks: the one place that knows them all.
 *
 * Each is a table (serve/protocol.h) in a folder of its own. None knows another, and what is below
 * knows none of them. */
#include "h1/h1.h"
#include "h2/protocol_h2.h"
#include "serve/listener.h"

/* c->listener->socket.options may tell. */
static const struct protocol *choose(const struct sprig_conn *c)
{
    (void)c;
    return &protocol_h1;
}

struct sprig_server *sprig_server_new(struct sprig_loop *loop, const struct sprig_config *config,
                                      const struct sprig_handler *handler, void *arg)
{
    static struct protocols protocols = {.choose = choose};
    protocols.http2 = protocol_h2;
    return server_new(loop, config, &protocols, handler, arg);
}

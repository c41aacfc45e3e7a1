/* protocols.c - the protocols that a server speaks: the only file that knows them all.
 *
 * Each protocol is a table (serve/protocol.h) in a folder of its own. None knows another, and no
 * lower layer knows any of them. */
#include "h1/h1.h"
#include "h2/protocol_h2.h"
#include "serve/listener.h"

/* The options in c->listener->socket may decide. */
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

/* lazyio.h - a Perl file handle that asks for its descriptor only when somebody uses it. */
#ifndef SPRIG_LAZYIO_H
#define SPRIG_LAZYIO_H

#include "bridge.h"
#include <perliol.h>

/* The source of the descriptor. */
struct lazyio_source {
    /* On first use: returns a descriptor, which the handle then owns, or -1 and errno. *unread:
     * bytes that a reader must see before those of the descriptor, borrowed until `release`.
     * *among: the list that the handle stays in until it is closed, for lazyio_count. */
    int (*open)(pTHX_ void *arg, struct sprig_span *unread, struct list_link **among);
    /* Called once when the source is no longer needed: after open, or when the handle is closed
     * unused. */
    void (*release)(pTHX_ void *arg);
};

/* A handle for reading and writing, to be put into an IO (both IoIFP and IoOFP), which then owns
 * it. `source` is borrowed for ever, `arg` is taken. */
PerlIO *lazyio_new(pTHX_ const struct lazyio_source *source, void *arg);

/* True for a handle of ours that nobody has used yet; other layers may have been pushed on it. */
bool lazyio_is_unused(PerlIO *f);

/* How many handles in the list are open on sockets whose peer may still be there. If one side has
 * closed, that is uncertain: such a socket counts for a second after the first look. */
UV lazyio_count(pTHX_ struct list_link *among);

#endif

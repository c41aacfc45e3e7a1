/* lazyio.h - a Perl file handle that asks for its descriptor only when somebody uses it. */
#ifndef SPRIG_LAZYIO_H
#define SPRIG_LAZYIO_H

#include "bridge.h"
#include <perliol.h>

/* Where the descriptor comes from. */
struct lazyio_source {
    /* First use: a descriptor for the handle to own, or -1 and errno. *unread: bytes that a reader
     * has to see before those of the descriptor, borrowed until `release`. *among: the list that
     * the handle stands in until it is closed, for lazyio_count. */
    int (*open)(pTHX_ void *arg, struct sprig_span *unread, struct list_link **among);
    /* The source is not needed any more: after open, or when the handle is closed unused. Once. */
    void (*release)(pTHX_ void *arg);
};

/* A handle for reading and writing, to be put into an IO (IoIFP and IoOFP alike), which then owns
 * it. `source` is borrowed for ever, `arg` is taken. */
PerlIO *lazyio_new(pTHX_ const struct lazyio_source *source, void *arg);

/* True for a handle of ours (other layers may have been pushed on it) that nobody has used yet. */
bool lazyio_is_unused(PerlIO *f);

/* How many handles of the list are open on sockets that somebody may still hear. Where one side has
 * closed that is not sure: such a socket counts for a second from the first look on. */
UV lazyio_count(pTHX_ struct list_link *among);

#endif

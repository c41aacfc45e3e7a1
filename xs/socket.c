/* socket.c - psgix.io: the client's socket as a Perl handle that is inert until used.
 *
 * Fetching or copying the handle changes nothing. Any operation that needs the descriptor gets a
 * duplicate of it, and from then on the server no longer reads from the connection. With TLS the
 * descriptor is a unix socket, which carries plain text. */
#include "socket.h"
#include "env.h"
#include "exchange.h"
#include "handle.h"
#include "lazyio.h"
#include "lazyvalue.h"
#include <unistd.h>

/* Not 0, 1 or 2: a daemon may have closed those, and perl treats them specially. */
enum { FIRST_FD = 3 };

static int socket_open(pTHX_ void *arg, struct sprig_span *unread, struct list_link **among)
{
    struct psgi_exchange *px = arg;
    int fd;

    if (px->ex == NULL || !psgi_socket_exists(px)) {
        SETERRNO(EBADF, RMS_IFI);
        return -1;
    }
    if (sprig_exchange_share_socket(px->ex, FIRST_FD, &fd, unread) != 0)
        return -1;
    px->socket_used = true;
    *among = &px->server->taken;
    return fd;
}

static void socket_release(pTHX_ void *arg)
{
    psgi_exchange_unref(aTHX_ arg);
}

static const struct lazyio_source socket_source = {socket_open, socket_release};

/* The class whose peerhost, peerport and so on understand the address. */
static HV *socket_class(pTHX_ struct psgi_exchange *px)
{
    const struct sprig_address *local = px->ex != NULL ? sprig_exchange_local(px->ex) : NULL;

    if (local != NULL && (local->is_unix || sprig_exchange_is_tls(px->ex)))
        return gv_stashpvs("IO::Socket::UNIX", GV_ADD);
    if (local != NULL && strchr(local->host, ':') != NULL)
        return gv_stashpvs("IO::Socket::IP", GV_ADD);
    return gv_stashpvs("IO::Socket::INET", GV_ADD);
}

/* An IO that looks open in both directions to perl; a closed one if there is no connection any
 * more. */
static IO *socket_io(pTHX_ struct psgi_exchange *px)
{
    IO *io = (IO *)newSV_type(SVt_PVIO);

    IoTYPE(io) = px->ex != NULL ? IoTYPE_SOCKET : IoTYPE_CLOSED;
    if (px->ex != NULL)
        IoIFP(io) = IoOFP(io) = lazyio_new(aTHX_ & socket_source, psgi_exchange_ref(px));
    return io;
}

static SV *socket_make(pTHX_ struct psgi_exchange *px)
{
    HV *class;
    GV *gv;

    if (px->socket != NULL)
        return newRV_inc(px->socket->body);
    class = socket_class(aTHX_ px);
    gv = (GV *)newSV(0);
    gv_init_pvn(gv, class, "psgix_io", 8, 0); /* a name that perl can parse */
    SvREFCNT_dec(GvIOp(gv));
    GvIOp(gv) = socket_io(aTHX_ px);
    if (px->ex != NULL) {
        px->socket = psgi_handle_attach(aTHX_(SV *) gv, px, &px->server->psgi->n_sockets, NULL);
        px->socket->body = (SV *)gv;
    }
    return sv_bless(newRV_noinc((SV *)gv), class);
}

static const struct psgi_lazy_kind socket_kind = PSGI_LAZY_KIND(socket_make);

bool psgi_socket_exists(const struct psgi_exchange *px)
{
    return px->ex == NULL || sprig_exchange_owns_socket(px->ex);
}

SV *psgi_socket_new(pTHX_ struct psgi_exchange *px)
{
    if (!psgi_socket_exists(px))
        return newSV(0);
    return psgi_lazy_new(aTHX_ px, &socket_kind);
}

/* The number of references to the glob besides the env's. */
static U32 socket_holders(pTHX_ struct psgi_exchange *px)
{
    SV *gv = px->socket->body;
    HE *own =
        px->env != NULL ? psgi_env_entry(aTHX_ px->entries, px->server->psgi->keys, KEY_IO) : NULL;

    return SvREFCNT(gv) - (own != NULL && SvROK(HeVAL(own)) && SvRV(HeVAL(own)) == gv ? 1 : 0);
}

bool psgi_socket_is_taken(pTHX_ struct psgi_exchange *px)
{
    return px->socket_used || (px->socket != NULL && socket_holders(aTHX_ px) > 0);
}

/* The app takes over the connection: its handle has its own descriptor, ours is closed. */
void psgi_socket_hand_over(pTHX_ struct psgi_exchange *px)
{
    struct sprig_span unread;
    int fd;

    if (px->socket != NULL && !px->socket_used) {
        IO *io = GvIO((GV *)px->socket->body);
        if (io != NULL && IoIFP(io) != NULL)
            PerlIO_fileno(IoIFP(io));
    }
    if (sprig_exchange_detach(px->ex, &fd, &unread) == 0)
        close(fd);
}

void psgi_socket_sever(pTHX_ struct psgi_exchange *px)
{
    struct psgi_handle *handle = px->socket;
    IO *io;

    if (handle == NULL)
        return;
    px->socket = NULL;
    handle->px = NULL;
    if (PL_phase == PERL_PHASE_DESTRUCT)
        return;
    io = GvIO((GV *)handle->body);
    if (io != NULL && lazyio_is_unused(IoIFP(io)))
        do_close((GV *)handle->body, FALSE);
}

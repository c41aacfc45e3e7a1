/* Sprig.xs - the XSUBs: convert, call, convert. The headers explain what they do. */
#include "app.h"
#include "base/stats.h"
#include "channels.h"
#include "embed.h"
#include "events.h"
#include "loop.h"
#include "master.h"
#include "net/inherited.h"
#include "options.h"
#include "pagi_connection.h"
#include "pagi_future.h"
#include "pagi_mounts.h"
#include "process.h"
#include "process/daemon.h"
#include "process/pidfile.h"
#include "process/orphans.h"
#include "process/quit.h"
#include "process/title.h"
#include "reader.h"
#include "report.h"
#include "responder.h"
#include "serve/banner.h"
#include "server.h"
#include "watcher.h"
#include "websocket_object.h"
#include "writer.h"

MODULE = Sprig    PACKAGE = Sprig

PROTOTYPES: DISABLE

BOOT:
    psgi_boot(aTHX);

void
counters(server = &PL_sv_undef)
    SV *server
  PPCODE:
    HV *counters = psgi_counters(aTHX_ SvOK(server) ? psgi_server_get(aTHX_ server) : NULL);
    mXPUSHs(newRV_noinc((SV *)counters));

const char *
core_version()
  CODE:
    RETVAL = SPRIG_VERSION;
  OUTPUT:
    RETVAL

void
_print_banner(host, port, n_workers, env, is_tls)
    const char *host
    const char *port
    U32 n_workers
    const char *env
    bool is_tls
  CODE:
    struct sprig_address address = {.is_unix = strEQ(host, "unix/"), .is_tls = is_tls};
    snprintf(address.host, sizeof address.host, "%s", host);
    snprintf(address.port, sizeof address.port, "%s", port);
    sprig_banner_print(&address, n_workers, env);

MODULE = Sprig    PACKAGE = Sprig::Inherited

void
descriptors()
  PPCODE:
    int fds[256];
    char why[256];
    int n = sprig_inherited_sockets(fds, 256, why, sizeof why);
    if (n < 0)
        croak("%s\n", why);
    for (int i = 0; i < n; i++)
        mXPUSHi(fds[i]);

MODULE = Sprig    PACKAGE = Sprig::Service

SV *
read_address(text)
    const char *text
  CODE:
    RETVAL = psgi_address_read(aTHX_ text);
  OUTPUT:
    RETVAL

const char *
join_address(host, port)
    const char *host
    const char *port
  PREINIT:
    char text[SPRIG_LISTEN_TEXT_BYTES];
  CODE:
    RETVAL = sprig_listen_join(host, port, text, sizeof text);
  OUTPUT:
    RETVAL

SV *
check_options(options)
    HV *options
  CODE:
    SV *wrong = psgi_options_check(aTHX_ options);
    RETVAL = wrong != NULL ? wrong : newSV(0);
  OUTPUT:
    RETVAL

SV *
read_option(options, name)
    HV *options
    const char *name
  CODE:
    RETVAL = psgi_options_get(aTHX_ options, name);
  OUTPUT:
    RETVAL

SV *
new(class, app, options, left)
    const char *class
    SV *app
    HV *options
    SV *left
  CODE:
    RETVAL = psgi_server_new(aTHX_ class, &psgi_handler, app, options, left);
  OUTPUT:
    RETVAL

void
listen(self, spec)
    SV *self
    const char *spec
  PPCODE:
    struct psgi_server *server = psgi_server_get(aTHX_ self);
    AV *infos = (AV *)sv_2mortal((SV *)psgi_server_listen(aTHX_ server, spec));
    psgi_server_keep(aTHX_ server, self);
    for (SSize_t i = 0; i <= av_len(infos); i++)
        XPUSHs(sv_mortalcopy(*av_fetch(infos, i, 0)));

SV *
listen_fd(self, fd, options)
    SV *self
    int fd
    HV *options
  CODE:
    struct psgi_server *server = psgi_server_get(aTHX_ self);
    RETVAL = psgi_server_listen_fd(aTHX_ server, fd, options);
    psgi_server_keep(aTHX_ server, self);
  OUTPUT:
    RETVAL

void
stand_alone(self, is_alone)
    SV *self
    bool is_alone
  CODE:
    psgi_server_stand_alone(aTHX_ psgi_server_get(aTHX_ self), is_alone);

void
admin(self)
    SV *self
  CODE:
    psgi_server_admin(aTHX_ psgi_server_get(aTHX_ self));

void
drop_privileges(self)
    SV *self
  CODE:
    psgi_server_drop_privileges(aTHX_ psgi_server_get(aTHX_ self));

void
close(self, id)
    SV *self
    UV id
  CODE:
    psgi_server_close(aTHX_ psgi_server_get(aTHX_ self), id);

SV *
option(self, name)
    SV *self
    const char *name
  CODE:
    RETVAL = psgi_server_option(aTHX_ psgi_server_get(aTHX_ self), name);
  OUTPUT:
    RETVAL

void
on_event(self, code)
    SV *self
    SV *code
  CODE:
    psgi_server_on_event(aTHX_ psgi_server_get(aTHX_ self), code);

void
exit_guard(self, guard)
    SV *self
    SV *guard
  CODE:
    psgi_server_set_exit_guard(aTHX_ psgi_server_get(aTHX_ self), guard);

void
adopt(self, fd)
    SV *self
    int fd
  CODE:
    psgi_server_adopt(aTHX_ psgi_server_get(aTHX_ self), fd);
    psgi_server_keep(aTHX_ psgi_server_get(aTHX_ self), self);

void
keep(self)
    SV *self
  CODE:
    psgi_server_keep(aTHX_ psgi_server_get(aTHX_ self), self);

void
leave(self)
    SV *self
  CODE:
    psgi_server_leave(aTHX_ psgi_server_get(aTHX_ self));

UV
taken(self)
    SV *self
  CODE:
    RETVAL = psgi_server_taken(aTHX_ psgi_server_get(aTHX_ self));
  OUTPUT:
    RETVAL

void
reloading(self)
    SV *self
  CODE:
    psgi_server_hand_over(psgi_server_get(aTHX_ self));

void
stop(self)
    SV *self
  CODE:
    psgi_server_stop(aTHX_ psgi_server_get(aTHX_ self));

INCLUDE: Stream.xs

INCLUDE: Channel.xs
INCLUDE: WebSocket.xs

INCLUDE: PAGI.xs

INCLUDE: Watcher.xs

INCLUDE: Worker.xs

INCLUDE: Master.xs

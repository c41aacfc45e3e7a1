# Worker.xs - what Sprig::Worker is made of; daemon and pid file of a single process.

MODULE = Sprig    PACKAGE = Sprig::Worker

PROTOTYPES: DISABLE

void
_info()
  PPCODE:
    HV *info = psgi_worker_info(aTHX);
    if (info == NULL)
        XSRETURN_UNDEF;
    mXPUSHs(newRV_noinc((SV *)info));

void
_take_sockets()
  PPCODE:
    mXPUSHs(newRV_noinc((SV *)psgi_worker_take_sockets(aTHX)));

void
_share(server)
    SV *server
  CODE:
    psgi_worker_share(aTHX_ psgi_server_get(aTHX_ server));

void
_play(number, control_fd, fds)
    UV number
    int control_fd
    AV *fds
  CODE:
    psgi_worker_play(aTHX_ number, control_fd, fds);

void
_begin_to_end()
  CODE:
    stats_begin_to_end();

void
_look()
  CODE:
    sprig_loop_look(psgi_loop(aTHX));

bool
_report(text)
    const char *text
  CODE:
    RETVAL = psgi_worker_report(text);
  OUTPUT:
    RETVAL

void
_detach()
  CODE:
    sprig_daemon_detach();

bool
_print_as_json(message)
    SV *message
  CODE:
    RETVAL = psgi_print_as_json(aTHX_ message);
  OUTPUT:
    RETVAL

void
_keep_name()
  CODE:
    sprig_title_keep_name();

void
_quit_open()
  CODE:
    psgi_quit_open();

void
_quit_note()
  CODE:
    sprig_quit_note();

bool
_quit_is_repeated()
  CODE:
    RETVAL = sprig_quit_is_repeated();
  OUTPUT:
    RETVAL

void
_quit_hold()
  CODE:
    sprig_quit_hold();

void
_quit_linger(for_good)
    bool for_good
  CODE:
    sprig_quit_linger(for_good);

void
_quit_close()
  CODE:
    sprig_quit_release();
    sprig_quit_close();

bool
_orphans_begin()
  CODE:
    RETVAL = sprig_orphans_begin();
  OUTPUT:
    RETVAL

void
_orphans_collect()
  CODE:
    sprig_orphans_collect();

void
_alone_open()
  CODE:
    sprig_alone_open();

void
_alone_close()
  CODE:
    sprig_alone_close();

MODULE = Sprig    PACKAGE = Sprig::Master

void
_daemonize()
  CODE:
    psgi_daemonize(aTHX);

void
_daemon_ready()
  CODE:
    psgi_daemon_ready(aTHX);

bool
_may_replace_pid()
  CODE:
    RETVAL = sprig_pidfile_may_replace();
  OUTPUT:
    RETVAL

void
_write_pid(path)
    const char *path
  CODE:
    psgi_pidfile_open(aTHX_ path);

void
_remove_pid()
  CODE:
    psgi_pidfile_close(aTHX);

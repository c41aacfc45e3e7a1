# Master.xs - the master of worker processes: what Sprig::Master is made of.

MODULE = Sprig    PACKAGE = Sprig::Master

PROTOTYPES: DISABLE

bool
is_successor()
  CODE:
    RETVAL = sprig_master_is_successor();
  OUTPUT:
    RETVAL

void
drop_privileges(options)
    HV *options
  CODE:
    psgi_master_drop_privileges(aTHX_ options);

void
_open(options, argv)
    HV *options
    AV *argv
  CODE:
    psgi_master_open(aTHX_ options, argv);

void
_listen(spec)
    const char *spec
  CODE:
    psgi_master_listen(aTHX_ spec);

void
_adopt(fd, is_tls)
    int fd
    bool is_tls
  CODE:
    psgi_master_adopt(aTHX_ fd, is_tls);

void
_settle()
  CODE:
    psgi_master_settle(aTHX);

void
_addresses()
  PPCODE:
    mXPUSHs(newRV_noinc((SV *)psgi_master_addresses(aTHX)));

bool
_run(on_ready)
    SV *on_ready
  CODE:
    RETVAL = psgi_master_run(aTHX_ on_ready);
  OUTPUT:
    RETVAL

void
_close()
  CODE:
    psgi_master_close(aTHX);

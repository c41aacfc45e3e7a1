# Stream.xs - the methods of responders, writers and readers.
#
# No CLONE_SKIP: perl panics when a thread is made while there is a weak reference to an object of
# such a class, and these are references that apps weaken. Their magic makes the copies harmless.

MODULE = Sprig    PACKAGE = Sprig::Responder

PROTOTYPES: DISABLE

void
raise(self, error)
    SV *self
    SV *error
  CODE:
    psgi_responder_raise(aTHX_ self, error);

MODULE = Sprig    PACKAGE = Sprig::Writer

void
write(self, ...)
    SV *self
  PPCODE:
    ST(0) = boolSV(psgi_writer_write(aTHX_ self, &ST(1), items - 1));
    XSRETURN(1);

void
set_class(name)
    SV *name
  CODE:
    psgi_writer_set_class(aTHX_ name);

void
close(self)
    SV *self
  CODE:
    psgi_writer_close(aTHX_ self);

void
flush(self)
    SV *self
  CODE:
    psgi_writer_flush(aTHX_ self);

UV
buffered(self)
    SV *self
  CODE:
    RETVAL = psgi_writer_buffered(aTHX_ self);
  OUTPUT:
    RETVAL

SV *
socket(self)
    SV *self
  CODE:
    RETVAL = psgi_writer_socket(aTHX_ self);
  OUTPUT:
    RETVAL

void
on_drain(self, cb)
    SV *self
    SV *cb
  CODE:
    psgi_writer_on_drain(aTHX_ self, cb);

void
on_disconnect(self, cb)
    SV *self
    SV *cb
  CODE:
    psgi_writer_on_disconnect(aTHX_ self, cb);

void
poll_cb(self, cb)
    SV *self
    SV *cb
  CODE:
    psgi_writer_poll_cb(aTHX_ self, cb);

void
event(self, ...)
    SV *self
  PPCODE:
    ST(0) = boolSV(psgi_writer_event(aTHX_ self, &ST(1), items - 1));
    XSRETURN(1);

void
comment(self, text)
    SV *self
    SV *text
  PPCODE:
    ST(0) = boolSV(psgi_writer_comment(aTHX_ self, text));
    XSRETURN(1);

void
heartbeat(self, seconds)
    SV *self
    SV *seconds
  CODE:
    psgi_writer_heartbeat(aTHX_ self, seconds);

MODULE = Sprig    PACKAGE = Sprig::Reader

void
on_data(self, cb)
    SV *self
    SV *cb
  CODE:
    psgi_reader_on_data(aTHX_ self, cb);

void
on_end(self, cb)
    SV *self
    SV *cb
  CODE:
    psgi_reader_on_end(aTHX_ self, cb);

void
on_error(self, cb)
    SV *self
    SV *cb
  CODE:
    psgi_reader_on_error(aTHX_ self, cb);

void
pause(self)
    SV *self
  ALIAS:
    resume = 1
  CODE:
    psgi_reader_pause(aTHX_ self, ix == 0);

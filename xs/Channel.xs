# Channel.xs - what the methods of Sprig::Channel are made of.

MODULE = Sprig    PACKAGE = Sprig::Channel

PROTOTYPES: DISABLE

void
_open(self, name, history)
    SV *self
    SV *name
    UV history
  CODE:
    psgi_channel_open(aTHX_ self, name, history);

void
_publish(self, text, ...)
    SV *self
    SV *text
  ALIAS:
    _publish_binary = 1
  PPCODE:
    ST(0) = boolSV(psgi_channel_publish(aTHX_ self, text, ix == 1, &ST(2), items - 2));
    XSRETURN(1);

void
deliver(self, text, ...)
    SV *self
    SV *text
  ALIAS:
    deliver_binary = 1
  PPCODE:
    ST(0) = boolSV(psgi_channel_deliver(aTHX_ self, text, ix == 1, &ST(2), items - 2));
    XSRETURN(1);

void
join(self, target, ...)
    SV *self
    SV *target
  PPCODE:
    ST(0) = boolSV(psgi_channel_join(aTHX_ self, target, &ST(2), items - 2));
    XSRETURN(1);

void
leave(self, target)
    SV *self
    SV *target
  PPCODE:
    ST(0) = boolSV(psgi_channel_leave(aTHX_ self, target));
    XSRETURN(1);

UV
members(self)
    SV *self
  CODE:
    RETVAL = psgi_channel_members(aTHX_ self);
  OUTPUT:
    RETVAL

void
on_publish(self, cb)
    SV *self
    SV *cb
  CODE:
    psgi_channel_on_publish(aTHX_ self, cb);

# WebSocket.xs - the methods of WebSockets. lib/Sprig/WebSocket.pm has `accept` and `next`.

MODULE = Sprig    PACKAGE = Sprig::WebSocket

PROTOTYPES: DISABLE

void
_accept(self, options)
    SV *self
    HV *options
  PPCODE:
    SV *accept, *extension;
    I32 n = psgi_websocket_accepted(aTHX_ self, options, &accept, &extension);
    if (n == 0)
        XSRETURN_EMPTY;
    EXTEND(SP, 2);
    PUSHs(accept);
    PUSHs(extension);

bool
_choose(self, protocol)
    SV *self
    SV *protocol
  CODE:
    RETVAL = psgi_websocket_choose(aTHX_ self, protocol);
  OUTPUT:
    RETVAL

void
_opened(self)
    SV *self
  PPCODE:
    SV *result = psgi_websocket_opened(aTHX_ self);
    if (result == NULL)
        XSRETURN_EMPTY;
    mXPUSHs(result);

void
_next(self, condvar)
    SV *self
    SV *condvar
  CODE:
    psgi_websocket_next(aTHX_ self, condvar);

bool
send(self, message)
    SV *self
    SV *message
  ALIAS:
    send_binary = 1
  CODE:
    RETVAL = psgi_websocket_send(aTHX_ self, message, ix == 1);
  OUTPUT:
    RETVAL

bool
ping(self, payload = NULL)
    SV *self
    SV *payload
  CODE:
    RETVAL = psgi_websocket_ping(aTHX_ self, payload);
  OUTPUT:
    RETVAL

void
close(self, code = NULL, reason = NULL)
    SV *self
    SV *code
    SV *reason
  CODE:
    psgi_websocket_close(aTHX_ self, code, reason);

void
abort(self)
    SV *self
  CODE:
    psgi_websocket_abort(aTHX_ self);

UV
buffered(self)
    SV *self
  CODE:
    RETVAL = psgi_websocket_buffered(aTHX_ self);
  OUTPUT:
    RETVAL

SV *
protocol(self)
    SV *self
  CODE:
    RETVAL = psgi_websocket_protocol(aTHX_ self);
  OUTPUT:
    RETVAL

bool
is_open(self)
    SV *self
  CODE:
    RETVAL = psgi_websocket_is_open(aTHX_ self);
  OUTPUT:
    RETVAL

void
on_message(self, cb)
    SV *self
    SV *cb
  ALIAS:
    on_open = WEBSOCKET_ON_OPEN
    on_close = WEBSOCKET_ON_CLOSE
    on_drain = WEBSOCKET_ON_DRAIN
    on_pong = WEBSOCKET_ON_PONG
    on_error = WEBSOCKET_ON_ERROR
  CODE:
    psgi_websocket_set(aTHX_ self, (enum psgi_websocket_event)ix, cb);
